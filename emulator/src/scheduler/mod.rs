//! Stub.
pub(crate) mod api;

/// The jobs.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {}
