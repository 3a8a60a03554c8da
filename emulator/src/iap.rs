//! The signed header of Identity-Aware Proxy.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{account::Account, error::Error, keys::IapKey, token::fields};

/// `iss` of every assertion.
pub const ISSUER: &str = "https://cloud.google.com/iap";

/// How long an assertion lives: `exp` − `iat`.
pub const LIFETIME_SECONDS: i64 = 600;

/// What IAP puts into `x-goog-iap-jwt-assertion`, before it is signed.
///
/// Source: <https://cloud.google.com/iap/docs/signed-headers-howto>.
#[derive(Clone, Debug, PartialEq)]
pub struct IapAssertion {
    /// `alg` (`ES256`), `kid`, `typ` (`JWT`).
    pub header: Map<String, Value>,
    /// `aud`, `email`, `exp`, `iat`, `iss`, `sub` (`accounts.google.com:UNIQUE_ID`); times in seconds since 1970.
    pub claims: Map<String, Value>,
}

impl IapAssertion {
    /// An assertion that IAP could have made now for `account`, to `audience`
    /// (`/projects/NUMBER/global/backendServices/ID` or `/projects/NUMBER/locations/REGION/services/NAME`).
    pub fn new(audience: &str, account: &Account, key_id: &str) -> IapAssertion {
        let issued_at = Timestamp::now().as_second();
        IapAssertion {
            header: fields(json!({"alg": "ES256", "kid": key_id, "typ": "JWT"})),
            claims: fields(json!({
                "aud": audience,
                "email": account.email,
                "exp": issued_at + LIFETIME_SECONDS,
                "iat": issued_at,
                "iss": ISSUER,
                "sub": format!("accounts.google.com:{}", account.unique_id),
            })),
        }
    }

    /// The same with a claim set to any JSON value.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> IapAssertion {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// The same without a claim.
    pub fn without(mut self, name: &str) -> IapAssertion {
        self.claims.remove(name);
        self
    }

    /// The compact JWS, signed with ES256 by `key`, whatever the header says.
    ///
    /// # Errors
    /// [`Error::Crypto`] if signing fails.
    pub fn sign(&self, key: &IapKey) -> Result<String, Error> {
        key.sign(&self.header.clone().into(), &self.claims.clone().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_has_iap_s_fields_and_lives_ten_minutes() {
        let account = Account::new("ada@example.com");
        let assertion = IapAssertion::new("/projects/1/global/backendServices/2", &account, "k1");
        assert_eq!(
            Value::from(assertion.header.clone()),
            json!({"alg": "ES256", "kid": "k1", "typ": "JWT"})
        );
        let issued_at = assertion.claims["iat"].as_i64().unwrap();
        assert_eq!(
            Value::from(assertion.claims.clone()),
            json!({
                "aud": "/projects/1/global/backendServices/2",
                "email": "ada@example.com",
                "exp": issued_at + 600,
                "iat": issued_at,
                "iss": "https://cloud.google.com/iap",
                "sub": format!("accounts.google.com:{}", account.unique_id),
            })
        );
    }
}
