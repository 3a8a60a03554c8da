//! Queues: create, get, list, update, delete, pause, resume, purge, and their IAM policies.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Ask, shown};
use crate::{
    api::{call::from_json, error::ApiError, mask, page},
    tasks::{
        live_queue::LiveQueue,
        names,
        resource::{
            queue::{Queue, State},
            task::microseconds,
        },
        work::Work,
    },
};

/// What a caller may set; a mask that is empty means all of it.
const SETTINGS: [&str; 5] = [
    "appEngineRoutingOverride",
    "httpTarget",
    "rateLimits",
    "retryConfig",
    "stackdriverLoggingConfig",
];
/// Output only: what a caller says of them is ignored (`cloudtasks.proto`, `UpdateQueueRequest`).
const OUTPUT_ONLY: [&str; 2] = ["state", "purgeTime"];

impl Ask<'_> {
    pub(super) fn list_queues(&self, location: &str) -> Result<Value, ApiError> {
        self.require("cloudtasks.queues.list", &self.google.project.name())?;
        let queues = self.google.tasks.queues(&names::queue(&self.google.project, location, ""));
        page::list(self.call, "queues", queues.iter().map(settings))
    }

    pub(super) fn create_queue(&self, location: &str) -> Result<Value, ApiError> {
        self.require("cloudtasks.queues.create", &self.google.project.name())?;
        let mut queue: Queue = self.call.json()?;
        let project = &self.google.project;
        queue.name = names::checked_queue(project, &queue.name)?;
        let parent = format!("{}/locations/{location}", project.name());
        if !queue.name.starts_with(&format!("{parent}/")) {
            let name = &queue.name;
            return Err(ApiError::invalid(format!("{name} must begin with {parent}.")));
        }
        self.create(queue)
    }

    pub(super) fn get_queue(&self, name: &str) -> Result<Value, ApiError> {
        Ok(settings(&self.existing("cloudtasks.queues.get", name)?))
    }

    /// Updates a queue, or creates it if it does not exist (`cloudtasks.proto`, `UpdateQueue`).
    pub(super) fn update_queue(&self, name: &str) -> Result<Value, ApiError> {
        self.require("cloudtasks.queues.update", name)?;
        let patch: Value = self.call.json()?;
        let Ok(queue) = self.google.tasks.queue(name) else {
            self.require("cloudtasks.queues.create", &self.google.project.name())?;
            let name = names::checked_queue(&self.google.project, name)?;
            let queue = self.patched(&Queue { name, ..Queue::default() }, &patch)?;
            return self.create(queue);
        };
        let now = self.google.clock.now();
        queue.change(|work| {
            let patched = self.checked(self.patched(&work.settings, &patch)?)?;
            work.set(patched, now);
            Ok(shown(&work.settings))
        })
    }

    pub(super) fn delete_queue(&self, name: &str) -> Result<Value, ApiError> {
        self.require("cloudtasks.queues.delete", name)?;
        self.google.tasks.delete(name, self.google.clock.now())?;
        self.google.iam.forget(name);
        Ok(json!({}))
    }

    pub(super) fn pause_queue(&self, name: &str) -> Result<Value, ApiError> {
        self.change("cloudtasks.queues.pause", name, |work| work.settings.state = State::Paused)
    }

    pub(super) fn resume_queue(&self, name: &str) -> Result<Value, ApiError> {
        self.change("cloudtasks.queues.resume", name, |work| work.settings.state = State::Running)
    }

    /// Deletes all tasks at once; the real service takes up to a minute for it.
    pub(super) fn purge_queue(&self, name: &str) -> Result<Value, ApiError> {
        let now = self.google.clock.now();
        self.change("cloudtasks.queues.purge", name, |work| {
            work.settings.purge_time = Some(microseconds(now));
            work.backlog.purge(now);
        })
    }

    pub(super) fn get_policy(&self, name: &str) -> Result<Value, ApiError> {
        let permission = "cloudtasks.queues.getIamPolicy";
        self.existing(permission, name)?;
        self.google.iam.get_policy(self.call, permission, name)
    }

    pub(super) fn set_policy(&self, name: &str) -> Result<Value, ApiError> {
        let permission = "cloudtasks.queues.setIamPolicy";
        self.existing(permission, name)?;
        self.google.iam.set_policy(self.call, permission, name)
    }

    /// Which of the permissions the caller has: none on a queue that does not exist. Nobody needs one to ask.
    pub(super) fn test_permissions(&self, name: &str) -> Result<Value, ApiError> {
        #[derive(Deserialize)]
        struct Request {
            #[serde(default)]
            permissions: Vec<String>,
        }
        let Request { mut permissions } = self.call.json()?;
        let (iam, caller) = (&self.google.iam, &self.call.principal);
        let exists = self.google.tasks.queue(name).is_ok();
        permissions.retain(|permission| exists && iam.allows(caller, permission, name));
        Ok(if permissions.is_empty() { json!({}) } else { json!({"permissions": permissions}) })
    }

    fn create(&self, queue: Queue) -> Result<Value, ApiError> {
        let queue = Queue { state: State::Running, purge_time: None, ..self.checked(queue)? };
        Ok(settings(&self.google.tasks.create(self.google, queue)?))
    }

    fn checked(&self, queue: Queue) -> Result<Queue, ApiError> {
        let queue = queue.checked()?;
        for email in queue.http_target.iter().flat_map(|target| target.accounts()) {
            self.google.iam.require_act_as(&self.call.principal, email)?;
        }
        Ok(queue)
    }

    fn patched(&self, current: &Queue, patch: &Value) -> Result<Queue, ApiError> {
        let mut paths = self.call.update_mask();
        if paths.is_empty() {
            paths.extend(SETTINGS.map(str::to_owned));
        }
        paths.retain(|path| !OUTPUT_ONLY.contains(&path.as_str()));
        if paths.is_empty() {
            return Ok(current.clone());
        }
        from_json(mask::apply(shown(current), patch, &paths, &SETTINGS, &["name"])?)
    }

    fn change(
        &self,
        permission: &str,
        name: &str,
        change: impl FnOnce(&mut Work),
    ) -> Result<Value, ApiError> {
        let queue = self.existing(permission, name)?;
        queue.change(change);
        Ok(settings(&queue))
    }

    /// The queue, if the caller may do that to it.
    fn existing(&self, permission: &str, name: &str) -> Result<Arc<LiveQueue>, ApiError> {
        self.require(permission, name)?;
        self.google.tasks.queue(name)
    }
}

