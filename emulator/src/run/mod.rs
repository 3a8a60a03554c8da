//! Stub.
pub(crate) mod api;

/// The services.
#[derive(Debug)]
pub(crate) struct Run {
    behind: Vec<(String, String)>,
}

impl Run {
    pub(crate) fn new(behind: Vec<(String, String)>) -> Run {
        Run { behind }
    }
}
