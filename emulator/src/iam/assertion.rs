//! The JWT by which the holder of a key file asks for tokens (RFC 7523), checked as Google's endpoint does.

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

/// Not verified yet. Times may be numbers or strings of digits.
#[derive(Deserialize)]
struct UnverifiedClaims {
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
        let bad_request = || OAuthError::new("invalid_request", "Bad Request");
        let (input, signature) = text.rsplit_once('.').ok_or_else(bad_request)?;
        let (header, claims) = input.split_once('.').ok_or_else(bad_request)?;
        let header: Header = segment(header).ok_or_else(bad_request)?;
        let claims: UnverifiedClaims = segment(claims).ok_or_else(bad_request)?;
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
        let issued =
            claims.iat.ok_or_else(|| refused("Invalid JWT: iat (issued at) is not set."))?.0;
        let expires =
            claims.exp.ok_or_else(|| refused("Invalid JWT: exp (expiration time) is not set."))?.0;
        if !is_short_lived(issued, expires, Timestamp::now().as_second()) {
            return Err(refused(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check \
                 your iat and exp values in the JWT claim.",
            ));
        }
        let asks_for = match (claims.target_audience, claims.scope.trim()) {
            (audience, _) if !audience.is_empty() => AsksFor::IdToken(audience),
            (_, "") => {
                let said = "Invalid OAuth scope or ID token audience provided.";
                return Err(OAuthError::new("invalid_scope", said));
            }
            _ => AsksFor::AccessToken,
        };
        if !GOOGLE_ENDPOINTS.contains(&claims.aud.as_str()) && !own_endpoints.contains(&claims.aud)
        {
            return Err(refused("Invalid JWT: Failed audience check."));
        }
        Ok(Assertion { account, asks_for })
    }
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
