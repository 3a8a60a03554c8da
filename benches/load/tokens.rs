//! Many tokens, made before they are needed: signing costs ten times what verifying does.

use std::{sync::Arc, thread};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use emulator::Issuer;

use crate::{AUDIENCE, CALLER, Result};

/// Valid tokens of one length that differ in a claim nobody checks: `azp`, 21 digits like the rest of Google's ids.
pub(crate) fn distinct(issuer: &Issuer, count: u64) -> Result<Arc<[String]>> {
    let token = issuer.id_token(AUDIENCE, CALLER);
    let key = issuer.keys().current();
    let sign = |numbers: std::ops::Range<u64>| {
        let tokens =
            numbers.map(|number| token.clone().claim("azp", format!("1{number:020}")).sign(&key));
        tokens.collect::<std::result::Result<Vec<String>, _>>()
    };
    let (first, second) = thread::scope(|scope| {
        let first = scope.spawn(|| sign(0..count / 2));
        let second = sign(count / 2..count);
        (first.join(), second)
    });
    let mut tokens = first.map_err(|_| "signing panicked")??;
    tokens.extend(second?);
    Ok(tokens.into())
}

/// Tokens of one length, each with the id of a key that does not exist.
pub(crate) fn with_random_key_ids(issuer: &Issuer, count: u64) -> Result<Arc<[String]>> {
    let valid = issuer.token(AUDIENCE, CALLER)?;
    let (_, rest) = valid.split_once('.').ok_or("a token has three segments")?;
    let tokens = (1..=u128::from(count)).map(|number| {
        // An odd factor of many digits: no two are alike, and none looks like the next.
        let id = number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let header = format!(r#"{{"alg":"RS256","kid":"{id:040x}","typ":"JWT"}}"#);
        format!("{}.{rest}", BASE64_URL_SAFE_NO_PAD.encode(header))
    });
    Ok(tokens.collect())
}
