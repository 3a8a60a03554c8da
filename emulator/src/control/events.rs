//! The history as server-sent events: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use actix_web::web::Bytes;
use futures_util::{Stream, stream};
use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};

use super::filter::Filter;
use crate::{
    google::Google,
    history::{Change, NextRetry, Slot},
};

/// The media type.
pub(super) const TYPE: &str = "text/event-stream";

/// How often a comment shows that the connection lives, where nothing else does.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What is there after the filter's `since`, and then each change, for as long as it is read.
pub(super) fn stream(
    google: Arc<Google>,
    filter: Filter,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let (backlog, changes) = google.history.follow(filter.since);
    let last = backlog.last().map(Slot::id).or(filter.since).unwrap_or(0);
    let follower = Follower { google, filter, backlog: backlog.into(), changes, last };
    stream::unfold(follower, async |mut follower| {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    })
}

struct Follower {
    google: Arc<Google>,
    filter: Filter,
    /// What is to be told before the next change.
    backlog: VecDeque<Slot>,
    changes: broadcast::Receiver<Change>,
    /// The last entry that was read.
    last: u64,
}

impl Follower {
    /// The next event.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            while let Some(slot) = self.backlog.pop_front() {
                if self.filter.admits(&slot) {
                    return event("entry", Some(slot.id()), &slot.shown());
                }
            }
            match tokio::time::timeout(HEARTBEAT, self.changes.recv()).await {
                Ok(Ok(Change::New(slot))) => {
                    self.last = slot.id();
                    self.backlog.push_back(slot);
                }
                Ok(Ok(Change::NextRetry(retry))) if self.is_followed(retry) => {
                    return event("next_retry", None, &retry);
                }
                Ok(Ok(Change::NextRetry(_))) => {}
                Ok(Err(RecvError::Lagged(_))) => {
                    // Read too slowly: go on from the history itself. It has later entries that will be told as
                    // changes too, which a follower made anew leaves out.
                    let (backlog, changes) = self.google.history.follow(Some(self.last));
                    self.last = backlog.last().map_or(self.last, Slot::id);
                    (self.backlog, self.changes) = (backlog.into(), changes);
                }
                Ok(Err(RecvError::Closed)) => return None,
                Err(_) => return Some(Bytes::from_static(b": \n\n")),
            }
        }
    }

    fn is_followed(&self, retry: NextRetry) -> bool {
        self.google.history.slot(retry.id).is_some_and(|slot| self.filter.admits(&slot))
    }
}

/// One event on the wire. JSON has no line breaks, so its data is one line.
fn event(name: &str, id: Option<u64>, data: &impl Serialize) -> Option<Bytes> {
    let data = serde_json::to_string(data).ok()?;
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    Some(format!("event: {name}\n{id}data: {data}\n\n").into())
}
