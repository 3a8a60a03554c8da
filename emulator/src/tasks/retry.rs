//! When a failed task is tried again, and when it is given up.
//!
//! Source: `RetryConfig` in `google/cloud/tasks/v2/queue.proto`.

use std::time::Duration;

use jiff::Timestamp;

use super::resource::queue::RetryConfig;
use crate::clock::after;

impl RetryConfig {
    /// The time from the failure of the so many-th attempt to the next one: `minBackoff` at first, doubled
    /// `maxDoublings` times, then longer by as much each time, and never longer than `maxBackoff`.
    pub(super) fn backoff(&self, attempts: u32) -> Duration {
        let (min, max) = (self.min_backoff.0.as_nanos(), self.max_backoff.0.as_nanos());
        let doublings = u32::try_from(self.max_doublings).unwrap_or(0);
        let retry = attempts.max(1);
        let steps = u128::from(retry.saturating_sub(doublings).max(1));
        // Sixty-three doublings of a nanosecond are 292 years.
        let doubled = min.saturating_mul(1 << (retry - 1).min(doublings).min(63));
        let nanoseconds = doubled.saturating_mul(steps).min(max);
        Duration::from_nanos_u128(nanoseconds)
    }

    /// Whether no further attempt is made after so many. Attempts and time must both be spent, where they are limited.
    pub(super) fn gives_up(
        &self,
        attempts: u32,
        first_attempt: Option<Timestamp>,
        now: Timestamp,
    ) -> bool {
        // -1 has no such number: attempts are unlimited.
        let most_attempts = u32::try_from(self.max_attempts).ok();
        let longest = self.max_retry_duration.0;
        if most_attempts.is_none() && longest.is_zero() {
            return false;
        }
        let began = first_attempt.unwrap_or(now);
        most_attempts.is_none_or(|most| attempts >= most) && after(began, longest) <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::WireDuration;

    fn retry(min: u64, max: u64, doublings: i32) -> RetryConfig {
        RetryConfig {
            min_backoff: WireDuration::seconds(min),
            max_backoff: WireDuration::seconds(max),
            max_doublings: doublings,
            ..RetryConfig::default()
        }
    }

    fn seconds(retry: &RetryConfig, attempts: std::ops::RangeInclusive<u32>) -> Vec<u64> {
        attempts.map(|attempt| retry.backoff(attempt).as_secs()).collect()
    }

    #[test]
    fn intervals_are_those_of_the_documented_example() {
        let intervals = seconds(&retry(10, 300, 3), 1..=8);
        assert_eq!(intervals, [10, 20, 40, 80, 160, 240, 300, 300]);
    }

    #[test]
    fn without_doublings_the_growth_is_linear() {
        assert_eq!(seconds(&retry(10, 55, 0), 1..=7), [10, 20, 30, 40, 50, 55, 55]);
    }

    #[test]
    fn the_defaults_double_from_a_tenth_of_a_second_to_an_hour() {
        let retry = RetryConfig::default();
        let intervals = (1..=17).map(|attempt| retry.backoff(attempt).as_millis());
        let expected = (0..=16).map(|doubling| (100_u128 << doubling).min(3_600_000));
        assert!(intervals.eq(expected));
        assert_eq!(retry.backoff(u32::MAX), Duration::from_secs(3600));
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let longest = 315_576_000_000;
        assert_eq!(retry(1, longest, i32::MAX).backoff(u32::MAX), Duration::from_secs(longest));
        assert_eq!(retry(0, longest, i32::MAX).backoff(u32::MAX), Duration::ZERO);
        assert_eq!(retry(7, 7, 16).backoff(0), Duration::from_secs(7));
    }

    #[test]
    fn attempts_and_time_must_both_be_spent() {
        let at = |seconds: i64| Timestamp::from_second(1_770_000_000 + seconds).unwrap();
        // (maxAttempts, maxRetryDuration, attempts, seconds since the first, given up)
        for (most, longest, attempts, elapsed, given_up) in [
            (3, 0, 2, 9999, false),
            (3, 0, 3, 0, true),
            (3, 60, 3, 59, false),
            (3, 60, 2, 60, false),
            (3, 60, 3, 60, true),
            (3, 60, 9, 59, false),
            (-1, 60, 999, 59, false),
            (-1, 60, 1, 60, true),
            (-1, 0, 1_000_000, 1_000_000, false),
        ] {
            let retry = RetryConfig {
                max_attempts: most,
                max_retry_duration: WireDuration::seconds(longest),
                ..RetryConfig::default()
            };
            assert_eq!(
                retry.gives_up(attempts, Some(at(0)), at(elapsed)),
                given_up,
                "{most} {longest} {attempts} {elapsed}"
            );
        }
    }
}
