//! The metadata server, as what runs on Cloud Run sees it; its account is the project's default one.
//!
//! Paths: <https://cloud.google.com/run/docs/container-contract#metadata-server>.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{Method, StatusCode},
    web::Query,
};
use serde::Deserialize;
use serde_json::json;

use crate::{api::error::ApiError, error::Error, google::Google, token::LIFETIME_SECONDS};

/// Where what runs here runs.
const REGION: &str = "us-central1";

/// The query of `identity`, and of the directories.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    audience: String,
    format: String,
    /// A whole directory as JSON.
    recursive: String,
}

/// What is answered, always with the header by which clients know a metadata server.
enum Answer {
    Text(String),
    Json(serde_json::Value),
    Fault(StatusCode, String),
}

/// Answers one request; `/` is what clients ask to find out whether there is a metadata server.
pub(crate) async fn answer(google: &Arc<Google>, request: &HttpRequest) -> HttpResponse {
    let answer = match refusal(request) {
        Some(refused) => Ok(refused),
        None => look_up(google, request).await,
    };
    let (status, content_type, body) = match answer {
        Ok(Answer::Text(text)) => (StatusCode::OK, "application/text", text),
        Ok(Answer::Json(value)) => (StatusCode::OK, "application/json", value.to_string()),
        Ok(Answer::Fault(status, text)) => (status, "text/plain; charset=UTF-8", text),
        Err(fault) => return ApiError::from(fault).response(),
    };
    HttpResponse::build(status)
        .content_type(content_type)
        .insert_header(("Metadata-Flavor", "Google"))
        .insert_header(("Server", "Metadata Server for Serverless"))
        .body(body)
}

/// Against requests that a page or a proxy was made to send
/// (<https://cloud.google.com/compute/docs/metadata/querying-metadata#metadata_security_considerations>).
fn refusal(request: &HttpRequest) -> Option<Answer> {
    let headers = request.headers();
    let forbidden = |text: &str| Some(Answer::Fault(StatusCode::FORBIDDEN, text.to_owned()));
    if headers.get("metadata-flavor").is_none_or(|flavor| flavor != "Google") {
        return forbidden("Missing Metadata-Flavor:Google header.");
    }
    if headers.contains_key("x-forwarded-for") {
        return forbidden("A request with X-Forwarded-For is not answered; ask without a proxy.");
    }
    if request.method() != Method::GET {
        let text = format!("{} is not allowed; use GET.", request.method());
        return Some(Answer::Fault(StatusCode::METHOD_NOT_ALLOWED, text));
    }
    None
}

async fn look_up(google: &Google, request: &HttpRequest) -> Result<Answer, Error> {
    let query = Query::<Parameters>::from_query(request.query_string());
    let Parameters { audience, format, recursive } =
        query.map(Query::into_inner).unwrap_or_default();
    let email = google.project.default_account_email();
    let number = google.project.number;
    let path: Vec<&str> = request.path().split('/').filter(|part| !part.is_empty()).collect();
    let text = |text: &str| Ok(Answer::Text(text.to_owned()));
    let (account, field) = match path.get(2..).unwrap_or_default() {
        [] if path.is_empty() => return text("computeMetadata/\n"),
        ["project", "project-id"] => return text(&google.project.id),
        ["project", "numeric-project-id"] => return text(&number.to_string()),
        ["instance", "region"] => return text(&format!("projects/{number}/regions/{REGION}")),
        ["instance", "zone"] => return text(&format!("projects/{number}/zones/{REGION}-1")),
        ["instance", "service-accounts"] => return text(&format!("default/\n{email}/\n")),
        ["instance", "service-accounts", account] => (*account, ""),
        ["instance", "service-accounts", account, field] => (*account, *field),
        _ => return Ok(not_found(request)),
    };
    if account != "default" && account != email {
        return Ok(not_found(request));
    }
    if ["token", "identity"].contains(&field)
        && let Some(text) = without_tokens(google, &email)
    {
        return Ok(Answer::Fault(StatusCode::NOT_FOUND, text));
    }
    let scope = "https://www.googleapis.com/auth/cloud-platform";
    match field {
        "" if recursive == "true" => {
            let all = json!({"aliases": ["default"], "email": email, "scopes": [scope]});
            Ok(Answer::Json(all))
        }
        "" => text("aliases\nemail\nidentity\nscopes\ntoken\n"),
        "aliases" => text("default\n"),
        "email" => text(&email),
        "scopes" => text(&format!("{scope}\n")),
        "token" => Ok(Answer::Json(json!({
            "access_token": google.tokens.access_token(&email, LIFETIME_SECONDS)?,
            "expires_in": LIFETIME_SECONDS - 1,
            "token_type": "Bearer",
        }))),
        "identity" => identity(google, &email, &audience, &format).await,
        _ => Ok(not_found(request)),
    }
}

/// Why there are no tokens of the default account, where there are none.
fn without_tokens(google: &Google, email: &str) -> Option<String> {
    match google.iam.account(email) {
        Some(account) if account.disabled => {
            Some(format!("The default service account {email} is disabled; enable it."))
        }
        Some(_) => None,
        None => Some(format!(
            "The default service account {email} was deleted; import a state that has it, or start afresh."
        )),
    }
}

