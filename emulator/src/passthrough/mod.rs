//! Services that scripts only pass through on their way to the emulated ones: one table of the least replies that
//! gcloud goes on with. Nothing is kept; that each call was made is in the history.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    api::{
        call::Call,
        error::{ApiError, Code},
    },
    google::Google,
};

/// Answers one call.
pub(crate) async fn answer(google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    let (project, name) = (&google.project, google.project.name());
    let may = |permission| google.iam.require(&call.principal, permission, &name);
    let (method, segments, verb) = call.route();
    match (method, segments.as_slice(), verb) {
        // Long-running operations, which are over before they are asked about.
        ("GET", ["v1", "operations", operation], "") => Ok(done(operation)),
        // Cloud Functions, whose second generation are Cloud Run services of the same name.
        ("GET", ["v2", "projects", _, "locations", location, "functions", id], "") => {
            may("cloudfunctions.functions.get")?;
            let place = format!("{name}/locations/{location}");
            Ok(json!({
                "name": format!("{place}/functions/{id}"),
                "environment": "GEN_2",
                "state": "ACTIVE",
                "serviceConfig": {"service": format!("{place}/services/{id}")},
            }))
        }
        // Cloud Billing.
        ("GET", ["v1", "projects", _, "billingInfo"], "") => {
            may("resourcemanager.projects.get")?;
            Ok(json!({
                "name": format!("{name}/billingInfo"),
                "projectId": project.id,
                "billingAccountName": if google.has_billing { "billingAccounts/000000-000000-000000" } else { "" },
                "billingEnabled": google.has_billing,
            }))
        }
        // App Engine, whose location Cloud Scheduler once had.
        ("GET", ["v1", "apps", app], "") => {
            let message = format!("Could not find Application \"{app}\".");
            Err(ApiError::new(Code::NotFound, message))
        }
        _ => Err(call.unknown()),
    }
}

fn done(operation: &str) -> Value {
    json!({"name": format!("operations/{operation}"), "done": true, "response": {}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        iam::Principal,
        testing::{call, call_as, google},
    };

    async fn ask(method: &str, uri: &str, body: Value) -> Result<Value, ApiError> {
        answer(&google(), &call(method, uri, body)).await
    }

    #[tokio::test]
    async fn a_function_is_the_service_of_its_name() {
        let uri = "/v2/projects/demo-project/locations/us-central1/functions/fn";
        let function = ask("GET", uri, Value::Null).await.unwrap();
        assert_eq!(function["environment"], "GEN_2");
        assert_eq!(
            function["serviceConfig"]["service"],
            "projects/demo-project/locations/us-central1/services/fn"
        );
    }

    #[tokio::test]
    async fn there_is_no_app_engine_and_nothing_else() {
        let app = ask("GET", "/v1/apps/demo-project", Value::Null).await.unwrap_err();
        assert_eq!(app.http_status(), 404);
        let other = ask("DELETE", "/v1/apps/demo-project", Value::Null).await.unwrap_err();
        assert!(other.message.contains("is no method"), "{}", other.message);
    }

    #[tokio::test]
    async fn who_may_not_pass_is_told_so() {
        let google = google();
        let uri = "/v2/projects/demo-project/locations/us-central1/functions/fn";
        let stranger = Principal::Account("stranger@example.com".to_owned());
        let fault = answer(&google, &call_as(stranger, "GET", uri, json!({}))).await.unwrap_err();
        assert_eq!(fault.http_status(), 403);
    }
}
