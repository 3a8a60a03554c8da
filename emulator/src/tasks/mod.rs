//! Stub.
pub(crate) mod api;

/// The queues.
#[derive(Debug, Default)]
pub(crate) struct Tasks {}
