//! Which attempt the code that runs belongs to, so that what it logs can be told from all the rest.

use std::sync::Arc;

use tokio::task::futures::TaskLocalFuture;

use super::Attempt;
use crate::{
    senders::Sender,
    telemetry::{handle::Telemetry, spans::OwnSpan},
};

tokio::task_local! {
    static CURRENT: Arc<Attempt>;
}

/// Runs a future within an attempt. What it spawns itself is outside.
pub(crate) fn within<F: Future>(
    attempt: Arc<Attempt>,
    future: F,
) -> TaskLocalFuture<Arc<Attempt>, F> {
    CURRENT.scope(attempt, future)
}

/// What a log line of an attempt carries, so that it stands beside the attempt's record.
pub(crate) struct Marks {
    /// In full, where the project is known.
    pub(crate) trace: Option<String>,
    pub(crate) span_id: Option<String>,
    pub(crate) is_sampled: Option<bool>,
    pub(crate) sender: Sender,
    /// Of the job table.
    pub(crate) job: Option<String>,
}

/// The marks of the attempt that runs here, if one does.
pub(crate) fn marks() -> Option<Marks> {
    CURRENT.try_with(|attempt| attempt.marks()).ok()?
}

/// The spans of the attempt that runs here, if they are kept whatever becomes of it.
pub(crate) fn kept() -> Option<(OwnSpan, Telemetry)> {
    CURRENT.try_with(|attempt| attempt.kept()).ok()?
}
