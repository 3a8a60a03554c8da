//! One attempt at a task, from the task to the order for it.

use std::sync::Arc;

use jiff::Timestamp;

use super::{backlog::Waiting, names, progress::Failure, resource::queue::Queue};
use crate::{attempts::Order, senders::tasks::Attempt};

/// An attempt to make.
#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) order: Order,
    pub(super) attempted: Attempted,
}

/// What an attempt is at.
#[derive(Clone, Debug)]
pub(super) struct Attempted {
    pub(super) id: Arc<str>,
    pub(super) serial: u64,
    /// When `RunTask` was called, if it was.
    pub(super) forced_at: Option<Timestamp>,
}

impl Dispatch {
    /// The next attempt at `task`, which counts it. The headers are those of
    /// <https://cloud.google.com/tasks/docs/creating-http-target-tasks#handler>; ETA is when this attempt was due.
    pub(super) fn new(
        queue: &Queue,
        task: &mut Waiting,
        forced_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Dispatch {
        let effective = task.target.effective(queue.http_target.as_ref());
        let (retry_count, failure) = (task.progress.dispatches, task.progress.failure);
        let attempt = Attempt {
            queue: names::short(&queue.name).to_owned(),
            task: task.id.to_string(),
            retry_count,
            execution_count: task.progress.executions,
            eta: task.due,
            previous_response: failure.map(Failure::previous_response),
            retry_reason: failure.map(|_| String::new()),
            method: effective.method,
            headers: effective.headers,
            body: Vec::new(),
        };
        let mut delivery = attempt.delivery();
        if effective.method.takes_body() {
            // Not through the attempt, which would copy it twice.
            delivery.body = task.body.clone();
        }
        task.in_flight += 1;
        task.progress.dispatched(task.due, now);
        Dispatch {
            order: Order {
                delivery,
                url: effective.url,
                resource: queue.name.clone(),
                invocation: task.id.to_string(),
                attempt: retry_count.saturating_add(1),
                auth: effective.auth,
                deadline: task.deadline,
            },
            attempted: Attempted { id: Arc::clone(&task.id), serial: task.serial, forced_at },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::tasks::{backlog::Backlog, new_task::NewTask};

    #[test]
    fn attempts_stay_at_the_most_that_can_be_counted() {
        let now = "2026-03-29T01:00:00Z".parse().unwrap();
        let queue: Queue = from_value(json!({"name": "q"})).unwrap();
        let task = from_value(json!({"httpRequest": {"url": "http://a/"}})).unwrap();
        let mut backlog = Backlog::default();
        let task = backlog.add("t", true, NewTask::checked(task, None, now).unwrap(), now);
        task.progress.dispatches = u32::MAX;
        let order = Dispatch::new(&queue, task, None, now).order;
        assert_eq!(order.attempt, u32::MAX);
        let count = ("X-CloudTasks-TaskRetryCount".to_owned(), u32::MAX.to_string());
        assert!(order.delivery.headers.contains(&count), "{:?}", order.delivery.headers);
    }
}
