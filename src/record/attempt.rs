//! One attempt while it runs, and the moments at which its record is written.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use actix_web::{
    HttpMessage, HttpRequest,
    dev::ServiceRequest,
    http::{Method, StatusCode, header::HeaderMap},
};
use jiff::Timestamp;
use oidc::{Notes, Refusal};
use opentelemetry::{
    Context,
    trace::{FutureExt, TraceContextExt},
};

use super::{current::Marks, entry::Trace, telemetry};
use crate::{
    dispatch::Route,
    guard::Caller,
    invocation::find_attribute,
    job_table::Ready,
    outcome::{Answering, Outcome},
    senders::{Delivery, InvocationId, Origin},
    telemetry::{handle::Telemetry, spans::OwnSpan},
    trace_context::TraceContext,
};

/// One attempt while it runs: what its record will say.
///
/// Shared between the request and the job's task, since either may outlive the other. It copies what it
/// needs: a kept [`HttpRequest`] makes routing panic.
pub(crate) struct Attempt {
    pub(super) route: Arc<Route>,
    pub(super) received: Timestamp,
    pub(super) started: Instant,
    pub(super) method: Method,
    pub(super) trace: Option<TraceContext>,
    /// Whether this attempt has spans of its own, kept or not: what the job sends is in their trace.
    pub(super) has_spans: bool,
    /// Whether they may be kept, so that it matters when what was.
    pub(super) is_timed: bool,
    /// Whether the front end was reached by HTTPS, as far as it says so; looked at for spans alone.
    pub(super) is_https: bool,
    pub(super) state: Mutex<State>,
}

/// When a part of the attempt began and ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) begun: Instant,
    pub(super) ended: Instant,
}

/// What becomes known as the attempt goes on.
#[derive(Default)]
pub(super) struct State {
    pub(super) job: String,
    pub(super) is_known_job: bool,
    pub(super) id: Option<InvocationId>,
    pub(super) attempt: Option<u32>,
    pub(super) first_due: Option<Timestamp>,
    pub(super) origin: Option<Origin>,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) caller: Option<Caller>,
    pub(super) refusal: Option<Refusal>,
    pub(super) request_bytes: usize,
    pub(super) dedup: Option<DedupNote>,
    pub(super) outcome: Option<Outcome>,
    pub(super) status: Option<StatusCode>,
    pub(super) is_running: bool,
    pub(super) client_gone: bool,
    pub(super) is_written: bool,
    pub(super) duration_ms: f64,
    pub(super) own: Option<OwnSpan>,
    pub(super) verification: Option<(Span, Notes)>,
    pub(super) claim: Option<Span>,
    pub(super) run: Option<Span>,
    /// Whether its spans were taken along.
    pub(super) has_spans_out: bool,
}

impl State {
    /// The job's name; a stranger's text where it is none of the table's.
    pub(super) fn job(&self) -> Cow<'_, str> {
        if self.is_known_job {
            Cow::Borrowed(&self.job)
        } else {
            Cow::Owned(oidc::shown(&self.job))
        }
    }
}

/// What the record says of dedup, where there is something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DedupNote {
    /// A part of the invocation's name is missing: a repeat would run again.
    Unnamed,
    /// The job succeeded, but remembering that failed: a repeat may run again.
    Unconfirmed,
}

impl DedupNote {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            DedupNote::Unnamed => "unnamed",
            DedupNote::Unconfirmed => "unconfirmed",
        }
    }
}

impl Attempt {
    pub(super) fn new(route: Arc<Route>, request: &ServiceRequest) -> Self {
        route.shared.in_flight.begin();
        // The path's last part as it came: until the table is asked, it is a stranger's text.
        let job = request.path().trim_start_matches('/').split_once('/').map_or("", |(_, job)| job);
        let trace = TraceContext::from_headers(request.headers());
        let telemetry = &route.shared.telemetry;
        let own = telemetry.begin(trace.as_ref());
        let is_timed = own.as_ref().is_some_and(|own| telemetry.may_keep(own, route.sender));
        Self {
            received: Timestamp::now(),
            started: Instant::now(),
            method: request.method().clone(),
            trace,
            has_spans: own.is_some(),
            is_timed,
            is_https: is_timed && is_https(request.headers()),
            state: Mutex::new(State { job: job.to_owned(), own, ..State::default() }),
            route,
        }
    }

