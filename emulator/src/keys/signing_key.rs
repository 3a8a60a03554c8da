//! One RSA key, as Google signs ID tokens with.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding},
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::{certificate, fingerprint};
use crate::{error::Error, jws};

/// One RSA key of 2048 bits, parsed once: signing takes about a third of a millisecond.
///
/// The private half leaves it only in a service account's key file.
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    pair: KeyPair,
}

impl SigningKey {
    /// A fresh key. Takes some tens of milliseconds.
    ///
    /// # Errors
    /// [`Error::Crypto`] if the random source fails.
    pub fn generate() -> Result<SigningKey, Error> {
        let pair = KeyPair::generate(KeySize::Rsa2048)
            .map_err(|_| Error::Crypto("generate an RSA key"))?;
        Ok(SigningKey { id: fingerprint(pair.public_key().as_ref(), 20), pair })
    }

    /// The `kid`: 40 hex characters, as Google's are.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half as an entry of a JWK set: `kty`, `alg`, `use`, `kid`, `n`, `e`, and nothing else.
    ///
    /// Shape: <https://www.googleapis.com/oauth2/v3/certs>.
    pub fn jwk(&self) -> Value {
        let public = self.pair.public_key();
        let number = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": self.id,
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// The public half as a self-signed X.509 certificate in PEM, valid from yesterday for two weeks and more.
    ///
    /// Shape: <https://www.googleapis.com/oauth2/v1/certs>.
    ///
    /// # Errors
    /// [`Error::Certificate`] if it cannot be built.
    pub fn certificate_pem(&self) -> Result<String, Error> {
        certificate::self_signed_pem(&self.pair)
    }

    /// A compact JWS signed with RSASSA-PKCS1-v1_5 and SHA-256 (`RS256`), **whatever the header says**.
    ///
    /// # Errors
    /// [`Error::Crypto`] if signing fails, [`Error::Json`] if a value cannot be written.
    pub fn sign(&self, header: &Value, claims: &Value) -> Result<String, Error> {
        self.sign_input(&jws::signing_input(header, claims)?)
    }

    /// The same with SHA-512 (`RS512`), which Google never uses: for forgeries.
    pub(crate) fn sign_rs512(&self, header: &Value, claims: &Value) -> Result<String, Error> {
        self.sign_with(&RSA_PKCS1_SHA512, &jws::signing_input(header, claims)?)
    }

    /// Signs header and claims that are encoded already, with RS256.
    pub(crate) fn sign_input(&self, input: &str) -> Result<String, Error> {
        self.sign_with(&RSA_PKCS1_SHA256, input)
    }

    /// The public half as DER `SubjectPublicKeyInfo`, the bytes that anyone can compute.
    pub(crate) fn public_der(&self) -> Result<Vec<u8>, Error> {
        let der = self.pair.public_key().as_der();
        Ok(der.map_err(|_| Error::Crypto("encode a public key"))?.as_ref().to_vec())
    }

    /// The private half as PKCS#8 in PEM (RFC 7468), for the key file of a service account.
    ///
    /// # Errors
    /// [`Error::Crypto`] if it cannot be encoded.
    pub(crate) fn private_pem(&self) -> Result<String, Error> {
        let der: Result<Pkcs8V1Der<'_>, _> = self.pair.as_der();
        let der = der.map_err(|_| Error::Crypto("encode a private key"))?;
        let text = BASE64_STANDARD.encode(der.as_ref());
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        for (index, letter) in text.chars().enumerate() {
            if index > 0 && index % 64 == 0 {
                pem.push('\n');
            }
            pem.push(letter);
        }
        pem.push_str("\n-----END PRIVATE KEY-----\n");
        Ok(pem)
    }

    fn sign_with(&self, padding: &'static dyn RsaEncoding, input: &str) -> Result<String, Error> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(padding, &SystemRandom::new(), input.as_bytes(), &mut signature)
            .map_err(|_| Error::Crypto("sign with an RSA key"))?;
        Ok(jws::compact(input, &signature))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

    use super::*;

    fn decode(text: &Value) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
    }

    #[test]
    fn a_signature_verifies_with_nothing_but_the_published_jwk() {
        let key = SigningKey::generate().unwrap();
        let jwk = key.jwk();
        let token = key.sign(&json!({"alg": "none"}), &json!({"aud": "x"})).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        RsaPublicKeyComponents { n: decode(&jwk["n"]), e: decode(&jwk["e"]) }
            .verify(&RSA_PKCS1_2048_8192_SHA256, input.as_bytes(), &decode(&json!(signature)))
            .unwrap();
    }

    #[test]
    fn a_jwk_has_google_s_fields_and_values() {
        let key = SigningKey::generate().unwrap();
        let jwk = key.jwk();
        let mut names: Vec<&String> = jwk.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"]);
        assert_eq!(
            (&jwk["kty"], &jwk["alg"], &jwk["use"], &jwk["e"]),
            (&json!("RSA"), &json!("RS256"), &json!("sig"), &json!("AQAB"))
        );
        assert_eq!(decode(&jwk["n"]).len(), 256, "2048 bits without a leading zero");
        assert_eq!(jwk["kid"], json!(key.id()));
        assert!(key.id().len() == 40 && key.id().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn debug_output_has_no_private_half() {
        let key = SigningKey::generate().unwrap();
        assert!(format!("{key:?}").len() < 1200, "an RSA private key would not fit");
    }
}
