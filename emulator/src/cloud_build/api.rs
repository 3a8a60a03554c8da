//! Cloud Build's methods.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{
    asked::Asked, builder::Builder, document::Document, order, source, substitution::substitute,
};
use crate::{
    api::{
        call::{Call, from_json},
        error::{ApiError, Code},
        page,
    },
    google::Google,
    iam::Principal,
    uuid,
};

/// Answers one call.
pub(crate) async fn answer(google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    let (method, segments, verb) = call.route();
    let may = |permission| google.iam.require(&call.principal, permission, &google.project.name());
    let (location, rest) = match segments.as_slice() {
        ["v1", "projects", _, "locations", location, "builds", rest @ ..] => (*location, rest),
        ["v1", "projects", _, "builds", rest @ ..] => ("global", rest),
        ["v1", "operations", "build", _, id]
        | ["v1", "projects", _, "locations", _, "operations", id] => {
            may("cloudbuild.builds.get")?;
            return found(google, id, None, Document::operation);
        }
        _ => return Err(call.unknown()),
    };
    match (method, rest, verb) {
        ("POST", [], "") => {
            may("cloudbuild.builds.create")?;
            create(google, location, call)
        }
        ("GET", [], "") => {
            may("cloudbuild.builds.list")?;
            page::list(call, "builds", google.builds.list(location).into_iter())
        }
        ("GET", [id], "") => {
            may("cloudbuild.builds.get")?;
            found(google, id, Some(location), Document::json)
        }
        ("POST", [id], "cancel") => {
            may("cloudbuild.builds.update")?;
            found(google, id, Some(location), |_| ())?;
            if google.builds.stop(id).await {
                let now = google.clock.now();
                google.builds.with(id, |build| build.document.cancel(now));
            }
            found(google, id, Some(location), Document::json)
        }
        _ => Err(call.unknown()),
    }
}

/// Looks at a build, in one location or in all.
fn found<T>(
    google: &Google,
    id: &str,
    location: Option<&str>,
    look: impl FnOnce(&Document) -> T,
) -> Result<T, ApiError> {
    let is_there = |document: &Document| location.is_none_or(|one| one == document.location());
    let found = google.builds.with(id, |build| {
        let document = &build.document;
        is_there(document).then(|| look(document))
    });
    found.flatten().ok_or_else(|| {
        ApiError::new(Code::NotFound, format!("Requested entity was not found: build {id}"))
    })
}

fn create(google: &Arc<Google>, location: &str, call: &Call) -> Result<Value, ApiError> {
    let mut build = Value::Object(call.json::<Map<String, Value>>()?);
    let (project, id) = (&google.project, uuid::random()?);
    let values = substitute(&mut build, project, location, &id)?;
    let asked: Asked = from_json(build.clone())?;
    asked.check()?;
    order::check(&asked.steps)?;
    if let Some(account) = asked.account() {
        google.iam.require_act_as(&call.principal, account)?;
    }
    let account = asked.account().map_or_else(|| project.default_account_email(), str::to_owned);
    let run = google.builds.run.clone();
    if run.is_some() {
        asked.check_runs()?;
    }
    let now = google.clock.now();
    let mut document = Document::new(project, location, &id, now, build);
    // Where nothing is run and nobody named, a build succeeds whatever the default account may.
    if run.is_some() || asked.account().is_some() {
        if let Some(source) = asked.source.as_ref().and_then(|one| one.storage_source.as_ref()) {
            source::check(google, &account, source)?;
        }
        if let Some(warning) = unlogged(google, &account, &asked) {
            document.warn(warning);
        }
    }
    let Some(run) = run else {
        document.end_unrun(now);
        let operation = document.operation();
        google.builds.add(document);
        return Ok(operation);
    };
    let operation = document.operation();
    google.builds.add(document);
    let builder =
        Builder { google: Arc::clone(google), run, id: id.clone(), account, asked, values };
    let running = builder.start();
    google.builds.with(&id, |build| build.running = Some(running));
    Ok(operation)
}

