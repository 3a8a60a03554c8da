//! An attempt's spans and its part of the metrics, when it is over.

use std::time::{Instant, SystemTime};

use actix_web::http::Method;
use opentelemetry::{
    KeyValue,
    trace::{SpanKind, Status},
};
use opentelemetry_sdk::trace::SpanData;

use super::attempt::{Attempt, Span, State};
use crate::{
    outcome::{Outcome, Reasoning},
    senders::{Origin, Sender},
    telemetry::{
        metrics::{Measured, STUCK_FROM},
        spans::{OwnSpan, Spanned},
    },
};

/// Hands both over, and says whether there were spans among it.
pub(super) fn write(state: &State, attempt: &Attempt) -> bool {
    let telemetry = &attempt.route.shared.telemetry;
    let Some((outcome, status)) = state.outcome.as_ref().zip(state.status) else { return false };
    if let Some(metrics) = telemetry.metrics() {
        metrics.add(&Measured {
            sender: attempt.route.sender,
            job: state.is_known_job.then_some(&*state.job),
            outcome: outcome.as_str(),
            reason: match outcome.reason() {
                Some(Reasoning::Guard(reason)) => Some(reason.as_str()),
                _ => None,
            },
            duration_secs: state.duration_ms / 1e3,
            lag_secs: state.first_due.map(|due| attempt.received.duration_since(due).as_secs_f64()),
            body_bytes: state.request_bytes,
            is_duplicate: matches!(outcome, Outcome::Duplicate),
            is_stuck: !status.is_success()
                && state.attempt.is_some_and(|number| number >= STUCK_FROM),
        });
    }
    let kept = state.own.as_ref().filter(|own| telemetry.keeps(own, outcome.has_failed()));
    if let Some(own) = kept {
        telemetry.take(spans(own, state, attempt, outcome, status.as_u16()));
    }
    kept.is_some()
}

fn spans(
    own: &OwnSpan,
    state: &State,
    attempt: &Attempt,
    outcome: &Outcome,
    status: u16,
) -> Vec<SpanData> {
    let at = |moment: Instant| {
        SystemTime::from(attempt.received) + moment.saturating_duration_since(attempt.started)
    };
    let child_of = |within: u64, name: &'static str, span_id, span: Span, attributes| {
        own.data(Spanned {
            name: name.into(),
            kind: SpanKind::Internal,
            span_id,
            within: Some(within),
            start: at(span.begun),
            end: at(span.ended),
            attributes,
            status: Status::Unset,
        })
    };
    let child =
        |name, span_id, span, attributes| child_of(own.span_id, name, span_id, span, attributes);
    let mut spans = Vec::with_capacity(5);
    spans.push(own.data(server(own, state, attempt, outcome, status, at(Instant::now()))));
    if let Some((span, notes)) = state.verification {
        let attributes = vec![KeyValue::new("token.remembered", notes.is_remembered)];
        // Ids beside the two that were chosen: nobody else has to know them.
        let span_id = own.span_id ^ 1;
        spans.push(child("verify", span_id, span, attributes));
        if let Some((begun, ended)) = notes.waited_for_keys {
            // The fetch is the service's, and one for all who wait: what is the attempt's is the waiting.
            let span = Span { begun, ended };
            spans.push(child_of(span_id, "wait for keys", own.span_id ^ 3, span, Vec::new()));
        }
    }
    if let Some(span) = state.claim {
        spans.push(child("claim", own.span_id ^ 2, span, Vec::new()));
    }
    if let Some(span) = state.run {
        let mut job =
            child("job", own.job_span_id, span, vec![KeyValue::new("job", state.job.clone())]);
        if outcome.has_failed() {
            job.status = Status::error(outcome.as_str());
        }
        spans.push(job);
    }
    spans
}

