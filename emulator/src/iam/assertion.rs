//! What the holder of a key file signs: the JWT that asks for tokens (RFC 7523), checked as Google's endpoint does, and
//! the one that stands in for an access token.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};

use super::{ServiceAccount, oauth::OAuthError};
use crate::{api::wire::Int64, google::Google, token::LIFETIME_SECONDS};

/// How far a client's clock may be off; Google was seen to accept an `iat` five minutes ahead.
const SKEW_SECONDS: i64 = 300;

/// What Google's own endpoint is called, beside the emulator's: current, and in older key files.
const GOOGLE_ENDPOINTS: [&str; 3] = [
    "https://oauth2.googleapis.com/token",
    "https://www.googleapis.com/oauth2/v4/token",
    "https://accounts.google.com/o/oauth2/token",
];

/// What a genuine assertion asks for.
#[derive(Debug)]
pub(super) struct Assertion {
    pub(super) account: ServiceAccount,
    pub(super) asks_for: AsksFor,
}

#[derive(Debug)]
pub(super) enum AsksFor {
    /// An ID token for that audience.
    IdToken(String),
    /// An access token, whatever the scopes.
    AccessToken,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

/// Not verified until [`genuine`] returns them. Times may be numbers or strings of digits.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    aud: String,
    iat: Option<Int64>,
    exp: Option<Int64>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    target_audience: String,
}

impl Assertion {
    /// Reads and checks `text`, in Google's order; `own_endpoints` are the emulator's names for its token endpoint.
    ///
    /// # Errors
    /// Google's words for what is wrong.
    pub(super) fn verify(
        google: &Google,
        text: &str,
        own_endpoints: &[String],
    ) -> Result<Assertion, OAuthError> {
        let (account, claims) = genuine(google, text)?;
        let refused = |error, description| Err(OAuthError::new(error, description));
        let asks_for = match (claims.target_audience, claims.scope.trim()) {
            (audience, _) if !audience.is_empty() => AsksFor::IdToken(audience),
            (_, "") => {
                return refused(
                    "invalid_scope",
                    "Invalid OAuth scope or ID token audience provided.",
                );
            }
            _ => AsksFor::AccessToken,
        };
        if !GOOGLE_ENDPOINTS.contains(&claims.aud.as_str()) && !own_endpoints.contains(&claims.aud)
        {
            return refused("invalid_grant", "Invalid JWT: Failed audience check.");
        }
        Ok(Assertion { account, asks_for })
    }
}

/// The account that a self-signed JWT makes its bearer, as an access token would: one for an API, or one with scopes
/// instead. `None` if it is anything else, such as an assertion, or an ID token.
///
/// Source: <https://google.aip.dev/auth/4111>.
pub(crate) fn self_signed(google: &Google, text: &str) -> Option<String> {
    let (account, claims) = genuine(google, text).ok()?;
    let has_scope = claims.aud.is_empty() && !claims.scope.trim().is_empty();
    let is_for_api = has_scope || is_api(google, &claims.aud);
    (is_for_api && claims.target_audience.is_empty()).then_some(account.email)
}

