//! `google.cloud.tasks.v2.Task`.
//!
//! Source: `google/cloud/tasks/v2/{task,target}.proto`.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    api::wire::{HttpMethod, WireBytes, WireDuration, is_default, wire_enum},
    tokens::{OAuthToken, OidcToken},
};

wire_enum! {
    /// `Task.View`; unspecified is `BASIC`.
    View {
        Unspecified = 0 "VIEW_UNSPECIFIED",
        Basic = 1 "BASIC",
        Full = 2 "FULL",
    }
}

/// A task as callers send and see it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct Task {
    pub(in crate::tasks) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) http_request: Option<HttpRequest>,
    /// Refused: there is no App Engine here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) app_engine_http_request: Option<Value>,
    /// When it is due: at first, and after a failure again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) schedule_time: Option<Timestamp>,
    /// Output only, as are those below that have no other remark; whole seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) create_time: Option<Timestamp>,
    /// Not output only: how long the target has for its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) dispatch_deadline: Option<WireDuration>,
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::tasks) dispatch_count: u32,
    /// Attempts that had an answer, whatever its status.
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::tasks) response_count: u32,
    /// The time of its dispatch alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) first_attempt: Option<Attempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) last_attempt: Option<Attempt>,
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::tasks) view: View,
}

/// The request that a task makes.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct HttpRequest {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(in crate::tasks) url: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::tasks) http_method: HttpMethod,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(in crate::tasks) headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::tasks) body: WireBytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) oauth_token: Option<OAuthToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) oidc_token: Option<OidcToken>,
}

impl fmt::Debug for HttpRequest {
    /// Without the values of headers and without the body.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpRequest")
            .field("url", &self.url)
            .field("http_method", &self.http_method)
            .field("headers", &self.headers.keys())
            .field("body_bytes", &self.body.0.len())
            .finish_non_exhaustive()
    }
}

/// `google.cloud.tasks.v2.Attempt`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct Attempt {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) schedule_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) dispatch_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) response_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) response_status: Option<Status>,
}

/// `google.rpc.Status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::tasks) struct Status {
    pub(in crate::tasks) code: i32,
    pub(in crate::tasks) message: String,
}

/// What Cloud Tasks keeps of a time.
pub(in crate::tasks) fn microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_task_of_a_client_library_is_read_with_numbers_for_enums() {
        let task: Task = from_value(json!({
            "name": "n",
            "httpRequest": {"url": "http://a/", "httpMethod": 2, "headers": {"A": "b"}},
            "scheduleTime": "2026-03-29T01:00:00.5Z",
            "dispatchDeadline": "15s",
            "view": 0,
        }))
        .unwrap();
        assert_eq!(task.http_request.unwrap().http_method, HttpMethod::Get);
        assert_eq!(task.dispatch_deadline, Some(WireDuration::seconds(15)));
    }

    #[test]
    fn a_request_is_printed_without_its_secrets() {
        let request: HttpRequest = from_value(json!({
            "url": "http://a/", "headers": {"Authorization": "Bearer c2VjcmV0"}, "body": "c2VjcmV0",
        }))
        .unwrap();
        let printed = format!("{request:?}");
        assert!(
            printed.contains("Authorization") && printed.contains("body_bytes: 6"),
            "{printed}"
        );
        assert!(!printed.contains("secret") && !printed.contains("c2VjcmV0"), "{printed}");
    }
}
