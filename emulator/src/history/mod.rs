//! Every attempt of every sender, to look at and to make again.

use jiff::Timestamp;
use serde::Serialize;

/// Counts from 1 in each run of the emulator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct EntryId(pub(crate) u64);

/// One attempt.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Attempt {}

/// What happened, newest last; the oldest are forgotten.
#[derive(Debug, Default)]
pub(crate) struct History {}

impl History {
    /// Says when the sender will try again; `None` that it will not.
    pub(crate) fn will_retry(&self, _entry: EntryId, _at: Option<Timestamp>) {}

    /// Keeps a call of the control plane that was only passed through.
    pub(crate) fn called(&self, _method: &str, _url: &str, _status: u16) {}
}
