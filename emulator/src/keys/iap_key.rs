//! The elliptic key of Identity-Aware Proxy.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::fingerprint;
use crate::{error::Error, jws};

/// One P-256 key that signs IAP's assertions with `ES256`.
///
/// Shape of its public half: <https://www.gstatic.com/iap/verify/public_key-jwk>.
#[derive(Debug)]
pub struct IapKey {
    id: String,
    pair: EcdsaKeyPair,
}

impl IapKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`Error::Crypto`] if the random source fails.
    pub fn generate() -> Result<IapKey, Error> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .map_err(|_| Error::Crypto("generate an elliptic key"))?;
        Ok(IapKey { id: fingerprint(pair.public_key().as_ref(), 3), pair })
    }

    /// The `kid`: six characters, as IAP's are.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half as an entry of a JWK set: `kty`, `crv`, `alg`, `use`, `kid`, `x`, `y`.
    pub fn jwk(&self) -> Value {
        // An uncompressed point: one byte 4, then x and y of 32 bytes each.
        let point = self.pair.public_key().as_ref();
        let (x, y) = point.split_at(point.len() / 2 + 1);
        let x = x.get(1..).unwrap_or_default();
        json!({
            "kty": "EC",
            "crv": "P-256",
            "alg": "ES256",
            "use": "sig",
            "kid": self.id,
            "x": BASE64_URL_SAFE_NO_PAD.encode(x),
            "y": BASE64_URL_SAFE_NO_PAD.encode(y),
        })
    }

    /// A compact JWS signed with `ES256`, whatever the header says.
    ///
    /// # Errors
    /// [`Error::Crypto`] if signing fails, [`Error::Json`] if a value cannot be written.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String, Error> {
        let input = jws::signing_input(header, claims)?;
        let signature = self
            .pair
            .sign(&SystemRandom::new(), input.as_bytes())
            .map_err(|_| Error::Crypto("sign with an elliptic key"))?;
        Ok(jws::compact(&input, signature.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_signature_verifies_with_nothing_but_the_published_jwk() {
        let key = IapKey::generate().unwrap();
        let jwk = key.jwk();
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        let mut point = vec![4];
        point.extend(decode(jwk["x"].as_str().unwrap()));
        point.extend(decode(jwk["y"].as_str().unwrap()));
        assert_eq!(point.len(), 65);
        let token = key.sign(&json!({"alg": "ES256"}), &json!({"aud": "x"})).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(input.as_bytes(), &decode(signature))
            .unwrap();
    }
}
