//! Faults by name, for the next deliveries or until cleared.

/// The faults that are set.
#[derive(Debug, Default)]
pub(crate) struct Faults {}
