//! Alert policies. None is ever evaluated.

use aws_lc_rs::rand;
use serde_json::{Value, json};

use super::{check_promql, may};
use crate::{
    api::{
        call::Call,
        error::{ApiError, Code},
        mask,
        shelf::{only, required},
    },
    google::Google,
};

/// The fields that a policy may come with.
const FIELDS: [&str; 9] = [
    "alertStrategy",
    "combiner",
    "conditions",
    "displayName",
    "documentation",
    "enabled",
    "notificationChannels",
    "severity",
    "userLabels",
];

/// Google's alone; whoever sends them back changes nothing.
const OUTPUT_ONLY: [&str; 4] = ["name", "creationRecord", "mutationRecord", "validity"];

const COMBINERS: [&str; 3] = ["AND", "OR", "AND_WITH_MATCHING_RESOURCE"];
const SEVERITIES: [&str; 3] = ["CRITICAL", "ERROR", "WARNING"];
const CONDITIONS: [&str; 6] = [
    "conditionThreshold",
    "conditionAbsent",
    "conditionMatchedLog",
    "conditionMonitoringQueryLanguage",
    "conditionPrometheusQueryLanguage",
    "conditionSql",
];
const MOST_CONDITIONS: usize = 6;

pub(super) fn answer(google: &Google, call: &Call) -> Result<Value, ApiError> {
    let policies = &google.monitoring.policies;
    let (method, segments, _) = call.route();
    let name = |id: &str| format!("{}/alertPolicies/{id}", google.project.name());
    match (method, segments.as_slice()) {
        ("GET", ["v3", _, _, _]) => {
            may(google, call, "monitoring.alertPolicies.list")?;
            if call.parameter("filter").is_some_and(|filter| !filter.is_empty()) {
                return Err(ApiError::invalid_field("filter", "This emulator lists all policies."));
            }
            policies.list(call, "alertPolicies")
        }
        ("POST", ["v3", _, _, _]) => {
            may(google, call, "monitoring.alertPolicies.create")?;
            let asked: Value = call.json()?;
            if asked.get("name").is_some() {
                let fault = "must not be given for a policy that is created.";
                return Err(ApiError::invalid_field("name", fault));
            }
            check(&asked)?;
            let name = name(&number()?);
            policies.add(&name, whole(google, asked, &name)?)
        }
        ("GET", ["v3", _, _, _, id]) => {
            may(google, call, "monitoring.alertPolicies.get")?;
            policies.get(&name(id))
        }
        ("PATCH", ["v3", _, _, _, id]) => {
            may(google, call, "monitoring.alertPolicies.update")?;
            let (name, asked) = (name(id), call.json()?);
            policies.change(&name, |current| {
                // Without a mask all of it is replaced.
                let changed = match call.update_mask() {
                    paths if paths.is_empty() => asked,
                    paths => mask::apply(current.clone(), &asked, &paths, &FIELDS, &OUTPUT_ONLY)?,
                };
                check(&changed)?;
                whole(google, changed, &name)
            })
        }
        ("DELETE", ["v3", _, _, _, id]) => {
            may(google, call, "monitoring.alertPolicies.delete")?;
            policies.remove(&name(id))
        }
        _ => Err(call.unknown()),
    }
}

/// The policy with what Google adds: its name and those of its conditions.
fn whole(google: &Google, mut policy: Value, name: &str) -> Result<Value, ApiError> {
    policy["name"] = name.into();
    if policy.get("enabled").is_none() {
        policy["enabled"] = true.into();
    }
    policy["mutationRecord"] = json!({"mutateTime": google.clock.now()});
    for condition in policy["conditions"].as_array_mut().into_iter().flatten() {
        if condition.get("name").is_none() {
            condition["name"] = format!("{name}/conditions/{}", number()?).into();
        }
    }
    Ok(policy)
}

/// What Google would refuse, as far as it is looked at.
///
/// # Errors
/// 400 that names the field.
pub(crate) fn check(policy: &Value) -> Result<(), ApiError> {
    only(policy, &[&FIELDS[..], &OUTPUT_ONLY].concat())?;
    required(policy, "displayName")?;
    one_of(policy, "combiner", &COMBINERS)?;
    if policy.get("severity").is_some() {
        one_of(policy, "severity", &SEVERITIES)?;
    }
    check_labels(&policy["userLabels"])?;
    let conditions = policy["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !(1..=MOST_CONDITIONS).contains(&conditions.len()) {
        let fault = format!("has {}; expected 1 to {MOST_CONDITIONS}.", conditions.len());
        return Err(ApiError::invalid_field("conditions", fault));
    }
    conditions.iter().try_for_each(check_condition)
}

