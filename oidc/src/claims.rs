//! The second segment of a token as typed claims: raw, unverified, verified.

use std::ops::Deref;

use serde::Deserialize;
use serde_json::Value;

use crate::{header::present, reason::Reason, refusal::Refusal, token::is_json_object};

/// What a token says, typed but **not proven**: anyone can write it.
///
/// The claims of a Google ID token:
/// <https://developers.google.com/identity/openid-connect/openid-connect#an-id-tokens-payload>.
/// Times are whole seconds since 1970-01-01T00:00:00Z (`NumericDate`, RFC 7519 §2); fractions and
/// negative numbers are refused. No string is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnverifiedClaims {
    /// `iss`: who made the token.
    pub issuer: String,
    /// `aud`: whom it is for. RFC 7519 allows a list; Google never sends one, and it is refused.
    pub audience: String,
    /// `sub`: the account's id, for Google's accounts a number of 21 digits.
    pub subject: String,
    /// `email`: the account's address; absent if the token was minted without it.
    pub email: Option<String>,
    /// `email_verified`: whether the issuer vouches for the address; false if absent.
    pub email_verified: bool,
    /// `azp`: the client that asked for the token; for service accounts the same as `sub`.
    pub authorized_party: Option<String>,
    /// `iat`: when it was made.
    pub issued_at_unix_secs: u64,
    /// `exp`: when it ends.
    pub expires_at_unix_secs: u64,
    /// `nbf`: when it begins, if it says so; Google's do not.
    pub not_before_unix_secs: Option<u64>,
}

/// What a verified token says. It has the fields of [`UnverifiedClaims`] by `Deref`, and only
/// [`crate::Verifier::verify`] makes one, so holding it proves that the token was signed by the
/// issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims(UnverifiedClaims);

impl Claims {
    /// To be called where the signature has been checked, and nowhere else.
    pub(crate) fn proven(claims: UnverifiedClaims) -> Claims {
        Claims(claims)
    }
}

impl Deref for Claims {
    type Target = UnverifiedClaims;

    fn deref(&self) -> &UnverifiedClaims {
        &self.0
    }
}

impl UnverifiedClaims {
    /// Reads claims from the JSON of a payload, as a token's second segment holds it, or as
    /// Envoy's `forward_payload_header`, Istio's `outputPayloadToHeader`, Cloud Endpoints'
    /// `X-Endpoint-API-UserInfo` and API Gateway's `X-Apigateway-Api-Userinfo` carry it once
    /// base64url is decoded.
    ///
    /// # Errors
    ///
    /// [`Reason::Malformed`] for what is no JSON object; [`Reason::ClaimMissing`],
    /// [`Reason::ClaimInvalid`] and [`Reason::ClaimDuplicated`], each with the claim in `expected`.
    pub fn from_json(json: &[u8]) -> Result<UnverifiedClaims, Refusal> {
        RawClaims::parse(json)?.typed()
    }
}

/// The claims that matter, of any type, present or not.
#[derive(Deserialize)]
pub(crate) struct RawClaims {
    #[serde(default, deserialize_with = "present")]
    pub(crate) iss: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) aud: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) sub: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) email: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    email_verified: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    azp: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    exp: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<Value>,
}

impl RawClaims {
    /// Parses decoded claims.
    pub(crate) fn parse(json: &[u8]) -> Result<RawClaims, Refusal> {
        let malformed =
            || Refusal::new(Reason::Malformed).with_expected("claims that are a JSON object");
        if !is_json_object(json) {
            return Err(malformed());
        }
        serde_json::from_slice(json).map_err(|error| {
            // The fields take any value, so this is serde's only complaint about them; it quotes
            // our own name of the field and nothing from the token.
            match error
                .to_string()
                .strip_prefix("duplicate field `")
                .and_then(|m| m.split_once('`'))
            {
                Some((claim, _)) => {
                    Refusal::new(Reason::ClaimDuplicated).with_expected(&format!("{claim} once"))
                }
                None => malformed(),
            }
        })
    }

    /// Gives each claim its type.
    fn typed(self) -> Result<UnverifiedClaims, Refusal> {
        Ok(UnverifiedClaims {
            issuer: required("iss", self.iss, text)?,
            audience: required("aud", self.aud, text)?,
            subject: required("sub", self.sub, text)?,
            expires_at_unix_secs: required("exp", self.exp, unix_secs)?,
            issued_at_unix_secs: required("iat", self.iat, unix_secs)?,
            not_before_unix_secs: optional("nbf", self.nbf, unix_secs)?,
            email: optional("email", self.email, text)?,
            email_verified: optional("email_verified", self.email_verified, flag)?.unwrap_or(false),
            authorized_party: optional("azp", self.azp, text)?,
        })
    }
}

/// Reads a value as a type, or says which type it should have been.
type Read<T> = fn(Value) -> Result<T, &'static str>;

