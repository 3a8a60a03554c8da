//! What can go wrong, by name.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{attempts::Order, error::Error, tokens::Auth};

/// Something that goes wrong with a delivery. In JSON and on the command line it goes by its [`name`](Fault::name).
///
/// None of them loses an invocation: the sender goes on by the answer that it got, or by having got none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Once it was answered, the same delivery comes once more. The sender counts it as done if either was.
    Duplicate,
    /// The same delivery comes twice at once. The sender counts it as done if either was.
    ConcurrentDuplicate,
    /// The token ended an hour ago.
    Expired,
    /// The token was issued by a clock that is five minutes ahead.
    SkewedClock,
    /// The token is for somebody else.
    WrongAudience,
    /// The token is good, and of another account.
    WrongCaller,
    /// The token says `alg: none` and has no signature.
    Unsigned,
    /// The token's signature is replaced by the marker that Cloud Run leaves.
    StrippedSignature,
    /// The token names a key that is not published.
    UnknownKid,
    /// Both keys are replaced before the delivery, so that its token is signed by one that nobody has fetched yet. One
    /// rotation would show nothing: a token that is in use outlives it.
    KeyRotation,
    /// Requests for keys are answered 503 while it is set.
    KeysDown,
    /// Requests for keys are answered three seconds late while it is set.
    KeysSlow,
    /// Requests for keys get half a JWK set while it is set.
    KeysCorrupt,
    /// The body is cut in half, so that what was JSON no longer is.
    MalformedEnvelope,
    /// The body is filled up with blanks beyond what a receiver takes: 14 MiB of Pub/Sub and Eventarc, 1 MiB of others.
    Oversize,
    /// The body comes in pieces over a second.
    SlowBody,
    /// The connection is closed as soon as the request is out.
    HangUp,
    /// The delivery is held back until another of the same sender was answered, for three seconds at most.
    Reorder,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 18] = [
        Fault::Duplicate,
        Fault::ConcurrentDuplicate,
        Fault::Expired,
        Fault::SkewedClock,
        Fault::WrongAudience,
        Fault::WrongCaller,
        Fault::Unsigned,
        Fault::StrippedSignature,
        Fault::UnknownKid,
        Fault::KeyRotation,
        Fault::KeysDown,
        Fault::KeysSlow,
        Fault::KeysCorrupt,
        Fault::MalformedEnvelope,
        Fault::Oversize,
        Fault::SlowBody,
        Fault::HangUp,
        Fault::Reorder,
    ];

    /// Its name in kebab case.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Duplicate => "duplicate",
            Fault::ConcurrentDuplicate => "concurrent-duplicate",
            Fault::Expired => "expired",
            Fault::SkewedClock => "skewed-clock",
            Fault::WrongAudience => "wrong-audience",
            Fault::WrongCaller => "wrong-caller",
            Fault::Unsigned => "unsigned",
            Fault::StrippedSignature => "stripped-signature",
            Fault::UnknownKid => "unknown-kid",
            Fault::KeyRotation => "key-rotation",
            Fault::KeysDown => "keys-down",
            Fault::KeysSlow => "keys-slow",
            Fault::KeysCorrupt => "keys-corrupt",
            Fault::MalformedEnvelope => "malformed-envelope",
            Fault::Oversize => "oversize",
            Fault::SlowBody => "slow-body",
            Fault::HangUp => "hang-up",
            Fault::Reorder => "reorder",
        }
    }

    /// Whether it is the token that is spoilt.
    pub(crate) fn is_of_token(self) -> bool {
        matches!(
            self,
            Fault::Expired
                | Fault::SkewedClock
                | Fault::WrongAudience
                | Fault::WrongCaller
                | Fault::Unsigned
                | Fault::StrippedSignature
                | Fault::UnknownKid
        )
    }

    /// Whether it is the key endpoints that fail.
    pub(crate) fn is_of_keys(self) -> bool {
        matches!(self, Fault::KeysDown | Fault::KeysSlow | Fault::KeysCorrupt)
    }

    /// Whether it can be done to that delivery; one that has no ID token or no body keeps the fault for the next.
    pub(super) fn can_befall(self, order: &Order) -> bool {
        match self {
            Fault::MalformedEnvelope | Fault::SlowBody => !order.delivery.body.is_empty(),
            Fault::Oversize => order.delivery.method.takes_body(),
            _ if self.is_of_token() => matches!(order.auth, Some(Auth::Oidc { .. })),
            _ => true,
        }
    }
}

impl FromStr for Fault {
    type Err = Error;

    fn from_str(text: &str) -> Result<Fault, Error> {
        Fault::ALL.into_iter().find(|fault| fault.name() == text).ok_or_else(|| Error::Word {
            given: text.to_owned(),
            expected: "a fault; use duplicate, concurrent-duplicate, expired, skewed-clock, wrong-audience, \
                       wrong-caller, unsigned, stripped-signature, unknown-kid, key-rotation, keys-down, keys-slow, \
                       keys-corrupt, malformed-envelope, oversize, slow-body, hang-up or reorder",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_read_back_as_written_and_offered_by_name() {
        let refusal = "no-such".parse::<Fault>().unwrap_err().to_string();
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse::<Fault>().unwrap(), fault);
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
            assert!(refusal.contains(fault.name()), "{refusal}");
        }
    }
}
