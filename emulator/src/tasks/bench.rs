//! A control plane on a clock that stands, and a target whose every answer the test gives.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Bytes},
};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::api;
use crate::{
    api::error::ApiError,
    clock::Clock,
    emulator::Options,
    google::Google,
    iam::Principal,
    local_server::{LocalServer, bind_loopback},
    testing,
};

/// Where the tests' queues are.
pub(super) const QUEUES: &str = "v2/projects/demo-project/locations/us-central1/queues";
/// The full name of the queue that most tests use.
pub(super) const QUEUE: &str = "projects/demo-project/locations/us-central1/queues/q";
/// Nothing takes as long as this unless it never happens.
const PATIENCE: Duration = Duration::from_secs(10);

/// Google's side without its port, and a target.
pub(super) struct Bench {
    pub(super) google: Arc<Google>,
    pub(super) clock: Clock,
    pub(super) target: Target,
}

impl Bench {
    pub(super) async fn new() -> Bench {
        let clock = Clock::standing_at("2026-03-29T00:59:00Z".parse().unwrap());
        let options = Options { clock: clock.clone(), ..Options::default() };
        Bench { google: testing::google_with(options), clock, target: Target::start().await }
    }

    /// Calls the API as the developer.
    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        body: Value,
    ) -> Result<Value, ApiError> {
        self.call_as(Principal::Developer, method, path, body).await
    }

    pub(super) async fn call_as(
        &self,
        principal: Principal,
        method: &str,
        path: &str,
        body: Value,
    ) -> Result<Value, ApiError> {
        self.raw(principal, method, path, body.to_string().into()).await
    }

    pub(super) async fn raw(
        &self,
        principal: Principal,
        method: &str,
        path: &str,
        body: Bytes,
    ) -> Result<Value, ApiError> {
        let call = testing::raw_call(principal, method, &format!("/{path}"), body);
        api::answer(&self.google, &call).await
    }

    /// Creates the queue `q` with such settings.
    pub(super) async fn queue(&self, mut settings: Value) -> Value {
        settings["name"] = QUEUE.into();
        self.call("POST", QUEUES, settings).await.unwrap()
    }

    /// Creates a task for the target in `q`, named unless `id` is empty.
    pub(super) async fn task(&self, id: &str) -> Result<Value, ApiError> {
        let mut task = json!({"httpRequest": {"url": format!("{}/task", self.target.url)}});
        if !id.is_empty() {
            task["name"] = format!("{QUEUE}/tasks/{id}").into();
        }
        self.call("POST", &format!("{QUEUES}/q/tasks"), json!({"task": task})).await
    }

    /// The tasks of `q`.
    pub(super) async fn tasks(&self) -> Vec<Value> {
        let list = self.call("GET", &format!("{QUEUES}/q/tasks"), json!({})).await.unwrap();
        list["tasks"].as_array().cloned().unwrap_or_default()
    }

    /// How many tasks of `q` have not been dispatched.
    pub(super) async fn waiting(&self) -> usize {
        let tasks = self.tasks().await;
        tasks.iter().filter(|task| task["dispatchCount"].is_null()).count()
    }

    /// Looks at the tasks of `q` until they are as expected.
    pub(super) async fn until(&self, expected: impl Fn(&[Value]) -> bool) {
        let looking = async {
            while !expected(&self.tasks().await) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("the tasks never were as expected");
    }

    pub(super) fn advance(&self, milliseconds: u64) {
        self.clock.advance(Duration::from_millis(milliseconds));
    }
}

/// What tasks are sent to.
pub(super) struct Target {
    pub(super) url: String,
    arrivals: Mutex<mpsc::UnboundedReceiver<Arrival>>,
    _server: LocalServer,
}

/// A request that waits for its answer.
pub(super) struct Arrival {
    pub(super) method: String,
    /// With the query.
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    answer: oneshot::Sender<u16>,
}

impl Target {
    async fn start() -> Target {
        let bound = bind_loopback(0).unwrap();
        let url = format!("http://{}", bound.address);
        let (tell, arrivals) = mpsc::unbounded_channel();
        let routes = move |config: &mut web::ServiceConfig| {
            config.app_data(web::Data::new(tell.clone())).default_service(web::to(arrive));
        };
        let server = LocalServer::start(bound, routes).await.unwrap();
        Target { url, arrivals: Mutex::new(arrivals), _server: server }
    }

    /// The next request.
    pub(super) async fn next(&self) -> Arrival {
        let mut arrivals = self.arrivals.lock().await;
        let arrival = tokio::time::timeout(PATIENCE, arrivals.recv()).await;
        arrival.expect("nothing was delivered").unwrap()
    }
}

impl Arrival {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(other, _)| other == name)?;
        Some(value)
    }

    pub(super) fn answer(self, status: u16) {
        self.answer.send(status).unwrap();
    }
}

async fn arrive(
    request: HttpRequest,
    body: Bytes,
    tell: web::Data<mpsc::UnboundedSender<Arrival>>,
) -> HttpResponse {
    let headers = request.headers().iter();
    let (answer, answered) = oneshot::channel();
    let arrival = Arrival {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect(),
        body,
        answer,
    };
    let _ = tell.send(arrival);
    // A test that ends without an answer leaves none.
    let status = answered.await.unwrap_or(500);
    HttpResponse::build(StatusCode::from_u16(status).unwrap()).finish()
}