/// An ID token. Cloud Run's has the email with `format=full` alone, and never the `google` claim of Compute Engine:
/// <https://github.com/googleapis/google-cloud-php/issues/9679>,
/// <https://github.com/hashicorp/vault-plugin-auth-gcp/issues/190>.
async fn identity(
    google: &Google,
    email: &str,
    audience: &str,
    format: &str,
) -> Result<Answer, Error> {
    let fault = |text: &str| Ok(Answer::Fault(StatusCode::BAD_REQUEST, text.to_owned()));
    if audience.is_empty() {
        return fault("non-empty audience parameter required");
    }
    let token = match format {
        "full" => google.mint(email, audience, |token| token).await,
        "" | "standard" => {
            let shape = |token: crate::IdToken| token.without("email").without("email_verified");
            google.mint(email, audience, shape).await
        }
        _ => return fault("format must be standard or full"),
    };
    token.map(Answer::Text)
}

fn not_found(request: &HttpRequest) -> Answer {
    let text = format!("{} is no metadata that this emulator has.", request.path());
    Answer::Fault(StatusCode::NOT_FOUND, text)
}

#[cfg(test)]
mod tests {
    use actix_web::{body::to_bytes, test::TestRequest};
    use serde_json::Value;

    use super::*;
    use crate::{
        iam::{Principal, ServiceAccount},
        testing::{claims, google},
    };

    /// Status and body; what is always there is checked on every answer.
    async fn ask(google: &Arc<Google>, request: TestRequest) -> (u16, String) {
        let answered = answer(google, &request.to_http_request()).await;
        assert_eq!(answered.headers().get("metadata-flavor").unwrap(), "Google");
        let status = answered.status().as_u16();
        let body = to_bytes(answered.into_body()).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(google: &Arc<Google>, path: &str) -> (u16, String) {
        let uri = format!("/computeMetadata/v1/{path}");
        ask(google, TestRequest::get().uri(&uri).insert_header(("metadata-flavor", "Google"))).await
    }

    #[tokio::test]
    async fn values_are_plain_text() {
        let google = google();
        let email = "123456789012-compute@developer.gserviceaccount.com";
        for (path, text) in [
            ("project/project-id", "demo-project"),
            ("project/numeric-project-id", "123456789012"),
            ("instance/region", "projects/123456789012/regions/us-central1"),
            ("instance/zone", "projects/123456789012/zones/us-central1-1"),
            ("instance/service-accounts/", &format!("default/\n{email}/\n")),
            ("instance/service-accounts/default/email", email),
            ("instance/service-accounts/default/aliases", "default\n"),
        ] {
            assert_eq!(get(&google, path).await, (200, text.to_owned()), "{path}");
        }
        let (_, all) = get(&google, "instance/service-accounts/default/?recursive=true").await;
        let all: Value = serde_json::from_str(&all).unwrap();
        assert_eq!(all["email"], email);
        assert_eq!(get(&google, "instance/cpu-platform").await.0, 404);
        assert_eq!(get(&google, "instance/service-accounts/x@y/email").await.0, 404);
    }

    #[tokio::test]
    async fn the_default_account_mints_for_itself() {
        let google = google();
        let path = "instance/service-accounts/default/identity?audience=https%3A%2F%2Fexample.com";
        let (status, standard) = get(&google, path).await;
        assert_eq!(status, 200);
        let standard = claims(&standard.into());
        assert_eq!(
            (&standard["aud"], standard.get("email")),
            (&json!("https://example.com"), None)
        );
        let (_, full) = get(&google, &format!("{path}&format=full")).await;
        let full = claims(&full.into());
        assert_eq!(full["email"], google.project.default_account_email());
        assert_eq!(full.get("google"), None);

        let (_, token) = get(&google, "instance/service-accounts/default/token?scopes=x").await;
        let token: Value = serde_json::from_str(&token).unwrap();
        let bearer = format!("Bearer {}", token["access_token"].as_str().unwrap());
        let default = Principal::Account(google.project.default_account_email());
        assert_eq!(google.principal(Some(&bearer)).unwrap(), default);
    }

    #[tokio::test]
    async fn an_account_that_is_disabled_or_deleted_has_no_tokens() {
        let google = google();
        let account = google.iam.account(&google.project.default_account_email()).unwrap();
        let paths = ["token", "identity?audience=a"]
            .map(|field| format!("instance/service-accounts/default/{field}"));
        google.iam.store_account(ServiceAccount { disabled: true, ..account.clone() }).unwrap();
        for path in &paths {
            let (status, text) = get(&google, path).await;
            assert_eq!((status, text.contains("is disabled")), (404, true), "{text}");
        }
        google.iam.store_account(account.clone()).unwrap();
        assert_eq!(get(&google, &paths[0]).await.0, 200);
        google.delete_account(&account);
        for path in &paths {
            let (status, text) = get(&google, path).await;
            assert_eq!((status, text.contains("was deleted")), (404, true), "{text}");
        }
    }

    #[tokio::test]
    async fn requests_that_were_not_meant_for_it_are_refused() {
        let google = google();
        let uri = "/computeMetadata/v1/project/project-id";
        let flavored = || TestRequest::get().uri(uri).insert_header(("metadata-flavor", "Google"));
        for (request, status) in [
            (TestRequest::get().uri(uri), 403),
            (TestRequest::get().uri(uri).insert_header(("metadata-flavor", "google")), 403),
            (flavored().insert_header(("x-forwarded-for", "203.0.113.1")), 403),
            (flavored().method(Method::POST), 405),
            (TestRequest::get().uri("/").insert_header(("metadata-flavor", "Google")), 200),
        ] {
            assert_eq!(ask(&google, request).await.0, status);
        }
        let identity = "instance/service-accounts/default/identity";
        assert_eq!(
            get(&google, identity).await,
            (400, "non-empty audience parameter required".to_owned())
        );
        assert_eq!(get(&google, &format!("{identity}?audience=a&format=FULL")).await.0, 400);
    }
}
