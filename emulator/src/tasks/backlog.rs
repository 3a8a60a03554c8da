//! The tasks of one queue: by id for callers, and by the time they are due for the dispatcher.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;

use super::{new_task::NewTask, progress::Progress, recent::Recent, target::Target};

/// How long the name of a task that is gone cannot be used (`cloudtasks.proto`, `CreateTaskRequest.task`: about an
/// hour).
const NAME_KEPT: Duration = Duration::from_secs(3600);

/// A task that is not done yet. There may be many: it holds no more than it must.
pub(super) struct Waiting {
    pub(super) id: Arc<str>,
    /// Counts the queue's tasks. Tasks that are due at the same time go in this order.
    pub(super) serial: u64,
    /// Whether a caller chose the id: only such an id stays taken for a while.
    pub(super) is_named: bool,
    pub(super) target: Arc<Target>,
    pub(super) body: Bytes,
    pub(super) created: Timestamp,
    /// When it is due: its own time, or that of the retry.
    pub(super) due: Timestamp,
    pub(super) deadline: Duration,
    pub(super) in_flight: u32,
    pub(super) progress: Progress,
}

impl fmt::Debug for Waiting {
    /// Without the body.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Waiting")
            .field("id", &self.id)
            .field("target", &self.target)
            .field("due", &self.due)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// A queue's tasks, and the names that are not free yet.
#[derive(Debug)]
pub(super) struct Backlog {
    tasks: BTreeMap<Arc<str>, Box<Waiting>>,
    /// Those that wait for their time, and not for an answer.
    due: BTreeMap<(Timestamp, u64), Arc<str>>,
    pub(super) recent: Recent,
    serials: u64,
    /// Of the last task: the next one often has the same.
    last_target: Option<Arc<Target>>,
}

impl Default for Backlog {
    fn default() -> Backlog {
        Backlog {
            tasks: BTreeMap::new(),
            due: BTreeMap::new(),
            recent: Recent::new(NAME_KEPT),
            serials: 0,
            last_target: None,
        }
    }
}

impl Backlog {
    /// Whether no new task may have that id.
    pub(super) fn is_taken(&self, id: &str, now: Timestamp) -> bool {
        self.tasks.contains_key(id) || self.recent.has(id, now)
    }

    /// Adds a task whose id is free.
    pub(super) fn add(
        &mut self,
        id: &str,
        is_named: bool,
        task: NewTask,
        created: Timestamp,
    ) -> &mut Waiting {
        let target = match &self.last_target {
            Some(last) if **last == task.target => Arc::clone(last),
            _ => Arc::new(task.target),
        };
        self.last_target = Some(Arc::clone(&target));
        self.serials += 1;
        let id: Arc<str> = id.into();
        self.due.insert((task.due, self.serials), Arc::clone(&id));
        let waiting = Waiting {
            id: Arc::clone(&id),
            serial: self.serials,
            is_named,
            target,
            body: task.body,
            created,
            due: task.due,
            deadline: task.deadline,
            in_flight: 0,
            progress: Progress::default(),
        };
        self.tasks.entry(id).insert_entry(Box::new(waiting)).into_mut()
    }

    /// The task of that id.
    pub(super) fn get(&self, id: &str) -> Option<&Waiting> {
        self.tasks.get(id).map(Box::as_ref)
    }

    /// All tasks in order of id.
    pub(super) fn tasks(&self) -> impl ExactSizeIterator<Item = &Waiting> {
        self.tasks.values().map(Box::as_ref)
    }

    /// The task that is due first of those that wait for their time.
    pub(super) fn first(&self) -> Option<&Waiting> {
        self.due.first_key_value().and_then(|(_, id)| self.get(id))
    }

    /// The task that is due first; the caller starts an attempt at it.
    pub(super) fn take_first(&mut self) -> Option<&mut Waiting> {
        let (_, id) = self.due.pop_first()?;
        self.tasks.get_mut(&id).map(Box::as_mut)
    }

    /// The task of that id, due or not; the caller starts an attempt at it.
    pub(super) fn take(&mut self, id: &str) -> Option<&mut Waiting> {
        let task = self.tasks.get_mut(id)?;
        self.due.remove(&(task.due, task.serial));
        Some(task)
    }

