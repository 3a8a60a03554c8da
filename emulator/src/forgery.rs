//! Tokens that a receiver must refuse.
//!
//! Each starts from a whole [`IdToken`], so that nothing else is wrong with it.

use aws_lc_rs::hmac;

use crate::{account::Account, error::Error, jws, keys::SigningKey, token::IdToken};

/// What Cloud Run puts where a signature was.
///
/// Source: <https://docs.cloud.google.com/run/docs/authenticating/service-to-service>.
pub const SIGNATURE_REMOVED: &str = "SIGNATURE_REMOVED_BY_GOOGLE";

impl IdToken {
    /// `alg: none` and an empty signature.
    ///
    /// # Errors
    /// [`Error::Json`] if a value cannot be written.
    pub fn unsigned(&self) -> Result<String, Error> {
        let token = self.clone().header("alg", "none");
        let input = jws::signing_input(&token.header_value(), &token.claims_value())?;
        Ok(jws::compact(&input, &[]))
    }

    /// `alg: HS256` with the public key (DER `SubjectPublicKeyInfo`) as the secret: passes where the algorithm is
    /// taken from the token.
    ///
    /// # Errors
    /// [`Error::Crypto`] if the key cannot be encoded.
    pub fn hs256_with_public_key(&self, key: &SigningKey) -> Result<String, Error> {
        let token = self.clone().header("alg", "HS256");
        let input = jws::signing_input(&token.header_value(), &token.claims_value())?;
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &key.public_der()?);
        Ok(jws::compact(&input, hmac::sign(&secret, input.as_bytes()).as_ref()))
    }

    /// A genuine signature of the right key, but with SHA-512, and a header that says so.
    ///
    /// # Errors
    /// [`Error::Crypto`] if signing fails.
    pub fn rs512(&self, key: &SigningKey) -> Result<String, Error> {
        let token = self.clone().header("alg", "RS512");
        key.sign_rs512(&token.header_value(), &token.claims_value())
    }

    /// As Cloud Run passes on what it has checked itself: the third segment is the marker [`SIGNATURE_REMOVED`].
    ///
    /// # Errors
    /// [`Error::Json`] if a value cannot be written.
    pub fn signature_removed(&self) -> Result<String, Error> {
        let input = jws::signing_input(&self.header_value(), &self.claims_value())?;
        Ok(strip_signature(&jws::compact(&input, &[])))
    }

    /// Signed by `stranger`, whose public key stands in the header (`jwk`) as if that made it trusted.
    ///
    /// # Errors
    /// [`Error::Crypto`] if signing fails.
    pub fn embedded_key(&self, stranger: &SigningKey) -> Result<String, Error> {
        self.clone().header("jwk", stranger.jwk()).sign(stranger)
    }

    /// What a service account signs for itself with its key file: the issuer is the account.
    ///
    /// Source: <https://developers.google.com/identity/protocols/oauth2/service-account#jwt-auth>.
    pub fn self_signed(self, account: &Account) -> IdToken {
        self.claim("iss", account.email.as_str())
            .claim("sub", account.email.as_str())
            .without("azp")
            .without("email_verified")
    }
}

/// A signed token with the marker [`SIGNATURE_REMOVED`] in the place of its signature.
pub fn strip_signature(token: &str) -> String {
    let (input, _) = token.rsplit_once('.').unwrap_or((token, ""));
    format!("{input}.{SIGNATURE_REMOVED}")
}

/// A signed token with nothing after its last dot.
pub fn empty_signature(token: &str) -> String {
    let (input, _) = token.rsplit_once('.').unwrap_or((token, ""));
    format!("{input}.")
}

/// A signed token signed anew by `stranger`; header, key id included, and claims stay as they are.
///
/// # Errors
/// [`Error::Crypto`] if signing fails.
pub fn sign_again(token: &str, stranger: &SigningKey) -> Result<String, Error> {
    let (input, _) = token.rsplit_once('.').unwrap_or((token, ""));
    stranger.sign_input(input)
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use serde_json::Value;

    use super::*;

    fn header(token: &str) -> Value {
        let segment = token.split('.').next().unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
    }

    #[test]
    fn each_forgery_has_three_segments_and_says_what_it_claims_to_be() {
        let key = SigningKey::generate().unwrap();
        let whole = IdToken::new("iss", "aud", &Account::new("a@b"), key.id());
        for (token, alg) in [
            (whole.unsigned().unwrap(), "none"),
            (whole.hs256_with_public_key(&key).unwrap(), "HS256"),
            (whole.rs512(&key).unwrap(), "RS512"),
            (whole.signature_removed().unwrap(), "RS256"),
            (whole.embedded_key(&key).unwrap(), "RS256"),
        ] {
            assert_eq!(token.split('.').count(), 3, "{alg}");
            assert_eq!(header(&token)["alg"], alg);
        }
        assert!(whole.unsigned().unwrap().ends_with('.'));
        assert!(whole.signature_removed().unwrap().ends_with(".SIGNATURE_REMOVED_BY_GOOGLE"));
    }

    #[test]
    fn a_signed_token_keeps_all_but_its_signature() {
        let key = SigningKey::generate().unwrap();
        let whole = IdToken::new("iss", "aud", &Account::new("a@b"), key.id());
        let token = whole.sign(&key).unwrap();
        let input = |token: &str| token.rsplit_once('.').unwrap().0.to_owned();
        let other = sign_again(&token, &SigningKey::generate().unwrap()).unwrap();
        assert_eq!(input(&other), input(&token));
        assert_ne!(other, token);
        assert_eq!(sign_again(&token, &key).unwrap(), token);
        assert_eq!(strip_signature(&token), whole.signature_removed().unwrap());
    }
}
