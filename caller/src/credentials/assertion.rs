//! What a service account signs to get a token: a JWT of an hour at most.

use std::time::Duration;

use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde::Serialize;

/// The longest that Google takes.
const LIFETIME: Duration = Duration::from_secs(3600);

/// A private key that signs as RS256.
pub(super) struct SigningKey(KeyPair);

/// <https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests>
#[derive(Serialize)]
pub(super) struct Claims<'a> {
    pub(super) iss: &'a str,
    pub(super) aud: &'a str,
    pub(super) iat: u64,
    pub(super) exp: u64,
    /// For an ID token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) target_audience: Option<&'a str>,
    /// For an access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<&'a str>,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

impl SigningKey {
    /// Reads PKCS #8 in PEM (RFC 7468), as Google's key files have it.
    pub(super) fn from_pem(pem: &str) -> Option<SigningKey> {
        let body = pem.trim().strip_prefix("-----BEGIN PRIVATE KEY-----")?;
        let body = body.strip_suffix("-----END PRIVATE KEY-----")?;
        let der = BASE64_STANDARD.decode(body.split_ascii_whitespace().collect::<String>()).ok()?;
        KeyPair::from_pkcs8(&der).ok().map(SigningKey)
    }

    /// A JWT of these claims in compact form; `None` if the crypto library refuses.
    pub(super) fn sign(&self, kid: Option<&str>, claims: &Claims<'_>) -> Option<String> {
        let header = Header { alg: "RS256", typ: "JWT", kid };
        let segment = |json: Vec<u8>| BASE64_URL_SAFE_NO_PAD.encode(json);
        let header = segment(serde_json::to_vec(&header).ok()?);
        let mut text = format!("{header}.{}", segment(serde_json::to_vec(claims).ok()?));
        let mut signature = vec![0; self.0.public_modulus_len()];
        let random = SystemRandom::new();
        self.0.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).ok()?;
        text.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(&signature, &mut text);
        Some(text)
    }
}

impl<'a> Claims<'a> {
    /// Of now, for an hour.
    pub(super) fn new(iss: &'a str, aud: &'a str) -> Claims<'a> {
        let iat = oidc::now_unix_secs();
        let exp = iat + LIFETIME.as_secs();
        Claims { iss, aud, iat, exp, target_audience: None, scope: None }
    }
}
