//! A token's three segments.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::{
    claims::UnverifiedClaims,
    reason::Reason,
    refusal::{Claimed, Refusal},
};

/// Google's tokens are under 1 KiB, with `format=full` under 2 KiB.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// OAuth access tokens start so. They are opaque:
/// <https://cloud.google.com/docs/authentication/token-types#access>.
const ACCESS_TOKEN_PREFIX: &str = "ya29.";

/// What Cloud Run puts in the place of a signature that it has checked:
/// <https://cloud.google.com/run/docs/troubleshooting#signature-redacted>.
const REMOVED_SIGNATURE: &str = "SIGNATURE_REMOVED_BY_GOOGLE";

/// A JWS in compact form, cut at its dots
/// ([RFC 7515 §7.1](https://www.rfc-editor.org/rfc/rfc7515#section-7.1)). Nothing is decoded yet.
pub(crate) struct Segments<'a> {
    /// What the signature covers: header, dot, payload.
    pub(crate) signed: &'a str,
    /// Base64url of the header's JSON.
    pub(crate) header: &'a str,
    /// Base64url of the claims' JSON.
    pub(crate) payload: &'a str,
    /// Base64url of the signature, or Cloud Run's mark.
    pub(crate) signature: &'a str,
}

impl<'a> Segments<'a> {
    /// Cuts a token, refusing what is too long, an access token, or not of three parts.
    pub(crate) fn split(token: &'a str) -> Result<Segments<'a>, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Reason::TooLong.into());
        }
        if token.starts_with(ACCESS_TOKEN_PREFIX) {
            return Err(Reason::AccessToken.into());
        }
        let malformed = || Refusal::new(Reason::Malformed).with_expected("three segments");
        let (signed, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or_else(malformed)?;
        // An empty signature goes on: that the algorithm is `none` says more.
        if payload.contains('.') || header.is_empty() || payload.is_empty() {
            return Err(malformed());
        }
        Ok(Segments { signed, header, payload, signature })
    }

    /// Whether the platform has taken the signature away.
    pub(crate) fn signature_removed(&self) -> bool {
        self.signature == REMOVED_SIGNATURE
    }
}

/// Decodes one segment: base64url without padding, as RFC 7515 §2 has it.
pub(crate) fn decode_segment(segment: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD
        .decode(segment)
        .map_err(|_| Refusal::new(Reason::Malformed).with_expected("base64url without padding"))
}

/// Whether a text can be a JSON object. Serde's derive would read a struct from an array as well.
pub(crate) fn is_json_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

/// Reads a token's claims **without verifying it**, for use behind a front end that has: Cloud
/// Run's IAM check leaves the token in `Authorization`, or puts `SIGNATURE_REMOVED_BY_GOOGLE` in
/// its third segment
/// (<https://cloud.google.com/run/docs/authenticating/service-to-service>). Anyone can make a
/// token that passes here; see [`crate::Profile::check_unverified`] for the checks that are left.
///
/// # Errors
///
/// [`Reason::TooLong`], [`Reason::AccessToken`], [`Reason::Malformed`], and the claims' own
/// [`Reason::ClaimMissing`], [`Reason::ClaimInvalid`] and [`Reason::ClaimDuplicated`].
pub fn decode_unverified(token: &str) -> Result<UnverifiedClaims, Refusal> {
    let segments = Segments::split(token)?;
    decode_segment(segments.payload)
        .and_then(|json| UnverifiedClaims::from_json(&json))
        .map_err(|refusal| refusal.with_claimed(Claimed::of_token(token)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{AUDIENCE, EMAIL, Mint};

    #[test]
    fn what_is_not_three_segments_is_told_apart() {
        let (fits, too_long) = ("a".repeat(MAX_TOKEN_BYTES), "a".repeat(MAX_TOKEN_BYTES + 1));
        let table = [
            ("ya29.a0AfB", Reason::AccessToken),
            ("ya29.c.b0AXv0", Reason::AccessToken),
            ("", Reason::Malformed),
            ("a", Reason::Malformed),
            ("a.b", Reason::Malformed),
            ("a.b.c.d", Reason::Malformed),
            ("a.b.c.d.e", Reason::Malformed),
            (".b.c", Reason::Malformed),
            ("a..c", Reason::Malformed),
            ("a.b.", Reason::Malformed),
            ("..", Reason::Malformed),
            (&fits, Reason::Malformed),
            (&too_long, Reason::TooLong),
        ];
        for (token, reason) in table {
            assert_eq!(decode_unverified(token).unwrap_err().reason, reason, "{token}");
        }
    }

    #[test]
    fn a_segment_is_strict_base64url() {
        assert_eq!(decode_segment("eyJhIjoxfQ").unwrap(), br#"{"a":1}"#);
        for segment in ["eyJhIjoxfQ==", "eyJhIjoxfR", "ey+h", "ey/h", "e yJ", "eyJhI\n", "ä"] {
            assert_eq!(decode_segment(segment).unwrap_err().reason, Reason::Malformed, "{segment}");
        }
    }

    #[test]
    fn claims_are_readable_without_a_signature() {
        let token = Mint::google().sign();
        let (signed, _) = token.rsplit_once('.').unwrap();
        for token in [&token, &format!("{signed}.{REMOVED_SIGNATURE}")] {
            let claims = decode_unverified(token).unwrap();
            assert_eq!(claims.audience, AUDIENCE);
            assert_eq!(claims.email.as_deref(), Some(EMAIL));
        }
    }
}
