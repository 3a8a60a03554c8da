//! A queue at work, shared by callers, its dispatcher and its attempts.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{resource::queue::Queue, work::Work};

/// One queue. The dispatcher is woken by whoever changes what it goes by.
pub(super) struct LiveQueue {
    /// Its full name.
    pub(super) name: Arc<str>,
    work: Mutex<Work>,
    changed: Notify,
}

impl fmt::Debug for LiveQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("LiveQueue").field(&self.name).finish()
    }
}

impl LiveQueue {
    /// A queue without tasks; nothing dispatches them yet.
    pub(super) fn new(settings: Queue, now: Timestamp) -> LiveQueue {
        LiveQueue {
            name: settings.name.as_str().into(),
            work: Mutex::new(Work::new(settings, now)),
            changed: Notify::new(),
        }
    }

    /// What it works on, for one short look.
    pub(super) fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one short change, and wakes the dispatcher for it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Work) -> T) -> T {
        let changed = change(&mut self.work());
        self.changed.notify_one();
        changed
    }

    /// Waits for the next change; one since the last call counts.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
