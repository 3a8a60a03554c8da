//! What a job answers, what became of the attempt, and the status that its sender understands.
//! Only this file knows which outcome is which status.

use std::{
    fmt::{self, Display},
    time::Duration,
};

use actix_web::http::StatusCode;
use oidc::{Kind, Reason};
use serde::Serialize;

use crate::senders::Sender;

/// A job's answer to one question: should Google send this again?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobError {
    /// Yes: the sender's own retry policy decides whether and when.
    Retry(String),
    /// Yes, and all that this sender has for us should ease off: Cloud Tasks slows the whole queue.
    SlowDown {
        /// How long to hold off, as `Retry-After` where the sender reads it.
        after: Duration,
        /// Why, for the record.
        reason: String,
    },
    /// Never: it would fail again. Recorded as an error, and answered as accepted (or left to a dead-letter
    /// policy, where `PUBSUB_GIVE_UP` says so).
    GiveUp(String),
}

impl JobError {
    /// Try again later: `.map_err(JobError::retry)?`. The reason is what `Display` gives; pass
    /// `format!("{error:#}")` to keep the causes of an error that shows them so.
    pub fn retry(reason: impl Display) -> Self {
        Self::Retry(reason.to_string())
    }

    /// Try again, and not before `after`.
    pub fn slow_down(after: Duration, reason: impl Display) -> Self {
        Self::SlowDown { after, reason: reason.to_string() }
    }

    /// Never try again: `.map_err(JobError::give_up)?`.
    pub fn give_up(reason: impl Display) -> Self {
        Self::GiveUp(reason.to_string())
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The job succeeded.
    Done,
    /// The job wants another attempt.
    Retry(String),
    /// The job wants another attempt, and the sender to ease off.
    SlowDown {
        /// How long to hold off.
        after: Duration,
        /// Why.
        reason: String,
    },
    /// The job will never succeed with this.
    GaveUp(String),
    /// The payload is not the job's type, or the body is no envelope.
    Unreadable(String),
    /// The invocation had succeeded before.
    Duplicate,
    /// Another attempt held the invocation for as long as this one could wait.
    InProgress,
    /// The job's deadline passed.
    TimedOut,
    /// The job panicked; what it said.
    Panicked(String),
    /// The guard refused the request.
    Refused(Reason),
    /// No job of that name, or not for that method.
    NoSuchJob(Missing),
    /// The body is over the limit, in bytes.
    TooLarge(usize),
    /// The body was cut short, or came too slowly.
    Incomplete(String),
    /// In-flight permits or body memory are used up.
    Overloaded(&'static str),
    /// The drain ran out before the job ended.
    Aborted,
}

/// What of a route is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The name.
    Job,
    /// The method, for any job of this sender.
    Method,
}

/// How a record weighs on whoever reads the log: Cloud Logging's names
/// (<https://cloud.google.com/logging/docs/reference/v2/rest/v2/LogEntry#LogSeverity>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Severity {
    /// For whoever is looking for it.
    Debug,
    /// As it should be.
    Info,
    /// Worth a look if there are many.
    Warning,
    /// Somebody has to act.
    Error,
}

impl Severity {
    /// Cloud Logging's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Debug => "DEBUG",
            Severity::Info => "INFO",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
        }
    }
}

/// What Pub/Sub and Eventarc are answered when a job gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GiveUp {
    /// Acknowledged: the message is gone, the record stays.
    Ack,
    /// Refused with 422, so that the subscription's dead-letter policy takes it in the end. Without such a
    /// policy it comes back until its retention ends.
    Nack,
}

/// What the status depends on beside the outcome.
#[derive(Clone, Copy, Debug)]
pub struct Answering {
    /// Whom it answers.
    pub sender: Sender,
    /// Whether the delivery proved that a dead-letter policy will catch it.
    pub has_dead_letter_policy: bool,
    /// The setting for messages that a job gave up on.
    pub give_up: GiveUp,
}

/// How long a sender is asked to hold off where nothing better is known.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

