//! When a fetch may start, and what became of the last one.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::{
    source::{FetchError, Fetched},
    {KeySet, Shared, jwks},
};
use crate::limits::Limits;

/// How much later than its limit a fetch may land and still be waited for.
const OVERDUE_AFTER: Duration = Duration::from_secs(1);

/// What a fetch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The set is missing, ageing or past its lifetime.
    Refresh,
    /// The set is good but lacks a key. Strangers can cause this at will, so it has a cooldown.
    UnknownKey,
}

/// The fetch under way, if any, and what became of those before.
#[derive(Default)]
pub(super) struct Flight {
    current: Option<Current>,
    failed: Option<Failed>,
    unknown_key_at: Option<Instant>,
}

/// The fetch under way.
struct Current {
    started: Instant,
    landed: watch::Receiver<()>,
}

/// The failures since the last success.
struct Failed {
    times: u32,
    at: Instant,
    error: String,
}

impl Flight {
    /// The fetch under way: its channel closes when it has landed.
    ///
    /// One that is past its time limit no longer counts. It sits in a runtime that does not get to
    /// run, such as that of a worker thread which a job is blocking, and others shall not wait.
    pub(super) fn under_way(&self, now: Instant, limits: &Limits) -> Option<watch::Receiver<()>> {
        let current = self.current.as_ref()?;
        let overdue = limits.fetch_timeout.saturating_add(OVERDUE_AFTER);
        let on_time = now.saturating_duration_since(current.started) < overdue;
        on_time.then(|| current.landed.clone())
    }

    /// Whether the last fetch that ended has failed.
    pub(super) fn last_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// What the last fetch that ended has failed of.
    pub(super) fn last_error(&self) -> Option<String> {
        self.failed.as_ref().map(|failed| failed.error.clone())
    }

    /// Whether no fetch may start now. After a failure the backoff rules, for unknown keys too:
    /// until a fetch succeeds, whether they are unknown is not known.
    pub(super) fn must_pause(&self, why: Why, now: Instant, limits: &Limits) -> bool {
        let within = |since: Instant, pause| now.saturating_duration_since(since) < pause;
        match (&self.failed, why, self.unknown_key_at) {
            (Some(failed), _, _) => within(failed.at, limits.backoff(failed.times)),
            (None, Why::UnknownKey, Some(at)) => within(at, limits.unknown_key_cooldown),
            (None, _, _) => false,
        }
    }

    /// Marks a fetch as under way; dropping the sender wakes those who joined it.
    pub(super) fn start(
        &mut self,
        why: Why,
        now: Instant,
    ) -> (watch::Sender<()>, watch::Receiver<()>) {
        if why == Why::UnknownKey {
            self.unknown_key_at = Some(now);
        }
        let (landing, landed) = watch::channel(());
        self.current = Some(Current { started: now, landed: landed.clone() });
        (landing, landed)
    }

    /// Notes what became of the fetch behind `landing`, and whether it still counts: one that was
    /// overdue and has been replaced must not undo what its successor did.
    fn land(
        &mut self,
        landing: &watch::Sender<()>,
        error: Option<FetchError>,
        now: Instant,
    ) -> bool {
        match &self.current {
            Some(current) if current.landed.same_channel(&landing.subscribe()) => {}
            _ => return false,
        }
        self.current = None;
        let times = self.failed.as_ref().map_or(0, |failed| failed.times);
        self.failed = error.map(|error| Failed {
            times: times.saturating_add(1),
            at: now,
            error: error.to_string(),
        });
        true
    }
}

/// The duty to end a flight. Its drop does so, hence also when the fetch panics or its runtime
/// goes away, and nobody waits for a flight that will never land.
pub(super) struct Landing {
    shared: Arc<Shared>,
    started: Instant,
    result: Result<Arc<KeySet>, FetchError>,
    /// Fields drop after `Drop::drop`, so those who joined wake when the set is in its place.
    landing: watch::Sender<()>,
}

impl Landing {
    pub(super) fn new(
        shared: Arc<Shared>,
        landing: watch::Sender<()>,
        started: Instant,
    ) -> Landing {
        Landing { shared, started, result: Err(FetchError::Dropped), landing }
    }

    /// Fetches; the set is put in its place on drop.
    pub(super) async fn fly(mut self) {
        let limit = self.shared.limits.fetch_timeout;
        let fetched = timeout(limit, self.shared.source.fetch())
            .await
            .unwrap_or(Err(FetchError::TimedOut(limit)));
        self.result = fetched.and_then(|fetched| self.read(&fetched));
    }

    fn read(&self, fetched: &Fetched) -> Result<Arc<KeySet>, FetchError> {
        let old = self.shared.set.load();
        let old = old.as_ref().map_or(&[][..], |set| set.keys());
        let keys = jwks::parse(&fetched.body, self.shared.profile.algorithm(), old)?;
        let lifetime = self.shared.limits.key_lifetime(fetched.lifetime);
        tracing::debug!(keys = keys.len(), ?lifetime, "Fetched the signing keys.");
        // The lifetime counts from the start of the fetch, so that the time on the way is in it.
        Ok(Arc::new(KeySet::new(keys, self.started, lifetime)))
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let (set, error) = match std::mem::replace(&mut self.result, Err(FetchError::Dropped)) {
            Ok(set) => (Some(set), None),
            Err(error) => (None, Some(error)),
        };
        if let Some(error) = &error {
            let url = self.shared.profile.keys_url();
            tracing::warn!(url, %error, "Could not fetch the signing keys; will try again.");
        }
        let mut flight = self.shared.flight();
        if flight.land(&self.landing, error, Instant::now()) && set.is_some() {
            self.shared.set.store(set);
        }
    }
}