fn check_condition(condition: &Value) -> Result<(), ApiError> {
    required(condition, "displayName")?;
    if CONDITIONS.iter().filter(|kind| condition.get(**kind).is_some()).count() != 1 {
        let fault = format!("expected exactly one of {CONDITIONS:?}.");
        return Err(ApiError::invalid_field("condition", fault));
    }
    let Some(promql) = condition.get("conditionPrometheusQueryLanguage") else { return Ok(()) };
    check_promql(&promql["query"])?;
    if let Some(interval) = promql.get("evaluationInterval") {
        let secs = seconds(interval).filter(|secs| *secs > 0 && secs % 30 == 0);
        secs.ok_or_else(|| {
            let fault = "Must be a positive multiple of 30 seconds.";
            ApiError::invalid_field("evaluation_interval", fault)
        })?;
    }
    if let Some(duration) = promql.get("duration") {
        seconds(duration).ok_or_else(|| {
            ApiError::invalid_field("duration", "Must be a non-negative duration.")
        })?;
    }
    Ok(())
}

/// Lower-case letters, numerals, underscores and dashes, 63 at most; keys begin with a letter.
fn check_labels(labels: &Value) -> Result<(), ApiError> {
    let is_label = |text: &str| {
        let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        text.len() <= 63 && text.bytes().all(is_allowed)
    };
    for (key, value) in labels.as_object().into_iter().flatten() {
        let is_key = is_label(key) && key.starts_with(|first: char| first.is_ascii_lowercase());
        if !is_key || !value.as_str().is_some_and(is_label) {
            let fault = format!("{key:?} or its value {value} is no label.");
            return Err(ApiError::invalid_field("user_labels", fault));
        }
    }
    Ok(())
}

fn one_of(policy: &Value, field: &str, known: &[&str]) -> Result<(), ApiError> {
    let given = required(policy, field)?;
    match known.contains(&given) {
        true => Ok(()),
        false => Err(ApiError::invalid_field(field, format!("expected one of {known:?}."))),
    }
}

/// `60s`, as protobuf's JSON has durations, in whole seconds.
fn seconds(duration: &Value) -> Option<u64> {
    duration.as_str()?.strip_suffix('s')?.parse().ok()
}

/// As Google's ids of policies and conditions are.
fn number() -> Result<String, ApiError> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| ApiError::new(Code::Internal, "no random number"))?;
    Ok((u64::from_be_bytes(bytes) >> 1).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        monitoring::answer,
        testing::{call, google, refuses_each},
    };

    const ALL: &str = "/v3/projects/demo-project/alertPolicies";

    fn policy() -> Value {
        json!({
            "displayName": "work was given up",
            "combiner": "OR",
            "severity": "ERROR",
            "userLabels": {"made-for": "receiver"},
            "conditions": [{
                "displayName": "work was given up",
                "conditionPrometheusQueryLanguage": {
                    "query": "up > 0", "duration": "0s", "evaluationInterval": "60s",
                },
            }],
        })
    }

    #[tokio::test]
    async fn a_policy_is_created_changed_in_part_or_whole_and_deleted() {
        let google = google();
        let ask = |method: &str, uri: &str, body| answer(&google, &call(method, uri, body));
        let created = ask("POST", ALL, policy()).unwrap();
        assert_eq!(created["enabled"], true);
        let one = format!("/v3/{}", created["name"].as_str().unwrap());
        assert_eq!(ask("GET", ALL, Value::Null).unwrap(), json!({"alertPolicies": [created]}));
        let part = json!({"displayName": "other", "severity": "WARNING"});
        let updated = ask("PATCH", &format!("{one}?updateMask=display_name"), part).unwrap();
        assert_eq!(
            (&updated["displayName"], &updated["severity"]),
            (&json!("other"), &json!("ERROR"))
        );
        let updated = ask("PATCH", &one, policy()).unwrap();
        assert_eq!(updated["displayName"], "work was given up");
        ask("DELETE", &one, Value::Null).unwrap();
        assert_eq!(ask("DELETE", &one, Value::Null).unwrap_err().code, Code::NotFound);
    }

    #[tokio::test]
    async fn what_google_would_refuse_is_refused() {
        let google = google();
        let ask = |body| answer(&google, &call("POST", ALL, body));
        let promql = "/conditions/0/conditionPrometheusQueryLanguage";
        let spoilt = [
            ("/displayName", json!("")),
            ("/combiner", json!("XOR")),
            ("/severity", json!("INFO")),
            ("/conditions", json!([])),
            ("/conditions/0/displayName", json!("")),
            ("/userLabels/made-for", json!("Upper")),
            (&format!("{promql}/query"), json!("")),
            (&format!("{promql}/duration"), json!("-1s")),
            (&format!("{promql}/evaluationInterval"), json!("45s")),
        ];
        refuses_each(&policy(), &spoilt, ask);
        let mut twice = policy();
        twice["conditions"][0]["conditionThreshold"] = json!({});
        assert_eq!(ask(twice).unwrap_err().code, Code::InvalidArgument);
    }
}
