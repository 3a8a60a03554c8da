//! One delivery, from its head to its outcome.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, dev::Payload};
use futures_util::FutureExt;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::Instant,
};

use crate::{
    answer::answer,
    body::{self, BodyMemory},
    dedup::{Claimed, Dedup, Key, Lease, RENEWAL},
    guard::Guard,
    invocation::Invocation,
    job_table::{Job, Ready},
    outcome::{GiveUp, JobError, Missing, Outcome},
    record::{Attempt, DedupNote, Records, current},
    senders::{self, Sender, Unwrapped},
    telemetry::handle::Telemetry,
};

/// What the requests of one sender are handled with.
pub(crate) struct Route {
    /// Whose requests these are.
    pub(crate) sender: Sender,
    /// Its jobs by name.
    pub(crate) jobs: BTreeMap<String, Job>,
    /// Who may call.
    pub(crate) guard: Guard,
    /// The largest body.
    pub(crate) body_limit_bytes: usize,
    /// How long an attempt may take from its head on.
    pub(crate) deadline: Duration,
    /// What Pub/Sub and Eventarc are answered when a job gives up.
    pub(crate) give_up: GiveUp,
    /// Where its records go.
    pub(crate) records: Records,
    /// What all senders share.
    pub(crate) shared: Arc<Shared>,
}

/// What the requests of all senders share.
pub(crate) struct Shared {
    /// Attempts that have begun and are not over, whether or not their sender still waits.
    pub(crate) in_flight: InFlight,
    /// One permit for each attempt whose caller is proved.
    pub(crate) permits: Arc<Semaphore>,
    /// The memory that bodies may take together.
    pub(crate) body_memory: BodyMemory,
    /// What has been done before.
    pub(crate) dedup: Dedup,
    /// Traces and metrics.
    pub(crate) telemetry: Telemetry,
    /// Set when the instance is asked to stop.
    pub(crate) is_draining: AtomicBool,
    /// True from the moment at which what is left is aborted.
    pub(crate) drain_over: watch::Sender<bool>,
}

/// Counts attempts, so that the drain knows when none is left.
#[derive(Default)]
pub(crate) struct InFlight {
    count: AtomicUsize,
    is_none: Notify,
}

