//! What each sender puts on the wire, read into one shape: a [`Delivery`].
//!
//! Nothing here trusts a request: by the time a sender's file reads one, the guard has proved its
//! caller. The headers of Scheduler and Tasks say what the delivery is about, never who sent it
//! (<https://cloud.google.com/tasks/docs/creating-http-target-tasks#handler>).

pub mod scheduler;

pub mod tasks;

pub mod pubsub;

pub mod eventarc;

use std::{collections::BTreeMap, fmt, time::Duration};

use actix_web::http::{Method, header::HeaderMap};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

/// Who hands work over: the first segment of the path, the prefix of its settings, and `sender` in
/// the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// Cloud Scheduler: scheduled runs.
    Scheduler,
    /// Cloud Tasks: tasks with an HTTP target.
    Tasks,
    /// Pub/Sub push subscriptions.
    Pubsub,
    /// Eventarc: `CloudEvents` over push.
    Events,
}

impl Sender {
    /// Every sender, in the order of routes and settings.
    pub const ALL: [Sender; 4] = [Sender::Scheduler, Sender::Tasks, Sender::Pubsub, Sender::Events];

    /// The word for this sender in paths and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Sender::Scheduler => "scheduler",
            Sender::Tasks => "tasks",
            Sender::Pubsub => "pubsub",
            Sender::Events => "events",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Sender::Scheduler => "Cloud Scheduler",
            Sender::Tasks => "Cloud Tasks",
            Sender::Pubsub => "Pub/Sub",
            Sender::Events => "Eventarc",
        }
    }

    /// The methods that this sender's route answers.
    pub(crate) fn methods(self) -> &'static [Method] {
        match self {
            Sender::Scheduler | Sender::Tasks => &[Method::GET, Method::POST, Method::PUT],
            Sender::Pubsub | Sender::Events => &[Method::POST],
        }
    }

    /// How long a finished invocation is remembered, so that a repeat is answered `duplicate`.
    ///
    /// A Cloud Tasks name may be used again about an hour after its task is gone
    /// (<https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create>);
    /// Pub/Sub and Eventarc redeliver for up to seven days
    /// (<https://cloud.google.com/pubsub/docs/subscription-properties>).
    pub fn remembered_for(self) -> Duration {
        const HOUR: u64 = 60 * 60;
        Duration::from_secs(match self {
            Sender::Scheduler => 24 * HOUR,
            Sender::Tasks => HOUR - 5 * 60,
            Sender::Pubsub | Sender::Events => 7 * 24 * HOUR,
        })
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One delivery, as its sender meant it.
#[derive(Debug)]
pub struct Delivery {
    /// What names the invocation across its attempts, or `None` where a part of it is missing.
    pub id: Option<InvocationId>,
    /// Which attempt this is, from 1; `None` where the sender does not say.
    pub attempt: Option<u32>,
    /// When the work was first due: schedule time, task ETA, publish time or event time.
    pub first_due: Option<Timestamp>,
    /// What the job is to read.
    pub payload: Bytes,
    /// The message's attributes, or the event's extension attributes.
    pub attributes: BTreeMap<String, String>,
    /// What this sender alone says.
    pub origin: Origin,
}

/// The parts that name an invocation, the same on every attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvocationId {
    /// The collection: Scheduler's job, the queue, the subscription, the event's source.
    pub scope: String,
    /// The one within it: schedule time, task name, message id, event id.
    pub name: String,
}

impl InvocationId {
    /// `None` unless both parts are there: half a name must never suppress somebody else's work.
    fn of(scope: Option<&str>, name: Option<&str>) -> Option<Self> {
        match (scope, name) {
            (Some(scope), Some(name)) if !scope.is_empty() && !name.is_empty() => {
                Some(Self { scope: scope.to_owned(), name: name.to_owned() })
            }
            _ => None,
        }
    }
}

impl fmt::Display for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.scope, self.name)
    }
}

/// What one sender says beyond what all of them do.
#[derive(Clone, Debug)]
pub enum Origin {
    /// From Cloud Scheduler.
    Scheduler(scheduler::ScheduledRun),
    /// From Cloud Tasks.
    Tasks(tasks::Task),
    /// From Pub/Sub.
    Pubsub(pubsub::Message),
    /// From Eventarc.
    Events(eventarc::Event),
}

impl Origin {
    /// Whether the delivery itself proves that a dead-letter policy will catch it in the end.
    pub fn has_dead_letter_policy(&self) -> bool {
        match self {
            Origin::Scheduler(_) | Origin::Tasks(_) => false,
            Origin::Pubsub(message) => message.delivery_attempt.is_some(),
            Origin::Events(event) => event.delivery_attempt.is_some(),
        }
    }
}

/// The body is complete, but is not what its sender or its job takes.
#[derive(Debug)]
pub struct Unreadable(pub String);

/// Whether Pub/Sub may deliver raw bodies whose message attributes arrive as request headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwrapped {
    /// Both forms are read.
    Accepted,
    /// Wrapped envelopes only: the route takes its identity from a header, and a publisher who
    /// chooses attribute names would choose that header too.
    Refused,
}

/// Reads a complete request of `sender`.
///
/// # Errors
///
/// [`Unreadable`] says what was found and what was expected, without quoting the body.
pub fn read(
    sender: Sender,
    headers: &HeaderMap,
    body: Bytes,
    unwrapped: Unwrapped,
) -> Result<Delivery, Unreadable> {
    match sender {
        Sender::Scheduler => Ok(scheduler::read(headers, body)),
        Sender::Tasks => Ok(tasks::read(headers, body)),
        Sender::Pubsub => pubsub::read(headers, body, unwrapped),
        Sender::Events => eventarc::read(headers, body),
    }
}

/// The one value of a header as text; `None` when it is absent, empty or not visible ASCII.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim).filter(|value| !value.is_empty())
}

/// What `serde_json` found wrong, without the values that it quotes: a payload must not reach a log.
pub(crate) fn json_fault(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Eof => "ends too early",
        Category::Syntax | Category::Io => "is not JSON",
        Category::Data => "is JSON of another shape",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}
