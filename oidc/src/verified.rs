//! The cache of tokens that have passed.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::sync::Cache;

use crate::{claims::Claims, keys::Key};

/// Tokens that have passed the whole policy of some route, since senders present one token many
/// times in its hour. Strangers' tokens never get in, so strangers cannot push others out.
///
/// An entry proves the signature alone: its key must still be in the set, and audience, times and
/// callers are checked again on every use.
pub(crate) struct VerifiedTokens {
    cache: Cache<TokenDigest, VerifiedToken>,
}

/// SHA-256 of a whole token. The whole, so that the same claims with another signature are another
/// token; collision-resistant, so that nobody can craft a token that stands for someone else's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(crate) fn of(token: &str) -> TokenDigest {
        let mut bytes = [0; 32];
        // SHA-256 has exactly 32 bytes, so both sides are of one length.
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        TokenDigest(bytes)
    }
}

/// What a token said, and the key that proved it.
#[derive(Clone)]
pub(crate) struct VerifiedToken {
    pub(crate) claims: Arc<Claims>,
    pub(crate) key: Arc<Key>,
}

impl VerifiedTokens {
    pub(crate) fn new(capacity: usize) -> VerifiedTokens {
        VerifiedTokens { cache: Cache::new(capacity) }
    }

    pub(crate) fn get(&self, digest: &TokenDigest) -> Option<VerifiedToken> {
        self.cache.get(digest)
    }

    pub(crate) fn insert(&self, digest: TokenDigest, token: VerifiedToken) {
        self.cache.insert(digest, token);
    }

    pub(crate) fn remove(&self, digest: &TokenDigest) {
        self.cache.remove(digest);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.cache.len()
    }
}
