//! The same invocation does not succeed twice while the store remembers.
//!
//! Every sender delivers at least once, so repeats are normal. This suppresses them; it is not
//! exactly-once, and nothing is: a job that succeeded and whose instance died before that was remembered
//! will run again.
//!
//! A claim is a short lease with an owner, renewed while its job runs, so that the work of a killed
//! instance is free again within seconds. Renewing, marking done and releasing each compare the owner
//! first.

mod memory;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::{sync::watch, time::Instant};

use self::memory::Memory;
use crate::senders::{InvocationId, Sender};

/// How long a claim holds without being renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(15);

/// How often the claim of a running job is renewed.
pub(crate) const RENEWAL: Duration = Duration::from_secs(5);

/// Where finished invocations are remembered.
#[derive(Clone)]
pub(crate) enum Dedup {
    /// Nowhere: every delivery runs.
    Off,
    /// In this process: right for one instance, and lost with it.
    Memory(Arc<Memory>),
}

/// Names one invocation of one job. A hash, so that its size does not depend on a sender's names.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// The key of an invocation at a route's job.
    pub(crate) fn new(sender: Sender, job: &str, id: &InvocationId) -> Self {
        let mut parts = Vec::with_capacity(128);
        for part in [sender.as_str(), job, &id.scope, &id.name] {
            // Lengths first: otherwise "a/b" + "c" and "a" + "b/c" would be one.
            parts.extend_from_slice(&part.len().to_be_bytes());
            parts.extend_from_slice(part.as_bytes());
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, &parts).as_ref());
        Self(key)
    }
}

/// What came of asking for an invocation.
pub(crate) enum Claimed {
    /// It is ours until the lease lapses.
    Ours(Lease),
    /// It has succeeded before.
    Done,
    /// Another attempt held it for as long as this one could wait.
    Held,
}

/// The store's answer at one moment.
enum Answer {
    Ours(Lease),
    Done,
    Held { until: Instant, changed: watch::Receiver<()> },
}

impl Dedup {
    /// A store in this process.
    pub(crate) fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    /// Claims an invocation, waiting until `deadline` for whoever holds it: a killed instance must not use
    /// up a queue's few attempts.
    pub(crate) async fn claim(
        &self,
        key: Key,
        remembered_for: Duration,
        deadline: Instant,
    ) -> Option<Claimed> {
        let Self::Memory(memory) = self else {
            return None;
        };
        loop {
            match memory.claim(key, remembered_for) {
                Answer::Ours(lease) => return Some(Claimed::Ours(lease)),
                Answer::Done => return Some(Claimed::Done),
                Answer::Held { until, mut changed } => {
                    tokio::select! {
                        // An error says that the holder has let go; either way the store is asked again.
                        _ = changed.changed() => {}
                        () = tokio::time::sleep_until(until) => {}
                        () = tokio::time::sleep_until(deadline) => return Some(Claimed::Held),
                    }
                }
            }
        }
    }
}

/// A claim that is held.
pub(crate) struct Lease {
    store: Arc<Memory>,
    key: Key,
    owner: u64,
    remembered_for: Duration,
}

impl Lease {
    /// Holds the claim for another [`LEASE`]; false where it lapsed and somebody else has it.
    pub(crate) fn renew(&self) -> bool {
        self.store.renew(self)
    }

    /// Remembers the invocation as done; false where that cannot be said for sure.
    pub(crate) fn done(self) -> bool {
        self.store.done(&self)
    }

    /// Lets the next attempt have it.
    pub(crate) fn release(self) {
        self.store.release(&self);
    }
}
