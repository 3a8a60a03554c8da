//! The token endpoint, `POST /token`: tokens for the holder of a service account's key file.
//!
//! Source: <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>; the words of the faults
//! as Google's endpoint was recorded to answer.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{Bytes, Query},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::assertion::{AsksFor, Assertion};
use crate::{api::error::ApiError, error::Error, google::Google, token::LIFETIME_SECONDS};

/// The one grant that there is here.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Why no token is given (RFC 6749 §5.2).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OAuthError {
    error: &'static str,
    description: String,
}

impl OAuthError {
    pub(super) fn new(error: &'static str, description: impl Into<String>) -> OAuthError {
        OAuthError { error, description: description.into() }
    }
}

/// The form's fields; others are ignored.
#[derive(Deserialize)]
struct Form {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    assertion: String,
}

/// Answers one request.
pub(crate) async fn answer(
    google: &Arc<Google>,
    request: &HttpRequest,
    body: Bytes,
) -> HttpResponse {
    if request.method() != Method::POST {
        return HttpResponse::MethodNotAllowed().insert_header(("allow", "POST")).finish();
    }
    let host = format!("http://{}/token", request.connection_info().host());
    let endpoints = [format!("{}/token", google.url), host];
    let assertion = match granted(google, &body, &endpoints) {
        Ok(assertion) => assertion,
        Err(OAuthError { error, description }) => {
            return HttpResponse::BadRequest()
                .json(json!({"error": error, "error_description": description}));
        }
    };
    match tokens(google, &assertion).await {
        Ok(tokens) => HttpResponse::Ok().json(tokens),
        Err(fault) => ApiError::from(fault).response(),
    }
}

fn granted(google: &Google, body: &[u8], endpoints: &[String]) -> Result<Assertion, OAuthError> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let form = Query::<Form>::from_query(text)
        .map_err(|_| OAuthError::new("invalid_request", "The body is no form."))?;
    match form.grant_type.as_str() {
        JWT_BEARER => Assertion::verify(google, &form.assertion, endpoints),
        "refresh_token" => Err(OAuthError::new(
            "unsupported_grant_type",
            "This emulator knows no users, so no refresh tokens: use a service account's key file, impersonation, or \
             any text as the access token.",
        )),
        other => Err(OAuthError::new(
            "unsupported_grant_type",
            format!("Invalid grant_type: {other}; expected {JWT_BEARER}."),
        )),
    }
}

/// One token, of the kind that was asked for. `azp` of such an ID token is the account's email and not its number.
async fn tokens(google: &Google, assertion: &Assertion) -> Result<Value, Error> {
    let email = &assertion.account.email;
    Ok(match &assertion.asks_for {
        AsksFor::IdToken(audience) => {
            let shape = |token: crate::IdToken| token.claim("azp", email.as_str());
            json!({"id_token": google.mint(email, audience, shape).await?})
        }
        AsksFor::AccessToken => json!({
            "access_token": google.tokens.access_token(email, LIFETIME_SECONDS)?,
            "expires_in": LIFETIME_SECONDS - 1,
            "token_type": "Bearer",
        }),
    })
}

#[cfg(test)]
mod tests {
    use actix_web::{body::to_bytes, test::TestRequest};
    use jiff::Timestamp;

    use super::*;
    use crate::{
        iam::{
            Principal, ServiceAccount,
            key_file::tests::{header, signed, with_key_file},
        },
        testing::{claims, google},
    };

    fn asking(file: &Value) -> Value {
        let now = Timestamp::now().as_second();
        json!({
            "iss": file["client_email"],
            "aud": file["token_uri"],
            "iat": now,
            "exp": now + 3600,
            "target_audience": "https://example.com",
        })
    }

    fn ask(google: &Google, assertion: &str) -> Result<Assertion, OAuthError> {
        let body = format!("assertion={assertion}&grant_type={}", JWT_BEARER.replace(':', "%3A"));
        granted(google, body.as_bytes(), &[format!("{}/token", google.url)])
    }

    #[tokio::test]
    async fn a_key_file_gets_an_id_token_or_an_access_token() {
        let (google, file) = with_key_file().await;
        assert_eq!(file["type"], "service_account");
        let email = google.project.account_email("caller");
        let genuine = ask(&google, &signed(&file, &header(&file), &asking(&file))).unwrap();
        let answered = tokens(&google, &genuine).await.unwrap();
        let claims = claims(&answered["id_token"]);
        assert_eq!(claims["aud"], "https://example.com");
        assert_eq!((&claims["email"], &claims["azp"]), (&json!(email), &json!(email)));
        assert_eq!(claims["sub"], file["client_id"]);

        let mut claims = asking(&file);
        claims["target_audience"] = "".into();
        claims["scope"] = "https://www.googleapis.com/auth/cloud-platform".into();
        claims["aud"] = "https://oauth2.googleapis.com/token".into();
        let genuine = ask(&google, &signed(&file, &json!({"alg": "RS256"}), &claims)).unwrap();
        let answered = tokens(&google, &genuine).await.unwrap();
        let bearer = format!("Bearer {}", answered["access_token"].as_str().unwrap());
        assert_eq!(google.principal(Some(&bearer)).unwrap(), Principal::Account(email));
        assert_eq!(
            (&answered["expires_in"], &answered["token_type"]),
            (&json!(3599), &json!("Bearer"))
        );
    }