impl Outcome {
    /// The outcome's one word, in records and problem bodies.
    pub fn as_str(&self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Retry(_) => "retry",
            Outcome::SlowDown { .. } => "slow_down",
            Outcome::GaveUp(_) => "gave_up",
            Outcome::Unreadable(_) => "unreadable",
            Outcome::Duplicate => "duplicate",
            Outcome::InProgress => "in_progress",
            Outcome::TimedOut => "timed_out",
            Outcome::Panicked(_) => "panicked",
            Outcome::Refused(_) => "refused",
            Outcome::NoSuchJob(_) => "no_such_job",
            Outcome::TooLarge(_) => "too_large",
            Outcome::Incomplete(_) => "incomplete",
            Outcome::Overloaded(_) => "overloaded",
            Outcome::Aborted => "aborted",
        }
    }

    /// The status that makes this sender do what the outcome means.
    ///
    /// Scheduler and Tasks take any 2xx as done; Pub/Sub takes 102, 200, 201, 202 and 204 alone, and
    /// redelivers on everything else until retention ends
    /// (<https://cloud.google.com/pubsub/docs/push#receive_push>).
    pub fn status(&self, answering: Answering) -> StatusCode {
        let is_pushed = matches!(answering.sender, Sender::Pubsub | Sender::Events);
        match self {
            Outcome::Done => StatusCode::NO_CONTENT,
            Outcome::Duplicate => StatusCode::OK,
            Outcome::GaveUp(_) if is_pushed && answering.give_up == GiveUp::Nack => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Outcome::GaveUp(_) => StatusCode::OK,
            // A poison message without a dead-letter policy would come back for days.
            Outcome::Unreadable(_) if is_pushed && !answering.has_dead_letter_policy => {
                StatusCode::OK
            }
            Outcome::Unreadable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Outcome::InProgress => StatusCode::CONFLICT,
            Outcome::SlowDown { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Outcome::Retry(_) | Outcome::TimedOut | Outcome::Panicked(_) | Outcome::Aborted => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Outcome::Refused(reason) => match reason.kind() {
                Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
                Kind::Forbidden => StatusCode::FORBIDDEN,
                Kind::KeysUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            },
            Outcome::NoSuchJob(Missing::Job) => StatusCode::NOT_FOUND,
            Outcome::NoSuchJob(Missing::Method) => StatusCode::METHOD_NOT_ALLOWED,
            Outcome::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Outcome::Incomplete(_) => StatusCode::BAD_REQUEST,
            Outcome::Overloaded(_) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The seconds of `Retry-After`, where the sender reads it.
    pub fn retry_after_secs(&self, sender: Sender) -> Option<u64> {
        let after = match self {
            // Pub/Sub and Eventarc have a backoff of their own and read none.
            Outcome::SlowDown { after, .. }
                if matches!(sender, Sender::Scheduler | Sender::Tasks) =>
            {
                *after
            }
            Outcome::Overloaded(_) => DEFAULT_RETRY_AFTER,
            Outcome::Refused(reason) if reason.kind() == Kind::KeysUnavailable => {
                DEFAULT_RETRY_AFTER
            }
            _ => return None,
        };
        // Rounded up: zero would mean "at once".
        Some(after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0)).max(1))
    }

    /// How the record weighs.
    pub fn severity(&self) -> Severity {
        match self {
            Outcome::Done | Outcome::Duplicate => Severity::Info,
            Outcome::Retry(_)
            | Outcome::SlowDown { .. }
            | Outcome::Refused(_)
            | Outcome::Overloaded(_)
            | Outcome::InProgress
            | Outcome::Aborted
            | Outcome::NoSuchJob(_)
            | Outcome::Incomplete(_) => Severity::Warning,
            Outcome::GaveUp(_)
            | Outcome::Unreadable(_)
            | Outcome::TimedOut
            | Outcome::Panicked(_)
            | Outcome::TooLarge(_) => Severity::Error,
        }
    }

    /// Whether the attempt came to anything but success, for traces.
    pub fn has_failed(&self) -> bool {
        !matches!(self, Outcome::Done | Outcome::Duplicate)
    }

    /// Whether Error Reporting is to group it: faults of the job's code or data, not of the traffic.
    pub fn is_reported(&self) -> bool {
        matches!(self, Outcome::GaveUp(_) | Outcome::Panicked(_))
    }

    /// Whether the work is over for good, so that dedup remembers it.
    pub fn is_final(&self, answering: Answering) -> bool {
        matches!(self, Outcome::Done | Outcome::GaveUp(_)) && self.status(answering).is_success()
    }

    /// Why, in the record and in the problem body; `None` where the outcome says it all.
    pub fn reason(&self) -> Option<Reasoning<'_>> {
        Some(match self {
            Outcome::Done | Outcome::Duplicate => return None,
            Outcome::Retry(reason)
            | Outcome::SlowDown { reason, .. }
            | Outcome::GaveUp(reason)
            | Outcome::Panicked(reason) => Reasoning::Job(reason),
            Outcome::Unreadable(reason) | Outcome::Incomplete(reason) => Reasoning::Service(reason),
            Outcome::InProgress => {
                Reasoning::Service("another attempt of this invocation is still running")
            }
            Outcome::TimedOut => Reasoning::Service("the job did not end within its deadline"),
            Outcome::Refused(reason) => Reasoning::Guard(*reason),
            Outcome::NoSuchJob(Missing::Job) => {
                Reasoning::Service("no job of that name is in the table")
            }
            Outcome::NoSuchJob(Missing::Method) => {
                Reasoning::Service("this sender's jobs do not take that method")
            }
            Outcome::TooLarge(limit_bytes) => Reasoning::Limit(*limit_bytes),
            Outcome::Overloaded(reason) => Reasoning::Service(reason),
            Outcome::Aborted => {
                Reasoning::Service("the instance was shut down before the job ended")
            }
        })
    }
}

/// Who gave the reason decides who may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reasoning<'a> {
    /// The job's author: for the record alone, since it may name anything.
    Job(&'a str),
    /// This service: for the record and the response.
    Service(&'a str),
    /// The guard: a code in the record, a sentence in the response.
    Guard(Reason),
    /// The body limit in bytes.
    Limit(usize),
}

impl Display for Reasoning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reasoning::Job(reason) | Reasoning::Service(reason) => f.write_str(reason),
            Reasoning::Guard(reason) => f.write_str(reason.as_str()),
            Reasoning::Limit(bytes) => write!(f, "the body is over the limit of {bytes} bytes"),
        }
    }
}
