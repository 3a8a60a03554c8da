//! The token out of the `Authorization` header.

use crate::{reason::Reason, refusal::Refusal};

/// Takes the token out of **all** values of a request's `Authorization` header.
///
/// There must be exactly one value, ASCII, of the scheme `Bearer` in any case
/// ([RFC 6750 §2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)), with one token in it.
///
/// # Errors
///
/// [`Reason::Missing`] without a value or token, [`Reason::SeveralTokens`] for more than one
/// (proxies may also join two header lines with a comma), [`Reason::NotBearer`] for another scheme
/// or for bytes outside of ASCII. The refusals carry no part of the header.
pub fn bearer<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<&'a str, Refusal> {
    let value = values.next().ok_or(Reason::Missing)?;
    if values.next().is_some() {
        return Err(Reason::SeveralTokens.into());
    }
    let value = std::str::from_utf8(value).ok().filter(|value| value.is_ascii());
    let value = value.ok_or(Reason::NotBearer)?.trim_matches([' ', '\t']);
    if value.is_empty() {
        return Err(Reason::Missing.into());
    }
    let (scheme, token) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Reason::NotBearer.into());
    }
    match token.trim_start_matches([' ', '\t']) {
        "" => Err(Reason::Missing.into()),
        // By byte: a search for characters takes two microseconds of every request.
        several if several.bytes().any(|byte| matches!(byte, b' ' | b'\t' | b',')) => {
            Err(Reason::SeveralTokens.into())
        }
        token => Ok(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bearer_value_gives_its_token() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c ", "\tBearer\ta.b.c"] {
            assert_eq!(bearer([value.as_bytes()].into_iter()), Ok("a.b.c"), "{value:?}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let table: &[(&[&[u8]], Reason)] = &[
            (&[], Reason::Missing),
            (&[b""], Reason::Missing),
            (&[b"  "], Reason::Missing),
            (&[b"Bearer"], Reason::Missing),
            (&[b"Bearer  "], Reason::Missing),
            (&[b"Bearer a.b.c", b"Bearer a.b.c"], Reason::SeveralTokens),
            (&[b"Bearer a.b.c, Bearer d.e.f"], Reason::SeveralTokens),
            (&[b"Bearer a.b.c,d.e.f"], Reason::SeveralTokens),
            (&[b"Bearer a.b.c d"], Reason::SeveralTokens),
            (&[b"Basic dXNlcjpwYXNz"], Reason::NotBearer),
            (&[b"eyJh.eyJp.c2ln"], Reason::NotBearer),
            (&[b"Bearera.b.c"], Reason::NotBearer),
            (&[b"Bearer \xc3\xa4.b.c"], Reason::NotBearer),
            (&[b"Bearer \xff.b.c"], Reason::NotBearer),
        ];
        for (values, reason) in table {
            let refusal = bearer(values.iter().copied()).unwrap_err();
            assert_eq!(refusal, Refusal::new(*reason), "{values:?}");
        }
    }
}
