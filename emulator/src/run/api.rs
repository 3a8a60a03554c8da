//! The Admin API's calls: Knative's paths as gcloud uses them, IAM's, and reading by version 2.
//!
//! Sources: <https://cloud.google.com/run/docs/reference/rest/v1/namespaces.services>,
//! <https://cloud.google.com/run/docs/reference/rest/v1/projects.locations.services>.

use std::sync::Arc;

use serde_json::Value;

use super::{name::ServiceName, operations::Operations, region, v2};
use crate::{
    api::{call::Call, error::ApiError, page},
    google::Google,
};

/// Answers one call.
pub(crate) async fn answer(google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    let (method, segments, verb) = call.route();
    match (segments.as_slice(), verb) {
        (["apis", "serving.knative.dev", "v1", "namespaces", _, rest @ ..], "") => {
            let operations = Operations { google, call, region: region::of_host(&call.host) };
            knative(&operations, method, rest).await
        }
        (["v1", "projects", _, "locations", region, rest @ ..], "") => {
            knative(&operations_in(google, call, region), method, rest).await
        }
        (["v1", "projects", _, "locations"], "") => {
            google.iam.require(&call.principal, "run.locations.list", &google.project.name())?;
            page::list(call, "locations", region::all(&google.project))
        }
        (["v2", "projects", _, "locations", region, "services", rest @ ..], "") => {
            let operations = operations_in(google, call, region);
            match (method, rest) {
                ("GET", []) => v2::list(&operations),
                ("GET", [service]) => v2::get(&operations, service),
                _ => Err(call.unknown()),
            }
        }
        (["v1" | "v2", "projects", _, "locations", region, "services", service], verb) => {
            policy(google, call, &ServiceName::new(region, service), method, verb)
        }
        _ => Err(call.unknown()),
    }
}

fn operations_in<'a>(google: &'a Arc<Google>, call: &'a Call, region: &'a str) -> Operations<'a> {
    // `-` stands for all of them (<https://google.aip.dev/159>).
    Operations { google, call, region: Some(region).filter(|region| *region != "-") }
}

async fn knative(
    operations: &Operations<'_>,
    method: &str,
    resource: &[&str],
) -> Result<Value, ApiError> {
    match (method, resource) {
        ("POST", ["services"]) => operations.create().await,
        ("GET", ["services"]) => operations.list(),
        ("GET", ["services", service]) => operations.get(service),
        ("PUT", ["services", service]) => operations.replace(service).await,
        ("DELETE", ["services", service]) => operations.delete(service).await,
        ("GET", ["revisions"]) => operations.revisions(),
        ("GET", ["revisions", revision]) => operations.revision(revision),
        ("DELETE", ["revisions", revision]) => operations.delete_revision(revision).await,
        _ => Err(operations.call.unknown()),
    }
}

fn policy(
    google: &Google,
    call: &Call,
    name: &ServiceName,
    method: &str,
    verb: &str,
) -> Result<Value, ApiError> {
    let Google { run, iam, project, .. } = google;
    let resource = name.resource(project);
    if !run.state().services.contains_key(name) {
        return Err(name.missing(project));
    }
    match (method, verb) {
        ("GET" | "POST", "getIamPolicy") => {
            iam.get_policy(call, "run.services.getIamPolicy", &resource)
        }
        ("POST", "setIamPolicy") => iam.set_policy(call, "run.services.setIamPolicy", &resource),
        ("POST", "testIamPermissions") => iam.test_permissions(call, &resource),
        _ => Err(call.unknown()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::run::lab::{Lab, SERVICE};

    #[tokio::test]
    async fn a_policy_belongs_to_a_service_that_exists() {
        let lab = Lab::start().await;
        lab.bind("allUsers").await;
        let (_, policy) = lab.api("GET", &format!("{SERVICE}:getIamPolicy"), Value::Null).await;
        assert_eq!(policy["bindings"][0]["members"], json!(["allUsers"]));
        let missing = SERVICE.replace("receiver", "missing");
        for (method, verb) in [("GET", "getIamPolicy"), ("POST", "setIamPolicy")] {
            let (status, _) = lab.api(method, &format!("{missing}:{verb}"), json!({})).await;
            assert_eq!(status, 404, "{verb}");
        }
        let asked = ["run.services.get", "iam.serviceAccounts.getOpenIdToken"];
        let path = format!("{SERVICE}:testIamPermissions");
        let (_, held) = lab.api("POST", &path, json!({"permissions": asked})).await;
        assert_eq!(held, json!({"permissions": ["run.services.get"]}));
        let (status, _) = lab.api("POST", &path, json!({"permissions": ["run.*"]})).await;
        assert_eq!(status, 400);
    }
}
