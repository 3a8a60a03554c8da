//! How a queue slows down when its target has enough: Cloud Tasks' "system throttling".
//!
//! `google/cloud/tasks/v2/target.proto` (`HttpRequest`) says: 429, 503 or a high rate of errors make Cloud Tasks use
//! a higher back-off than the settings', for the whole queue; `Retry-After` is considered; the settings themselves do
//! not change. It gives no figures. These are ours:
//! - 429 and 503 halve the queue's share of its rate and burst, down to 1/64; at most once a second, so that the
//!   answers to one burst count once. So does a high error rate: half or more of the last 20 attempts failed.
//! - Every success gives a tenth of the share back, until it is whole.
//! - With `Retry-After` on a 429 or 503 the whole queue rests that long, but no longer than its `maxBackoff`; the task
//!   itself is not tried earlier either.
//!
//! Not imitated: that dispatches ramp up slowly in a new or idle queue.

use std::time::Duration;

use jiff::Timestamp;

use crate::{attempts::End, clock::after};

/// The smallest share of its rate that a queue is slowed down to.
const LEAST_SHARE: f64 = 1.0 / 64.0;
/// What a success multiplies the share by.
const RECOVERY: f64 = 1.1;
/// Slowed down at most once in this time.
const STEP: Duration = Duration::from_secs(1);
/// So many attempts are remembered, one bit each.
const REMEMBERED: u32 = 20;
/// So many failures among them are a high error rate.
const MANY_FAILURES: u32 = 10;

/// What a queue has seen of its target.
#[derive(Debug)]
pub(super) struct Congestion {
    /// The part of the queue's rate that is used, 0 to 1.
    share: f64,
    slowed_at: Option<Timestamp>,
    rests_until: Option<Timestamp>,
    /// The last attempts, the latest in the lowest bit, 1 for a failure.
    failures: u32,
}

impl Default for Congestion {
    fn default() -> Congestion {
        Congestion { share: 1.0, slowed_at: None, rests_until: None, failures: 0 }
    }
}

impl Congestion {
    /// The part of the queue's rate that may be used, 0 to 1.
    pub(super) fn share(&self) -> f64 {
        self.share
    }

    /// When the queue may dispatch again, if it rests.
    pub(super) fn rests_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.rests_until.filter(|until| *until > now)
    }

    /// Takes an attempt's end into account.
    pub(super) fn ended(&mut self, end: &End, max_backoff: Duration, now: Timestamp) {
        let remembered = (1 << REMEMBERED) - 1;
        self.failures = (self.failures << 1 | u32::from(!end.acknowledged)) & remembered;
        if end.acknowledged {
            self.share = (self.share * RECOVERY).min(1.0);
            return;
        }
        if overloaded(end) || self.failures.count_ones() >= MANY_FAILURES {
            self.slow_down(now);
        }
        if let Some(rest) = retry_after(end, max_backoff) {
            self.rests_until = self.rests_until.max(Some(after(now, rest)));
        }
    }

    fn slow_down(&mut self, now: Timestamp) {
        if self.slowed_at.is_none_or(|slowed| after(slowed, STEP) <= now) {
            self.share = (self.share / 2.0).max(LEAST_SHARE);
            self.slowed_at = Some(now);
        }
    }
}

/// How long the target asked to be left alone, as far as that is considered.
pub(super) fn retry_after(end: &End, max_backoff: Duration) -> Option<Duration> {
    end.retry_after.filter(|_| overloaded(end)).map(|asked| asked.min(max_backoff))
}

fn overloaded(end: &End) -> bool {
    matches!(end.status, Some(429 | 503))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::history::EntryId;

    const HOUR: Duration = Duration::from_secs(3600);

    pub(in crate::tasks) fn answered(status: u16) -> End {
        End {
            status: Some(status),
            timed_out: false,
            acknowledged: (200..300).contains(&status),
            retry_after: None,
            took: Duration::ZERO,
            entry: EntryId::default(),
        }
    }

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_770_000_000_000 + milliseconds).unwrap()
    }

    #[test]
    fn a_429_or_503_halves_the_share_once_a_second() {
        for status in [429, 503] {
            let mut congestion = Congestion::default();
            for (time, share) in [(0, 0.5), (0, 0.5), (999, 0.5), (1000, 0.25), (2500, 0.125)] {
                congestion.ended(&answered(status), HOUR, at(time));
                assert!((congestion.share() - share).abs() < 1e-9, "{status} at {time}");
            }
        }
    }

    #[test]
    fn the_share_has_a_floor_and_successes_give_it_back() {
        let mut congestion = Congestion::default();
        for second in 0..100 {
            congestion.ended(&answered(503), HOUR, at(second * 1000));
        }
        assert!((congestion.share() - LEAST_SHARE).abs() < 1e-9);
        for _ in 0..43 {
            congestion.ended(&answered(200), HOUR, at(100_000));
        }
        assert!(congestion.share() < 1.0);
        congestion.ended(&answered(204), HOUR, at(100_000));
        assert!((congestion.share() - 1.0).abs() < 1e-9, "{}", congestion.share());
    }

    #[test]
    fn other_failures_slow_down_only_when_they_are_many() {
        let mut congestion = Congestion::default();
        for _ in 0..9 {
            congestion.ended(&answered(500), HOUR, at(0));
            congestion.ended(&answered(200), HOUR, at(0));
        }
        congestion.ended(&answered(200), HOUR, at(0));
        assert!((congestion.share() - 1.0).abs() < 1e-9, "nine in twenty are not many");
        congestion.ended(&answered(500), HOUR, at(0));
        assert!((congestion.share() - 0.5).abs() < 1e-9, "ten are");
    }

    #[test]
    fn retry_after_lets_the_queue_rest_and_the_longest_counts() {
        let mut congestion = Congestion::default();
        let end =
            |seconds| End { retry_after: Some(Duration::from_secs(seconds)), ..answered(503) };
        congestion.ended(&end(30), HOUR, at(0));
        congestion.ended(&end(5), HOUR, at(0));
        assert_eq!(congestion.rests_until(at(29_999)), Some(at(30_000)));
        assert_eq!(congestion.rests_until(at(30_000)), None);
        congestion.ended(&end(86_400), HOUR, at(40_000));
        assert_eq!(congestion.rests_until(at(40_000)), Some(at(3_640_000)), "maxBackoff at most");
    }

    #[test]
    fn retry_after_of_another_status_is_not_considered() {
        let end = End { retry_after: Some(HOUR), ..answered(500) };
        assert_eq!(retry_after(&end, HOUR), None);
        let mut congestion = Congestion::default();
        congestion.ended(&end, HOUR, at(0));
        assert_eq!(congestion.rests_until(at(0)), None);
    }
}