fn server(
    own: &OwnSpan,
    state: &State,
    attempt: &Attempt,
    outcome: &Outcome,
    status: u16,
    end: SystemTime,
) -> Spanned {
    let sender = attempt.route.sender;
    let (method, name) = match &attempt.method {
        // A stranger's word is no method (HTTP's conventions), and no name of a span.
        method if is_standard(method) => (method.as_str(), method.as_str()),
        _ => ("_OTHER", "HTTP"),
    };
    let route = match state.is_known_job {
        true => format!("/{sender}/{}", state.job),
        false => format!("/{sender}/*"),
    };
    let mut attributes = Vec::with_capacity(20);
    let mut set = |name: &'static str, value: opentelemetry::Value| {
        attributes.push(KeyValue::new(name, value));
    };
    set("http.request.method", method.to_owned().into());
    set("http.route", route.clone().into());
    set("http.response.status_code", i64::from(status).into());
    set("http.request.body.size", as_i64(state.request_bytes).into());
    set("url.scheme", if attempt.is_https { "https" } else { "http" }.into());
    if state.is_known_job {
        set("url.path", route.clone().into());
    }
    set("faas.trigger", trigger(sender).into());
    set("invocation.sender", sender.as_str().into());
    set("invocation.outcome", outcome.as_str().into());
    if let Some(id) = &state.id {
        set("faas.invocation_id", oidc::shown(&id.to_string()).into());
    }
    if let Some(number) = state.attempt {
        set("invocation.attempt", i64::from(number).into());
    }
    if let Some(due) = state.first_due {
        set("invocation.first_due", due.to_string().into());
    }
    if let Some(Reasoning::Guard(reason)) = outcome.reason() {
        set("invocation.reason", reason.as_str().into());
    }
    if let Some(origin) = &state.origin {
        of_origin(origin, state, &mut set);
    }
    // A server's span is in error where the server is (HTTP's conventions), not where a caller was refused.
    let is_error = status >= 500 || matches!(outcome, Outcome::GaveUp(_) | Outcome::Unreadable(_));
    if outcome.has_failed() {
        set("error.type", outcome.as_str().into());
    }
    Spanned {
        name: format!("{name} {route}").into(),
        kind: SpanKind::Server,
        span_id: own.span_id,
        within: own.parent.map(|parent| parent.span_id),
        start: attempt.received.into(),
        end,
        attributes,
        status: if is_error { Status::error(outcome.as_str()) } else { Status::Unset },
    }
}

/// What one sender alone says.
fn of_origin(
    origin: &Origin,
    state: &State,
    set: &mut impl FnMut(&'static str, opentelemetry::Value),
) {
    let mut text = |name, value: &Option<String>| {
        if let Some(value) = value {
            set(name, oidc::shown(value).into());
        }
    };
    match origin {
        Origin::Scheduler(run) => {
            text("faas.time", &run.schedule_time);
            text("scheduler.job", &run.job_name);
        }
        Origin::Tasks(task) => {
            text("tasks.queue", &task.queue);
            text("tasks.task", &task.task);
        }
        Origin::Pubsub(message) => {
            text("messaging.destination.subscription.name", &message.subscription);
            text("messaging.message.id", &message.message_id);
            text("messaging.gcp_pubsub.message.ordering_key", &message.ordering_key);
            set("messaging.system", "gcp_pubsub".into());
            set("messaging.operation.type", "process".into());
            set("messaging.operation.name", "push".into());
            set("messaging.message.envelope.size", as_i64(state.request_bytes).into());
            if let Some(number) = message.delivery_attempt {
                set("messaging.gcp_pubsub.message.delivery_attempt", i64::from(number).into());
            }
        }
        Origin::Events(event) => {
            text("cloudevents.event_subject", &event.subject);
            set("cloudevents.event_id", oidc::shown(&event.id).into());
            set("cloudevents.event_source", oidc::shown(&event.source).into());
            set("cloudevents.event_type", oidc::shown(&event.event_type).into());
        }
    }
}

/// RFC 9110 §9 and RFC 5789.
fn is_standard(method: &Method) -> bool {
    use Method as M;
    [M::CONNECT, M::DELETE, M::GET, M::HEAD, M::OPTIONS, M::PATCH, M::POST, M::PUT, M::TRACE]
        .contains(method)
}

/// <https://opentelemetry.io/docs/specs/semconv/registry/attributes/faas/>
fn trigger(sender: Sender) -> &'static str {
    match sender {
        Sender::Scheduler => "timer",
        Sender::Tasks => "http",
        Sender::Pubsub => "pubsub",
        Sender::Events => "other",
    }
}

fn as_i64(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
