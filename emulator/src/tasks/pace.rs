//! When a queue may dispatch: its rate, its burst, its concurrency, and how its target fares.

use std::time::Duration;

use jiff::Timestamp;

use super::{congestion::Congestion, resource::queue::RateLimits, token_bucket::TokenBucket};
use crate::attempts::End;

/// Why a queue has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until that time.
    Until(Timestamp),
    /// Until an attempt ends: as many run as may.
    ForAnEnd,
}

/// The limits of one queue and what they have left.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    burst: f64,
    concurrent: u32,
    in_flight: u32,
    bucket: TokenBucket,
    congestion: Congestion,
}

impl Pace {
    /// Of a queue that has not dispatched yet.
    pub(super) fn new(limits: &RateLimits, now: Timestamp) -> Pace {
        let (per_second, burst) = (limits.max_dispatches_per_second, limits.burst());
        Pace {
            per_second,
            burst,
            concurrent: limits.concurrent(),
            in_flight: 0,
            bucket: TokenBucket::full(per_second, burst, now),
            congestion: Congestion::default(),
        }
    }

    /// Goes by other limits from now on.
    pub(super) fn change(&mut self, limits: &RateLimits, now: Timestamp) {
        self.per_second = limits.max_dispatches_per_second;
        self.burst = limits.burst();
        self.concurrent = limits.concurrent();
        self.adjust(now);
    }

    /// Starts an attempt if one may start.
    ///
    /// # Errors
    /// What to wait for.
    pub(super) fn start(&mut self, now: Timestamp) -> Result<(), Wait> {
        if self.in_flight >= self.concurrent {
            return Err(Wait::ForAnEnd);
        }
        if let Some(until) = self.congestion.rests_until(now) {
            return Err(Wait::Until(until));
        }
        self.bucket.take(now).map_err(Wait::Until)?;
        self.in_flight += 1;
        Ok(())
    }

    /// Starts an attempt that is forced: it takes no token and waits for nothing.
    pub(super) fn start_anyway(&mut self) {
        self.in_flight += 1;
    }

    /// An attempt ended.
    pub(super) fn ended(&mut self, end: &End, max_backoff: Duration, now: Timestamp) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let before = self.congestion.share();
        self.congestion.ended(end, max_backoff, now);
        if self.congestion.share().total_cmp(&before).is_ne() {
            self.adjust(now);
        }
    }

    fn adjust(&mut self, now: Timestamp) {
        let share = self.congestion.share();
        // Less than one token would stop the queue.
        self.bucket.change(self.per_second * share, (self.burst * share).max(1.0), now);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::congestion::tests::answered, *};

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_770_000_000_000 + milliseconds).unwrap()
    }

    fn limits(per_second: f64, burst: i32, concurrent: i32) -> RateLimits {
        RateLimits {
            max_dispatches_per_second: per_second,
            max_burst_size: burst,
            max_concurrent_dispatches: concurrent,
        }
    }

    #[test]
    fn only_so_many_attempts_run_at_once() {
        let mut pace = Pace::new(&limits(500.0, 100, 2), at(0));
        assert_eq!(pace.start(at(0)), Ok(()));
        pace.start_anyway();
        assert_eq!(pace.start(at(0)), Err(Wait::ForAnEnd), "a forced one counts, too");
        pace.ended(&answered(200), HOUR, at(0));
        assert_eq!(pace.start(at(0)), Ok(()));
    }

    #[test]
    fn a_503_slows_the_rate_and_the_burst_and_a_change_of_settings_does_not_mend_it() {
        let mut pace = Pace::new(&limits(10.0, 10, 100), at(0));
        assert_eq!(pace.start(at(0)), Ok(()));
        pace.ended(&answered(503), HOUR, at(0));
        let started = (0..20).filter(|_| pace.start(at(0)).is_ok()).count();
        assert_eq!(started, 5);
        assert_eq!(pace.start(at(0)), Err(Wait::Until(at(200))));
        pace.change(&limits(20.0, 10, 100), at(0));
        assert_eq!(pace.start(at(0)), Err(Wait::Until(at(100))));
    }

    #[test]
    fn a_resting_queue_starts_nothing_unless_it_is_forced() {
        let mut pace = Pace::new(&limits(10.0, 10, 100), at(0));
        let end = End { retry_after: Some(Duration::from_secs(7)), ..answered(429) };
        pace.ended(&end, HOUR, at(0));
        assert_eq!(pace.start(at(0)), Err(Wait::Until(at(7000))));
        pace.start_anyway();
        assert_eq!(pace.start(at(7000)), Ok(()));
    }

    #[test]
    fn a_slow_queue_still_moves() {
        let mut pace = Pace::new(&limits(1.0, 10, 100), at(0));
        for second in 0..10 {
            pace.ended(&answered(503), HOUR, at(second * 1000));
        }
        assert_eq!(pace.start(at(9000)), Ok(()));
        assert_eq!(pace.start(at(9000)), Err(Wait::Until(at(73_000))), "64 s at 1/64 a second");
    }
}