    /// The time, where spans are to have it.
    pub(crate) fn now(&self) -> Option<Instant> {
        self.is_timed.then(Instant::now)
    }

    /// The caller was proved, or not, from then till now.
    pub(crate) fn has_verified(&self, begun: Option<Instant>, notes: Notes) {
        if let Some(span) = Span::since(begun) {
            self.state().verification = Some((span, notes));
        }
    }

    /// The invocation was claimed, or not, from then till now.
    pub(crate) fn has_claimed(&self, begun: Option<Instant>) {
        if let Some(span) = Span::since(begun) {
            self.state().claim = Some(span);
        }
    }

    /// The job ran from then till now.
    pub(crate) fn has_run(&self, begun: Option<Instant>) {
        if let Some(span) = Span::since(begun) {
            self.state().run = Some(span);
        }
    }

    /// Lets what the job traces, and what it sends, be within the job's span.
    pub(crate) fn within_its_span(&self, job: Ready) -> Ready {
        if !self.has_spans {
            return job;
        }
        let Some(own) = self.state().own else { return job };
        Box::pin(job.with_context(Context::new().with_remote_span_context(own.job_context())))
    }

    /// What its log lines carry. `None` while something is written into it: a line must never wait.
    pub(super) fn marks(&self) -> Option<Marks> {
        let state = self.state.try_lock().ok()?;
        let trace = Trace::of(&state, self);
        Some(Marks {
            trace: trace.as_ref().and_then(|one| one.name(self.route.records.about.project.id())),
            span_id: trace.as_ref().and_then(Trace::span_id),
            is_sampled: trace.map(|trace| trace.is_sampled),
            sender: self.route.sender,
            job: state.is_known_job.then(|| state.job.clone()),
        })
    }

    /// Its spans, if the sampler keeps them.
    pub(super) fn kept(&self) -> Option<(OwnSpan, Telemetry)> {
        let own = self.state.try_lock().ok()?.own.filter(|own| own.is_sampled)?;
        Some((own, self.route.shared.telemetry.clone()))
    }

    /// Ends when the spans are handed over, or when that takes longer than an answer may wait.
    pub(super) async fn handed_over(&self) {
        // Only for its own: what the sampler leaves out has nothing to wait for.
        if self.is_timed && self.state().has_spans_out {
            self.route.shared.telemetry.handed_over().await;
        }
    }

    /// The attempt that the middleware began for this request.
    pub(crate) fn of(request: &ServiceRequest) -> Arc<Self> {
        Self::within(request.request())
    }

    /// As [`Attempt::of`], past the middlewares.
    pub(crate) fn within(request: &HttpRequest) -> Arc<Self> {
        request
            .extensions()
            .get::<Arc<Self>>()
            .cloned()
            .expect("server.rs wraps every route with record::write_one, which begins an attempt")
    }

    /// When the head arrived.
    pub(crate) fn received(&self) -> Timestamp {
        self.received
    }

    /// When the head arrived, on the monotonic clock.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// What the answer's status depends on beside the outcome.
    pub(crate) fn answering(&self) -> Answering {
        let origin = &self.state().origin;
        self.answering_with(origin.as_ref())
    }

    fn answering_with(&self, origin: Option<&Origin>) -> Answering {
        Answering {
            sender: self.route.sender,
            has_dead_letter_policy: origin.is_some_and(Origin::has_dead_letter_policy),
            give_up: self.route.give_up,
        }
    }

    pub(crate) fn admitted(&self, caller: Caller) {
        self.state().caller = Some(caller);
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        let mut state = self.state();
        state.outcome = Some(Outcome::Refused(refusal.reason));
        state.refusal = Some(refusal);
    }

