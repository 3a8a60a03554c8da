//! Stub.
pub(crate) mod api;

/// The topics.
#[derive(Debug, Default)]
pub(crate) struct PubSub {}
