//! The one structured log entry of an attempt, and the middleware that writes exactly one.

mod entry;

mod text;

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
};
use jiff::Timestamp;
use oidc::Refusal;

use crate::{
    dispatch::Route,
    guard::Caller,
    invocation::find_attribute,
    outcome::{Answering, Outcome},
    senders::{Delivery, InvocationId, Origin},
    trace_context::TraceContext,
};

/// Where records go, and what all of them carry.
#[derive(Clone)]
pub struct Records {
    sink: Sink,
    format: Format,
    about: Arc<About>,
}

/// Takes one whole line, its newline included.
type Sink = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object on one line, in Cloud Logging's structured format.
    Json,
    /// One line for people, in colour or not.
    Text {
        /// Whether escape sequences for colour are written.
        is_coloured: bool,
    },
}

/// What every record carries of the service it is from.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// `GOOGLE_CLOUD_PROJECT`: without it a trace cannot be named in full, so none is.
    pub project: Option<String>,
    /// `K_SERVICE`.
    pub service: Option<String>,
    /// `K_REVISION`.
    pub revision: Option<String>,
    /// The message attributes whose values may stand in a record.
    pub attributes: BTreeSet<String>,
}

impl Records {
    /// Records on standard output, one write each.
    pub fn to_stdout(format: Format, about: About) -> Self {
        Self::to(format, about, |line| {
            // Nowhere is left to report to where standard output is closed; the work goes on.
            let _ = std::io::stdout().lock().write_all(line);
        })
    }

    /// Records handed to `sink`, a line at a time.
    pub fn to(format: Format, about: About, sink: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self { sink: Arc::new(sink), format, about: Arc::new(about) }
    }

    fn write(&self, state: &State, attempt: &Attempt) {
        thread_local! {
            static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            match self.format {
                Format::Json => entry::write(line, state, attempt, &self.about),
                Format::Text { is_coloured } => text::write(line, state, attempt, is_coloured),
            }
            line.push(b'\n');
            (self.sink)(line);
        });
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("format", &self.format).finish_non_exhaustive()
    }
}

/// One attempt while it runs: what its record will say.
///
/// Shared between the request and the job's task, since either may outlive the other. It copies what it
/// needs: a kept [`HttpRequest`] makes routing panic.
pub(crate) struct Attempt {
    route: Arc<Route>,
    received: Timestamp,
    started: Instant,
    trace: Option<TraceContext>,
    state: Mutex<State>,
}

/// What becomes known as the attempt goes on.
#[derive(Default)]
struct State {
    job: String,
    is_known_job: bool,
    id: Option<InvocationId>,
    attempt: Option<u32>,
    first_due: Option<Timestamp>,
    origin: Option<Origin>,
    attributes: BTreeMap<String, String>,
    caller: Option<Caller>,
    refusal: Option<Refusal>,
    request_bytes: usize,
    dedup: Option<DedupNote>,
    outcome: Option<Outcome>,
    status: Option<StatusCode>,
    is_running: bool,
    client_gone: bool,
    is_written: bool,
    duration_ms: f64,
}

impl State {
    /// The job's name; a stranger's text where it is none of the table's.
    fn job(&self) -> Cow<'_, str> {
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
    fn as_str(self) -> &'static str {
        match self {
            DedupNote::Unnamed => "unnamed",
            DedupNote::Unconfirmed => "unconfirmed",
        }
    }
}

impl Attempt {
    fn new(route: Arc<Route>, request: &ServiceRequest) -> Self {
        route.shared.in_flight.begin();
        // The path's last part as it came: until the table is asked, it is a stranger's text.
        let job = request.path().trim_start_matches('/').split_once('/').map_or("", |(_, job)| job);
        Self {
            received: Timestamp::now(),
            started: Instant::now(),
            trace: TraceContext::from_headers(request.headers()),
            state: Mutex::new(State { job: job.to_owned(), ..State::default() }),
            route,
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

    fn answered(&self, status: StatusCode) {
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
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.route.shared.in_flight.end();
    }
}

/// Writes the record where the request is dropped before it is answered.
struct Watch(Option<Arc<Attempt>>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(attempt) = self.0.take() {
            attempt.abandoned();
        }
    }
}

/// The outermost middleware: begins an [`Attempt`] and writes its one record, whether what is inside
/// answers, fails or is dropped.
pub(crate) async fn write_one<B: MessageBody + 'static>(
    route: Arc<Route>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let attempt = Arc::new(Attempt::new(route, &request));
    request.extensions_mut().insert(Arc::clone(&attempt));
    let mut watch = Watch(Some(Arc::clone(&attempt)));
    let response = next.call(request).await;
    watch.0 = None;
    attempt.answered(match &response {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    });
    response
}