impl InFlight {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.is_none.notify_waiters();
        }
    }

    /// Ends at a moment at which there was none.
    pub(crate) async fn none(&self) {
        loop {
            let mut notified = std::pin::pin!(self.is_none.notified());
            // Before the count is read: a notice in between would be missed.
            notified.as_mut().enable();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Route {
    /// Whether connections are to be closed once they are answered.
    pub(crate) fn is_draining(&self) -> bool {
        self.shared.is_draining.load(Ordering::Relaxed)
    }
}

/// Answers one delivery whose caller the guard has proved.
pub(crate) async fn dispatch(
    route: Arc<Route>,
    request: HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let attempt = Attempt::within(&request);
    let mut payload = payload;
    let outcome = match deliver(&route, &attempt, &request, &mut payload).await {
        Ok(outcome) => outcome,
        Err(outcome) => {
            attempt.ended_early(outcome.clone());
            outcome
        }
    };
    answer(&route, &attempt, &request, payload, &outcome).await
}

/// An attempt that ended before its job began is an `Err`.
async fn deliver(
    route: &Arc<Route>,
    attempt: &Arc<Attempt>,
    request: &HttpRequest,
    payload: &mut Payload,
) -> Result<Outcome, Outcome> {
    let rest = request.match_info().unprocessed();
    let name = rest.strip_prefix('/').unwrap_or_default();
    let job = route.jobs.get(name).ok_or(Outcome::NoSuchJob(Missing::Job))?;
    attempt.is_for(name);
    if !route.sender.methods().contains(request.method()) {
        return Err(Outcome::NoSuchJob(Missing::Method));
    }
    let caller = attempt.caller().ok_or(Outcome::Refused(oidc::Reason::Missing))?;
    let permit = Arc::clone(&route.shared.permits)
        .try_acquire_owned()
        .map_err(|_| Outcome::Overloaded("as many attempts as MAX_IN_FLIGHT allows are running"))?;

    let deadline = attempt.started() + route.deadline;
    let (body, memory) = tokio::select! {
        biased;
        read = body::read(request, payload, route.body_limit_bytes, &route.shared.body_memory, deadline) => read?,
        () = over(&route.shared.drain_over) => return Err(Outcome::Aborted),
    };
    attempt.has_body(body.len());

    let unwrapped =
        if route.guard.trusts_a_header() { Unwrapped::Refused } else { Unwrapped::Accepted };
    let delivery = senders::read(route.sender, request.headers(), body, unwrapped)
        .map_err(|senders::Unreadable(fault)| Outcome::Unreadable(fault))?;
    attempt.delivered(&delivery);
    let key = delivery.id.as_ref().map(|id| Key::new(route.sender, name, id));
    let invocation = Invocation::new(route.sender, delivery, attempt.received(), deadline, caller);
    // Reading the payload runs the author's code already.
    let ready = std::panic::catch_unwind(AssertUnwindSafe(|| job(invocation)))
        .map_err(|panic| Outcome::Panicked(describe_panic(&*panic)))?
        .map_err(|senders::Unreadable(fault)| Outcome::Unreadable(fault))?;

    // A task of its own: a sender that hangs up drops the request, and must not stop the job.
    attempt.begins_job();
    let running = Running { attempt: Arc::clone(attempt), outcome: None };
    let route = Arc::clone(route);
    let within = Arc::clone(attempt);
    let task = tokio::spawn(current::within(within, async move {
        let outcome = run(&route, &running.attempt, key, ready, deadline.into()).await;
        drop((permit, memory));
        running.ends(outcome)
    }));
    // Panics of the job are caught within; what ends the task otherwise is recorded as aborted.
    Ok(task.await.unwrap_or(Outcome::Aborted))
}

/// Claims the invocation, runs its job, and settles the claim once the job has really ended.
async fn run(
    route: &Route,
    attempt: &Attempt,
    key: Option<Key>,
    job: Ready,
    deadline: Instant,
) -> Outcome {
    let dedup = &route.shared.dedup;
    let drain_over = &route.shared.drain_over;
    let lease = match key {
        None => {
            if !matches!(dedup, Dedup::Off) {
                attempt.note(DedupNote::Unnamed);
            }
            None
        }
        Some(key) => {
            let begun = attempt.now();
            let claimed = tokio::select! {
            biased;
            claimed = dedup.claim(key, route.sender.remembered_for(), deadline) => claimed,
                () = over(drain_over) => return Outcome::Aborted,
            };
            attempt.has_claimed(begun);
            match claimed {
                Some(Claimed::Done) => return Outcome::Duplicate,
                Some(Claimed::Held) => return Outcome::InProgress,
                Some(Claimed::Ours(lease)) => Some(lease),
                None => None,
            }
        }
    };
    let begun = attempt.now();
    let job = attempt.within_its_span(job);
    let outcome = supervise(job, lease.as_ref(), deadline, drain_over).await;
    attempt.has_run(begun);
    if let Some(lease) = lease {
        if !outcome.is_final(attempt.answering()) {
            lease.release();
        } else if !lease.done() {
            attempt.note(DedupNote::Unconfirmed);
        }
    }
    outcome
}

/// Polls the job until it ends, its deadline passes or the drain is over. Its future is gone on return;
/// what it has handed to `spawn_blocking` runs on.
async fn supervise(
    job: Ready,
    lease: Option<&Lease>,
    deadline: Instant,
    drain_over: &watch::Sender<bool>,
) -> Outcome {
    let mut job = Box::pin(AssertUnwindSafe(job).catch_unwind());
    let mut drain_over = std::pin::pin!(over(drain_over));
    loop {
        let renewal = lease.map_or(deadline, |_| Instant::now() + RENEWAL);
        tokio::select! {
            biased;
            result = &mut job => return match result {
                Ok(Ok(())) => Outcome::Done,
                Ok(Err(JobError::Retry(reason))) => Outcome::Retry(reason),
                Ok(Err(JobError::SlowDown { after, reason })) => Outcome::SlowDown { after, reason },
                Ok(Err(JobError::GiveUp(reason))) => Outcome::GaveUp(reason),
                Err(panic) => Outcome::Panicked(describe_panic(&*panic)),
            },
            () = &mut drain_over => return Outcome::Aborted,
            () = tokio::time::sleep_until(deadline.min(renewal)) => {
                if Instant::now() >= deadline {
                    return Outcome::TimedOut;
                }
                // Lost only where this thread was blocked for a whole lease; the job is too far in to stop.
                if !lease.is_some_and(Lease::renew) {
                    tracing::warn!("the claim of a running job lapsed: is the job blocking its thread?");
                }
            }
        }
    }
}

/// Ends when the drain does. Subscribes when it is first polled, which most attempts never do.
async fn over(drain: &watch::Sender<bool>) {
    // An error would say that the server is gone, which ends the drain too.
    let _ = drain.subscribe().wait_for(|is_over| *is_over).await;
}

/// What a panic said, where it said it in words.
fn describe_panic(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the job panicked without a message").to_owned()
}

/// A job's task. However it ends, its attempt hears of it.
struct Running {
    attempt: Arc<Attempt>,
    outcome: Option<Outcome>,
}

impl Running {
    fn ends(mut self, outcome: Outcome) -> Outcome {
        self.outcome = Some(outcome.clone());
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Without an outcome the task was dropped before it ended: its worker has stopped.
        self.attempt.ended(self.outcome.take().unwrap_or(Outcome::Aborted));
    }
}
