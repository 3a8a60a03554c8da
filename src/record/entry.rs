//! The record as JSON, in Cloud Logging's structured format
//! (<https://cloud.google.com/logging/docs/structured-logging>). `record.schema.json` describes it.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{About, Attempt, State};
use crate::{
    outcome::{Outcome, Severity},
    senders::{Origin, Sender},
    telemetry::spans::{OwnSpan, Remote},
};

/// The longest text of any field, in characters. All of them together stay under 64 KiB even where each
/// character is escaped to six.
const MAX_CHARS: usize = 256;

/// As [`MAX_CHARS`], for what a job says of its failure.
const MAX_REASON_CHARS: usize = 2048;

/// How many allowed attributes one record shows.
const MAX_ATTRIBUTES: usize = 16;

#[derive(Serialize)]
struct Entry<'a> {
    severity: Severity,
    message: Message<'a>,
    time: Timestamp,
    #[serde(rename = "logging.googleapis.com/trace", skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    #[serde(rename = "logging.googleapis.com/spanId", skip_serializing_if = "Option::is_none")]
    span_id: Option<String>,
    #[serde(
        rename = "logging.googleapis.com/trace_sampled",
        skip_serializing_if = "Option::is_none"
    )]
    trace_sampled: Option<bool>,
    #[serde(rename = "logging.googleapis.com/labels")]
    labels: Labels<'a>,
    #[serde(rename = "@type", skip_serializing_if = "Option::is_none")]
    error_type: Option<&'static str>,
    #[serde(rename = "serviceContext", skip_serializing_if = "Option::is_none")]
    service_context: Option<ServiceContext<'a>>,
    invocation: Invocation<'a>,
}

/// Where an entry stands among traces: under the attempt's own span where there is one, else under its caller's.
pub(super) struct Trace {
    trace_id: u128,
    span_id: u64,
    pub(super) is_sampled: bool,
}

impl Trace {
    pub(super) fn of(state: &State, attempt: &Attempt) -> Option<Trace> {
        if let Some(own) = &state.own {
            let OwnSpan { trace_id, span_id, .. } = *own;
            let has_failed = state.outcome.as_ref().is_some_and(Outcome::has_failed);
            let is_sampled = attempt.route.shared.telemetry.keeps(own, has_failed);
            return Some(Trace { trace_id, span_id, is_sampled });
        }
        let Remote { trace_id, span_id, is_sampled } = attempt.trace.as_ref()?.remote();
        Some(Trace { trace_id, span_id, is_sampled })
    }

    /// As Cloud Logging names it.
    pub(super) fn name(&self, project: Option<&str>) -> Option<String> {
        project.map(|project| format!("projects/{project}/traces/{:032x}", self.trace_id))
    }

    /// `None` where the caller did not name its span.
    pub(super) fn span_id(&self) -> Option<String> {
        (self.span_id != 0).then(|| format!("{:016x}", self.span_id))
    }
}

/// Labels are a bounded set: a stranger's path never becomes one.
#[derive(Serialize)]
struct Labels<'a> {
    sender: Sender,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    outcome: &'static str,
}

#[derive(Serialize)]
struct ServiceContext<'a> {
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
}

#[derive(Serialize)]
struct Invocation<'a> {
    sender: Sender,
    job: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_due: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_ms: Option<i64>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<Cut<'a>>,
    status: u16,
    duration_ms: f64,
    request_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Caller<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed: Option<Claimed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedup: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    client_gone: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    origin: Option<OriginFields<'a>>,
}

#[derive(Serialize)]
struct Caller<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Cut<'a>>,
    sub: Cut<'a>,
    audience: Cut<'a>,
    auth: &'static str,
}

/// What a refused request says of itself: never a fact.
#[derive(Serialize)]
struct Claimed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<Cut<'a>>,
}

/// What one sender alone says, under its own name.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum OriginFields<'a> {
    Scheduler {
        #[serde(skip_serializing_if = "Option::is_none")]
        job_name: Option<Cut<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        schedule_time: Option<Cut<'a>>,
    },
    Tasks {
        #[serde(skip_serializing_if = "Option::is_none")]
        queue: Option<Cut<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        task: Option<Cut<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_count: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        execution_count: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        eta: Option<Timestamp>,
        #[serde(skip_serializing_if = "Option::is_none")]
        previous_response: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_reason: Option<Cut<'a>>,
    },
    Pubsub {
        #[serde(skip_serializing_if = "Option::is_none")]
        subscription: Option<Cut<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message_id: Option<Cut<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        delivery_attempt: Option<u32>,
        wrapped: bool,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        attributes: BTreeMap<&'a str, Cut<'a>>,
    },
    Events {
        id: Cut<'a>,
        source: Cut<'a>,
        #[serde(rename = "type")]
        event_type: Cut<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<Cut<'a>>,
        mode: &'static str,
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        attributes: BTreeMap<&'a str, Cut<'a>>,
    },
}

