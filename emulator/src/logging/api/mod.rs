//! The calls: entries read and written, and the names of logs.
//!
//! Source: <https://cloud.google.com/logging/docs/reference/v2/rest/v2/entries>.

mod list;
mod write;

use serde_json::Value;

use crate::{
    api::{call::Call, error::ApiError, page},
    google::Google,
    logging::metrics,
};

/// Answers one call.
pub(crate) fn answer(google: &Google, call: &Call) -> Result<Value, ApiError> {
    let (method, segments, verb) = call.route();
    match (method, segments.as_slice(), verb) {
        ("POST", ["v2", "entries"], "list") => {
            may(google, call, "logging.logEntries.list")?;
            list::answer(google, &call.json()?)
        }
        ("POST", ["v2", "entries"], "write") => {
            may(google, call, "logging.logEntries.create")?;
            write::answer(google, call.json()?)
        }
        (_, ["v2", "entries"], "tail") => Err(ApiError::invalid(
            "This emulator has no entries:tail, which is gRPC; read again with a later timestamp: gcloud logging read 'timestamp>\"…\"' --order=asc.",
        )),
        ("GET", ["v2", "projects", _, "logs"], "") => {
            may(google, call, "logging.logs.list")?;
            let names: Vec<Value> =
                google.logging.log_names().into_iter().map(Value::from).collect();
            page::list(call, "logNames", names.into_iter())
        }
        (_, ["v2", "projects", _, "metrics", ..], "") => metrics::answer(google, call),
        _ => Err(call.unknown()),
    }
}

fn may(google: &Google, call: &Call, permission: &str) -> Result<(), ApiError> {
    google.iam.require(&call.principal, permission, &google.project.name())
}

/// That `name` is this project as callers name it, followed by `rest`, if there is any: the rest.
///
/// # Errors
/// 400 with the form that was expected.
fn in_project<'a>(google: &Google, field: &str, name: &'a str) -> Result<&'a str, ApiError> {
    let of_project = name.strip_prefix("projects/").unwrap_or_default();
    let (project, rest) = of_project.split_once('/').unwrap_or((of_project, ""));
    if google.project.is(project) {
        return Ok(rest);
    }
    let own = google.project.name();
    Err(ApiError::invalid_field(
        field,
        format!("{name:?} is not in {own}, which is all that this emulator has."),
    ))
}

#[cfg(test)]
mod tests;
