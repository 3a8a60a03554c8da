//! What a job is handed: one piece of work, the same on every attempt.

use std::{
    any::Any,
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;

#[cfg(test)]
use crate::senders::{eventarc::Event, pubsub::Message, scheduler::ScheduledRun, tasks::Task};
use crate::{
    guard::Caller,
    senders::{Delivery, InvocationId, Origin, Sender, Unreadable, json_fault},
};

/// One attempt at an invocation, with its payload read as `T`.
///
/// `T` is any [`Deserialize`](serde::Deserialize) type, read from JSON; or [`Bytes`] or `Vec<u8>` for the raw
/// payload, [`String`] for text, `()` where the job reads nothing. An empty payload reads as JSON `null`, so
/// that an `Option` of a JSON type is one that may be absent.
#[derive(Clone, Debug)]
pub struct Invocation<T> {
    /// Who handed it over.
    pub sender: Sender,
    /// What names it across attempts, where the sender names it.
    pub id: Option<InvocationId>,
    /// Which attempt this is, from 1; `None` where the sender does not say (Scheduler never does, Pub/Sub
    /// only with a dead-letter policy).
    pub attempt: Option<u32>,
    /// When the work was first due: schedule time, task ETA, publish time or event time.
    pub first_due: Option<Timestamp>,
    /// When this attempt's head arrived.
    pub received: Timestamp,
    /// When the job is given up as timed out, on the monotonic clock.
    pub deadline: Instant,
    /// The service account that was proved to have sent it.
    pub caller: Caller,
    /// A Pub/Sub message's attributes, or an event's extension attributes; see [`Invocation::attribute`].
    pub attributes: BTreeMap<String, String>,
    /// What this sender alone says.
    pub origin: Origin,
    /// The work itself.
    pub payload: T,
}

impl<T> Invocation<T> {
    /// How long after it was due this attempt arrived; negative where the clocks disagree.
    pub fn lag(&self) -> Option<SignedDuration> {
        self.first_due.map(|due| self.received.duration_since(due))
    }

    /// The time that is left before the job is given up as timed out.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// An attribute by its name, in any case: those of an unwrapped message came as headers, whose names
    /// are in lower case.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find_attribute(&self.attributes, name)
    }

    /// A key that is the same on every attempt, to hand on to APIs that take one; `None` where the sender
    /// does not name the invocation.
    pub fn idempotency_key(&self) -> Option<String> {
        self.id.as_ref().map(|id| format!("{}:{id}", self.sender))
    }
}

/// As [`Invocation::attribute`].
pub(crate) fn find_attribute<'a>(
    attributes: &'a BTreeMap<String, String>,
    name: &str,
) -> Option<&'a str> {
    let exact = attributes.get(name);
    let in_any_case = || {
        attributes
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    exact.or_else(in_any_case).map(String::as_str)
}

impl Invocation<Bytes> {
    /// The invocation of a delivery.
    pub(crate) fn new(
        sender: Sender,
        delivery: Delivery,
        received: Timestamp,
        deadline: Instant,
        caller: Caller,
    ) -> Self {
        let Delivery { id, attempt, first_due, payload, attributes, origin } = delivery;
        Self {
            sender,
            id,
            attempt,
            first_due,
            received,
            deadline,
            caller,
            attributes,
            origin,
            payload,
        }
    }

    /// The same invocation with its payload read as `T`.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] says where reading stopped, without quoting the payload.
    pub(crate) fn read<T: DeserializeOwned + 'static>(
        mut self,
    ) -> Result<Invocation<T>, Unreadable> {
        let payload = read_payload(std::mem::take(&mut self.payload))?;
        let Self {
            sender,
            id,
            attempt,
            first_due,
            received,
            deadline,
            caller,
            attributes,
            origin,
            payload: _,
        } = self;
        Ok(Invocation {
            sender,
            id,
            attempt,
            first_due,
            received,
            deadline,
            caller,
            attributes,
            origin,
            payload,
        })
    }
}