fn required<T>(claim: &str, value: Option<Value>, read: Read<T>) -> Result<T, Refusal> {
    optional(claim, value, read)?
        .ok_or_else(|| Refusal::new(Reason::ClaimMissing).with_expected(claim))
}

fn optional<T>(claim: &str, value: Option<Value>, read: Read<T>) -> Result<Option<T>, Refusal> {
    value.map(read).transpose().map_err(|wanted| {
        Refusal::new(Reason::ClaimInvalid).with_expected(&format!("{claim}: {wanted}"))
    })
}

fn text(value: Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        _ => Err("a string that is not empty"),
    }
}

fn unix_secs(value: Value) -> Result<u64, &'static str> {
    value.as_u64().ok_or("whole seconds since 1970")
}

fn flag(value: Value) -> Result<bool, &'static str> {
    value.as_bool().ok_or("true or false")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{AUDIENCE, EMAIL, Mint, SUBJECT};

    fn read(claims: &Value) -> Result<UnverifiedClaims, Refusal> {
        UnverifiedClaims::from_json(claims.to_string().as_bytes())
    }

    #[test]
    fn googles_claims_are_typed() {
        let claims = Mint::google().claim("iat", json!(100)).claim("exp", json!(3700)).claims;
        let expected = UnverifiedClaims {
            issuer: "https://accounts.google.com".into(),
            audience: AUDIENCE.into(),
            subject: SUBJECT.into(),
            email: Some(EMAIL.into()),
            email_verified: true,
            authorized_party: Some(SUBJECT.into()),
            issued_at_unix_secs: 100,
            expires_at_unix_secs: 3700,
            not_before_unix_secs: None,
        };
        assert_eq!(read(&claims), Ok(expected));
    }

    #[test]
    fn a_missing_claim_is_named_if_required_and_none_if_not() {
        for claim in ["iss", "aud", "sub", "exp", "iat"] {
            let expected = Refusal::new(Reason::ClaimMissing).with_expected(claim);
            assert_eq!(read(&Mint::google().without_claim(claim).claims), Err(expected));
        }
        for claim in ["email", "email_verified", "azp", "nbf"] {
            assert!(read(&Mint::google().without_claim(claim).claims).is_ok(), "{claim}");
        }
        let without = Mint::google().without_claim("email_verified").claims;
        assert!(!read(&without).unwrap().email_verified);
    }

    #[test]
    fn an_ill_typed_claim_is_named() {
        let texts = [json!(""), json!(7), json!(null), json!(true), json!(["a"]), json!({"a": 1})];
        let times = [
            json!("1700000000"),
            json!(1.5e9),
            json!(1_700_000_000.5),
            json!(-1),
            json!(null),
            json!([1]),
            json!(true),
            json!(1e300),
        ];
        let flags = [json!("true"), json!(1), json!(null), json!([])];
        let table = [
            (["iss", "aud", "sub", "email", "azp"].as_slice(), texts.as_slice()),
            (&["exp", "iat", "nbf"], &times),
            (&["email_verified"], &flags),
        ];
        for (claims, values) in table {
            for (claim, value) in claims.iter().flat_map(|c| values.iter().map(move |v| (c, v))) {
                let refusal = read(&Mint::google().claim(claim, value.clone()).claims).unwrap_err();
                assert_eq!(refusal.reason, Reason::ClaimInvalid, "{claim}: {value}");
                assert!(refusal.expected.unwrap().starts_with(&format!("{claim}: ")));
            }
        }
    }

    #[test]
    fn a_claim_that_comes_twice_is_named() {
        for (claim, value) in [("iss", "\"a\""), ("aud", "null"), ("exp", "1"), ("nbf", "{}")] {
            let text = format!("{{\"{claim}\":{value},\"{claim}\":{value}}}");
            let expected =
                Refusal::new(Reason::ClaimDuplicated).with_expected(&format!("{claim} once"));
            assert_eq!(UnverifiedClaims::from_json(text.as_bytes()), Err(expected));
        }
        let escaped = br#"{"aud":"a","\u0061ud":"b"}"#;
        let refusal = UnverifiedClaims::from_json(escaped).unwrap_err();
        assert_eq!(refusal.reason, Reason::ClaimDuplicated);
    }

    #[test]
    fn what_is_no_json_object_is_malformed() {
        let deep = format!("{{\"iss\":{}", "[".repeat(4000));
        let texts = [
            "",
            "{",
            "null",
            "[]",
            "\"a\"",
            r#"["a","b","c",null,true,"d",1,2,3]"#,
            "{} {}",
            &deep,
        ];
        for text in texts {
            let refusal = UnverifiedClaims::from_json(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.reason, Reason::Malformed, "{text}");
        }
        assert_eq!(
            UnverifiedClaims::from_json(b"{\"iss\":\"\xff\"}").unwrap_err().reason,
            Reason::Malformed
        );
    }
}
