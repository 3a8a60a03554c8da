//! An entry as it is kept.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    EntryId,
    entry::{Call, Entry},
    made::Made,
};
use crate::attempts::Order;

/// One entry.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(super) id: EntryId,
    pub(super) what: Arc<What>,
    pub(super) next_retry: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) enum What {
    Attempt(Made),
    Call { time: Timestamp, method: String, url: String, status: u16 },
}

impl Slot {
    /// Its id.
    pub(crate) fn id(&self) -> u64 {
        self.id.0
    }

    /// What was to be delivered, where it is an attempt.
    pub(crate) fn order(&self) -> Option<&Order> {
        match &*self.what {
            What::Attempt(made) => Some(&made.order),
            What::Call { .. } => None,
        }
    }

    /// As it is shown.
    pub(crate) fn shown(&self) -> Entry {
        match &*self.what {
            What::Attempt(made) => Entry::Attempt(Box::new(made.shown(self.id, self.next_retry))),
            What::Call { time, method, url, status } => Entry::Call(Call {
                id: self.id.0,
                time: *time,
                method: method.clone(),
                url: url.clone(),
                status: *status,
            }),
        }
    }

    /// How much of the bound on memory it takes.
    pub(super) fn bytes(&self) -> usize {
        match &*self.what {
            What::Attempt(made) => made.bytes(),
            What::Call { url, .. } => url.len(),
        }
    }
}