fn read_payload<T: DeserializeOwned + 'static>(body: Bytes) -> Result<T, Unreadable> {
    // A blanket `Deserialize` covers `Bytes`, `String` and `()` too, and would read them as JSON.
    fn as_is<T: 'static>(value: impl Any) -> Option<T> {
        (Box::new(value) as Box<dyn Any>).downcast::<T>().ok().map(|value| *value)
    }
    fn is<T: 'static, U: 'static>() -> bool {
        std::any::TypeId::of::<T>() == std::any::TypeId::of::<U>()
    }

    let exact = if is::<T, Bytes>() {
        as_is(body)
    } else if is::<T, Vec<u8>>() {
        as_is(Vec::from(body))
    } else if is::<T, ()>() {
        as_is(())
    } else if is::<T, String>() {
        let text = String::from_utf8(body.into()).map_err(|error| {
            Unreadable(format!("the payload is not UTF-8 ({})", error.utf8_error()))
        })?;
        as_is(text)
    } else if body.is_empty() {
        let absent = serde_json::from_slice(b"null");
        return absent.map_err(|_| Unreadable("the payload is empty; expected JSON".to_owned()));
    } else {
        let value = serde_json::from_slice(&body);
        return value.map_err(|error| Unreadable(format!("the payload {}", json_fault(&error))));
    };
    exact.ok_or_else(|| Unreadable("the payload's type is not supported".to_owned()))
}

#[cfg(test)]
impl<T> Invocation<T> {
    /// An invocation to hand to a job in its own test: a first attempt, due now, with a minute to run.
    pub(crate) fn sample(sender: Sender, payload: T) -> Self {
        let now = Timestamp::now();
        Self {
            sender,
            id: Some(InvocationId { scope: "sample".to_owned(), name: "1".to_owned() }),
            attempt: Some(1),
            first_due: Some(now),
            received: now,
            deadline: Instant::now() + Duration::from_secs(60),
            caller: Caller::sample(),
            attributes: BTreeMap::new(),
            origin: match sender {
                Sender::Scheduler => Origin::Scheduler(ScheduledRun::default()),
                Sender::Tasks => Origin::Tasks(Task::default()),
                Sender::Pubsub => Origin::Pubsub(Message::default()),
                Sender::Events => Origin::Events(Event::default()),
            },
            payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Order {
        id: u32,
    }

    #[test]
    fn an_invocation_tells_its_lag_its_time_left_and_its_key() {
        let mut invocation = Invocation::sample(Sender::Tasks, Order { id: 7 });
        invocation.first_due = Some(invocation.received - SignedDuration::from_millis(1500));
        assert_eq!(invocation.lag(), Some(SignedDuration::from_millis(1500)));
        assert!(invocation.remaining() > Duration::from_secs(50));
        assert_eq!(invocation.idempotency_key().as_deref(), Some("tasks:sample/1"));
        invocation.deadline = Instant::now();
        assert_eq!(invocation.remaining(), Duration::ZERO);
        invocation.id = None;
        assert_eq!(invocation.idempotency_key(), None);
    }

    #[test]
    fn a_payload_is_read_as_the_type_that_the_job_takes() {
        let body = Bytes::from_static(b"{\"id\":7}");
        assert_eq!(read_payload::<Order>(body.clone()).unwrap(), Order { id: 7 });
        assert_eq!(read_payload::<Option<Order>>(body.clone()).unwrap(), Some(Order { id: 7 }));
        assert_eq!(read_payload::<Bytes>(body.clone()).unwrap(), body);
        assert_eq!(read_payload::<Vec<u8>>(body.clone()).unwrap(), body.to_vec());
        assert_eq!(read_payload::<String>(body.clone()).unwrap(), "{\"id\":7}");
        read_payload::<()>(body).unwrap();
        assert_eq!(read_payload::<Option<Order>>(Bytes::new()).unwrap(), None);
        assert_eq!(read_payload::<String>(Bytes::new()).unwrap(), "");
    }

    #[test]
    fn an_unreadable_payload_says_where_reading_stopped_and_quotes_nothing() {
        for (body, expected) in [
            (&b""[..], "the payload is empty; expected JSON"),
            (b"{\"id\":\"secret\"}", "the payload is JSON of another shape (line 1, column 14)"),
            (b"{\"id\":", "the payload ends too early (line 1, column 6)"),
            (b"secret", "the payload is not JSON (line 1, column 1)"),
            (b"{\"id\":1,\"id\":2}", "the payload is JSON of another shape (line 1, column 12)"),
        ] {
            assert_eq!(read_payload::<Order>(Bytes::from_static(body)).unwrap_err().0, expected);
        }
        let Unreadable(fault) = read_payload::<String>(Bytes::from_static(b"\xff")).unwrap_err();
        assert!(fault.starts_with("the payload is not UTF-8"), "{fault}");
    }
}
