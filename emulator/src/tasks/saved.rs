//! Queues and waiting tasks as one JSON document, and back.
//!
//! Attempts that run when the state is saved are made again when it is restored: delivery is at least once.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Tasks,
    backlog::{Backlog, Waiting},
    dispatcher,
    live_queue::LiveQueue,
    names,
    new_task::NewTask,
    progress::Progress,
    resource::{queue::Queue, task::HttpRequest},
    target::Target,
};
use crate::{
    api::{call::from_json, error::ApiError, wire::WireDuration},
    google::Google,
};

/// Everything.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Saved {
    queues: Vec<SavedQueue>,
    /// Names of deleted queues and when they were deleted, the oldest first.
    deleted_queues: Vec<(String, Timestamp)>,
}

/// A queue with its tasks.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SavedQueue {
    queue: Queue,
    /// In order of creation.
    #[serde(default)]
    tasks: Vec<SavedTask>,
    /// Ids of named tasks that are gone and when they went, the oldest first.
    #[serde(default)]
    recent_task_ids: Vec<(String, Timestamp)>,
}

/// A task that is not done yet.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SavedTask {
    id: String,
    is_named: bool,
    http_request: HttpRequest,
    create_time: Timestamp,
    schedule_time: Timestamp,
    dispatch_deadline: WireDuration,
    #[serde(default)]
    progress: Progress,
}

impl Tasks {
    /// All queues with their waiting tasks, and the names that are not free yet.
    pub(crate) fn export(&self) -> Value {
        let deleted_queues = self.state().recent.names();
        let queues = self.queues("").iter().map(|queue| saved_queue(queue)).collect();
        serde_json::to_value(Saved { queues, deleted_queues }).unwrap_or_default()
    }

    /// Replaces everything by what was exported, and sets it going.
    ///
    /// # Errors
    /// 400 if it cannot be read; then nothing has changed.
    pub(crate) fn import(google: &Arc<Google>, state: Value) -> Result<(), ApiError> {
        let Saved { queues, deleted_queues } = from_json(state)?;
        let now = google.clock.now();
        let mut restored = super::State::default();
        for saved in queues {
            names::checked_queue(&google.project, &saved.queue.name)?;
            let queue = restored_queue(saved, now)?;
            restored.queues.insert(queue.name.to_string(), Arc::new(queue));
        }
        for (name, deleted) in deleted_queues {
            restored.recent.add(name.into(), deleted);
        }
        let queues: Vec<Arc<LiveQueue>> = restored.queues.values().cloned().collect();
        let replaced = std::mem::replace(&mut *google.tasks.state(), restored);
        for queue in replaced.queues.values() {
            queue.change(super::work::Work::close);
        }
        for queue in queues {
            google.spawn(dispatcher::run(Arc::clone(google), queue));
        }
        Ok(())
    }
}

fn saved_queue(queue: &LiveQueue) -> SavedQueue {
    let work = queue.work();
    let mut tasks: Vec<&Waiting> = work.backlog.tasks().collect();
    tasks.sort_unstable_by_key(|task| task.serial);
    SavedQueue {
        queue: work.settings.clone(),
        tasks: tasks.into_iter().map(saved_task).collect(),
        recent_task_ids: work.backlog.recent.names(),
    }
}

fn saved_task(task: &Waiting) -> SavedTask {
    SavedTask {
        id: task.id.to_string(),
        is_named: task.is_named,
        http_request: task.target.request(task.body.clone()),
        create_time: task.created,
        schedule_time: task.due,
        dispatch_deadline: WireDuration(task.deadline),
        progress: task.progress.clone(),
    }
}

fn restored_queue(saved: SavedQueue, now: Timestamp) -> Result<LiveQueue, ApiError> {
    let SavedQueue { queue, tasks, recent_task_ids } = saved;
    let queue = LiveQueue::new(queue.checked()?, now);
    let mut backlog = Backlog::default();
    for task in tasks {
        let (target, body) = Target::new(task.http_request);
        let (due, deadline) = (task.schedule_time, task.dispatch_deadline.0);
        let new = NewTask { target, body, due, deadline };
        backlog.add(&task.id, task.is_named, new, task.create_time).progress = task.progress;
    }
    for (id, ended) in recent_task_ids {
        backlog.recent.add(id.into(), ended);
    }
    queue.work().backlog = backlog;
    Ok(queue)
}
