//! `entries:list`: what a filter matches, in order of time, a page at a time.

use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::in_project;
use crate::{
    api::error::ApiError,
    google::Google,
    logging::{Place, filter::Filter},
};

/// As many as Google gives where nothing is said, and as many as it gives at most.
const USUALLY: usize = 50;
const MOST: usize = 1000;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Request {
    resource_names: Vec<String>,
    /// Deprecated by Google; ids of projects.
    project_ids: Vec<String>,
    filter: String,
    order_by: String,
    page_size: Option<i64>,
    page_token: String,
}

pub(super) fn answer(google: &Google, request: &Request) -> Result<Value, ApiError> {
    check_resources(google, request)?;
    let filter = Filter::parse(&request.filter)?;
    let is_descending = is_descending(&request.order_by)?;
    let size = size(request.page_size)?;
    let after = place(&request.page_token)?;
    let found = google.logging.matching(&filter);
    Ok(page(&found, is_descending, after, size))
}

/// One page, and the token of the next: where this one ended, so that entries that come or go meanwhile shift nothing.
fn page(
    found: &BTreeMap<Place, Value>,
    is_descending: bool,
    after: Option<Place>,
    size: usize,
) -> Value {
    let after = after.map_or(Unbounded, Excluded);
    let mut left: Box<dyn Iterator<Item = (&Place, &Value)>> = if is_descending {
        Box::new(found.range((Unbounded, after)).rev())
    } else {
        Box::new(found.range((after, Unbounded)))
    };
    let page: Vec<(&Place, &Value)> = left.by_ref().take(size).collect();
    let mut answer = json!({});
    if let (Some(((time, id), _)), true) = (page.last(), left.next().is_some()) {
        answer["nextPageToken"] = format!("{time}/{id}").into();
    }
    if !page.is_empty() {
        answer["entries"] = page.into_iter().map(|(_, entry)| entry.clone()).collect();
    }
    answer
}

fn check_resources(google: &Google, request: &Request) -> Result<(), ApiError> {
    let projects = request.project_ids.iter().map(|id| format!("projects/{id}"));
    let names: Vec<String> = projects.chain(request.resource_names.iter().cloned()).collect();
    if names.is_empty() {
        let own = google.project.name();
        return Err(ApiError::invalid_field("resource_names", format!("is empty; name {own}.")));
    }
    for name in names {
        if !in_project(google, "resource_names", &name)?.is_empty() {
            return Err(ApiError::invalid_field(
                "resource_names",
                format!(
                    "{name:?} is a log view, which this emulator does not have; name {}.",
                    google.project.name()
                ),
            ));
        }
    }
    Ok(())
}

fn is_descending(order: &str) -> Result<bool, ApiError> {
    match order.split_whitespace().collect::<Vec<_>>().as_slice() {
        [] | ["timestamp"] | ["timestamp", "asc"] => Ok(false),
        ["timestamp", "desc"] => Ok(true),
        _ => Err(ApiError::invalid_field(
            "order_by",
            format!("{order:?} is not valid; expected \"timestamp asc\" or \"timestamp desc\"."),
        )),
    }
}

fn size(asked: Option<i64>) -> Result<usize, ApiError> {
    match usize::try_from(asked.unwrap_or_default()) {
        Ok(0) => Ok(USUALLY),
        Ok(size) => Ok(size.min(MOST)),
        Err(_) => Err(ApiError::invalid_field("page_size", "is negative; expected 1 to 1000.")),
    }
}

/// Where the page before ended; nowhere where there was none.
fn place(token: &str) -> Result<Option<Place>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    let place =
        token.split_once('/').and_then(|(time, id)| Some((time.parse().ok()?, id.to_owned())));
    let refused = || {
        let said =
            "is none that this emulator gave; expected the nextPageToken of the page before.";
        ApiError::invalid_field("page_token", said)
    };
    place.map(Some).ok_or_else(refused)
}
