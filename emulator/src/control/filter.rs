//! Which entries of the history are asked for.

use actix_web::web::Query;
use serde::{Deserialize, Serialize};

use crate::{api::error::ApiError, history::Slot, senders::Sender};

/// The query of a request for the history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Attempts of that sender alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// Attempts of that job, queue or subscription alone: its full name, or the end of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What came after the entry of that id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// There if what comes from now on is wanted as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<String>,
}

impl Filter {
    /// Reads a query string.
    pub(super) fn parse(query: &str) -> Result<Filter, ApiError> {
        let filter = Query::<Filter>::from_query(query);
        filter.map(Query::into_inner).map_err(|fault| {
            ApiError::invalid(format!(
                "{fault}; the history takes sender (scheduler, tasks, pubsub, eventarc), resource, since (an id) and \
                 follow"
            ))
        })
    }

    /// Whether it lets that entry through.
    pub(super) fn admits(&self, slot: &Slot) -> bool {
        if self.sender.is_none() && self.resource.is_none() {
            return true;
        }
        slot.order().is_some_and(|order| {
            self.sender.is_none_or(|sender| sender == order.delivery.sender)
                && self.resource.as_deref().is_none_or(|name| is_named(&order.resource, name))
        })
    }
}

/// Whether `name` is the full name or as many segments of its end.
fn is_named(full_name: &str, name: &str) -> bool {
    full_name.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_goes_by_whole_segments_of_its_name() {
        let full_name = "projects/p/locations/l/queues/receipts";
        for (name, is_it) in [
            (full_name, true),
            ("receipts", true),
            ("queues/receipts", true),
            ("ipts", false),
            ("queues", false),
        ] {
            assert_eq!(is_named(full_name, name), is_it, "{name}");
        }
    }

    #[test]
    fn a_query_that_cannot_be_read_is_refused_with_what_there_is() {
        let filter = Filter::parse("sender=pubsub&resource=s&since=3&follow").unwrap();
        assert_eq!((filter.sender, filter.since), (Some(Sender::PubSub), Some(3)));
        for query in ["sender=cron", "since=x", "limit=3"] {
            let fault = Filter::parse(query).unwrap_err();
            assert_eq!(fault.http_status(), 400, "{query}");
            assert!(fault.message.contains("since (an id)"), "{}", fault.message);
        }
    }
}
