//! Stub.
pub(crate) mod api;

/// The topics.
#[derive(Debug, Default)]
pub(crate) struct PubSub {}

impl PubSub {
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
