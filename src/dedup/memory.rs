//! Claims in this process.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{Answer, Key, LEASE, Lease};

/// How many finished invocations are remembered at most; the oldest is forgotten first.
///
/// Under half of the 114,688 for which the map has room: above it, a map that takes in and gives out at the
/// same pace doubles instead of clearing up in place, to 17 MB.
const CAPACITY: usize = 50_000;

#[derive(Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Entry>,
    /// Finished invocations, the oldest first, with the moment at which each is forgotten.
    done: VecDeque<(Instant, Key)>,
    /// Owners are numbered: within one process that is as unique as random.
    last_owner: u64,
}

enum Entry {
    Held {
        owner: u64,
        until: Instant,
        /// Dropped with the entry, which wakes whoever waits.
        changed: watch::Sender<()>,
    },
    Done {
        until: Instant,
    },
}

impl Memory {
    pub(super) fn claim(self: &Arc<Self>, key: Key, remembered_for: Duration) -> Answer {
        let now = Instant::now();
        let mut state = self.state();
        match state.entries.get(&key) {
            Some(Entry::Done { until }) if now < *until => return Answer::Done,
            Some(Entry::Held { until, changed, .. }) if now < *until => {
                return Answer::Held { until: *until, changed: changed.subscribe() };
            }
            _ => {}
        }
        state.last_owner += 1;
        let owner = state.last_owner;
        state.entries.insert(
            key,
            Entry::Held { owner, until: now + LEASE, changed: watch::Sender::new(()) },
        );
        Answer::Ours(Lease { store: Arc::clone(self), key, owner, remembered_for })
    }

    pub(super) fn renew(&self, lease: &Lease) -> bool {
        match self.state().held_by(lease) {
            Some(until) => {
                *until = Instant::now() + LEASE;
                true
            }
            None => false,
        }
    }

    pub(super) fn done(&self, lease: &Lease) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        if state.held_by(lease).is_none() {
            return false;
        }
        let until = now + lease.remembered_for;
        state.forget(now);
        state.entries.insert(lease.key, Entry::Done { until });
        state.done.push_back((until, lease.key));
        true
    }

    pub(super) fn release(&self, lease: &Lease) {
        let mut state = self.state();
        if state.held_by(lease).is_some() {
            state.entries.remove(&lease.key);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The end of the lease, where it is still this owner's. A lapsed one counts while nobody took it.
    fn held_by(&mut self, lease: &Lease) -> Option<&mut Instant> {
        match self.entries.get_mut(&lease.key) {
            Some(Entry::Held { owner, until, .. }) if *owner == lease.owner => Some(until),
            _ => None,
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((until, key)) = self.done.front().copied() {
            if now < until && self.done.len() < CAPACITY {
                return;
            }
            self.done.pop_front();
            // Claimed anew since then, the entry belongs to that claim.
            if matches!(self.entries.get(&key), Some(Entry::Done { until: of_entry }) if *of_entry == until)
            {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dedup::{Claimed, Dedup},
        senders::{InvocationId, Sender},
    };

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn key(name: &str) -> Key {
        Key::new(
            Sender::Tasks,
            "job",
            &InvocationId { scope: "queue".to_owned(), name: name.to_owned() },
        )
    }

    async fn lease(dedup: &Dedup, name: &str) -> Lease {
        match dedup.claim(key(name), DAY, Instant::now()).await {
            Some(Claimed::Ours(lease)) => lease,
            _ => panic!("{name} is not free"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_finished_invocation_is_remembered_for_its_time_and_no_longer() {
        let dedup = Dedup::memory();
        assert!(lease(&dedup, "a").await.done());
        assert!(matches!(dedup.claim(key("a"), DAY, Instant::now()).await, Some(Claimed::Done)));
        tokio::time::advance(DAY).await;
        lease(&dedup, "a").await.release();
    }

    #[tokio::test(start_paused = true)]
    async fn a_released_invocation_goes_to_whoever_waits_at_once() {
        let dedup = Dedup::memory();
        let held = lease(&dedup, "a").await;
        let waiting = {
            let dedup = dedup.clone();
            tokio::spawn(
                async move { dedup.claim(key("a"), DAY, Instant::now() + LEASE / 2).await },
            )
        };
        tokio::task::yield_now().await;
        held.release();
        assert!(matches!(waiting.await.unwrap(), Some(Claimed::Ours(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_invocation_is_given_up_at_the_deadline_of_whoever_waits() {
        let dedup = Dedup::memory();
        let _held = lease(&dedup, "a").await;
        let asked = Instant::now();
        assert!(matches!(dedup.claim(key("a"), DAY, asked + LEASE / 3).await, Some(Claimed::Held)));
        assert_eq!(asked.elapsed(), LEASE / 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lapsed_lease_is_taken_over_and_its_old_owner_changes_nothing_any_more() {
        let dedup = Dedup::memory();
        let old = lease(&dedup, "a").await;
        let asked = Instant::now();
        let Some(Claimed::Ours(new)) = dedup.claim(key("a"), DAY, asked + DAY).await else {
            panic!("the lapsed lease was not taken over")
        };
        assert_eq!(asked.elapsed(), LEASE);
        assert!(!old.renew());
        assert!(!old.done());
        assert!(new.renew());
        assert!(new.done());
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewed_lease_outlives_its_first_term() {
        let dedup = Dedup::memory();
        let held = lease(&dedup, "a").await;
        tokio::time::advance(LEASE - Duration::from_secs(1)).await;
        assert!(held.renew());
        tokio::time::advance(LEASE - Duration::from_secs(1)).await;
        assert!(matches!(dedup.claim(key("a"), DAY, Instant::now()).await, Some(Claimed::Held)));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_stays_within_its_capacity() {
        let memory = Arc::new(Memory::default());
        let dedup = Dedup::Memory(Arc::clone(&memory));
        for number in 0..CAPACITY + 10 {
            assert!(lease(&dedup, &number.to_string()).await.done());
        }
        assert_eq!(memory.state().entries.len(), CAPACITY);
        assert_eq!(memory.state().done.len(), CAPACITY);
        lease(&dedup, "0").await.release();
    }

    #[test]
    fn names_that_only_differ_in_where_they_are_split_have_different_keys() {
        let id = |scope: &str, name: &str| InvocationId {
            scope: scope.to_owned(),
            name: name.to_owned(),
        };
        let one = Key::new(Sender::Tasks, "job", &id("a/b", "c"));
        let other = Key::new(Sender::Tasks, "job", &id("a", "b/c"));
        assert!(one != other);
        assert!(
            Key::new(Sender::Tasks, "x", &id("a", "b"))
                != Key::new(Sender::Tasks, "y", &id("a", "b"))
        );
        assert!(
            Key::new(Sender::Pubsub, "x", &id("a", "b"))
                != Key::new(Sender::Events, "x", &id("a", "b"))
        );
    }
}
