//! `entries:write`: entries of a caller's own, as `gcloud logging write` makes them.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use super::in_project;
use crate::{
    api::error::ApiError,
    google::Google,
    logging::entry::{LogEntry, Resource},
};

/// The longest id of a log, in characters.
///
/// Source: `logName` of <https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry>.
const LONGEST_ID: usize = 511;

/// Entries, and what those have that do not say it themselves.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Request {
    log_name: String,
    resource: Resource,
    labels: BTreeMap<String, String>,
    entries: Vec<LogEntry>,
    dry_run: bool,
    /// Taken and not looked at: entries are written together or not at all.
    #[serde(rename = "partialSuccess")]
    _partial_success: bool,
}

pub(super) fn answer(google: &Google, mut request: Request) -> Result<Value, ApiError> {
    for (at, entry) in request.entries.iter_mut().enumerate() {
        if entry.log_name.is_empty() {
            entry.log_name.clone_from(&request.log_name);
        }
        if entry.resource.kind.is_empty() {
            entry.resource.clone_from(&request.resource);
        }
        for (name, value) in &request.labels {
            entry.labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        complete(google, entry, &format!("entries[{at}]"))?;
    }
    if !request.dry_run {
        request.entries.into_iter().for_each(|entry| google.logging.keep(entry));
    }
    Ok(json!({}))
}

/// Checks an entry, and adds what Google adds to its resource: the project.
fn complete(google: &Google, entry: &mut LogEntry, field: &str) -> Result<(), ApiError> {
    let name = &entry.log_name;
    let rest = in_project(google, &format!("{field}.log_name"), name)?;
    let id = rest.strip_prefix("logs/").filter(|id| is_log_id(id)).ok_or_else(|| {
        ApiError::invalid_field(
            &format!("{field}.log_name"),
            format!("{name:?} is not valid; expected projects/PROJECT/logs/ID, the ID percent-encoded and of at most {LONGEST_ID} letters, digits, slashes, underscores, hyphens and periods."),
        )
    })?;
    entry.log_name = format!("{}/logs/{id}", google.project.name());
    if entry.resource.kind.is_empty() {
        return Err(ApiError::invalid_field(
            &format!("{field}.resource.type"),
            "is empty; expected a monitored resource, such as global.",
        ));
    }
    let project = || google.project.id.clone();
    entry.resource.labels.entry("project_id".to_owned()).or_insert_with(project);
    let payloads =
        [entry.text_payload.is_some(), entry.json_payload.is_some(), entry.proto_payload.is_some()];
    if payloads.into_iter().filter(|is_there| *is_there).count() > 1 {
        return Err(ApiError::invalid_field(
            field,
            "has more than one payload; expected one of textPayload, jsonPayload, protoPayload.",
        ));
    }
    Ok(())
}

fn is_log_id(id: &str) -> bool {
    let decoded = percent_decode_str(id).decode_utf8_lossy();
    !id.contains('/')
        && (1..=LONGEST_ID).contains(&decoded.len())
        && decoded.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte))
}
