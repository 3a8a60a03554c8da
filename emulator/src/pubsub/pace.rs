//! How fast one subscription pushes: the push back-off and the window of concurrent requests.
//!
//! Google says when either moves and within which bounds, and keeps the rest to itself
//! (<https://cloud.google.com/pubsub/docs/push#push_backoff>, `#quotas_and_limits` there for the window). What is
//! chosen here:
//! - **Back-off.** After a negative acknowledgement, an unanswered request among them, the whole subscription stops for
//!   100 ms, and for twice as long each further time, up to 60 s; an acknowledgement takes one doubling back. What fails
//!   while it stops was on its way before and is the same fault, so it does not count again. It is apart from the retry
//!   policy, which holds back one message: that message waits for both.
//! - **Window.** Four requests at once to begin with. An acknowledgement within a second lets one more be out, which
//!   doubles the window in each round; a failure halves it. Google goes to 3,000 and beyond; here it ends at what one
//!   machine's open files allow.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::after;

const SHORTEST_STOP: Duration = Duration::from_millis(100);
const LONGEST_STOP: Duration = Duration::from_secs(60);
const FIRST_WINDOW: usize = 4;
const WIDEST_WINDOW: usize = 200;
/// A slower answer does not widen the window.
const SLOW: Duration = Duration::from_secs(1);

/// The pace of one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// So many requests may be out at once.
    window: usize,
    /// Failures that no acknowledgement has made up for.
    failures: u32,
    stopped_until: Timestamp,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { window: FIRST_WINDOW, failures: 0, stopped_until: Timestamp::MIN }
    }
}

impl Pace {
    /// Whether one more request may go while `out` are on their way.
    pub(super) fn has_room(&self, out: usize) -> bool {
        out < self.window
    }

    /// Until when nothing is pushed.
    pub(super) fn stopped_until(&self) -> Timestamp {
        self.stopped_until
    }

    /// A message was acknowledged after so long.
    pub(super) fn acknowledged(&mut self, took: Duration) {
        self.failures = self.failures.saturating_sub(1);
        if took < SLOW {
            self.window = (self.window + 1).min(WIDEST_WINDOW);
        }
    }

    /// A message was not acknowledged.
    pub(super) fn failed(&mut self, now: Timestamp) {
        if now < self.stopped_until {
            return;
        }
        self.window = (self.window / 2).max(1);
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.saturating_sub(1).min(31);
        let stop = SHORTEST_STOP.saturating_mul(1 << doublings).min(LONGEST_STOP);
        self.stopped_until = after(now, stop);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(5);

    /// How long each of so many failures, one after the other, stops the subscription, in milliseconds.
    fn stops(pace: &mut Pace, now: &mut Timestamp, failures: usize) -> Vec<i128> {
        let stop = |_| {
            pace.failed(*now);
            let stop = now.duration_until(pace.stopped_until()).as_millis();
            *now = pace.stopped_until();
            stop
        };
        (0..failures).map(stop).collect()
    }

    #[test]
    fn each_failure_doubles_the_stop_up_to_a_minute() {
        let mut pace = Pace::default();
        let mut now = Timestamp::UNIX_EPOCH;
        assert_eq!(
            stops(&mut pace, &mut now, 12),
            [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]
        );
        for _ in 0..50 {
            pace.failed(now);
            now = pace.stopped_until();
        }
        assert_eq!(stops(&mut pace, &mut now, 1), [60_000], "no overflow");
    }

    #[test]
    fn an_acknowledgement_takes_one_doubling_back() {
        let mut pace = Pace::default();
        let mut now = Timestamp::UNIX_EPOCH;
        assert_eq!(stops(&mut pace, &mut now, 3), [100, 200, 400]);
        pace.acknowledged(FAST);
        assert_eq!(stops(&mut pace, &mut now, 1), [400]);
        for _ in 0..9 {
            pace.acknowledged(FAST);
        }
        assert_eq!(stops(&mut pace, &mut now, 1), [100]);
    }

    #[test]
    fn failures_of_one_burst_count_once() {
        let now = Timestamp::UNIX_EPOCH;
        let mut once = Pace::default();
        once.failed(now);
        let mut burst = Pace::default();
        for _ in 0..4 {
            burst.failed(now);
        }
        assert_eq!(burst, once);
    }

    #[test]
    fn the_window_doubles_with_each_round_and_halves_with_a_failure() {
        let mut pace = Pace::default();
        let mut sizes = Vec::new();
        for _ in 0..7 {
            let size = (0..).take_while(|out| pace.has_room(*out)).count();
            sizes.push(size);
            for _ in 0..size {
                pace.acknowledged(FAST);
            }
        }
        assert_eq!(sizes, [4, 8, 16, 32, 64, 128, 200]);
        pace.failed(Timestamp::UNIX_EPOCH);
        assert!(pace.has_room(99) && !pace.has_room(100));
        pace.acknowledged(SLOW);
        assert!(!pace.has_room(100), "a slow answer does not widen it");
    }

    #[test]
    fn one_request_always_may_go() {
        let mut pace = Pace::default();
        let mut now = Timestamp::UNIX_EPOCH;
        stops(&mut pace, &mut now, 9);
        assert!(pace.has_room(0) && !pace.has_room(1));
    }
}
