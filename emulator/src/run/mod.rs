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

impl Run {
    pub(crate) fn export(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}

pub(crate) async fn import(
    _google: &std::sync::Arc<crate::google::Google>,
    _state: serde_json::Value,
) -> Result<(), crate::api::error::ApiError> {
    Ok(())
}

impl Run {
    pub(crate) fn put_behind(&self, _service: &str, _url: &str) {
        let _ = &self.behind;
    }

    pub(crate) async fn close(&self) {}
}
