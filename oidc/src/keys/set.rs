//! The keys of one fetch, and how fresh they are.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::Key;
use crate::limits::Limits;

/// The keys of one fetch. Never empty.
pub(super) struct KeySet {
    keys: Vec<Arc<Key>>,
    fetched_at: Instant,
    lifetime: Duration,
}

/// How fresh a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// To be used as it is.
    Fresh,
    /// In the last fifth of its lifetime: to be used, and refreshed on the side.
    Ageing,
    /// Past its lifetime: to be refreshed first, and used if that fails.
    Stale,
    /// Missing, or too old to be used at all.
    Over,
}

impl KeySet {
    pub(super) fn new(keys: Vec<Arc<Key>>, fetched_at: Instant, lifetime: Duration) -> KeySet {
        KeySet { keys, fetched_at, lifetime }
    }

    pub(super) fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }

    /// A linear search: issuers have two or three keys.
    pub(super) fn find(&self, kid: &str) -> Option<Arc<Key>> {
        self.keys.iter().find(|key| key.id() == kid).map(Arc::clone)
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.fetched_at)
    }

    pub(super) fn phase(&self, now: Instant, limits: &Limits) -> Phase {
        match self.age(now) {
            age if age < self.lifetime / 5 * 4 => Phase::Fresh,
            age if age < self.lifetime => Phase::Ageing,
            age if age < self.lifetime.saturating_add(limits.stale_for) => Phase::Stale,
            _ => Phase::Over,
        }
    }
}
