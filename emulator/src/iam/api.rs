//! Stub.
use std::sync::Arc;

use serde_json::Value;

use crate::{
    api::{call::Call, error::ApiError},
    google::Google,
};

/// Answers one call.
pub(crate) async fn answer(_google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    Err(call.unknown())
}

impl crate::iam::Iam {
    pub(crate) fn export(&self) -> Value {
        serde_json::json!({})
    }

    pub(crate) fn import(&self, _state: Value) -> Result<(), ApiError> {
        Ok(())
    }
}
