//! The compact form of a signed token (RFC 7515 §3.1).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::error::Error;

/// `base64url(header).base64url(claims)`: what a signature covers.
///
/// # Errors
/// [`Error::Json`] if a value cannot be written.
pub(crate) fn signing_input(header: &Value, claims: &Value) -> Result<String, Error> {
    let segment = |what, value: &Value| {
        let json = serde_json::to_vec(value).map_err(|source| Error::Json { what, source })?;
        Ok::<_, Error>(BASE64_URL_SAFE_NO_PAD.encode(json))
    };
    Ok(format!("{}.{}", segment("a token's header", header)?, segment("a token's claims", claims)?))
}

/// Puts the signature's bytes behind what they sign.
pub(crate) fn compact(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
