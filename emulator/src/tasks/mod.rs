//! Cloud Tasks: queues that dispatch HTTP tasks at their rate, retry them, and give them up.
//!
//! # Layout
//! - `api`: the methods of `cloudtasks.googleapis.com/v2`.
//! - `resource`, `names`, `fault`: queues and tasks on the wire, their names, and what is said to a bad call.
//! - `new_task`, `target`, `uri`: a task as asked for, and its request as the queue overrides it.
//! - `live_queue`, `dispatcher`: a queue at work, and the loop that sets its attempts going.
//! - `work`, `dispatch`: every decision about a queue's tasks, as functions of the time; they stand on
//!   - `backlog`, `recent`, `progress`: the tasks, names that are not free yet, a task's counters;
//!   - `pace`, `token_bucket`, `congestion`: rate, burst, concurrency, and the target's state;
//!   - `retry`: back-off and giving up.
//! - `saved`: all of it as one JSON document.

pub(crate) mod api;

mod resource;

mod names;

mod fault;

mod new_task;

mod target;

mod uri;

mod live_queue;

mod dispatcher;

mod work;

mod dispatch;

mod backlog;

mod recent;

mod progress;

mod pace;

mod token_bucket;

mod congestion;

mod retry;

mod saved;

#[cfg(test)]
mod bench;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use self::{live_queue::LiveQueue, recent::Recent, resource::queue::Queue};
use crate::{api::error::ApiError, google::Google};

/// How long the name of a deleted queue cannot be used (`cloudtasks.proto`, `DeleteQueue`).
const NAME_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The queues.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    state: Mutex<State>,
}

/// The queues by full name, and the names of those that are gone.
#[derive(Debug)]
struct State {
    queues: BTreeMap<String, Arc<LiveQueue>>,
    recent: Recent,
}

impl Default for State {
    fn default() -> State {
        State { queues: BTreeMap::new(), recent: Recent::new(NAME_KEPT) }
    }
}

impl Tasks {
    /// The queue of that full name.
    ///
    /// # Errors
    /// 404 if there is none.
    fn queue(&self, name: &str) -> Result<Arc<LiveQueue>, ApiError> {
        self.state().queues.get(name).cloned().ok_or_else(fault::no_queue)
    }

    /// The queues whose names begin with `prefix`, in order of name.
    fn queues(&self, prefix: &str) -> Vec<Arc<LiveQueue>> {
        let state = self.state();
        let all = state.queues.iter();
        all.filter(|(name, _)| name.starts_with(prefix))
            .map(|(_, queue)| Arc::clone(queue))
            .collect()
    }

    /// A new queue, at work at once.
    ///
    /// # Errors
    /// 409 if it exists, 400 if it was deleted less than seven days ago.
    fn create(&self, google: &Arc<Google>, settings: Queue) -> Result<Arc<LiveQueue>, ApiError> {
        let now = google.clock.now();
        let queue = {
            let mut state = self.state();
            if state.queues.contains_key(&settings.name) {
                return Err(fault::queue_exists());
            }
            if state.recent.has(&settings.name, now) {
                return Err(fault::queue_was_deleted());
            }
            let queue = Arc::new(LiveQueue::new(settings, now));
            state.queues.insert(queue.name.to_string(), Arc::clone(&queue));
            queue
        };
        google.spawn(dispatcher::run(Arc::clone(google), Arc::clone(&queue)));
        Ok(queue)
    }

    /// Deletes a queue with all its tasks.
    ///
    /// # Errors
    /// 404 if there is none.
    fn delete(&self, name: &str, now: Timestamp) -> Result<(), ApiError> {
        let mut state = self.state();
        let queue = state.queues.remove(name).ok_or_else(fault::no_entity)?;
        state.recent.add(Arc::clone(&queue.name), now);
        queue.change(work::Work::close);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
