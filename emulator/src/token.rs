//! Google's ID token: valid and whole first, so that a test can spoil one thing.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{account::Account, error::Error, keys::SigningKey};

/// How long Google's ID tokens live: `exp` − `iat`.
pub const LIFETIME_SECONDS: i64 = 3600;

/// Whoever holds a token replaces it when it has fewer seconds left than this.
pub(crate) const RENEW_BEFORE_SECONDS: i64 = 300;

/// An ID token before it is signed. Change a field, then [`sign`](IdToken::sign) it.
///
/// Fields as shown in <https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions>: there is no `jti`,
/// no `nbf` and no `hd`.
#[derive(Clone, Debug, PartialEq)]
pub struct IdToken {
    /// `alg` (`RS256`), `kid`, `typ` (`JWT`).
    pub header: Map<String, Value>,
    /// `aud`, `azp`, `email`, `email_verified`, `exp`, `iat`, `iss`, `sub`; times in seconds since 1970.
    pub claims: Map<String, Value>,
}

impl IdToken {
    /// A token that Google could have issued now to `account` for `audience`.
    pub fn new(issuer: &str, audience: &str, account: &Account, key_id: &str) -> IdToken {
        let issued_at = Timestamp::now().as_second();
        IdToken {
            header: fields(json!({"alg": "RS256", "kid": key_id, "typ": "JWT"})),
            claims: fields(json!({
                "aud": audience,
                "azp": account.unique_id,
                "email": account.email,
                "email_verified": true,
                "exp": issued_at + LIFETIME_SECONDS,
                "iat": issued_at,
                "iss": issuer,
                "sub": account.unique_id,
            })),
        }
    }

    /// The same with a claim set to any JSON value.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> IdToken {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// The same without a claim.
    pub fn without(mut self, name: &str) -> IdToken {
        self.claims.remove(name);
        self
    }

    /// The same with a header field set to any JSON value.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> IdToken {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// The same without a header field.
    pub fn without_header(mut self, name: &str) -> IdToken {
        self.header.remove(name);
        self
    }

    /// The same token issued that many seconds earlier (or, if negative, later); it lives as long.
    pub fn aged(mut self, seconds: i64) -> IdToken {
        for name in ["iat", "exp"] {
            if let Some(time) = self.claims.get(name).and_then(Value::as_i64) {
                self.claims.insert(name.to_owned(), (time - seconds).into());
            }
        }
        self
    }

    /// The compact JWS, signed with RS256 by `key`, whatever the header says.
    ///
    /// # Errors
    /// [`Error::Crypto`] if signing fails.
    pub fn sign(&self, key: &SigningKey) -> Result<String, Error> {
        key.sign(&self.header_value(), &self.claims_value())
    }

    pub(crate) fn header_value(&self) -> Value {
        self.header.clone().into()
    }

    pub(crate) fn claims_value(&self) -> Value {
        self.claims.clone().into()
    }
}

/// The fields of an object literal.
pub(crate) fn fields(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_google_s_fields_and_no_others() {
        let account = Account::new("caller@demo.iam.gserviceaccount.com");
        let token =
            IdToken::new("https://accounts.google.com", "https://example.com", &account, "k1");
        assert_eq!(token.header_value(), json!({"alg": "RS256", "kid": "k1", "typ": "JWT"}));
        let issued_at = token.claims["iat"].as_i64().unwrap();
        assert!((Timestamp::now().as_second() - issued_at).abs() <= 1);
        assert_eq!(
            token.claims_value(),
            json!({
                "aud": "https://example.com",
                "azp": account.unique_id,
                "email": "caller@demo.iam.gserviceaccount.com",
                "email_verified": true,
                "exp": issued_at + 3600,
                "iat": issued_at,
                "iss": "https://accounts.google.com",
                "sub": account.unique_id,
            })
        );
    }

    #[test]
    fn spoiling_changes_one_thing() {
        let whole = IdToken::new("iss", "aud", &Account::new("a@b"), "k");
        let spoilt = whole.clone().claim("aud", json!(["aud"])).without("email");
        assert_eq!(spoilt.claims["aud"], json!(["aud"]));
        assert_eq!(spoilt.claims.len(), whole.claims.len() - 1);
        assert_eq!(spoilt.header, whole.header);
        let old = whole.clone().aged(7200);
        assert_eq!(old.claims["exp"].as_i64(), whole.claims["exp"].as_i64().map(|exp| exp - 7200));
    }
}
