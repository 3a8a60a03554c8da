//! The history over HTTP.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, CACHE_CONTROL},
    web::{Data, Path},
};

use super::{events, filter::Filter};
use crate::{
    api::error::ApiError,
    google::Google,
    history::{Entry, EntryId, Slot},
};

/// Where a follower that lost its connection has got to.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) async fn list(request: HttpRequest, google: Data<Google>) -> HttpResponse {
    let mut filter = match Filter::parse(request.query_string()) {
        Ok(filter) => filter,
        Err(fault) => return fault.response(),
    };
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let wants_events = header(ACCEPT.as_str()).is_some_and(|accept| accept.contains(events::TYPE));
    if !wants_events && filter.follow.is_none() {
        let slots = google.history.since(filter.since.unwrap_or(0));
        let entries: Vec<Entry> =
            slots.iter().filter(|slot| filter.admits(slot)).map(Slot::shown).collect();
        return super::json(&entries);
    }
    if let Some(last) = header(LAST_EVENT_ID).and_then(|id| id.parse().ok()) {
        filter.since = Some(last);
    }
    HttpResponse::Ok()
        .content_type(events::TYPE)
        .insert_header((CACHE_CONTROL, "no-store"))
        .streaming(events::stream(google.into_inner(), filter))
}

pub(super) async fn replay(id: Path<String>, google: Data<Google>) -> HttpResponse {
    let Ok(number) = id.parse() else {
        return ApiError::invalid_field("id", "is no number; take one from /emulator/history")
            .response();
    };
    match google.into_inner().replay(EntryId(number)).await {
        Ok(entry) => super::json(&entry),
        Err(fault) => fault.response(),
    }
}