    #[tokio::test]
    async fn an_assertion_that_is_spoilt_is_refused_in_google_s_words() {
        let (google, file) = with_key_file().await;
        let now = Timestamp::now().as_second();
        for (field, value, said) in [
            ("iss", json!("nobody@example.com"), "Invalid grant: account not found"),
            ("iss", json!(file["client_id"]), "Invalid grant: account not found"),
            ("iat", Value::Null, "Invalid JWT: iat (issued at) is not set."),
            ("exp", Value::Null, "Invalid JWT: exp (expiration time) is not set."),
            ("iat", json!(now - 7200), "Invalid JWT: Token must be a short-lived token"),
            ("exp", json!(now + 3700), "Invalid JWT: Token must be a short-lived token"),
            ("exp", json!(now - 400), "Invalid JWT: Token must be a short-lived token"),
            ("target_audience", json!(""), "Invalid OAuth scope or ID token audience provided."),
            ("aud", json!("https://example.com/token"), "Invalid JWT: Failed audience check."),
            ("iat", json!("soon"), "Bad Request"),
        ] {
            let mut claims = asking(&file);
            claims[field] = value;
            let fault = ask(&google, &signed(&file, &header(&file), &claims)).unwrap_err();
            assert!(fault.description.starts_with(said), "{field}: {}", fault.description);
        }
        for (spoilt, said) in [
            (json!({"alg": "RS256", "kid": "another"}), "Invalid JWT Signature."),
            (json!({"alg": "none"}), "Invalid JWT Signature."),
            (json!({}), "Bad Request"),
        ] {
            let fault = ask(&google, &signed(&file, &spoilt, &asking(&file))).unwrap_err();
            assert_eq!(fault.description, said);
        }
        let whole = signed(&file, &header(&file), &asking(&file));
        let (input, _) = whole.rsplit_once('.').unwrap();
        let unsigned = ask(&google, &format!("{input}.AAAA")).unwrap_err();
        assert_eq!(unsigned, OAuthError::new("invalid_grant", "Invalid JWT Signature."));
        for text in ["", "a.b", "a.b.c"] {
            assert_eq!(ask(&google, text).unwrap_err().error, "invalid_request");
        }
    }

    #[tokio::test]
    async fn a_key_ends_with_its_account_or_when_that_is_disabled() {
        let (google, file) = with_key_file().await;
        let email = google.project.account_email("caller");
        let account = google.iam.account(&email).unwrap();
        let assertion = signed(&file, &header(&file), &asking(&file));
        let disabled = ServiceAccount { disabled: true, ..account.clone() };
        google.iam.store_account(disabled).unwrap();
        assert!(ask(&google, &assertion).unwrap_err().description.contains("disabled"));
        google.delete_account(&account);
        google.iam.create_account("caller").unwrap();
        assert_eq!(ask(&google, &assertion).unwrap_err().description, "Invalid JWT Signature.");
    }

    #[tokio::test]
    async fn other_grants_are_refused_by_name() {
        let google = google();
        for (body, said) in [
            ("grant_type=refresh_token&refresh_token=x", "no refresh tokens"),
            ("grant_type=password", "Invalid grant_type: password"),
            ("", "Invalid grant_type: ;"),
        ] {
            let fault = granted(&google, body.as_bytes(), &[]).unwrap_err();
            assert_eq!(fault.error, "unsupported_grant_type");
            assert!(fault.description.contains(said), "{}", fault.description);
        }
    }

    #[tokio::test]
    async fn faults_are_json_and_only_posts_are_heard() {
        let google = google();
        let ask = async |method: Method, body: &'static str| {
            let request = TestRequest::default().method(method).uri("/token").to_http_request();
            let answered = answer(&google, &request, Bytes::from_static(body.as_bytes())).await;
            let status = answered.status().as_u16();
            (status, to_bytes(answered.into_body()).await.unwrap())
        };
        let (status, body) = ask(Method::POST, "grant_type=password").await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &body["error"]), (400, &json!("unsupported_grant_type")));
        assert!(body["error_description"].is_string());
        assert_eq!(ask(Method::GET, "").await.0, 405);
    }
}
