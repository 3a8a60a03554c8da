//! Deliveries that wait until another of their sender has gone ahead.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::sync::{Notify, futures::Notified};

use crate::senders::Sender;

/// How long one is held back at most: the next may never come, as in a queue that dispatches one at a time.
const AT_MOST: Duration = Duration::from_secs(3);

/// One lane a sender.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    scheduler: Lane,
    tasks: Lane,
    pubsub: Lane,
    eventarc: Lane,
}

impl Lanes {
    pub(super) fn of(&self, sender: Sender) -> &Lane {
        match sender {
            Sender::Scheduler => &self.scheduler,
            Sender::Tasks => &self.tasks,
            Sender::PubSub => &self.pubsub,
            Sender::Eventarc => &self.eventarc,
        }
    }
}

/// Where one delivery of a sender may be held back at a time.
#[derive(Debug, Default)]
pub(super) struct Lane {
    is_taken: AtomicBool,
    passed: Notify,
}

impl Lane {
    /// Whether nobody else is held back; from now on the taker is, until its [`HeldBack`] ends.
    pub(super) fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::AcqRel)
    }

    /// Lets the one that is held back go.
    pub(super) fn pass(&self) {
        self.passed.notify_waiters();
    }

    pub(super) fn hold_back(&self) -> HeldBack<'_> {
        HeldBack { passed: self.passed.notified(), _taken: Taken(&self.is_taken) }
    }
}

/// A delivery that is held back. It counts those that pass from when this was made.
pub(crate) struct HeldBack<'a> {
    passed: Notified<'a>,
    _taken: Taken<'a>,
}

impl HeldBack<'_> {
    /// Ends when another has passed, or after a while.
    pub(crate) async fn wait(self) {
        // Either way it goes on.
        let _ = tokio::time::timeout(AT_MOST, self.passed).await;
    }
}

/// Frees the lane, however the wait ends.
struct Taken<'a>(&'a AtomicBool);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