/// Writes the record of an attempt, without a newline.
pub(super) fn write(line: &mut Vec<u8>, state: &State, attempt: &Attempt, about: &About) {
    let Some((outcome, status)) = state.outcome.as_ref().zip(state.status) else {
        return;
    };
    let sender = attempt.route.sender;
    let trace = Trace::of(state, attempt);
    let refusal = state.refusal.as_ref();
    let project = about.project.id();
    // Once for the message and once for the field.
    let job = &*state.job();
    let id = state.id.as_ref().map(|id| cut(&id.to_string(), 2 * MAX_CHARS).into_owned());
    let id = id.as_deref();
    let reason = reason(outcome);
    let reason = reason.as_deref();
    let outcome_name = outcome.as_str();
    let status = status.as_u16();
    let entry = Entry {
        severity: outcome.severity(),
        message: Message { state, sender, job, id, outcome_name, status, reason },
        time: Timestamp::now(),
        trace: trace.as_ref().and_then(|trace| trace.name(project)),
        span_id: trace.as_ref().and_then(Trace::span_id),
        trace_sampled: trace.as_ref().map(|trace| trace.is_sampled),
        labels: Labels {
            sender,
            job: state.is_known_job.then_some(state.job.as_str()),
            outcome: outcome_name,
        },
        error_type: outcome.is_reported().then_some(
            "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent",
        ),
        service_context: outcome.is_reported().then(|| ServiceContext {
            service: about.service.as_deref().unwrap_or("receiver"),
            version: about.revision.as_deref(),
        }),
        invocation: Invocation {
            sender,
            job,
            id,
            attempt: state.attempt,
            first_due: state.first_due,
            lag_ms: state.first_due.map(|due| {
                i64::try_from(attempt.received.duration_since(due).as_millis()).unwrap_or(i64::MAX)
            }),
            outcome: outcome_name,
            reason,
            expected: refusal.and_then(|refusal| refusal.expected.as_deref()).map(Cut),
            status,
            duration_ms: state.duration_ms,
            request_bytes: state.request_bytes,
            caller: state.caller.as_ref().map(|caller| Caller {
                email: caller.email().map(Cut),
                sub: Cut(caller.subject()),
                audience: Cut(caller.audience()),
                auth: caller.auth(),
            }),
            claimed: refusal.and_then(claimed),
            dedup: state.dedup.map(|note| note.as_str()),
            client_gone: state.client_gone,
            origin: state.origin.as_ref().map(|origin| origin_fields(origin, state)),
        },
    };
    // Writing plain structs to memory cannot fail; were it to, an empty line would show.
    let _ = serde_json::to_writer(line, &entry);
}

/// The outcome's reason, cut to what a record has room for.
pub(super) fn reason(outcome: &Outcome) -> Option<String> {
    outcome.reason().map(|reason| cut(&reason.to_string(), MAX_REASON_CHARS).into_owned())
}

fn claimed(refusal: &oidc::Refusal) -> Option<Claimed<'_>> {
    let found = refusal.found.as_deref();
    let said = refusal.claimed.as_deref();
    if found.is_none() && said.is_none() {
        return None;
    }
    Some(Claimed {
        found: found.map(Cut),
        email: said.and_then(|said| said.email.as_deref()).map(Cut),
        sub: said.and_then(|said| said.subject.as_deref()).map(Cut),
        audience: said.and_then(|said| said.audience.as_deref()).map(Cut),
        issuer: said.and_then(|said| said.issuer.as_deref()).map(Cut),
        key_id: said.and_then(|said| said.key_id.as_deref()).map(Cut),
    })
}

fn origin_fields<'a>(origin: &'a Origin, state: &'a State) -> OriginFields<'a> {
    let attributes = || {
        let shown = state.attributes.iter().take(MAX_ATTRIBUTES);
        shown.map(|(name, value)| (name.as_str(), Cut(value))).collect()
    };
    match origin {
        Origin::Scheduler(run) => OriginFields::Scheduler {
            job_name: run.job_name.as_deref().map(Cut),
            schedule_time: run.schedule_time.as_deref().map(Cut),
        },
        Origin::Tasks(task) => OriginFields::Tasks {
            queue: task.queue.as_deref().map(Cut),
            task: task.task.as_deref().map(Cut),
            retry_count: task.retry_count,
            execution_count: task.execution_count,
            eta: task.eta,
            previous_response: task.previous_response,
            retry_reason: task.retry_reason.as_deref().map(Cut),
        },
        Origin::Pubsub(message) => OriginFields::Pubsub {
            subscription: message.subscription.as_deref().map(Cut),
            message_id: message.message_id.as_deref().map(Cut),
            delivery_attempt: message.delivery_attempt,
            wrapped: message.wrapped,
            attributes: attributes(),
        },
        Origin::Events(event) => OriginFields::Events {
            id: Cut(&event.id),
            source: Cut(&event.source),
            event_type: Cut(&event.event_type),
            subject: event.subject.as_deref().map(Cut),
            mode: event.mode.as_str(),
            attributes: attributes(),
        },
    }
}

/// One sentence that reads alone.
struct Message<'a> {
    state: &'a State,
    sender: Sender,
    job: &'a str,
    id: Option<&'a str>,
    outcome_name: &'static str,
    status: u16,
    reason: Option<&'a str>,
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, sender, job, id, outcome_name, status, reason } = self;
        write!(f, "{sender}/{job}")?;
        if let Some(id) = id {
            write!(f, " {id}")?;
        }
        if let Some(attempt) = state.attempt {
            write!(f, " attempt {attempt}")?;
        }
        write!(f, ": {outcome_name}, {status} in {} ms", state.duration_ms)?;
        match reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text of at most [`MAX_CHARS`] characters, with a mark where it was cut.
struct Cut<'a>(&'a str);

impl Serialize for Cut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&cut(self.0, MAX_CHARS))
    }
}

/// The text itself, or its beginning and how much is missing.
pub(super) fn cut(text: &str, max_chars: usize) -> Cow<'_, str> {
    // Bytes are never fewer than characters, so the short ones are not counted.
    if text.len() <= max_chars {
        return text.into();
    }
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…[{} bytes cut]", &text[..end], text.len() - end).into(),
        None => text.into(),
    }
}
