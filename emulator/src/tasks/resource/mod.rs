//! Cloud Tasks' resources as they are on the wire.

pub(super) mod http_target;
pub(super) mod queue;
pub(super) mod task;
