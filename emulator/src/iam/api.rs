//! Service accounts (IAM v1): create, get, list, patch, delete, enable, disable, and their policies.
//!
//! Source: <https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts>.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ServiceAccount, key, service_account::unknown};
use crate::{
    api::{call::Call, call::from_json, error::ApiError, mask, page},
    google::Google,
};

/// Answers one call. An account is addressed by email or unique id, in the project or in `projects/-`.
pub(crate) async fn answer(google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    let (method, segments, verb) = call.route();
    let ["v1", "projects", _, "serviceAccounts", rest @ ..] = segments.as_slice() else {
        return Err(call.unknown());
    };
    let iam = &google.iam;
    match (method, rest, verb) {
        ("POST", [], "") => create(google, call),
        ("GET", [], "") => list(google, call),
        ("GET", [account], "") => {
            Ok(permitted(google, call, account, "iam.serviceAccounts.get")?.json())
        }
        ("PATCH", [account], "") => patch(google, call, account),
        ("DELETE", [account], "") => {
            let account = permitted(google, call, account, "iam.serviceAccounts.delete")?;
            google.delete_account(&account);
            Ok(json!({}))
        }
        ("POST", [account], "enable" | "disable") => switch(google, call, account, verb),
        ("GET" | "POST", [account], "getIamPolicy") => {
            let permission = "iam.serviceAccounts.getIamPolicy";
            let account = permitted(google, call, account, permission)?;
            iam.get_policy(call, permission, &account.name)
        }
        ("POST", [account], "setIamPolicy") => {
            let permission = "iam.serviceAccounts.setIamPolicy";
            let account = permitted(google, call, account, permission)?;
            iam.set_policy(call, permission, &account.name)
        }
        ("POST", [account], "testIamPermissions") => match iam.account(account) {
            Some(account) => iam.test_permissions(call, &account.name),
            None => Err(unknown(account)),
        },
        (_, [account, "keys", rest @ ..], "") => key::answer(google, call, account, rest).await,
        _ => Err(call.unknown()),
    }
}

/// The account, if the caller has `permission` on it.
///
/// # Errors
/// 403 if not, 404 if there is no such account.
pub(super) fn permitted(
    google: &Google,
    call: &Call,
    email_or_id: &str,
    permission: &str,
) -> Result<ServiceAccount, ApiError> {
    let account = google.iam.account(email_or_id);
    let name = match &account {
        Some(account) => account.name.clone(),
        None => format!("{}/serviceAccounts/{email_or_id}", google.project.name()),
    };
    google.iam.require(&call.principal, permission, &name)?;
    account.ok_or_else(|| unknown(&name))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CreateRequest {
    #[serde(default)]
    account_id: String,
    #[serde(default)]
    service_account: ServiceAccount,
}

fn create(google: &Google, call: &Call) -> Result<Value, ApiError> {
    let project = google.project.name();
    google.iam.require(&call.principal, "iam.serviceAccounts.create", &project)?;
    let CreateRequest { account_id, service_account } = call.json()?;
    check_words(&service_account)?;
    Ok(google.iam.add_account(&account_id, service_account)?.json())
}

fn list(google: &Google, call: &Call) -> Result<Value, ApiError> {
    let project = google.project.name();
    google.iam.require(&call.principal, "iam.serviceAccounts.list", &project)?;
    let accounts = google.iam.accounts();
    page::list(call, "accounts", accounts.iter().map(ServiceAccount::json))
}

/// Unlike elsewhere the mask is in the body.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PatchRequest {
    #[serde(default)]
    service_account: Value,
    #[serde(default)]
    update_mask: String,
}

fn patch(google: &Google, call: &Call, account: &str) -> Result<Value, ApiError> {
    let current = permitted(google, call, account, "iam.serviceAccounts.update")?;
    let PatchRequest { service_account, update_mask } = call.json()?;
    let updated = mask::apply(
        current.json(),
        &service_account,
        &mask::paths(&update_mask),
        &["displayName", "description"],
        &["name", "projectId", "uniqueId", "email", "etag", "oauth2ClientId", "disabled"],
    )?;
    let updated: ServiceAccount = from_json(updated)?;
    check_words(&updated)?;
    let answer = updated.json();
    google.iam.store_account(updated)?;
    Ok(answer)
}

fn switch(google: &Google, call: &Call, account: &str, verb: &str) -> Result<Value, ApiError> {
    let permission = format!("iam.serviceAccounts.{verb}");
    let account = permitted(google, call, account, &permission)?;
    google.iam.store_account(ServiceAccount { disabled: verb == "disable", ..account })?;
    Ok(json!({}))
}