    /// The task that an attempt was at, if it is still there.
    pub(super) fn attempted(&mut self, id: &str, serial: u64) -> Option<&mut Waiting> {
        self.tasks.get_mut(id).map(Box::as_mut).filter(|task| task.serial == serial)
    }

    /// Lets a task wait for `due`.
    pub(super) fn wait(&mut self, id: &str, due: Timestamp) {
        if let Some(task) = self.tasks.get_mut(id) {
            self.due.remove(&(task.due, task.serial));
            task.due = due;
            self.due.insert((due, task.serial), Arc::clone(&task.id));
        }
    }

    /// Removes a task that is done, given up or deleted; whether it was there.
    pub(super) fn remove(&mut self, id: &str, now: Timestamp) -> bool {
        let Some(task) = self.tasks.remove(id) else { return false };
        self.due.remove(&(task.due, task.serial));
        if task.is_named {
            self.recent.add(task.id, now);
        }
        true
    }

    /// Removes all tasks.
    pub(super) fn purge(&mut self, now: Timestamp) {
        self.due.clear();
        for task in std::mem::take(&mut self.tasks).into_values().filter(|task| task.is_named) {
            self.recent.add(task.id, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + seconds).unwrap()
    }

    fn due(seconds: i64) -> NewTask {
        let task = json!({"httpRequest": {"url": "http://a/"}, "scheduleTime": at(seconds)});
        NewTask::checked(from_value(task).unwrap(), None, at(0)).unwrap()
    }

    fn backlog(tasks: &[(&str, i64)]) -> Backlog {
        let mut backlog = Backlog::default();
        for (id, seconds) in tasks {
            backlog.add(id, true, due(*seconds), at(0));
        }
        backlog
    }

    fn order(backlog: &mut Backlog) -> Vec<String> {
        std::iter::from_fn(|| backlog.take_first().map(|task| task.id.to_string())).collect()
    }

    #[test]
    fn tasks_go_by_time_and_then_by_age() {
        let mut backlog = backlog(&[("z", 0), ("late", 5), ("a", 0), ("m", 3)]);
        assert_eq!(backlog.first().unwrap().due, at(0));
        assert_eq!(order(&mut backlog), ["z", "a", "m", "late"]);
        assert!(backlog.first().is_none());
        backlog.wait("a", at(9));
        backlog.wait("z", at(8));
        backlog.wait("a", at(7));
        assert_eq!(order(&mut backlog), ["a", "z"]);
    }

    #[test]
    fn a_name_stays_taken_for_an_hour_and_a_made_up_id_does_not() {
        let mut backlog = backlog(&[("a", 0), ("b", 0)]);
        backlog.add("4711", false, due(0), at(0));
        assert!(backlog.is_taken("a", at(0)));
        assert!(backlog.remove("a", at(10)));
        assert!(!backlog.remove("a", at(10)));
        backlog.purge(at(20));
        assert_eq!(backlog.tasks().len(), 0);
        assert_eq!(order(&mut backlog), [""; 0]);
        for (id, time, taken) in [
            ("a", 3609, true),
            ("a", 3610, false),
            ("b", 3619, true),
            ("b", 3620, false),
            ("4711", 20, false),
        ] {
            assert_eq!(backlog.is_taken(id, at(time)), taken, "{id} at {time}");
        }
    }

    #[test]
    fn an_attempt_at_a_task_that_was_replaced_finds_nothing() {
        let mut backlog = backlog(&[("a", 0)]);
        let serial = backlog.take("a").unwrap().serial;
        assert!(backlog.attempted("a", serial).is_some());
        backlog.remove("a", at(0));
        backlog.add("a", true, due(0), at(4000));
        assert!(backlog.attempted("a", serial).is_none());
    }

    #[test]
    fn tasks_that_are_alike_share_their_target() {
        let backlog = backlog(&[("a", 0), ("b", 1)]);
        let targets: Vec<_> = backlog.tasks().map(|task| &task.target).collect();
        assert!(Arc::ptr_eq(targets[0], targets[1]));
    }
}
