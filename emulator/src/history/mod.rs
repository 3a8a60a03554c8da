//! Every attempt of every sender, to look at and to make again.

mod entry;
mod made;
mod redaction;
mod slot;

pub use entry::{Answer, Attempt, Call, Entry, Request, SHOWN_BYTES};
pub(crate) use made::{Made, Start, answer};
pub(crate) use redaction::token as redacted;
pub(crate) use slot::Slot;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use self::slot::What;
use crate::{
    api::error::{ApiError, Code},
    attempts::Order,
};

/// How many entries are kept.
const KEPT_ENTRIES: usize = 10_000;

/// How much memory they take together at most, beside themselves.
const KEPT_BYTES: usize = 64 << 20;

/// How many changes a follower may be behind before it reads them from the history again.
const FOLLOWERS_LAG: usize = 1024;

/// Counts from 1 in each run of the emulator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct EntryId(pub(crate) u64);

/// What happened, newest last; the oldest are forgotten.
#[derive(Debug)]
pub(crate) struct History {
    kept: Mutex<Kept>,
    changes: broadcast::Sender<Change>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Their ids have no gaps.
    slots: VecDeque<Slot>,
    last: u64,
    bytes: usize,
}

/// What a follower hears of.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    New(Slot),
    NextRetry(NextRetry),
}

/// When the sender of an attempt tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextRetry {
    /// The attempt's entry.
    pub id: u64,
    /// When; not again where there is no time.
    pub next_retry: Option<Timestamp>,
}

impl Default for History {
    fn default() -> History {
        History { kept: Mutex::default(), changes: broadcast::Sender::new(FOLLOWERS_LAG) }
    }
}

impl History {
    /// Keeps an attempt.
    pub(crate) fn made(&self, made: Made) -> EntryId {
        self.push(What::Attempt(made))
    }

    /// Keeps a call of the control plane that was only passed through.
    pub(crate) fn called(&self, time: Timestamp, method: &str, url: &str, status: u16) {
        let (method, url) = (method.to_owned(), url.to_owned());
        self.push(What::Call { time, method, url, status });
    }

    /// Says when the sender will try again; `None` that it will not.
    pub(crate) fn will_retry(&self, entry: EntryId, at: Option<Timestamp>) {
        let mut kept = self.kept();
        let Some(slot) = kept.slot(entry) else { return };
        if slot.next_retry != at {
            slot.next_retry = at;
            // An error says that nobody follows.
            let _ = self.changes.send(Change::NextRetry(NextRetry { id: entry.0, next_retry: at }));
        }
    }

    /// What came after the entry of that id, oldest first.
    pub(crate) fn since(&self, id: u64) -> Vec<Slot> {
        let kept = self.kept();
        kept.slots.iter().skip_while(|slot| slot.id.0 <= id).cloned().collect()
    }

    /// One entry.
    pub(crate) fn entry(&self, id: EntryId) -> Option<Entry> {
        self.kept().slot(id).map(|slot| slot.shown())
    }

    /// The same before it is rendered.
    pub(crate) fn slot(&self, id: u64) -> Option<Slot> {
        self.kept().slot(EntryId(id)).cloned()
    }

    /// The changes from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// The same and what is there now after the entry of that id, without a gap.
    pub(crate) fn follow(&self, since: Option<u64>) -> (Vec<Slot>, broadcast::Receiver<Change>) {
        let kept = self.kept();
        let slots = match since {
            Some(id) => kept.slots.iter().skip_while(|slot| slot.id.0 <= id).cloned().collect(),
            None => Vec::new(),
        };
        // While the lock is held, so that nothing comes in between.
        (slots, self.changes())
    }

    /// What an attempt was to deliver.
    ///
    /// # Errors
    /// 404 if there is no such entry (any more), 400 if it is no attempt.
    pub(crate) fn order(&self, id: EntryId) -> Result<Arc<Order>, ApiError> {
        let mut kept = self.kept();
        let slot = kept.slot(id);
        let slot = slot.ok_or_else(|| ApiError::not_found(format!("History entry {}", id.0)))?;
        match &*slot.what {
            What::Attempt(made) => Ok(Arc::clone(&made.order)),
            What::Call { .. } => Err(ApiError::new(
                Code::FailedPrecondition,
                format!(
                    "Entry {} is a call of the control plane; only attempts can be replayed.",
                    id.0
                ),
            )),
        }
    }

    fn push(&self, what: What) -> EntryId {
        let mut kept = self.kept();
        kept.last += 1;
        let id = EntryId(kept.last);
        let slot = Slot { id, what: Arc::new(what), next_retry: None };
        // An error says that nobody follows.
        let _ = self.changes.send(Change::New(slot.clone()));
        kept.bytes += slot.bytes();
        kept.slots.push_back(slot);
        while kept.slots.len() > KEPT_ENTRIES || (kept.bytes > KEPT_BYTES && kept.slots.len() > 1) {
            let forgotten = kept.slots.pop_front().map_or(0, |slot| slot.bytes());
            kept.bytes -= forgotten;
        }
        id
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn slot(&mut self, id: EntryId) -> Option<&mut Slot> {
        let first = self.slots.front()?.id.0;
        let at = usize::try_from(id.0.checked_sub(first)?).ok()?;
        self.slots.get_mut(at)
    }
}

#[cfg(test)]
mod tests;
