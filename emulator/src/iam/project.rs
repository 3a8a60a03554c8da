//! The project itself (Resource Manager v1): what it is, and its policy.
//!
//! Source: <https://cloud.google.com/resource-manager/reference/rest/v1/projects>.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    api::{call::Call, error::ApiError},
    google::Google,
};

/// Answers one call; that the project is this one has been checked.
pub(crate) async fn answer(google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    let (iam, name) = (&google.iam, google.project.name());
    let (method, segments, verb) = call.route();
    let ["v1", "projects", _] = segments.as_slice() else { return Err(call.unknown()) };
    match (method, verb) {
        ("GET", "") => {
            iam.require(&call.principal, "resourcemanager.projects.get", &name)?;
            Ok(json!({
                "projectNumber": google.project.number.to_string(),
                "projectId": google.project.id,
                "lifecycleState": "ACTIVE",
                "name": google.project.id,
            }))
        }
        ("POST", "getIamPolicy") => {
            iam.get_policy(call, "resourcemanager.projects.getIamPolicy", &name)
        }
        ("POST", "setIamPolicy") => {
            iam.set_policy(call, "resourcemanager.projects.setIamPolicy", &name)
        }
        ("POST", "testIamPermissions") => iam.test_permissions(call, &name),
        _ => Err(call.unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, google};

    #[tokio::test]
    async fn the_number_is_a_string() {
        let project = call("GET", "/v1/projects/demo-project", Value::Null);
        assert_eq!(
            answer(&google(), &project).await.unwrap(),
            json!({
                "projectNumber": "123456789012",
                "projectId": "demo-project",
                "lifecycleState": "ACTIVE",
                "name": "demo-project",
            })
        );
    }

    #[tokio::test]
    async fn a_role_on_the_project_holds_for_all_that_is_in_it() {
        let google = google();
        let account = google.iam.create_account("caller").unwrap();
        let get = call("POST", "/v1/projects/demo-project:getIamPolicy", json!({"options": {}}));
        let mut policy = answer(&google, &get).await.unwrap();
        let bindings = policy["bindings"].as_array_mut().unwrap();
        let member = format!("serviceAccount:{}", account.email);
        bindings.push(json!({"role": "roles/run.invoker", "members": [member]}));
        let body = json!({"policy": policy});
        let set = call("POST", "/v1/projects/demo-project:setIamPolicy", body);
        answer(&google, &set).await.unwrap();
        let caller = crate::iam::Principal::Account(account.email);
        assert!(google.iam.allows(&caller, "run.routes.invoke", "any service"));
        let stale = answer(&google, &set).await.unwrap_err();
        assert_eq!(stale.http_status(), 409, "its etag is old by now");
    }

    #[tokio::test]
    async fn other_methods_are_refused() {
        let delete = call("DELETE", "/v1/projects/demo-project", Value::Null);
        assert_eq!(answer(&google(), &delete).await.unwrap_err().http_status(), 404);
    }
}
