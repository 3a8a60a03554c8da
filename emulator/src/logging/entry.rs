//! An entry as it is written and shown.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::severity::Severity;
use crate::api::wire::is_default;

/// What `google.logging.v2.LogEntry` has of what can be written; `receiveTimestamp` is the emulator's own to set.
///
/// Source: <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry>.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct LogEntry {
    /// `projects/PROJECT/logs/ID`, the id percent-encoded.
    pub(super) log_name: String,
    pub(super) resource: Resource,
    /// The time that the entry tells of; it came at [`receive_timestamp`](LogEntry::receive_timestamp).
    pub(super) timestamp: Option<Timestamp>,
    pub(super) receive_timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) severity: Severity,
    /// Tells entries of the same time apart, and puts them in order.
    pub(super) insert_id: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) trace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) span_id: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(super) trace_sampled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) http_request: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operation: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_location: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text_payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) json_payload: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proto_payload: Option<Map<String, Value>>,
}

/// What an entry comes from: `google.api.MonitoredResource`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Resource {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
}

/// Without payload and labels: they are a program's own.
impl std::fmt::Debug for LogEntry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LogEntry")
            .field("log_name", &self.log_name)
            .field("insert_id", &self.insert_id)
            .field("timestamp", &self.timestamp)
            .field("severity", &self.severity)
            .finish_non_exhaustive()
    }
}