/// Whether an audience is one of Google's APIs, by its own name or by the emulator's.
fn is_api(google: &Google, audience: &str) -> bool {
    let own_endpoint = format!("{}/token", google.url);
    if GOOGLE_ENDPOINTS.contains(&audience) || audience == own_endpoint {
        return false;
    }
    let host = audience.strip_prefix("https://").and_then(|rest| rest.split('/').next());
    let own = audience.strip_prefix(&google.url);
    host.is_some_and(|host| host.ends_with(".googleapis.com"))
        || own.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The account that signed `text` with a key of its own, not long ago, and what it claims.
///
/// # Errors
/// Google's words for what is wrong.
fn genuine(google: &Google, text: &str) -> Result<(ServiceAccount, Claims), OAuthError> {
    let bad_request = || OAuthError::new("invalid_request", "Bad Request");
    let (input, signature) = text.rsplit_once('.').ok_or_else(bad_request)?;
    let (header, claims) = input.split_once('.').ok_or_else(bad_request)?;
    let header: Header = segment(header).ok_or_else(bad_request)?;
    let claims: Claims = segment(claims).ok_or_else(bad_request)?;
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).map_err(|_| bad_request())?;

    let refused = |description: &str| OAuthError::new("invalid_grant", description);
    let account = google.iam.account(&claims.iss).filter(|account| account.email == claims.iss);
    let account = account.ok_or_else(|| refused("Invalid grant: account not found"))?;
    let is_genuine = header.alg == "RS256"
        && google.iam.keys_of(&account.email).iter().any(|(id, key)| {
            header.kid.as_ref().is_none_or(|kid| kid == id) && key.verifies(input, &signature)
        });
    if !is_genuine {
        return Err(refused("Invalid JWT Signature."));
    }
    if account.disabled {
        return Err(refused("Invalid grant: account is disabled; enable it."));
    }
    let issued = claims.iat.ok_or_else(|| refused("Invalid JWT: iat (issued at) is not set."))?.0;
    let expires =
        claims.exp.ok_or_else(|| refused("Invalid JWT: exp (expiration time) is not set."))?.0;
    if !is_short_lived(issued, expires, Timestamp::now().as_second()) {
        return Err(refused(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check \
             your iat and exp values in the JWT claim.",
        ));
    }
    Ok((account, claims))
}

fn segment<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok()
}

fn is_short_lived(issued: i64, expires: i64, now: i64) -> bool {
    let lifetime = expires.saturating_sub(issued);
    issued <= now + SKEW_SECONDS
        && expires >= now - SKEW_SECONDS
        && (1..=LIFETIME_SECONDS).contains(&lifetime)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        api::error::ApiError,
        iam::{
            Principal,
            key_file::tests::{header, signed, with_key_file},
        },
    };

    /// What a client library sends instead of an access token.
    fn whole(file: &Value) -> Value {
        let now = Timestamp::now().as_second();
        json!({
            "iss": file["client_email"],
            "sub": file["client_email"],
            "aud": "https://pubsub.googleapis.com/",
            "iat": now,
            "exp": now + 3600,
        })
    }

    fn call(google: &Google, file: &Value, claims: &Value) -> Result<Principal, ApiError> {
        let token = signed(file, &header(file), claims);
        google.principal(Some(&format!("Bearer {token}")))
    }

    #[tokio::test]
    async fn a_self_signed_jwt_makes_its_bearer_the_account() {
        let (google, file) = with_key_file().await;
        let caller = Principal::Account(google.project.account_email("caller"));
        let scope = "https://www.googleapis.com/auth/cloud-platform";
        for (audience, scope) in [
            ("https://pubsub.googleapis.com/", ""),
            (&*format!("{}/", google.url), ""),
            ("", scope),
        ] {
            let mut claims = whole(&file);
            claims["aud"] = audience.into();
            claims["scope"] = scope.into();
            assert_eq!(call(&google, &file, &claims).unwrap(), caller, "{audience} {scope}");
        }
    }

    #[tokio::test]
    async fn no_other_jwt_makes_its_bearer_anybody() {
        let (google, file) = with_key_file().await;
        for (field, value) in [
            ("aud", json!("https://example.com")),
            ("aud", json!("https://oauth2.googleapis.com/token")),
            ("aud", file["token_uri"].clone()),
            ("aud", json!("")),
            ("target_audience", json!("https://example.com")),
            ("iss", json!("nobody@example.com")),
            ("exp", json!(Timestamp::now().as_second() - 400)),
        ] {
            let mut claims = whole(&file);
            claims[field] = value;
            let fault = call(&google, &file, &claims).unwrap_err();
            assert_eq!(fault.http_status(), 401, "{field}: {}", claims[field]);
        }
        let email = google.project.account_email("caller");
        let id_token = google.mint(&email, "https://pubsub.googleapis.com/", |token| token).await;
        for token in [id_token.unwrap(), "eyJ".to_owned()] {
            let fault = google.principal(Some(&format!("Bearer  {token}"))).unwrap_err();
            assert_eq!(fault.details[0]["reason"], "ACCESS_TOKEN_TYPE_UNSUPPORTED");
        }
    }
}
