//! What a patch makes of a job.

use serde_json::{Map, Value};

use super::job::Job;
use crate::api::{call::from_json, error::ApiError, mask};

/// What a patch may name.
const KNOWN: [&str; 8] = [
    "description",
    "schedule",
    "timeZone",
    "retryConfig",
    "attemptDeadline",
    "httpTarget",
    "pubsubTarget",
    "appEngineHttpTarget",
];

/// What a patch may name without effect: "any value specified for an output only field will be ignored"
/// (`UpdateJobRequest`).
const OUTPUT_ONLY: [&str; 5] =
    ["state", "status", "scheduleTime", "lastAttemptTime", "userUpdateTime"];

/// Fields of which a target has one at most.
const TOKENS: [(&str, &str); 2] = [("oidcToken", "oauthToken"), ("oauthToken", "oidcToken")];

/// `current` with what `paths` name taken from `body`. No paths at all are those that the body has, as
/// <https://google.aip.dev/134> has it; `*` is everything.
///
/// # Errors
/// 400 if the body cannot be read, or if the name or what no job has is named.
pub(super) fn patched(current: &Job, body: &Value, paths: Vec<String>) -> Result<Job, ApiError> {
    let patch: Job = from_json(body.clone())?;
    if !patch.name.is_empty() && patch.name != current.name {
        return Err(ApiError::invalid_field(
            "job.name",
            format!("The name cannot be changed; it is {:?}.", current.name),
        ));
    }
    let all = || KNOWN.into_iter();
    let paths: Vec<String> = match paths.as_slice() {
        [] => all().filter(|field| body.get(field).is_some()).map(str::to_owned).collect(),
        [every] if every == "*" => all().map(str::to_owned).collect(),
        _ => paths,
    };
    let is_input = |path: &String| !OUTPUT_ONLY.contains(&path.as_str());
    let paths: Vec<String> = paths.into_iter().filter(is_input).collect();
    let current = serde_json::to_value(current).unwrap_or_default();
    if paths.is_empty() {
        return from_json(current);
    }
    let mut updated = mask::apply(current, body, &paths, &KNOWN, &["name"])?;
    if let Some(target) = updated.get_mut("httpTarget").and_then(Value::as_object_mut) {
        settle_tokens(target, &paths);
    }
    from_json(updated)
}

/// A token of which every part was cleared is none, and one that was set takes the place of the other kind.
fn settle_tokens(target: &mut Map<String, Value>, paths: &[String]) {
    for (one, other) in TOKENS {
        if target.get(one).and_then(Value::as_object).is_some_and(Map::is_empty) {
            target.remove(one);
        }
        let path = format!("httpTarget.{one}");
        if target.contains_key(one) && paths.iter().any(|named| named.starts_with(&path)) {
            target.remove(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    const NAME: &str = "projects/p/locations/l/jobs/j";

    fn patched_json(body: Value, paths: &str) -> Result<Value, ApiError> {
        let mut current: Job = from_value(json!({
            "name": NAME,
            "schedule": "0 0 * * *",
            "retryConfig": {"retryCount": 3},
            "httpTarget": {
                "uri": "https://a.example/x",
                "headers": {"A": "b"},
                "oidcToken": {"serviceAccountEmail": "a@b", "audience": "https://a.example"},
            },
            "state": "PAUSED",
        }))
        .unwrap();
        current.check().unwrap();
        let patched = patched(&current, &body, mask::paths(paths))?;
        Ok(to_value(patched).unwrap())
    }

    #[test]
    fn gcloud_s_patch_changes_what_its_mask_names_and_no_default_that_it_sends_along() {
        let body = json!({
            "httpTarget": {
                "httpMethod": "GET",
                "oidcToken": {"audience": "https://c", "serviceAccountEmail": "c@d"},
                "uri": "https://c.example",
            },
            "name": NAME,
            "retryConfig": {"maxBackoffDuration": "3600s", "maxDoublings": 5, "minBackoffDuration": "5s"},
            "schedule": "*/5 * * * *",
        });
        let mask = "httpTarget.httpMethod,httpTarget.oidcToken.audience,\
            httpTarget.oidcToken.serviceAccountEmail,httpTarget.uri,schedule";
        let job = patched_json(body, mask).unwrap();
        assert_eq!(job["schedule"], "*/5 * * * *");
        assert_eq!(
            job["httpTarget"],
            json!({
                "uri": "https://c.example",
                "httpMethod": "GET",
                "headers": {"A": "b"},
                "oidcToken": {"serviceAccountEmail": "c@d", "audience": "https://c"},
            })
        );
        assert_eq!(
            (&job["retryConfig"]["retryCount"], &job["state"]),
            (&json!(3), &json!("PAUSED"))
        );
    }

    #[test]
    fn without_a_mask_the_body_s_fields_are_taken_whole() {
        let job = patched_json(json!({"retryConfig": {"maxDoublings": 2}}), "").unwrap();
        assert_eq!(job["retryConfig"]["retryCount"], Value::Null);
        assert_eq!(job["retryConfig"]["maxDoublings"], 2);
        assert_eq!(job["schedule"], "0 0 * * *");
    }

    #[test]
    fn a_token_is_cleared_part_by_part_and_one_kind_replaces_the_other() {
        let clear_auth_token = "httpTarget.oidcToken.serviceAccountEmail,\
            httpTarget.oidcToken.audience,httpTarget.oauthToken.serviceAccountEmail,\
            httpTarget.oauthToken.scope";
        let job = patched_json(json!({}), clear_auth_token).unwrap();
        assert_eq!(job["httpTarget"].get("oidcToken"), None);
        let body = json!({"httpTarget": {"oauthToken": {"serviceAccountEmail": "c@d"}}});
        let job = patched_json(body, "httpTarget.oauthToken.serviceAccountEmail").unwrap();
        assert_eq!(job["httpTarget"]["oauthToken"], json!({"serviceAccountEmail": "c@d"}));
        assert_eq!(job["httpTarget"].get("oidcToken"), None);
    }

    #[test]
    fn output_is_ignored_and_the_name_stays() {
        let job = patched_json(json!({"state": "ENABLED"}), "state").unwrap();
        assert_eq!(job["state"], "PAUSED");
        for (body, mask, said) in [
            (json!({"name": "projects/p/locations/l/jobs/k"}), "schedule", "cannot be changed"),
            (json!({"name": NAME}), "name", "cannot be changed"),
            (json!({"schedul": ""}), "schedule", "unknown field `schedul`"),
            (json!({}), "schedul", "does not exist"),
        ] {
            let fault = patched_json(body, mask).unwrap_err();
            assert!(fault.message.contains(said), "{}", fault.message);
        }
    }
}
