//! Tasks: create, get, list, delete, run.

use aws_lc_rs::rand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Ask, shown};
use crate::{
    api::{call::from_json, error::ApiError, page},
    error::Error,
    tasks::{
        backlog::Waiting,
        dispatcher, fault, names,
        new_task::NewTask,
        resource::task::{Task, View, microseconds},
    },
};

/// `CreateTaskRequest` and `RunTaskRequest`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Request {
    task: Task,
    response_view: View,
    /// Some libraries repeat what the path says.
    #[serde(rename = "parent", alias = "name")]
    _resource: String,
}

impl Ask<'_> {
    pub(super) fn list_tasks(&self, queue: &str) -> Result<Value, ApiError> {
        self.require("cloudtasks.tasks.list", queue)?;
        let view = self.view_parameter(queue)?;
        let live = self.google.tasks.queue(queue)?;
        let work = live.work();
        let show = |task: &Waiting| shown(&work.shown(task, view));
        page::list(self.call, "tasks", Lazy { items: work.backlog.tasks(), show })
    }

    pub(super) fn create_task(&self, queue: &str) -> Result<Value, ApiError> {
        self.require("cloudtasks.tasks.create", queue)?;
        let Request { task, response_view, .. } = self.call.json()?;
        self.may_show(response_view, queue)?;
        let id = match task.name.as_str() {
            "" => String::new(),
            name => names::checked_task(&self.google.project, queue, name)?.to_owned(),
        };
        Ok(shown(&self.add_task(queue, &id, task, response_view)?))
    }

    pub(super) fn get_task(&self, queue: &str, id: &str) -> Result<Value, ApiError> {
        self.require("cloudtasks.tasks.get", queue)?;
        let view = self.view_parameter(queue)?;
        let live = self.google.tasks.queue(queue)?;
        let work = live.work();
        match work.backlog.get(id) {
            Some(task) => Ok(shown(&work.shown(task, view))),
            None if work.backlog.is_taken(id, self.google.clock.now()) => {
                Err(fault::task_is_gone())
            }
            None => Err(fault::no_entity()),
        }
    }

    pub(super) fn delete_task(&self, queue: &str, id: &str) -> Result<Value, ApiError> {
        self.require("cloudtasks.tasks.delete", queue)?;
        let now = self.google.clock.now();
        let is_deleted =
            self.google.tasks.queue(queue)?.change(|work| work.backlog.remove(id, now));
        if is_deleted { Ok(json!({})) } else { Err(fault::no_entity()) }
    }

    /// Forces an attempt now. The answer is the task after its dispatch and before its target's answer.
    pub(super) fn run_task(&self, queue: &str, id: &str) -> Result<Value, ApiError> {
        self.require("cloudtasks.tasks.run", queue)?;
        let Request { response_view, .. } = self.call.json()?;
        self.may_show(response_view, queue)?;
        let live = self.google.tasks.queue(queue)?;
        let now = self.google.clock.now();
        let (dispatch, task) = live
            .change(|work| {
                let dispatch = work.run(id, now)?;
                let task = work.shown(work.backlog.get(id)?, response_view);
                Some((dispatch, task))
            })
            .ok_or_else(fault::no_entity)?;
        dispatcher::start(self.google, &live, dispatch);
        Ok(shown(&task))
    }

    /// Adds a task to the queue, under an id of its own where none is asked for. The caller may create tasks.
    pub(super) fn add_task(
        &self,
        queue: &str,
        id: &str,
        task: Task,
        view: View,
    ) -> Result<Task, ApiError> {
        let live = self.google.tasks.queue(queue)?;
        let over = live.work().settings.http_target.clone();
        let now = self.google.clock.now();
        let mut new = NewTask::checked(task, over.as_ref(), now)?;
        new.due = microseconds(new.due);
        if let Some(email) = new.target.account() {
            self.google.iam.require_act_as(&self.call.principal, email)?;
        }
        live.change(|work| {
            let is_named = !id.is_empty();
            let id = if is_named { id.to_owned() } else { random_id()? };
            if work.is_closed {
                return Err(fault::no_queue());
            }
            if work.backlog.is_taken(&id, now) {
                return Err(fault::task_exists());
            }
            work.backlog.add(&id, is_named, new, now);
            work.backlog.get(&id).map(|task| work.shown(task, view)).ok_or_else(fault::no_entity)
        })
    }

    fn view_parameter(&self, queue: &str) -> Result<View, ApiError> {
        let view = match self.call.parameter("responseView").unwrap_or_default() {
            "" => View::Basic,
            text => match text.parse::<i64>() {
                Ok(number) => from_json(number.into())?,
                Err(_) => from_json(text.into())?,
            },
        };
        self.may_show(view, queue)?;
        Ok(view)
    }

    fn may_show(&self, view: View, queue: &str) -> Result<(), ApiError> {
        if view == View::Full { self.require("cloudtasks.tasks.fullView", queue) } else { Ok(()) }
    }
}

