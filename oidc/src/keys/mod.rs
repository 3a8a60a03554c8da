//! The issuer's keys, their freshness, and the one fetch at a time.
//!
//! - `set`: the keys of one fetch, and how fresh they are.
//! - `jwks`: a fetched body as keys.
//! - `source`: where bodies come from: HTTP, or a test.
//! - `flight`: when a fetch may start, and what became of the last one.

mod flight;
mod jwks;
mod set;
mod source;

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::{limits::Limits, notes::Notes, profile::Profile, reason::Reason};

use flight::{Flight, Landing, Why};
pub(crate) use jwks::Key;
use set::{KeySet, Phase};
use source::HttpSource;
pub(crate) use source::Source;
#[cfg(test)]
pub(crate) use source::{FetchError, Fetched};

/// Whether tokens can be verified, for readiness probes and records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysStatus {
    /// There are keys.
    Usable {
        /// How many.
        keys: usize,
        /// How long ago they were fetched.
        age: Duration,
        /// Whether they are past their lifetime and serve because no new ones can be had.
        stale: bool,
    },
    /// There are none, or they are too old.
    Unusable {
        /// What the last fetch failed of; `None` if none has ended yet.
        last_error: Option<String>,
    },
}

/// The issuer's keys.
///
/// Reads take no lock while the keys are fresh. A fetch runs in a task of its own, so that the
/// request that started it can be cancelled, and everyone who needs its result joins it. The
/// `flight` mutex is held for a few instructions at a time and never across an await.
#[derive(Clone)]
pub(crate) struct Keys {
    shared: Arc<Shared>,
}

struct Shared {
    profile: Profile,
    limits: Limits,
    source: Box<dyn Source>,
    set: ArcSwapOption<KeySet>,
    flight: Mutex<Flight>,
    fetches: AtomicU64,
}

impl Shared {
    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    /// Keys over HTTP. Does no I/O.
    pub(crate) fn over_http(profile: Profile, limits: Limits) -> Keys {
        let source = HttpSource::new(profile.keys_url().to_owned(), &limits);
        Keys::with_source(profile, limits, Box::new(source))
    }

    /// Keys from anywhere.
    pub(crate) fn with_source(profile: Profile, limits: Limits, source: Box<dyn Source>) -> Keys {
        Keys {
            shared: Arc::new(Shared {
                profile,
                limits,
                source,
                set: ArcSwapOption::empty(),
                flight: Mutex::default(),
                fetches: AtomicU64::new(0),
            }),
        }
    }

    /// The key with this id, fetching keys first where that is due.
    ///
    /// # Errors
    ///
    /// [`Reason::UnknownKey`] if the last fetch succeeded and the set lacks the key;
    /// [`Reason::KeysUnavailable`] if that cannot be known now.
    pub(crate) async fn find(&self, kid: &str, notes: &mut Notes) -> Result<Arc<Key>, Reason> {
        let why = match self.look(kid, Instant::now()) {
            (Phase::Fresh, Some(key)) => return Ok(key),
            (Phase::Ageing, Some(key)) => {
                // Refreshed ahead of time by whoever comes by, since Cloud Run gives no CPU to a
                // timer between requests. Nobody waits.
                self.fetch(Why::Refresh, Instant::now());
                return Ok(key);
            }
            (Phase::Fresh | Phase::Ageing, None) => Why::UnknownKey,
            (Phase::Stale | Phase::Over, _) => Why::Refresh,
        };
        let mut gave_up_waiting = false;
        let begun = Instant::now();
        if let Some(mut landed) = self.fetch(why, begun) {
            // The sender is dropped on landing, which is an `Err` here: nothing is ever sent.
            let waited = timeout(self.shared.limits.join_wait, landed.changed()).await;
            gave_up_waiting = waited.is_err();
            notes.waited_for_keys = Some((begun.into_std(), Instant::now().into_std()));
        }
        match self.look(kid, Instant::now()) {
            (Phase::Over, _) => Err(Reason::KeysUnavailable),
            (_, Some(key)) => Ok(key),
            (_, None) if gave_up_waiting => Err(Reason::KeysUnavailable),
            (_, None) if self.shared.flight().last_failed() => Err(Reason::KeysUnavailable),
            (_, None) => Err(Reason::UnknownKey),
        }
    }

    /// Starts a fetch in the background, unless one is under way. Without a runtime it does
    /// nothing.
    pub(crate) fn prefetch(&self) {
        self.fetch(Why::Refresh, Instant::now());
    }

    /// How many fetches have been started.
    pub(crate) fn fetches(&self) -> u64 {
        self.shared.fetches.load(Ordering::Relaxed)
    }

    /// Whether there are keys.
    pub(crate) fn status(&self) -> KeysStatus {
        let now = Instant::now();
        let set = self.shared.set.load();
        let phase = set.as_ref().map(|set| (set, set.phase(now, &self.shared.limits)));
        match phase {
            None | Some((_, Phase::Over)) => {
                KeysStatus::Unusable { last_error: self.shared.flight().last_error() }
            }
            Some((set, phase)) => KeysStatus::Usable {
                keys: set.keys().len(),
                age: set.age(now),
                stale: matches!(phase, Phase::Stale),
            },
        }
    }

    /// How fresh the set is, and the key if it is there. No lock.
    fn look(&self, kid: &str, now: Instant) -> (Phase, Option<Arc<Key>>) {
        let set = self.shared.set.load();
        let Some(set) = set.as_ref() else {
            return (Phase::Over, None);
        };
        (set.phase(now, &self.shared.limits), set.find(kid))
    }

    /// Joins the fetch under way, or starts one; `None` if none may start now.
    fn fetch(&self, why: Why, now: Instant) -> Option<watch::Receiver<()>> {
        let runtime = Handle::try_current().ok()?;
        let (landing, landed) = {
            let mut flight = self.shared.flight();
            if let Some(landed) = flight.under_way(now, &self.shared.limits) {
                return Some(landed);
            }
            // A fetch may have landed since the caller looked.
            let phase =
                self.shared.set.load().as_ref().map(|set| set.phase(now, &self.shared.limits));
            if why == Why::Refresh && matches!(phase, Some(Phase::Fresh)) {
                return None;
            }
            if flight.must_pause(why, now, &self.shared.limits) {
                return None;
            }
            flight.start(why, now)
        };
        self.shared.fetches.fetch_add(1, Ordering::Relaxed);
        // Without the lock: a runtime that is shutting down drops the task at once, and dropping
        // it takes the lock.
        runtime.spawn(Landing::new(Arc::clone(&self.shared), landing, now).fly());
        Some(landed)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("url", &self.shared.profile.keys_url())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