    pub(crate) fn caller(&self) -> Option<Caller> {
        self.state().caller.clone()
    }

    pub(crate) fn is_for(&self, known_job: &str) {
        let mut state = self.state();
        known_job.clone_into(&mut state.job);
        state.is_known_job = true;
    }

    pub(crate) fn has_body(&self, bytes: usize) {
        self.state().request_bytes = bytes;
    }

    pub(crate) fn delivered(&self, delivery: &Delivery) {
        let allowed = &self.route.records.about.attributes;
        let mut state = self.state();
        if let (Some(own), Some(publisher)) = (&mut state.own, publisher(delivery)) {
            self.route.shared.telemetry.published_by(own, publisher.remote());
        }
        state.id.clone_from(&delivery.id);
        state.attempt = delivery.attempt;
        state.first_due = delivery.first_due;
        state.origin = Some(delivery.origin.clone());
        state.attributes = allowed
            .iter()
            .filter_map(|name| {
                Some((name.clone(), find_attribute(&delivery.attributes, name)?.to_owned()))
            })
            .collect();
    }

    pub(crate) fn note(&self, note: DedupNote) {
        self.state().dedup = Some(note);
    }

    /// From here on the record is owed even if the sender hangs up.
    pub(crate) fn begins_job(&self) {
        self.state().is_running = true;
    }

    /// The job's task has ended; where the sender has hung up, nobody else writes the record.
    pub(crate) fn ended(&self, outcome: Outcome) {
        let mut state = self.state();
        state.is_running = false;
        state.outcome = Some(outcome);
        if state.client_gone {
            self.write(&mut state);
        }
    }

    /// The outcome of an attempt that ended before its job began.
    pub(crate) fn ended_early(&self, outcome: Outcome) {
        self.state().outcome = Some(outcome);
    }

    /// The sender has hung up.
    fn abandoned(&self) {
        let mut state = self.state();
        state.client_gone = true;
        if !state.is_running {
            state.outcome.get_or_insert_with(|| match self.route.is_draining() {
                // It may be this instance that has hung up.
                true => Outcome::Aborted,
                false => Outcome::Incomplete("the sender hung up first".to_owned()),
            });
            self.write(&mut state);
        }
    }

    pub(super) fn answered(&self, status: StatusCode) {
        let mut state = self.state();
        state.status = Some(status);
        self.write(&mut state);
    }

    fn write(&self, state: &mut State) {
        if std::mem::replace(&mut state.is_written, true) {
            return;
        }
        let outcome = state.outcome.get_or_insert_with(|| {
            Outcome::Panicked("a middleware answered without an outcome".to_owned())
        });
        let answering = self.answering_with(state.origin.as_ref());
        let status = outcome.status(answering);
        state.status.get_or_insert(status);
        state.duration_ms = (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3;
        self.route.records.write(state, self);
        state.has_spans_out = telemetry::write(state, self);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Span {
    fn since(begun: Option<Instant>) -> Option<Span> {
        Some(Span { begun: begun?, ended: Instant::now() })
    }
}

/// <https://cloud.google.com/run/docs/container-contract>
fn is_https(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https")
}

/// The span that published the message or the event.
///
/// <https://cloud.google.com/pubsub/docs/open-telemetry-tracing>,
/// <https://github.com/cloudevents/spec/blob/main/cloudevents/extensions/distributed-tracing.md>
fn publisher(delivery: &Delivery) -> Option<TraceContext> {
    let name = match delivery.origin {
        Origin::Pubsub(_) => "googclient_traceparent",
        Origin::Events(_) => "traceparent",
        Origin::Scheduler(_) | Origin::Tasks(_) => return None,
    };
    TraceContext::from_traceparent(find_attribute(&delivery.attributes, name)?)
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.route.shared.in_flight.end();
    }
}

/// Writes the record where the request is dropped before it is answered.
pub(super) struct Watch(pub(super) Option<Arc<Attempt>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(attempt) = self.0.take() {
            attempt.abandoned();
        }
    }
}
