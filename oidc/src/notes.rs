//! What a verification took, for a trace.

use std::time::Instant;

/// What [`verify_noting`](crate::Verifier::verify_noting) notes beside its verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Notes {
    /// Whether the token had passed before, and skipped the signature.
    pub is_remembered: bool,
    /// From when to when it waited for a fetch of the keys; `None` where it did not have to.
    pub waited_for_keys: Option<(Instant, Instant)>,
}
