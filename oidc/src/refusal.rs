//! The error of this crate: a reason, and what may be said beside it.

use crate::{
    claims::{RawClaims, UnverifiedClaims},
    header::RawHeader,
    reason::Reason,
    token::{Segments, decode_segment},
};

/// Strings from a token are cut to this many characters before they are shown.
const MAX_SHOWN_CHARS: usize = 256;

/// A token was refused. `Display` is one line, reason and remedy, without a value from the token,
/// so it can be shown to the caller; the fields are for the operator's record.
///
/// No field ever holds the token or one of its segments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .reason.as_str(), .reason.remedy())]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The value that was at fault, where there is one, cut to 256 characters.
    pub found: Option<String>,
    /// What would have been accepted instead, cut to 256 characters; for a claim that is missing,
    /// invalid or duplicated, its name and type.
    pub expected: Option<String>,
    /// What the refused token says of itself. Unproven, so never to be shown as fact.
    pub claimed: Option<Box<Claimed>>,
}

impl Refusal {
    /// A refusal that says its reason alone.
    pub fn new(reason: Reason) -> Refusal {
        Refusal { reason, found: None, expected: None, claimed: None }
    }

    /// Adds the value at fault, cut and without control characters.
    #[must_use]
    pub fn with_found(mut self, found: &str) -> Refusal {
        self.found = Some(shown(found));
        self
    }

    /// Adds what would have been accepted, cut and without control characters.
    #[must_use]
    pub fn with_expected(mut self, expected: &str) -> Refusal {
        self.expected = Some(shown(expected));
        self
    }

    /// Adds what the token says of itself.
    #[must_use]
    pub fn with_claimed(mut self, claimed: Option<Claimed>) -> Refusal {
        self.claimed = claimed.map(Box::new);
        self
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Refusal {
        Refusal::new(reason)
    }
}

/// What a refused token says of itself, for the record that an operator reads. Anyone can write
/// anything here. Each string is cut to 256 characters and has its control characters replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claimed {
    /// The `email` claim.
    pub email: Option<String>,
    /// The `sub` claim.
    pub subject: Option<String>,
    /// The `aud` claim.
    pub audience: Option<String>,
    /// The `iss` claim.
    pub issuer: Option<String>,
    /// The header's `kid`.
    pub key_id: Option<String>,
}

impl Claimed {
    /// Reads what can be read; `None` if nothing can. Runs on the refusal path alone.
    pub(crate) fn of_token(token: &str) -> Option<Claimed> {
        let segments = Segments::split(token).ok()?;
        let mut claimed = Claimed::default();
        if let Some(claims) =
            decode_segment(segments.payload).ok().and_then(|json| RawClaims::parse(&json).ok())
        {
            claimed.email = text(claims.email.as_ref());
            claimed.subject = text(claims.sub.as_ref());
            claimed.audience = text(claims.aud.as_ref());
            claimed.issuer = text(claims.iss.as_ref());
        }
        if let Some(header) =
            decode_segment(segments.header).ok().and_then(|json| RawHeader::parse(&json).ok())
        {
            claimed.key_id = text(header.kid.as_ref());
        }
        (claimed != Claimed::default()).then_some(claimed)
    }
}

impl From<&UnverifiedClaims> for Claimed {
    fn from(claims: &UnverifiedClaims) -> Claimed {
        Claimed {
            email: claims.email.as_deref().map(shown),
            subject: Some(shown(&claims.subject)),
            audience: Some(shown(&claims.audience)),
            issuer: Some(shown(&claims.issuer)),
            key_id: None,
        }
    }
}

/// The string, if it is one.
fn text(value: Option<&serde_json::Value>) -> Option<String> {
    value?.as_str().map(shown)
}

/// Makes a stranger's text safe to record: at most 256 characters, without control characters, and
/// never something that may itself be a token that was put into the wrong field.
pub fn shown(text: &str) -> String {
    if text.contains("eyJ") || text.contains("ya29.") {
        return "[looks like a token]".to_owned();
    }
    let mut chars = text.chars();
    let mut shown: String = chars
        .by_ref()
        .take(MAX_SHOWN_CHARS)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if chars.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_strings_are_bounded_clean_and_never_a_token() {
        assert_eq!(shown("plain@example.com"), "plain@example.com");
        assert_eq!(shown("a\r\nb\u{0}"), "a\u{fffd}\u{fffd}b\u{fffd}");
        assert_eq!(shown(&"ä".repeat(256)), "ä".repeat(256));
        let cut = shown(&"ä".repeat(257));
        assert_eq!((cut.chars().count(), cut.ends_with('…')), (256, true));
        assert_eq!(shown("eyJhbGciOiJSUzI1NiJ9.e30.c2ln"), "[looks like a token]");
        assert_eq!(shown("Bearer ya29.a0AfB"), "[looks like a token]");
        assert_eq!(shown("Bearer eyJhbGciOiJSUzI1NiJ9"), "[looks like a token]");
    }

    #[test]
    fn display_is_one_line_without_values() {
        let refusal = Refusal::new(Reason::WrongAudience).with_found("https://secret.example");
        let line = refusal.to_string();
        assert!(line.starts_with("wrong_audience: the token is for another audience"), "{line}");
        assert!(!line.contains("secret") && !line.contains('\n'), "{line}");
    }
}
