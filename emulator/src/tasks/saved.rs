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
    state,
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

/// What was read of an export and can be put in place.
#[derive(Debug)]
pub(crate) struct Imported(super::State);

impl Tasks {
    /// All queues with their waiting tasks, and the names that are not free yet.
    pub(crate) fn export(&self) -> Value {
        let deleted_queues = self.state().recent.names();
        let queues = self.queues("").iter().map(|queue| saved_queue(queue)).collect();
        serde_json::to_value(Saved { queues, deleted_queues }).unwrap_or_default()
    }

    /// Reads what was exported; nothing changes.
    ///
    /// # Errors
    /// 400 that names the queue or task which cannot be.
    pub(crate) fn read(google: &Google, state: Value) -> Result<Imported, ApiError> {
        let Saved { queues, deleted_queues } = from_json(state)?;
        let now = google.clock.now();
        let mut restored = super::State::default();
        let canonical = |name: &str| {
            names::checked_queue(&google.project, name).map_err(|fault| state::refused(name, fault))
        };
        for mut saved in queues {
            let name = canonical(&saved.queue.name)?;
            saved.queue.name.clone_from(&name);
            let queue = restored_queue(saved, now).map_err(|fault| state::refused(&name, fault))?;
            if restored.queues.insert(name.clone(), Arc::new(queue)).is_some() {
                return Err(state::twice(&name));
            }
        }
        for (name, deleted) in deleted_queues {
            restored.recent.add(canonical(&name)?.into(), deleted);
        }
        Ok(Imported(restored))
    }

    /// Replaces everything by what was read, and sets it going.
    pub(crate) fn put(google: &Arc<Google>, Imported(restored): Imported) {
        let queues: Vec<Arc<LiveQueue>> = restored.queues.values().cloned().collect();
        let replaced = std::mem::replace(&mut *google.tasks.state(), restored);
        for queue in replaced.queues.values() {
            queue.change(super::work::Work::close);
        }
        for queue in queues {
            google.spawn(dispatcher::run(Arc::clone(google), queue));
        }
    }

    /// Both at once.
    #[cfg(test)]
    pub(super) fn import(google: &Arc<Google>, state: Value) -> Result<(), ApiError> {
        Tasks::read(google, state).map(|imported| Tasks::put(google, imported))
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
        names::checked_task_id(&task.id)?;
        if backlog.get(&task.id).is_some() {
            return Err(state::twice(&format!("Task {}", task.id)));
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    const QUEUE: &str = "projects/demo-project/locations/us-central1/queues/q";

    fn whole() -> Value {
        let time = "2026-03-29T01:00:00Z";
        let task = |id: &str| {
            json!({
                "id": id,
                "isNamed": true,
                "httpRequest": {"url": "http://a/"},
                "createTime": time,
                "scheduleTime": time,
                "dispatchDeadline": "15s",
            })
        };
        json!({
            "queues": [{"queue": {"name": QUEUE, "retryConfig": {}}, "tasks": [task("a"), task("b")]}],
            "deletedQueues": [[format!("{QUEUE}-gone"), time]],
        })
    }

    #[tokio::test]
    async fn a_queue_named_by_the_project_s_number_has_its_canonical_name() {
        let google = testing::google();
        let numbered = whole().to_string().replace("demo-project", "123456789012");
        Tasks::import(&google, serde_json::from_str(&numbered).unwrap()).unwrap();
        let exported = google.tasks.export();
        assert_eq!(exported["queues"][0]["queue"]["name"], QUEUE);
        assert_eq!(exported["deletedQueues"][0][0], format!("{QUEUE}-gone"));
        assert!(google.tasks.queue(QUEUE).is_ok());
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_by_its_name() {
        let google = testing::google();
        Tasks::read(&google, whole()).unwrap();
        let queue = whole()["queues"][0].clone();
        let mut numbered = queue.clone();
        numbered["queue"]["name"] = QUEUE.replace("demo-project", "123456789012").into();
        let time = "2026-03-29T01:00:00Z";
        for (pointer, value, said) in [
            ("/queues/0/tasks/1/id", json!("a"), format!("{QUEUE}: Task a comes twice")),
            ("/queues/0/tasks/1/id", json!("a b"), format!("{QUEUE}: Task ID \"a b\"")),
            ("/queues/0/queue/name", json!("q/r"), "q/r: Queue name must be".to_owned()),
            ("/queues/0/queue/retryConfig", json!({"maxAttempts": -2}), format!("{QUEUE}: Retry")),
            ("/queues", json!([queue, numbered]), format!("{QUEUE} comes twice")),
            ("/deletedQueues", json!([["gone", time]]), "gone: Queue name must be".to_owned()),
        ] {
            let mut spoilt = whole();
            *spoilt.pointer_mut(pointer).unwrap() = value;
            let fault = Tasks::read(&google, spoilt).unwrap_err();
            assert_eq!(fault.http_status(), 400);
            assert!(fault.message.starts_with(&said), "{}", fault.message);
        }
    }
}