/// Items that are shown one by one; those before a page are passed over unseen, for there may be a hundred thousand.
struct Lazy<I, F> {
    items: I,
    show: F,
}

impl<I: ExactSizeIterator, F: FnMut(I::Item) -> Value> Iterator for Lazy<I, F> {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        self.items.next().map(&mut self.show)
    }

    fn nth(&mut self, passed: usize) -> Option<Value> {
        self.items.nth(passed).map(&mut self.show)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<I: ExactSizeIterator, F: FnMut(I::Item) -> Value> ExactSizeIterator for Lazy<I, F> {}

/// An id as Cloud Tasks makes them up: a random number.
fn random_id() -> Result<String, Error> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| Error::Crypto("make a task's id"))?;
    // Of 19 digits, as most of the real ones.
    Ok(format!("{:019}", u64::from_be_bytes(bytes) >> 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        iam::Principal,
        tasks::bench::{Bench, QUEUE, QUEUES},
    };

    const PATH: &str = "v2/projects/demo-project/locations/us-central1/queues/q/tasks";

    /// A bench whose queue `q` dispatches nothing.
    async fn paused() -> Bench {
        let bench = Bench::new().await;
        bench.queue(json!({})).await;
        bench.call("POST", &format!("{QUEUES}/q:pause"), json!({})).await.unwrap();
        bench
    }

    #[tokio::test]
    async fn a_task_is_created_seen_and_deleted() {
        let bench = paused().await;
        let created = bench.task("t").await.unwrap();
        assert_eq!(created["name"], format!("{QUEUE}/tasks/t"));
        assert_eq!(created["view"], "BASIC");
        let path = format!("{PATH}/t");
        assert_eq!(bench.call("GET", &path, json!({})).await.unwrap(), created);
        assert_eq!(bench.tasks().await, [created]);
        assert_eq!(bench.call("DELETE", &path, json!({})).await.unwrap(), json!({}));
        assert_eq!(bench.call("DELETE", &path, json!({})).await.unwrap_err().http_status(), 404);
        let gone = bench.call("GET", &path, json!({})).await.unwrap_err();
        assert!(gone.message.starts_with("The task no longer exists"), "{}", gone.message);
        let never = bench.call("GET", &format!("{PATH}/never"), json!({})).await.unwrap_err();
        assert_eq!(never.message, "Requested entity was not found.");
    }

    #[tokio::test]
    async fn tasks_are_listed_a_page_at_a_time() {
        let bench = paused().await;
        for id in ["c", "a", "b"] {
            bench.task(id).await.unwrap();
        }
        let (mut names, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("{PATH}?pageSize=2&pageToken={token}");
            let page = bench.call("GET", &path, json!({})).await.unwrap();
            for task in page["tasks"].as_array().unwrap() {
                names.push(task["name"].as_str().unwrap().rsplit('/').next().unwrap().to_owned());
            }
            match page["nextPageToken"].as_str() {
                Some(next) => next.clone_into(&mut token),
                None => break,
            }
        }
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_name_is_taken_while_the_task_is_there_and_an_hour_longer() {
        let bench = paused().await;
        bench.task("t").await.unwrap();
        let exists = async |bench: &Bench| {
            let fault = bench.task("t").await.unwrap_err();
            assert_eq!(fault.http_status(), 409);
            assert_eq!(fault.message, "Requested entity already exists");
        };
        exists(&bench).await;
        bench.call("DELETE", &format!("{PATH}/t"), json!({})).await.unwrap();
        bench.advance(3_599_999);
        exists(&bench).await;
        bench.advance(1);
        bench.task("t").await.unwrap();
    }

    #[tokio::test]
    async fn a_task_without_a_name_gets_a_number() {
        let bench = paused().await;
        let names = [bench.task("").await.unwrap(), bench.task("").await.unwrap()]
            .map(|task| task["name"].as_str().unwrap().to_owned());
        assert_ne!(names[0], names[1]);
        for name in names {
            let id = name.strip_prefix(&format!("{QUEUE}/tasks/")).unwrap();
            assert!(id.len() == 19 && id.bytes().all(|byte| byte.is_ascii_digit()), "{id}");
        }
    }

    #[tokio::test]
    async fn what_client_libraries_send_is_understood() {
        let bench = paused().await;
        // google-cloud-tasks over REST: numbers for enums, and a parameter that says so.
        let request = json!({"url": "http://a/", "httpMethod": 1, "body": "aGk"});
        let body = json!({"task": {"httpRequest": request}, "responseView": 2});
        let path = format!("{PATH}?%24alt=json%3Benum-encoding%3Dint");
        let task = bench.call("POST", &path, body).await.unwrap();
        assert_eq!(task["httpRequest"]["body"], "aGk=");
        assert_eq!(task["httpRequest"]["httpMethod"], "POST");
        for (view, has_body) in [("FULL", true), ("2", true), ("BASIC", false), ("1", false)] {
            let path = format!("{PATH}?responseView={view}");
            let list = bench.call("GET", &path, json!({})).await.unwrap();
            let body = &list["tasks"][0]["httpRequest"]["body"];
            assert_eq!(body.is_string(), has_body, "{view}");
        }
        let fault = bench.call("GET", &format!("{PATH}?responseView=ALL"), json!({})).await;
        assert!(fault.unwrap_err().message.contains("\"ALL\" is not one of VIEW_UNSPECIFIED"));
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused() {
        let bench = paused().await;
        let whole = json!({"httpRequest": {"url": "http://a/"}});
        for (field, value, said) in [
            ("name", json!("t"), "Task name must be formatted"),
            ("name", json!(format!("{QUEUE}/tasks/a b")), "Task ID \"a b\" can contain only"),
            ("name", json!(format!("{QUEUE}-other/tasks/a")), "must be the same as the queue name"),
            ("dispatchDeadline", json!("1s"), "must be between [15s, 30m]."),
            ("scheduleTime", json!("2027-01-01T00:00:00Z"), "too far in the future"),
            ("colour", json!("red"), "unknown field `colour`"),
        ] {
            let mut task = whole.clone();
            task[field] = value;
            let fault = bench.call("POST", PATH, json!({"task": task})).await.unwrap_err();
            assert_eq!(fault.http_status(), 400);
            assert!(fault.message.contains(said), "{}", fault.message);
        }
        assert_eq!(bench.tasks().await.len(), 0);
    }

    #[tokio::test]
    async fn attaching_an_account_needs_the_account_and_the_permission() {
        let bench = paused().await;
        let create = async |principal: &Principal, email: &str| {
            let request = json!({"url": "http://a/", "oidcToken": {"serviceAccountEmail": email}});
            let body = json!({"task": {"httpRequest": request}});
            bench.call_as(principal.clone(), "POST", PATH, body).await
        };
        let nobody = "nobody@demo-project.iam.gserviceaccount.com";
        let fault = create(&Principal::Developer, nobody).await.unwrap_err();
        assert_eq!(fault.http_status(), 404);
        assert!(fault.message.contains(nobody), "{}", fault.message);
        let email = bench.google.iam.create_account("runner").unwrap().email;
        create(&Principal::Developer, &email).await.unwrap();
        let enqueuer = bench.google.iam.create_account("enqueuer").unwrap().email;
        let enqueuer = Principal::Account(enqueuer);
        let fault = create(&enqueuer, &email).await.unwrap_err();
        assert!(fault.message.contains("cloudtasks.tasks.create"), "{}", fault.message);
        bench.google.iam.grant("roles/cloudtasks.enqueuer", &enqueuer);
        let fault = create(&enqueuer, &email).await.unwrap_err();
        assert_eq!(fault.http_status(), 403);
        assert!(fault.message.contains("iam.serviceAccounts.actAs"), "{}", fault.message);
        let path = format!("{PATH}?responseView=FULL");
        let fault = bench.call_as(enqueuer, "GET", &path, json!({})).await.unwrap_err();
        assert!(fault.message.contains("cloudtasks.tasks.list"), "{}", fault.message);
    }
}
