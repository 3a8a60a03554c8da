//! One run of a job that is not over.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::retry::RetryConfig;
use crate::clock::after;

/// A run, be it by the schedule or by hand, with as many attempts as it takes. It can be saved and gone on with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Invocation {
    /// When it was due, or called for: the same in all its attempts.
    pub(super) schedule_time: Timestamp,
    /// Whether it was called for, rather than due.
    pub(super) by_hand: bool,
    /// When its first attempt began.
    began: Timestamp,
    /// So many attempts were begun.
    pub(super) attempts: u32,
    /// When the next attempt is due; `None` while one is under way.
    pub(super) next_attempt: Option<Timestamp>,
}

impl Invocation {
    /// One whose first attempt is due `now`.
    pub(super) fn new(schedule_time: Timestamp, by_hand: bool, now: Timestamp) -> Invocation {
        Invocation { schedule_time, by_hand, began: now, attempts: 0, next_attempt: Some(now) }
    }

    /// Begins an attempt.
    pub(super) fn attempt(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
        self.next_attempt = None;
    }

    /// When an attempt that failed `now` is followed by another; `None` if it is not.
    pub(super) fn retry(&mut self, config: &RetryConfig, now: Timestamp) -> Option<Timestamp> {
        let elapsed = now.duration_since(self.began).unsigned_abs();
        let delay = config.delay(self.attempts, elapsed);
        self.next_attempt = delay.map(|delay| after(now, delay));
        self.next_attempt
    }
}