/// Limits in bytes of UTF-8, as the reference has them.
fn check_words(account: &ServiceAccount) -> Result<(), ApiError> {
    for (field, text, most_bytes) in
        [("display_name", &account.display_name, 100), ("description", &account.description, 256)]
    {
        if text.len() > most_bytes {
            let bytes = text.len();
            let said = format!("It has {bytes} bytes; at most {most_bytes} are allowed.");
            return Err(ApiError::invalid_field(&format!("service_account.{field}"), said));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        iam::Principal,
        testing::{call, call_as, google},
    };

    const ACCOUNTS: &str = "/v1/projects/demo-project/serviceAccounts";
    const CALLER: &str = "caller@demo-project.iam.gserviceaccount.com";

    async fn ask(
        google: &Arc<Google>,
        method: &str,
        path: &str,
        body: Value,
    ) -> Result<Value, ApiError> {
        answer(google, &call(method, &format!("{ACCOUNTS}{path}"), body)).await
    }

    async fn created(google: &Arc<Google>) -> Value {
        let body = json!({"accountId": "caller", "serviceAccount": {"displayName": "Caller"}});
        ask(google, "POST", "", body).await.unwrap()
    }

    #[tokio::test]
    async fn an_account_lives_as_google_s_do() {
        let google = google();
        let account = created(&google).await;
        assert_eq!(account["name"], format!("projects/demo-project/serviceAccounts/{CALLER}"));
        assert_eq!(
            (&account["email"], &account["displayName"]),
            (&json!(CALLER), &json!("Caller"))
        );
        let id = account["uniqueId"].as_str().unwrap();
        for path in [format!("/{CALLER}"), format!("/{id}")] {
            assert_eq!(ask(&google, "GET", &path, Value::Null).await.unwrap(), account);
        }
        let all = call("GET", &format!("/v1/projects/-/serviceAccounts/{CALLER}"), Value::Null);
        assert_eq!(answer(&google, &all).await.unwrap(), account);

        let patch =
            json!({"serviceAccount": {"description": "calls"}, "updateMask": "description"});
        let patched = ask(&google, "PATCH", &format!("/{CALLER}"), patch).await.unwrap();
        assert_eq!(
            (&patched["description"], &patched["displayName"]),
            (&json!("calls"), &json!("Caller"))
        );

        for (verb, disabled) in [("disable", json!(true)), ("enable", Value::Null)] {
            ask(&google, "POST", &format!("/{CALLER}:{verb}"), json!({})).await.unwrap();
            let account = ask(&google, "GET", &format!("/{CALLER}"), Value::Null).await.unwrap();
            assert_eq!(account["disabled"], disabled);
        }
        ask(&google, "DELETE", &format!("/{CALLER}"), Value::Null).await.unwrap();
        let fault = ask(&google, "GET", &format!("/{CALLER}"), Value::Null).await.unwrap_err();
        assert_eq!(fault.http_status(), 404);
        assert!(fault.message.contains(CALLER), "{}", fault.message);
    }

    #[tokio::test]
    async fn lists_begin_with_the_default_account() {
        let google = google();
        created(&google).await;
        let listed = ask(&google, "GET", "?pageSize=1", Value::Null).await.unwrap();
        assert_eq!(listed["accounts"][0]["email"], google.project.default_account_email());
        let rest = ask(&google, "GET", "?pageSize=100&pageToken=1", Value::Null).await.unwrap();
        assert_eq!(rest["accounts"][0]["email"], CALLER);
        assert_eq!(rest.get("nextPageToken"), None);
    }

    #[tokio::test]
    async fn what_an_account_cannot_be_is_refused_by_name() {
        let google = google();
        created(&google).await;
        let path = format!("/{CALLER}");
        for (method, path, body, status, said) in [
            ("POST", "", json!({"accountId": "sa1"}), 400, "length between 6 and 30"),
            ("POST", "", json!({"accountId": "caller"}), 409, "already exists"),
            ("POST", "", json!({"accountid": "caller"}), 400, "unknown field `accountid`"),
            (
                "POST",
                "",
                json!({"accountId": "caller2", "serviceAccount": {"displayName": "x".repeat(101)}}),
                400,
                "at most 100",
            ),
            (
                "PATCH",
                &path,
                json!({"serviceAccount": {}, "updateMask": "email"}),
                400,
                "cannot be changed",
            ),
            ("PATCH", &path, json!({"serviceAccount": {}}), 400, "at least one field"),
            ("PUT", &path, json!({}), 404, "is no method"),
        ] {
            let fault = ask(&google, method, path, body).await.unwrap_err();
            assert_eq!(fault.http_status(), status, "{}", fault.message);
            assert!(fault.message.contains(said), "{}", fault.message);
        }
    }

    #[tokio::test]
    async fn an_account_may_do_nothing_here_until_it_is_granted() {
        let google = google();
        created(&google).await;
        let caller = Principal::Account(CALLER.to_owned());
        let get = call_as(caller, "GET", &format!("{ACCOUNTS}/{CALLER}"), Value::Null);
        assert_eq!(answer(&google, &get).await.unwrap_err().http_status(), 403);
        let policy = json!({"policy": {"bindings": [
            {"role": "roles/iam.serviceAccountUser", "members": [format!("serviceAccount:{CALLER}")]},
        ]}});
        ask(&google, "POST", &format!("/{CALLER}:setIamPolicy"), policy).await.unwrap();
        let path = format!("/{CALLER}:getIamPolicy?options.requestedPolicyVersion=3");
        let policy = ask(&google, "POST", &path, Value::Null).await.unwrap();
        assert_eq!(policy["bindings"][0]["role"], "roles/iam.serviceAccountUser");
        assert!(answer(&google, &get).await.is_ok());
    }
}
