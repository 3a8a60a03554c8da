//! Google's ID tokens checked: written for this front end alone, so that a receiver's mistake is not repeated here.
//!
//! Source: <https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken>.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// How far the clock of whoever issued a token may be off. What Google allows is not published.
const SKEW_SECONDS: i64 = 60;

/// Both spellings of Google's issuer.
const GOOGLE: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];

/// Why a token is none that gets in.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Fault {
    #[error(
        "the header carries no ID token: expected Bearer and three segments of base64url, the first two JSON"
    )]
    Malformed,
    #[error("the ID token is not signed with RS256")]
    Algorithm,
    #[error("the ID token is signed with a key that is not published")]
    Key,
    #[error("the ID token's signature is not its key's")]
    Signature,
    #[error("the ID token's issuer is {0:?}")]
    Issuer(String),
    #[error("the ID token's audience is {found:?}; expected exactly one of {expected:?}")]
    Audience { found: String, expected: Vec<String> },
    #[error("the ID token has expired")]
    Expired,
    #[error("the ID token is issued in the future")]
    Early,
}

/// What a token is held to.
pub(super) struct Expected<'a> {
    /// The keys that are published now, as a JWK set.
    pub(super) jwks: &'a Value,
    /// `iss`, beside Google's own.
    pub(super) issuer: &'a str,
    /// `aud`: the whole of it, without a path or a slash behind.
    pub(super) audiences: &'a [String],
    /// Since 1970.
    pub(super) now_seconds: i64,
}

/// Whom a good token is of.
#[derive(Debug, PartialEq)]
pub(super) struct Verified {
    /// `None` in a token that was minted without `includeEmail`.
    pub(super) email: Option<String>,
    pub(super) subject: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: i64,
    exp: i64,
    email: Option<String>,
    #[serde(default)]
    email_verified: bool,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    n: String,
    e: String,
}

/// Whom the token is of, if it is good.
///
/// # Errors
/// What is wrong with it; nothing of it is believed before its signature.
pub(super) fn verify(token: &str, expected: &Expected<'_>) -> Result<Verified, Fault> {
    let (input, signature) = token.rsplit_once('.').ok_or(Fault::Malformed)?;
    let segments = input.split_once('.').filter(|(_, claims)| !claims.contains('.'));
    let (header, claims) = segments.ok_or(Fault::Malformed)?;
    let header: Header = json(header)?;
    if header.alg != "RS256" {
        return Err(Fault::Algorithm);
    }
    let jwks = expected.jwks.get("keys").and_then(Value::as_array).into_iter().flatten();
    let key = jwks
        .filter_map(|jwk| Jwk::deserialize(jwk).ok())
        .find(|jwk| jwk.kid == header.kid)
        .ok_or(Fault::Key)?;
    let signature = decode(signature).ok_or(Fault::Signature)?;
    let (modulus, exponent) = decode(&key.n).zip(decode(&key.e)).ok_or(Fault::Key)?;
    RsaPublicKeyComponents { n: modulus, e: exponent }
        .verify(&RSA_PKCS1_2048_8192_SHA256, input.as_bytes(), &signature)
        .map_err(|_| Fault::Signature)?;
    let claims: Claims = json(claims)?;
    if claims.iss != expected.issuer && !GOOGLE.contains(&claims.iss.as_str()) {
        return Err(Fault::Issuer(claims.iss));
    }
    if !expected.audiences.contains(&claims.aud) {
        return Err(Fault::Audience { found: claims.aud, expected: expected.audiences.to_vec() });
    }
    if expected.now_seconds.saturating_sub(SKEW_SECONDS) >= claims.exp {
        return Err(Fault::Expired);
    }
    if expected.now_seconds.saturating_add(SKEW_SECONDS) < claims.iat {
        return Err(Fault::Early);
    }
    let email = claims.email.filter(|_| claims.email_verified);
    Ok(Verified { email, subject: claims.sub })
}

fn json<T: DeserializeOwned>(segment: &str) -> Result<T, Fault> {
    let bytes = decode(segment).ok_or(Fault::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Fault::Malformed)
}

