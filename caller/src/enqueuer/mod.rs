//! Creates Cloud Tasks whose deliveries carry an ID token.
//!
//! <https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create>

mod fault;
mod queue;
mod task;

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::FutureExt;
use reqwest::{
    RequestBuilder, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::json;

use crate::{
    credentials::Credentials,
    environment::Environment,
    http::{Reply, Whither},
    renewed::Renewed,
    trace,
};

pub use fault::EnqueueError;
pub use queue::Queue;
pub use task::{Method, Task, TaskId};

/// Creates tasks in one queue. Clones are cheap and share the access token.
#[derive(Clone)]
pub struct Enqueuer(Arc<Shared>);

struct Shared {
    queue: Queue,
    url: String,
    credentials: Credentials,
    access_token: Arc<Renewed>,
}

impl Enqueuer {
    /// Tasks of this queue, created as whom the credentials are of. It does no I/O.
    ///
    /// They need `roles/cloudtasks.enqueuer` on the queue, and `roles/iam.serviceAccountUser` on the account whose
    /// tokens the tasks carry.
    pub fn new(queue: Queue, credentials: Credentials, environment: &Environment) -> Enqueuer {
        let url = format!("{}/v2/{queue}/tasks", environment.cloud_tasks_url);
        let who = credentials.clone();
        let access_token = Renewed::new(Box::new(move || {
            let who = who.clone();
            async move { who.fetch_access_token().await }.boxed()
        }));
        Enqueuer(Arc::new(Shared { queue, url, credentials, access_token }))
    }

    /// Creates a task, and gives its full name.
    ///
    /// It always has a name, so that trying again creates it once: if a first try has had its effect although its
    /// answer was lost, the second hears that the task exists, and that is success. To be told so by the first try is
    /// [`EnqueueError::Exists`]: the name was taken before, by a task that waits or that was there a short time ago.
    ///
    /// # Errors
    /// [`EnqueueError`]; nothing was created, but where no answer came it may have been.
    pub async fn enqueue(&self, task: &Task) -> Result<String, EnqueueError> {
        let this = &self.0;
        let name = format!("{}/tasks/{}", this.queue, task.id);
        task.check(&name)?;
        let body = bytes::Bytes::from(body_of(&name, task));
        let mut reply = self.create(&body).await?;
        let mut may_be_ours = reply.may_have_happened;
        if reply.status == StatusCode::UNAUTHORIZED {
            reply = self.create(&body).await?;
            may_be_ours |= reply.may_have_happened;
        }
        match reply.status {
            StatusCode::OK => Ok(name),
            StatusCode::CONFLICT if may_be_ours => Ok(name),
            StatusCode::CONFLICT => Err(EnqueueError::Exists { name }),
            _ => Err(EnqueueError::of(&reply, &this.queue, task, &this.credentials.member().await)),
        }
    }

    async fn create(&self, body: &bytes::Bytes) -> Result<Reply, EnqueueError> {
        let this = &self.0;
        let token = this.access_token.get().await?;
        let complete = |request: RequestBuilder| {
            let request = request.header(AUTHORIZATION, token.header());
            request.header(CONTENT_TYPE, "application/json").body(body.clone())
        };
        let transport = this.credentials.transport();
        let reply =
            transport.send(Whither::Google, reqwest::Method::POST, &this.url, complete).await?;
        if reply.status == StatusCode::UNAUTHORIZED {
            this.access_token.forget(&token);
        }
        Ok(reply)
    }
}

impl std::fmt::Debug for Enqueuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Enqueuer").field(&self.0.queue).field(&self.0.credentials).finish()
    }
}

fn body_of(name: &str, task: &Task) -> String {
    let mut request = json!({
        "url": task.url,
        "httpMethod": task.method.as_str(),
        "oidcToken": {
            "serviceAccountEmail": task.service_account,
            "audience": task.audience,
        },
    });
    let mut headers = task.headers.clone();
    if let Some(context) = trace::traceparent()
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(trace::TRACEPARENT))
    {
        headers.push((trace::TRACEPARENT.to_owned(), context));
    }
    if !headers.is_empty() {
        let headers = headers.into_iter().map(|(name, value)| (name, value.into()));
        request["headers"] = serde_json::Value::Object(headers.collect());
    }
    if !task.body.is_empty() {
        request["body"] = BASE64_STANDARD.encode(&task.body).into();
    }
    let mut json = json!({"name": name, "httpRequest": request});
    if let Some(at) = task.schedule_time {
        json["scheduleTime"] = at.to_string().into();
    }
    if let Some(deadline) = task.dispatch_deadline {
        json["dispatchDeadline"] = format!("{}s", deadline.as_secs()).into();
    }
    json!({"task": json}).to_string()
}
