//! The token bucket that limits a queue's rate.

use jiff::Timestamp;

use crate::clock::after;

/// Less of a token than this does not count: it is what sums of fractions are off by.
const SLACK: f64 = 1e-6;

/// Holds tokens up to its size and is filled at a steady rate; each dispatch takes one.
///
/// `RateLimits.max_burst_size` in `google/cloud/tasks/v2/queue.proto` describes it.
#[derive(Debug)]
pub(super) struct TokenBucket {
    per_second: f64,
    size: f64,
    tokens: f64,
    /// When `tokens` was right.
    at: Timestamp,
}

impl TokenBucket {
    /// A full one.
    pub(super) fn full(per_second: f64, size: f64, now: Timestamp) -> TokenBucket {
        TokenBucket { per_second, size, tokens: size, at: now }
    }

    /// Changes rate and size; tokens that have no room are lost.
    pub(super) fn change(&mut self, per_second: f64, size: f64, now: Timestamp) {
        self.fill(now);
        self.per_second = per_second;
        self.size = size;
        self.tokens = self.tokens.min(size);
    }

    /// Takes a token, or says when there will be one.
    ///
    /// # Errors
    /// The time of the next token.
    pub(super) fn take(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.fill(now);
        if self.tokens >= 1.0 - SLACK {
            self.tokens = (self.tokens - 1.0).max(0.0);
            return Ok(());
        }
        let wait = (1.0 - self.tokens) / self.per_second;
        let wait = std::time::Duration::try_from_secs_f64(wait).unwrap_or(std::time::Duration::MAX);
        Err(after(now, wait))
    }

    fn fill(&mut self, now: Timestamp) {
        // A clock that was set back adds nothing, and nothing is owed for it.
        let elapsed = self.at.duration_until(now).as_secs_f64().max(0.0);
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.size);
        self.at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_770_000_000_000 + milliseconds).unwrap()
    }

    /// How many tokens can be had at once.
    fn drain(bucket: &mut TokenBucket, now: Timestamp) -> usize {
        std::iter::from_fn(|| bucket.take(now).ok()).count()
    }

    #[test]
    fn a_burst_is_the_size_and_then_the_rate_holds() {
        let mut bucket = TokenBucket::full(10.0, 4.0, at(0));
        assert_eq!(drain(&mut bucket, at(0)), 4);
        assert_eq!(bucket.take(at(0)), Err(at(100)));
        assert_eq!(drain(&mut bucket, at(99)), 0);
        assert_eq!(drain(&mut bucket, at(100)), 1);
        assert_eq!(drain(&mut bucket, at(350)), 2);
        assert_eq!(bucket.take(at(350)), Err(at(400)), "half a token is left over");
        assert_eq!(drain(&mut bucket, at(60_000)), 4, "and never more than the size");
    }

    #[test]
    fn the_rate_is_exact_over_a_minute_of_single_steps() {
        let mut bucket = TokenBucket::full(500.0, 1.0, at(0));
        let taken: usize = (0..=60_000).map(|step| drain(&mut bucket, at(step))).sum();
        assert!((30_000..=30_001).contains(&taken), "{taken}");
    }

    #[test]
    fn whoever_comes_back_when_told_gets_a_token() {
        for rate in [0.003, 0.3, 1.0, 7.0, 333.3, 499.9] {
            let mut bucket = TokenBucket::full(rate, 1.0, at(0));
            let mut now = at(0);
            for _ in 0..100 {
                bucket.take(now).unwrap();
                now = bucket.take(now).unwrap_err();
            }
            let took = at(0).duration_until(now).as_secs_f64();
            assert!((took * rate - 100.0).abs() < 0.01, "{rate}: {took}");
        }
    }

    #[test]
    fn a_change_keeps_what_has_room() {
        let mut bucket = TokenBucket::full(500.0, 100.0, at(0));
        bucket.change(1.0, 2.0, at(0));
        assert_eq!(drain(&mut bucket, at(0)), 2);
        bucket.change(500.0, 100.0, at(0));
        assert_eq!(drain(&mut bucket, at(0)), 0);
        assert_eq!(drain(&mut bucket, at(10)), 5);
    }

    #[test]
    fn a_clock_set_back_changes_nothing() {
        let mut bucket = TokenBucket::full(10.0, 1.0, at(1000));
        assert_eq!(drain(&mut bucket, at(1000)), 1);
        assert_eq!(bucket.take(at(0)), Err(at(100)));
    }
}
