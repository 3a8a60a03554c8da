//! IAM Credentials v1: tokens of an account for whoever may impersonate it.
//!
//! Source: <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts>.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Principal, ServiceAccount};
use crate::{
    api::{
        call::Call,
        error::{ApiError, Code},
        wire::WireDuration,
    },
    google::Google,
    token::LIFETIME_SECONDS,
};

/// Answers one call. The wildcard for the project is required, as the source says.
pub(crate) async fn answer(google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    let (method, segments, verb) = call.route();
    let ("POST", ["v1", "projects", project, "serviceAccounts", account]) =
        (method, segments.as_slice())
    else {
        return Err(call.unknown());
    };
    if *project != "-" {
        let said =
            format!("The project must be the wildcard: projects/-/serviceAccounts/{account}.");
        return Err(ApiError::invalid_field("name", said));
    }
    match verb {
        "generateAccessToken" => access_token(google, call, account),
        "generateIdToken" => id_token(google, call, account).await,
        _ => Err(call.unknown()),
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct AccessTokenRequest {
    delegates: Option<Vec<String>>,
    scope: Option<Vec<String>>,
    lifetime: Option<WireDuration>,
}

fn access_token(google: &Google, call: &Call, account: &str) -> Result<Value, ApiError> {
    let AccessTokenRequest { delegates, scope, lifetime } = call.json()?;
    if scope.unwrap_or_default().is_empty() {
        return Err(ApiError::invalid_field("scope", "At least one scope is required."));
    }
    let seconds = match lifetime.map(|lifetime| lifetime.0.as_secs()) {
        None | Some(0) => LIFETIME_SECONDS,
        Some(seconds) => i64::try_from(seconds)
            .ok()
            .filter(|seconds| *seconds <= LIFETIME_SECONDS)
            .ok_or_else(|| {
                let said =
                    format!("{seconds}s is not valid; expected at most {LIFETIME_SECONDS}s.");
                ApiError::invalid_field("lifetime", said)
            })?,
    };
    let delegates = delegates.unwrap_or_default();
    let permission = "iam.serviceAccounts.getAccessToken";
    let account = impersonated(google, call, &delegates, account, permission)?;
    let token = google.tokens.access_token(&account.email, seconds)?;
    // Whole seconds: google-auth reads no fraction.
    let expires = Timestamp::from_second(Timestamp::now().as_second() + seconds);
    Ok(json!({"accessToken": token, "expireTime": expires.unwrap_or(Timestamp::MAX)}))
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct IdTokenRequest {
    delegates: Option<Vec<String>>,
    audience: Option<String>,
    include_email: Option<bool>,
    /// The project is in no organisation, so there is no number to include.
    #[serde(rename = "organizationNumberIncluded")]
    _organization_number_included: Option<bool>,
}

async fn id_token(google: &Google, call: &Call, account: &str) -> Result<Value, ApiError> {
    let request: IdTokenRequest = call.json()?;
    let audience = request.audience.unwrap_or_default();
    if audience.is_empty() {
        return Err(ApiError::invalid_field("audience", "An audience is required."));
    }
    let delegates = request.delegates.unwrap_or_default();
    let permission = "iam.serviceAccounts.getOpenIdToken";
    let account = impersonated(google, call, &delegates, account, permission)?;
    let shape = |token: crate::IdToken| match request.include_email {
        Some(true) => token,
        _ => token.without("email").without("email_verified"),
    };
    Ok(json!({"token": google.mint(&account.email, &audience, shape).await?}))
}

/// The account, if the caller may have `permission` on it: by itself, or through a chain of accounts of which each may
/// delegate to the next.
///
/// # Errors
/// 404 if an account does not exist, 403 if a link of the chain is not granted, 400 if the account is disabled.
fn impersonated(
    google: &Google,
    call: &Call,
    delegates: &[String],
    account: &str,
    permission: &str,
) -> Result<ServiceAccount, ApiError> {
    let mut principal = call.principal.clone();
    for delegate in delegates {
        let Some(account) = delegate.strip_prefix("projects/-/serviceAccounts/") else {
            let said =
                format!("{delegate:?} is not valid; expected projects/-/serviceAccounts/EMAIL.");
            return Err(ApiError::invalid_field("delegates", said));
        };
        let link = "iam.serviceAccounts.implicitDelegation";
        principal = Principal::Account(permitted(google, &principal, account, link)?.email);
    }
    let account = permitted(google, &principal, account, permission)?;
    if account.disabled {
        let message = format!("Service account {} is disabled; enable it.", account.email);
        return Err(ApiError::new(Code::FailedPrecondition, message));
    }
    Ok(account)
}

/// In the words of this API, which gcloud shows beside its own.
fn permitted(
    google: &Google,
    principal: &Principal,
    account: &str,
    permission: &str,
) -> Result<ServiceAccount, ApiError> {
    let Some(account) = google.iam.account(account) else {
        let message = format!("Not found; Gaia id not found for email {account}");
        return Err(ApiError::new(Code::NotFound, message));
    };
    google.iam.require(principal, permission, &account.name).map_err(|fault| ApiError {
        message: format!("Permission '{permission}' denied on resource (or it may not exist)."),
        ..fault
    })?;
    Ok(account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        iam::policy::{Binding, Policy},
        testing::{call, call_as, claims, google},
    };

    /// Google's side with an account that `member` may impersonate.
    fn with_grant(id: &str, member: &str) -> Arc<Google> {
        let google = google();
        grant(&google, id, member);
        google
    }

    fn grant(google: &Google, id: &str, member: &str) {
        let account = google.iam.create_account(id).unwrap();
        let binding = Binding::new("roles/iam.serviceAccountTokenCreator", member);
        google.iam.state().policies.insert(account.name, Policy::of(vec![binding]));
    }

    fn uri(google: &Google, id: &str, verb: &str) -> String {
        format!("/v1/projects/-/serviceAccounts/{}:{verb}", google.project.account_email(id))
    }

    #[tokio::test]
    async fn a_token_needs_a_grant_even_for_the_owner() {
        let google = with_grant("granted", "user:developer@example.com");
        google.iam.create_account("caller").unwrap();
        let body =
            json!({"audience": "https://example.com", "delegates": null, "includeEmail": true});
        let ask = |id: &str| call("POST", &uri(&google, id, "generateIdToken"), body.clone());
        let fault = answer(&google, &ask("caller")).await.unwrap_err();
        assert_eq!(fault.http_status(), 403);
        assert_eq!(
            fault.message,
            "Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist)."
        );
        let missing = answer(&google, &ask("nobody")).await.unwrap_err();
        assert_eq!(missing.http_status(), 404);
        let answered = answer(&google, &ask("granted")).await.unwrap();
        let claims = claims(&answered["token"]);
        assert_eq!(claims["aud"], "https://example.com");
        assert_eq!(claims["email"], google.project.account_email("granted"));
        assert_eq!(claims["email_verified"], true);
    }

    #[tokio::test]
    async fn without_include_email_there_is_no_email() {
        let google = with_grant("caller", "user:developer@example.com");
        let uri = uri(&google, "caller", "generateIdToken");
        let answered =
            answer(&google, &call("POST", &uri, json!({"audience": "a"}))).await.unwrap();
        let claims = claims(&answered["token"]);
        let names: Vec<&String> = claims.as_object().unwrap().keys().collect();
        assert_eq!(names, ["aud", "azp", "exp", "iat", "iss", "sub"]);
        let account = google.iam.account(&google.project.account_email("caller")).unwrap();
        assert_eq!(claims["sub"], account.unique_id);
    }

    #[tokio::test]
    async fn an_access_token_makes_its_bearer_the_account() {
        let google = with_grant("caller", "user:developer@example.com");
        let uri = uri(&google, "caller", "generateAccessToken");
        let body =
            json!({"scope": ["https://www.googleapis.com/auth/cloud-platform"], "lifetime": "60s"});
        let answered = answer(&google, &call("POST", &uri, body)).await.unwrap();
        let header = format!("Bearer {}", answered["accessToken"].as_str().unwrap());
        let caller = Principal::Account(google.project.account_email("caller"));
        assert_eq!(google.principal(Some(&header)).unwrap(), caller);
        let expires: Timestamp = answered["expireTime"].as_str().unwrap().parse().unwrap();
        let left = expires.as_second() - Timestamp::now().as_second();
        assert!((58..=60).contains(&left), "{left}");
        // It may not mint for itself: nobody granted it that.
        let again = call_as(caller, "POST", &uri, json!({"scope": ["x"]}));
        assert_eq!(answer(&google, &again).await.unwrap_err().http_status(), 403);
    }

    #[tokio::test]
    async fn each_delegate_must_be_granted_on_the_next() {
        let google = with_grant("middle", "user:developer@example.com");
        let middle = google.project.account_email("middle");
        grant(&google, "target", &format!("serviceAccount:{middle}"));
        let uri = uri(&google, "target", "generateIdToken");
        let ask =
            |delegates: Value| call("POST", &uri, json!({"audience": "a", "delegates": delegates}));
        assert_eq!(answer(&google, &ask(json!([]))).await.unwrap_err().http_status(), 403);
        let chain = json!([format!("projects/-/serviceAccounts/{middle}")]);
        assert!(answer(&google, &ask(chain)).await.is_ok());
        assert_eq!(answer(&google, &ask(json!([middle]))).await.unwrap_err().http_status(), 400);
    }

    #[tokio::test]
    async fn what_is_missing_or_too_much_is_refused_by_name() {
        let google = with_grant("caller", "user:developer@example.com");
        for (verb, body, said) in [
            ("generateIdToken", json!({}), "audience: "),
            ("generateIdToken", json!({"audience": "a", "email": true}), "unknown field `email`"),
            ("generateAccessToken", json!({}), "scope: "),
            ("generateAccessToken", json!({"scope": ["x"], "lifetime": "3601s"}), "at most 3600s"),
            ("signJwt", json!({}), "is no method"),
        ] {
            let fault = answer(&google, &call("POST", &uri(&google, "caller", verb), body)).await;
            let fault = fault.unwrap_err();
            assert!(fault.message.contains(said), "{}", fault.message);
        }
        let named = "/v1/projects/demo-project/serviceAccounts/x:generateIdToken";
        assert_eq!(
            answer(&google, &call("POST", named, json!({}))).await.unwrap_err().http_status(),
            400
        );
        let account = google.iam.account(&google.project.account_email("caller")).unwrap();
        google.iam.store_account(ServiceAccount { disabled: true, ..account }).unwrap();
        let ask =
            call("POST", &uri(&google, "caller", "generateIdToken"), json!({"audience": "a"}));
        assert!(answer(&google, &ask).await.unwrap_err().message.contains("disabled"));
    }
}
