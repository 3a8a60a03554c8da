//! The numbers, with their defaults.

use std::time::Duration;

/// How long keys count, how long anyone waits, and how much is kept. The defaults suit Cloud Run
/// and Google's key servers; tests and emulators change single fields:
///
/// ```
/// use std::time::Duration;
/// let limits = oidc::Limits { join_wait: Duration::from_millis(200), ..Default::default() };
/// # assert_eq!(limits.body_cap_bytes, 256 * 1024);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Keys count for at least this long, whatever the server says. 60 s.
    pub key_lifetime_floor: Duration,
    /// Keys count for at most this long, whatever the server says. 24 h.
    pub key_lifetime_ceiling: Duration,
    /// How long keys count if the server does not say. 10 min.
    pub key_lifetime_default: Duration,
    /// After a fetch for a `kid` that the set lacks, no such fetch for this long. 30 s.
    pub unknown_key_cooldown: Duration,
    /// Keys serve for this long past their lifetime if no new ones can be had. 6 h.
    pub stale_for: Duration,
    /// A request that needs keys waits at most this long for the fetch. 2 s.
    pub join_wait: Duration,
    /// Limit on connecting to the key server. 2 s.
    pub connect_timeout: Duration,
    /// Limit on a whole key fetch. 5 s.
    pub fetch_timeout: Duration,
    /// Limit on the body of a key fetch, in bytes. 256 KiB.
    pub body_cap_bytes: usize,
    /// The pause after a failed fetch; it doubles with each further failure. 1 s.
    pub backoff_first: Duration,
    /// The longest pause after a failed fetch. 30 s.
    pub backoff_ceiling: Duration,
    /// How many verified tokens are remembered; 0 remembers none. 10,000.
    pub verified_tokens: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            key_lifetime_floor: Duration::from_secs(60),
            key_lifetime_ceiling: Duration::from_secs(24 * 60 * 60),
            key_lifetime_default: Duration::from_secs(10 * 60),
            unknown_key_cooldown: Duration::from_secs(30),
            stale_for: Duration::from_secs(6 * 60 * 60),
            join_wait: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            fetch_timeout: Duration::from_secs(5),
            body_cap_bytes: 256 * 1024,
            backoff_first: Duration::from_secs(1),
            backoff_ceiling: Duration::from_secs(30),
            verified_tokens: 10_000,
        }
    }
}

impl Limits {
    /// The lifetime that a key set gets: what the server said, within floor and ceiling.
    pub(crate) fn key_lifetime(&self, said: Option<Duration>) -> Duration {
        // Not `clamp`, which panics if someone sets the floor above the ceiling.
        said.unwrap_or(self.key_lifetime_default)
            .min(self.key_lifetime_ceiling)
            .max(self.key_lifetime_floor)
    }

    /// The pause after this many failures in a row.
    pub(crate) fn backoff(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.backoff_first.saturating_mul(1 << doublings).min(self.backoff_ceiling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_lifetime_stays_within_floor_and_ceiling() {
        let limits = Limits::default();
        for (said_secs, expected_secs) in [
            (None, 600),
            (Some(0), 60),
            (Some(61), 61),
            (Some(21_155), 21_155),
            (Some(u64::MAX), 86_400),
        ] {
            let lifetime = limits.key_lifetime(said_secs.map(Duration::from_secs));
            assert_eq!(lifetime.as_secs(), expected_secs, "{said_secs:?}");
        }
    }

    #[test]
    fn the_backoff_doubles_up_to_its_ceiling() {
        let limits = Limits::default();
        let pauses: Vec<_> = (1..=7).map(|n| limits.backoff(n).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(limits.backoff(u32::MAX).as_secs(), 30);
    }
}