/// What Cloud Build says of a build whose account may write no logs; the build runs all the same.
fn unlogged(google: &Google, account: &str, asked: &Asked) -> Option<String> {
    let project = google.project.name();
    let principal = Principal::Account(account.to_owned());
    let may = google.iam.allows(&principal, "logging.logEntries.create", &project);
    (asked.logs() && !may).then(|| {
        format!(
            "The service account running this build {project}/serviceAccounts/{account} does not have permission to \
             write logs to Cloud Logging. To fix this, grant it roles/logging.logWriter."
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{call, call_as, google};

    const BUILDS: &str = "/v1/projects/demo-project/locations/us-central1/builds";

    async fn ask(google: &Arc<Google>, method: &str, uri: &str, body: Value) -> Value {
        answer(google, &call(method, uri, body)).await.unwrap()
    }

    #[tokio::test]
    async fn a_build_is_over_at_once_and_found_where_it_is() {
        let google = google();
        let steps = json!([{"name": "n", "args": ["$PROJECT_ID"]}]);
        let asked = json!({"images": ["i"], "steps": steps, "status": "FAILURE", "tags": ["t"]});
        let operation = ask(&google, "POST", BUILDS, asked).await;
        assert_eq!(operation["done"], true);
        let build = &operation["metadata"]["build"];
        assert_eq!(&operation["response"], build);
        assert_eq!((&build["status"], &build["images"]), (&json!("SUCCESS"), &json!(["i"])));
        assert_eq!(build["steps"][0]["args"], json!(["demo-project"]));
        assert_eq!((&build["timeout"], &build["warnings"]), (&json!("3600s"), &Value::Null));
        let id = build["id"].as_str().unwrap();
        assert_eq!(&ask(&google, "GET", &format!("{BUILDS}/{id}"), Value::Null).await, build);
        let name = operation["name"].as_str().unwrap();
        assert_eq!(ask(&google, "GET", &format!("/v1/{name}"), Value::Null).await, operation);
        let cancel = format!("{BUILDS}/{id}:cancel");
        assert_eq!(&ask(&google, "POST", &cancel, json!({})).await, build, "it was over");
        let elsewhere = BUILDS.replace("us-central1", "global");
        for (place, count) in
            [(BUILDS, 1), (&elsewhere, 0), (&BUILDS.replace("us-central1", "-"), 1)]
        {
            let listed = ask(&google, "GET", place, Value::Null).await;
            assert_eq!(listed["builds"].as_array().map_or(0, Vec::len), count, "{place}");
        }
        for uri in [format!("{BUILDS}/x"), format!("{elsewhere}/{id}")] {
            let fault = answer(&google, &call("GET", &uri, Value::Null)).await.unwrap_err();
            assert_eq!(fault.http_status(), 404, "{uri}");
        }
    }

    #[tokio::test]
    async fn who_submits_must_be_allowed_to_act_as_the_build_s_account() {
        let google = google();
        let account = google.iam.create_account("builder").unwrap();
        let submitter = Principal::Account(google.iam.create_account("submitter").unwrap().email);
        let build = json!({
            "steps": [{"name": "n"}],
            "options": {"logging": "CLOUD_LOGGING_ONLY"},
            "serviceAccount": account.name,
        });
        let submit = || async {
            answer(&google, &call_as(submitter.clone(), "POST", BUILDS, build.clone())).await
        };
        for (role, missing) in [
            ("roles/cloudbuild.builds.editor", "cloudbuild.builds.create"),
            ("roles/iam.serviceAccountUser", "iam.serviceAccounts.actAs"),
        ] {
            let fault = submit().await.unwrap_err();
            assert_eq!(fault.http_status(), 403);
            assert!(fault.message.contains(missing), "{}", fault.message);
            google.iam.grant(role, &submitter);
        }
        let operation = submit().await.unwrap();
        let warning = operation["response"]["warnings"][0]["text"].as_str().unwrap();
        assert!(warning.contains("roles/logging.logWriter"), "{warning}");
        google.iam.grant("roles/logging.logWriter", &Principal::Account(account.email));
        assert_eq!(submit().await.unwrap()["response"]["warnings"], Value::Null);
    }
}