fn settings(queue: &Arc<LiveQueue>) -> Value {
    shown(&queue.work().settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        iam::Principal,
        tasks::bench::{Bench, QUEUE, QUEUES},
    };

    const PATH: &str = "v2/projects/demo-project/locations/us-central1/queues/q";

    fn refusal(answer: Result<Value, ApiError>) -> (u16, String) {
        let fault = answer.unwrap_err();
        (fault.http_status(), fault.message)
    }

    #[tokio::test]
    async fn a_queue_is_created_described_listed_and_deleted() {
        let bench = Bench::new().await;
        // As `gcloud tasks queues create q1 --max-attempts=5 …` sends it.
        let asked = json!({"name": QUEUE, "rateLimits": {"maxDispatchesPerSecond": 10.0},
            "retryConfig": {"maxAttempts": 5, "maxBackoff": "10s", "minBackoff": "1s"}});
        let queue = bench.call("POST", QUEUES, asked.clone()).await.unwrap();
        assert_eq!(queue["retryConfig"]["maxAttempts"], 5);
        assert_eq!(queue["rateLimits"]["maxBurstSize"], 10);
        assert_eq!(queue["state"], "RUNNING");
        assert_eq!(bench.call("GET", PATH, json!({})).await.unwrap(), queue);
        let list = bench.call("GET", QUEUES, json!({})).await.unwrap();
        assert_eq!(list, json!({"queues": [queue]}));
        let twice = refusal(bench.call("POST", QUEUES, asked.clone()).await);
        assert_eq!(twice, (409, "Queue already exists".to_owned()));
        assert_eq!(bench.call("DELETE", PATH, json!({})).await.unwrap(), json!({}));
        assert_eq!(bench.call("GET", QUEUES, json!({})).await.unwrap(), json!({}));
    }

    #[tokio::test]
    async fn a_deleted_queue_s_name_is_free_after_seven_days() {
        let bench = Bench::new().await;
        bench.queue(json!({})).await;
        bench.call("DELETE", PATH, json!({})).await.unwrap();
        bench.advance(7 * 24 * 3_600_000 - 1);
        for (method, path) in [("POST", QUEUES), ("PATCH", PATH)] {
            let fault = bench.call(method, path, json!({"name": QUEUE})).await.unwrap_err();
            assert_eq!(fault.code, crate::api::error::Code::FailedPrecondition);
            assert!(fault.message.ends_with("existed too recently."), "{}", fault.message);
        }
        bench.advance(1);
        bench.queue(json!({})).await;
    }

    #[tokio::test]
    async fn a_queue_that_is_not_there_is_404_in_google_s_words() {
        let bench = Bench::new().await;
        let missing = "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize.";
        for (method, path, said) in [
            ("GET", PATH.to_owned(), missing),
            ("POST", format!("{PATH}:pause"), missing),
            ("POST", format!("{PATH}:resume"), missing),
            ("POST", format!("{PATH}:purge"), missing),
            ("POST", format!("{PATH}:getIamPolicy"), missing),
            ("POST", format!("{PATH}:setIamPolicy"), missing),
            ("GET", format!("{PATH}/tasks"), missing),
            ("GET", format!("{PATH}/tasks/t"), missing),
            ("DELETE", PATH.to_owned(), "Requested entity was not found."),
        ] {
            let refused = refusal(bench.call(method, &path, json!({})).await);
            assert_eq!(refused, (404, said.to_owned()), "{method} {path}");
        }
        assert_eq!(bench.task("t").await.unwrap_err().message, missing);
        let test = json!({"permissions": ["cloudtasks.queues.get"]});
        let permissions = bench.call("POST", &format!("{PATH}:testIamPermissions"), test).await;
        assert_eq!(permissions.unwrap(), json!({}));
        let unknown = bench.call("POST", &format!("{PATH}:explode"), json!({})).await;
        assert!(unknown.unwrap_err().message.contains("is no method"));
    }

    #[tokio::test]
    async fn a_patch_changes_what_it_names_and_clears_to_the_default() {
        let bench = Bench::new().await;
        bench.queue(json!({"retryConfig": {"maxAttempts": 5, "maxDoublings": 3}})).await;
        let patch = async |mask: &str, body: Value| {
            bench.call("PATCH", &format!("{PATH}?updateMask={mask}"), body).await
        };
        let body = json!({"name": QUEUE, "retryConfig": {"maxAttempts": 7, "maxDoublings": 9}});
        let queue = patch("retryConfig.maxAttempts", body).await.unwrap();
        let retry = &queue["retryConfig"];
        assert_eq!((&retry["maxAttempts"], &retry["maxDoublings"]), (&json!(7), &json!(3)));
        let queue = patch("retry_config.max_attempts", json!({})).await.unwrap();
        assert_eq!(queue["retryConfig"]["maxAttempts"], 100);
        let target = json!({"httpTarget": {"uriOverride": {"host": "a"}}});
        let queue = patch("httpTarget.uriOverride", target).await.unwrap();
        assert_eq!(queue["httpTarget"]["uriOverride"]["host"], "a");
        let queue = patch("httpTarget.uriOverride", json!({})).await.unwrap();
        assert_eq!(queue["httpTarget"], Value::Null);
        let queue = patch("state,purgeTime", json!({"state": "PAUSED"})).await.unwrap();
        assert_eq!(queue["state"], "RUNNING", "what is output only is ignored");
        let queue = bench.call("PATCH", PATH, json!({})).await.unwrap();
        assert_eq!(queue["retryConfig"]["maxDoublings"], 16, "no mask names everything");
        for (mask, body, said) in [
            ("name", json!({}), "cannot be changed"),
            ("colour", json!({}), "does not exist"),
            ("rateLimits", json!({"rateLimits": {"maxDispatchesPerSecond": 501}}), "500"),
            ("rateLimits", json!({"rateLimits": {"maxBurst": 1}}), "Invalid JSON payload"),
        ] {
            let (status, message) = refusal(patch(mask, body).await);
            assert!(status == 400 && message.contains(said), "{message}");
        }
    }

    #[tokio::test]
    async fn a_patch_of_a_queue_that_is_not_there_creates_it() {
        let bench = Bench::new().await;
        let patch = format!("{PATH}?updateMask=rateLimits.maxConcurrentDispatches");
        let body = json!({"rateLimits": {"maxConcurrentDispatches": 3}});
        let queue = bench.call("PATCH", &patch, body).await.unwrap();
        assert_eq!((&queue["name"], &queue["state"]), (&json!(QUEUE), &json!("RUNNING")));
        assert_eq!(queue["rateLimits"]["maxConcurrentDispatches"], 3);
        assert_eq!(bench.call("GET", PATH, json!({})).await.unwrap(), queue);
        let fault = bench.call("PATCH", &format!("{QUEUES}/a_b"), json!({})).await.unwrap_err();
        assert!(fault.message.starts_with("Queue name must be formatted"));
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_is_refused() {
        let bench = Bench::new().await;
        let elsewhere = QUEUE.replace("us-central1", "us-east1");
        for (name, said) in [
            ("q", "Queue name must be formatted"),
            ("", "Queue name must be formatted"),
            (elsewhere.as_str(), "must begin with projects/demo-project/locations/us-central1."),
        ] {
            let (status, message) =
                refusal(bench.call("POST", QUEUES, json!({"name": name})).await);
            assert!(status == 400 && message.contains(said), "{message}");
        }
    }

    #[tokio::test]
    async fn a_queue_s_own_policy_lets_callers_in() {
        let bench = Bench::new().await;
        bench.queue(json!({})).await;
        let account = bench.google.iam.create_account("caller").unwrap();
        let caller = Principal::Account(account.email);
        let ask = async |method: &str, path: &str, body: Value| {
            bench.call_as(caller.clone(), method, path, body).await
        };
        let (status, message) = refusal(ask("GET", PATH, json!({})).await);
        assert_eq!(status, 403);
        assert!(message.contains("cloudtasks.queues.get") && message.contains(QUEUE), "{message}");
        let all = json!({"permissions": ["cloudtasks.queues.get", "cloudtasks.queues.delete"]});
        let test = format!("{PATH}:testIamPermissions");
        assert_eq!(ask("POST", &test, all.clone()).await.unwrap(), json!({}));
        let bindings = json!([{"role": "roles/cloudtasks.viewer", "members": [caller.member()]}]);
        let policy = json!({"policy": {"bindings": bindings}});
        bench.call("POST", &format!("{PATH}:setIamPolicy"), policy).await.unwrap();
        let policy = bench.call("POST", &format!("{PATH}:getIamPolicy"), json!({})).await.unwrap();
        assert_eq!(policy["bindings"], bindings);
        assert!(ask("GET", PATH, json!({})).await.is_ok());
        let may = json!({"permissions": ["cloudtasks.queues.get"]});
        assert_eq!(ask("POST", &test, all).await.unwrap(), may);
        assert_eq!(ask("DELETE", PATH, json!({})).await.unwrap_err().http_status(), 403);
        bench.call("DELETE", PATH, json!({})).await.unwrap();
        assert_eq!(bench.google.iam.policy(QUEUE).bindings, []);
    }

    #[tokio::test]
    async fn locations_are_told_to_whoever_does_not_know_where() {
        let bench = Bench::new().await;
        let path = "v2/projects/demo-project/locations";
        let list = bench.call("GET", &format!("{path}?pageSize=2"), json!({})).await.unwrap();
        assert_eq!(list["locations"].as_array().unwrap().len(), 2);
        let one = bench.call("GET", &format!("{path}/europe-west1"), json!({})).await.unwrap();
        assert_eq!(one["name"], "projects/demo-project/locations/europe-west1");
    }
}