fn decode(segment: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(segment).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde_json::json;

    use super::*;
    use crate::{
        account::Account,
        forgery::{empty_signature, sign_again, strip_signature},
        keys::SigningKey,
        token::IdToken,
    };

    static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

    const AUDIENCE: &str = "https://receiver-1.us-central1.run.app";

    fn whole() -> IdToken {
        let account = Account::new("caller@demo.iam.gserviceaccount.com");
        IdToken::new("http://127.0.0.1:8800", AUDIENCE, &account, KEY.id())
    }

    fn checked(token: &str) -> Result<Verified, Fault> {
        let expected = Expected {
            jwks: &json!({"keys": [KEY.jwk()]}),
            issuer: "http://127.0.0.1:8800",
            audiences: &[AUDIENCE.to_owned()],
            now_seconds: jiff::Timestamp::now().as_second(),
        };
        verify(token, &expected)
    }

    #[test]
    fn a_whole_token_names_its_account() {
        for issuer in ["http://127.0.0.1:8800", GOOGLE[0], GOOGLE[1]] {
            let token = whole().claim("iss", issuer).sign(&KEY).unwrap();
            let verified = checked(&token).unwrap();
            assert_eq!(verified.email.unwrap(), "caller@demo.iam.gserviceaccount.com");
        }
        let account = Account::new("caller@demo.iam.gserviceaccount.com");
        for token in [whole().without("email"), whole().claim("email_verified", false)] {
            let verified = checked(&token.sign(&KEY).unwrap()).unwrap();
            assert_eq!(verified, Verified { email: None, subject: account.unique_id.clone() });
        }
    }

    #[test]
    fn the_clock_may_be_a_minute_off_and_no_more() {
        for (aged_seconds, fault) in [
            (3600 + SKEW_SECONDS - 5, None),
            (3600 + SKEW_SECONDS, Some(Fault::Expired)),
            (5 - SKEW_SECONDS, None),
            (-SKEW_SECONDS - 5, Some(Fault::Early)),
        ] {
            let token = whole().aged(aged_seconds).sign(&KEY).unwrap();
            assert_eq!(checked(&token).err(), fault, "{aged_seconds}");
        }
    }

    #[test]
    fn a_spoilt_token_is_refused_for_what_is_wrong_with_it() {
        let stranger = SigningKey::generate().unwrap();
        let token = whole().sign(&KEY).unwrap();
        let account = Account::new("caller@demo.iam.gserviceaccount.com");
        let signed = |token: IdToken| token.sign(&KEY).unwrap();
        let audience = |found: &str| Fault::Audience {
            found: found.to_owned(),
            expected: vec![AUDIENCE.to_owned()],
        };
        let slash = format!("{AUDIENCE}/");
        let path = format!("{AUDIENCE}/pubsub");
        for (token, fault) in [
            ("ya29.access".to_owned(), Fault::Malformed),
            (String::new(), Fault::Malformed),
            (format!("{token}.x"), Fault::Malformed),
            (format!("{token}="), Fault::Signature),
            (whole().unsigned().unwrap(), Fault::Algorithm),
            (whole().hs256_with_public_key(&KEY).unwrap(), Fault::Algorithm),
            (whole().rs512(&KEY).unwrap(), Fault::Algorithm),
            (signed(whole().header("kid", "other")), Fault::Key),
            (signed(whole().without_header("kid")), Fault::Malformed),
            (whole().embedded_key(&stranger).unwrap(), Fault::Signature),
            (sign_again(&token, &stranger).unwrap(), Fault::Signature),
            (empty_signature(&token), Fault::Signature),
            (strip_signature(&token), Fault::Signature),
            (signed(whole().self_signed(&account)), Fault::Issuer(account.email.clone())),
            (signed(whole().claim("aud", slash.as_str())), audience(&slash)),
            (signed(whole().claim("aud", path.as_str())), audience(&path)),
            (signed(whole().claim("aud", json!([AUDIENCE]))), Fault::Malformed),
            (signed(whole().without("aud")), Fault::Malformed),
            (signed(whole().without("exp")), Fault::Malformed),
            (signed(whole().claim("exp", 0)), Fault::Expired),
        ] {
            assert_eq!(checked(&token).unwrap_err(), fault, "{token}");
        }
    }
}
