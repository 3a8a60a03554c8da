//! Cloud Monitoring: dashboards and alert policies, which are kept and checked, and neither drawn nor evaluated.
//!
//! - `dashboards`: <https://cloud.google.com/monitoring/api/ref_v3/rest/v1/projects.dashboards>.
//! - `policies`: <https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies>.

pub(crate) mod dashboards;
pub(crate) mod policies;

use serde_json::Value;

use crate::{
    api::{call::Call, error::ApiError, shelf::Shelf},
    google::Google,
};

/// What Cloud Monitoring keeps.
#[derive(Debug, Default)]
pub(crate) struct Monitoring {
    pub(crate) dashboards: Shelf,
    pub(crate) policies: Shelf,
}

/// Answers one call.
pub(crate) fn answer(google: &Google, call: &Call) -> Result<Value, ApiError> {
    let (_, segments, _) = call.route();
    match segments.as_slice() {
        ["v1", "projects", _, "dashboards", ..] => dashboards::answer(google, call),
        ["v3", "projects", _, "alertPolicies", ..] => policies::answer(google, call),
        _ => Err(call.unknown()),
    }
}

fn may(google: &Google, call: &Call, permission: &str) -> Result<(), ApiError> {
    google.iam.require(&call.principal, permission, &google.project.name())
}

/// That a query has something to ask.
fn check_promql(query: &Value) -> Result<(), ApiError> {
    match query.as_str() {
        Some(query) if !query.trim().is_empty() => Ok(()),
        _ => Err(ApiError::invalid_field("query", "The PromQL expression must not be empty.")),
    }
}
