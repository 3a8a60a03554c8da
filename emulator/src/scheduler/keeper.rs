//! Jobs in motion: one task a job that begins its runs, and one a run that makes the attempts.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::kept::{Kept, RunNumber};
use crate::google::Google;

/// A job and what moves it. Whatever changes it wakes the tasks, which look again at what there is to do.
#[derive(Debug)]
pub(super) struct Keeper {
    /// `None` once the job is deleted.
    kept: watch::Sender<Option<Kept>>,
}

impl Keeper {
    /// Sets a job going, and what it has of runs.
    pub(super) fn start(google: &Arc<Google>, kept: Kept) -> Arc<Keeper> {
        let runs: Vec<RunNumber> = kept.runs().collect();
        let keeper = Arc::new(Keeper { kept: watch::Sender::new(Some(kept)) });
        google.spawn(Arc::clone(&keeper).follow_schedule(Arc::clone(google)));
        for run in runs {
            keeper.carry_on(google, run);
        }
        keeper
    }

    /// A look at the job; `None` if it was deleted.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Kept) -> T) -> Option<T> {
        self.kept.borrow().as_ref().map(look)
    }

    /// Changes the job; `None` if it was deleted.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        let mut outcome = None;
        self.kept.send_modify(|kept| outcome = kept.as_mut().map(change));
        outcome
    }

    /// Deletes the job; an attempt that is under way is the last.
    pub(super) fn delete(&self) {
        self.kept.send_replace(None);
    }

    /// Runs the job at once.
    pub(super) fn run_now(self: &Arc<Self>, google: &Arc<Google>) {
        if let Some(run) = self.change(|kept| kept.begin_by_hand(now(google))) {
            self.carry_on(google, run);
        }
    }

    fn carry_on(self: &Arc<Self>, google: &Arc<Google>, run: RunNumber) {
        google.spawn(Arc::clone(self).carry_out(Arc::clone(google), run));
    }

    /// Begins a run whenever one is due, until the job is deleted.
    async fn follow_schedule(self: Arc<Self>, google: Arc<Google>) {
        let mut changes = self.kept.subscribe();
        loop {
            let Some(due) = changes.borrow_and_update().as_ref().map(Kept::due) else { return };
            let wait = async {
                match due {
                    Some(due) => google.clock.until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // An error would say that the sender is gone; it lives in `self`.
                _ = changes.changed() => {}
                () = wait => {
                    // Looked at again: it may have been paused since.
                    if let Some(run) = self.change(|kept| kept.begin_due(now(&google))).flatten() {
                        self.carry_on(&google, run);
                    }
                }
            }
        }
    }

    /// Makes the attempts of a run until it is over.
    async fn carry_out(self: Arc<Self>, google: Arc<Google>, run: RunNumber) {
        // What said that there will be a retry.
        let mut promised = None;
        while let Some(due) = self.read(|kept| kept.next_attempt(run)).flatten() {
            let ordered = tokio::select! {
                () = self.given_up(run) => None,
                () = google.clock.until(due) => {
                    self.change(|kept| kept.attempt(run, now(&google))).flatten()
                }
            };
            let Some(order) = ordered else {
                if let Some(entry) = promised {
                    google.history.will_retry(entry, None);
                }
                return;
            };
            let end = google.attempt(order).await;
            let retry = self.change(|kept| kept.ended(run, &end, now(&google))).flatten();
            google.history.will_retry(end.entry, retry);
            promised = Some(end.entry);
        }
    }

    /// Ends when a run that waits for its next attempt will have none: the job was paused or deleted.
    async fn given_up(&self, run: RunNumber) {
        let is_over =
            |kept: &Option<Kept>| kept.as_ref().and_then(|kept| kept.next_attempt(run)).is_none();
        // As above: the sender is not gone.
        let _ = self.kept.subscribe().wait_for(is_over).await;
    }
}

/// The time to the microsecond, as precise as Google writes it.
pub(super) fn now(google: &Google) -> Timestamp {
    let now = google.clock.now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
