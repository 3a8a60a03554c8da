//! Stub.
pub(crate) mod api;

/// The jobs.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {}

impl Scheduler {
    pub(crate) fn export(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}

pub(crate) fn import(
    _google: &std::sync::Arc<crate::google::Google>,
    _state: serde_json::Value,
) -> Result<(), crate::api::error::ApiError> {
    Ok(())
}
