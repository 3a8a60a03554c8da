//! `BufferTask`: a plain request becomes a task that goes where the queue says.
//!
//! Source: <https://cloud.google.com/tasks/docs/choose-task-creation-method> and the method's page in the reference.
//! The call's method is the task's, and its whole body is the task's body; its headers are not passed on.

use serde_json::{Value, json};

use super::Ask;
use crate::{
    api::{
        call::from_json,
        error::{ApiError, Code},
    },
    tasks::{
        names, new_task,
        resource::{http_target::HttpTarget, task::View},
    },
};

impl Ask<'_> {
    pub(super) fn buffer_task(&self, queue: &str, id: &str) -> Result<Value, ApiError> {
        // Before anything is told of the queue.
        self.require("cloudtasks.tasks.create", queue)?;
        let live = self.google.tasks.queue(queue)?;
        if !live.work().settings.http_target.as_ref().is_some_and(HttpTarget::routes) {
            return Err(ApiError::new(
                Code::FailedPrecondition,
                "The queue has no queue-level routing; set httpTarget.uriOverride.host (gcloud: --http-uri-override=host:HOST), or create the task with its own URL.",
            ));
        }
        if !id.is_empty() {
            names::checked_task_id(id)?;
        }
        let method = from_json(self.call.method.as_str().into())?;
        let task = new_task::buffered(method, &self.call.body);
        let task = self.add_task(queue, id, task, View::Basic)?;
        Ok(json!({"task": task}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        iam::Principal,
        tasks::bench::{Bench, QUEUE, QUEUES},
    };

    async fn buffer(bench: &Bench, method: &str, path: &str) -> Result<Value, ApiError> {
        let path = format!("{QUEUES}/q/{path}:buffer");
        let body = if method == "GET" { "" } else { "{'not': json" };
        bench.raw(Principal::Developer, method, &path, body.into()).await
    }

    #[tokio::test]
    async fn a_plain_request_becomes_a_task() {
        let bench = Bench::new().await;
        let port = bench.target.url.rsplit(':').next().unwrap();
        let uri = json!({"scheme": "HTTP", "host": "127.0.0.1", "port": port,
            "pathOverride": {"path": "/work"}, "uriOverrideEnforceMode": "IF_NOT_EXISTS"});
        let header = json!({"header": {"key": "Content-Type", "value": "application/json"}});
        let target = json!({"uriOverride": uri, "headerOverrides": [header]});
        bench.queue(json!({"httpTarget": target})).await;
        // gcloud leaves a slash where it has no id.
        for (method, path) in [("POST", "tasks"), ("GET", "tasks/"), ("PUT", "tasks/order-1")] {
            let task = buffer(&bench, method, path).await.unwrap();
            let request = &task["task"]["httpRequest"];
            assert_eq!(request["url"], format!("http://127.0.0.1:{port}/work"));
            let arrival = bench.target.next().await;
            assert_eq!((arrival.method.as_str(), arrival.path.as_str()), (method, "/work"));
            assert_eq!(arrival.header("content-type"), Some("application/json"));
            let body: &[u8] = if method == "GET" { b"" } else { b"{'not': json" };
            assert_eq!(&arrival.body[..], body);
            arrival.answer(200);
            bench.until(<[Value]>::is_empty).await;
        }
        assert_eq!(buffer(&bench, "PUT", "tasks/order-1").await.unwrap_err().http_status(), 409);
        let fault = buffer(&bench, "POST", "tasks/a%20b").await.unwrap_err();
        assert!(fault.message.starts_with("Task ID \"a b\""), "{}", fault.message);
        let fault = buffer(&bench, "DELETE", "tasks").await.unwrap_err();
        assert!(fault.message.contains("body cannot be set with DELETE"), "{}", fault.message);
    }

    #[tokio::test]
    async fn a_queue_without_routing_takes_none() {
        let bench = Bench::new().await;
        let fault = buffer(&bench, "POST", "tasks").await.unwrap_err();
        assert_eq!(fault.http_status(), 404);
        bench.queue(json!({})).await;
        let fault = buffer(&bench, "POST", "tasks").await.unwrap_err();
        assert_eq!(fault.code, Code::FailedPrecondition);
        assert!(fault.message.contains("httpTarget.uriOverride.host"), "{}", fault.message);
        assert_eq!(bench.google.tasks.queue(QUEUE).unwrap().work().backlog.tasks().len(), 0);
    }
}
