//! What the tests of Pub/Sub stand on: Google's side by a clock that a test moves, and a push endpoint.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{self, Bytes},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{error::Elapsed, timeout},
};

use super::{
    api,
    name::Kind,
    running::{Running, State},
};
use crate::{
    api::error::ApiError,
    clock::Clock,
    emulator::Options,
    google::Google,
    iam::Principal,
    local_server::{LocalServer, bind_loopback},
    senders::Sender,
    testing,
};

/// Longer than anything in these tests takes, so that what never comes fails.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) const START: &str = "2026-03-01T12:00:00.700Z";

/// Google's side without its HTTP server.
pub(super) struct Stand {
    pub(super) google: Arc<Google>,
    pub(super) clock: Clock,
}

impl Stand {
    /// With the topic `orders`.
    pub(super) async fn new() -> Stand {
        Stand::with(Options::default()).await
    }

    pub(super) async fn with(options: Options) -> Stand {
        let clock = Clock::standing_at(START.parse::<Timestamp>().unwrap());
        let options = Options { clock: clock.clone(), ..options };
        let stand = Stand { google: testing::google_with(options), clock };
        stand.call("PUT", "topics/orders", json!({})).await.unwrap();
        stand
    }

    /// Calls as the owner of the project; `path` is what stands behind the project.
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
        let uri = format!("/v1/projects/demo-project/{path}");
        api::answer(&self.google, &testing::call_as(principal, method, &uri, body)).await
    }

    /// Makes the subscription `id` of the topic `orders`.
    pub(super) async fn subscribe(&self, id: &str, fields: Value) -> Value {
        let mut body = fields;
        if body.get("topic").is_none() {
            body["topic"] = json!("projects/demo-project/topics/orders");
        }
        self.call("PUT", &format!("subscriptions/{id}"), body).await.unwrap()
    }

    /// Publishes to the topic `orders`.
    pub(super) async fn publish(&self, messages: Value) -> Vec<String> {
        let body = json!({"messages": messages});
        let mut answer = self.call("POST", "topics/orders:publish", body).await.unwrap();
        serde_json::from_value(answer["messageIds"].take()).unwrap()
    }

    /// The messages that a pull gets at once.
    pub(super) async fn pull(&self, id: &str) -> Vec<Value> {
        let body = json!({"maxMessages": 10, "returnImmediately": true});
        let path = format!("subscriptions/{id}:pull");
        let mut answer = self.call("POST", &path, body).await.unwrap();
        match answer["receivedMessages"].take() {
            Value::Array(received) => received,
            _ => Vec::new(),
        }
    }

    /// Gives Pub/Sub's agent a role on a topic or subscription.
    pub(super) async fn grant_agent(&self, resource: &str, role: &str) {
        let member = self.google.project.agent(Sender::PubSub).member();
        let policy = json!({"policy": {"bindings": [{"role": role, "members": [member]}]}});
        self.call("POST", &format!("{resource}:setIamPolicy"), policy).await.unwrap();
    }

    pub(super) fn running(&self, id: &str) -> Arc<Running> {
        let name = Kind::Subscription.name(&self.google.project, id);
        self.google.pubsub.resources().subscription(&name).unwrap()
    }

    /// Ends when the subscription's state is as told.
    pub(super) async fn until(&self, id: &str, holds: impl Fn(&State) -> bool) {
        let running = self.running(id);
        let mut changed = running.subscribe();
        let waiting = async {
            while !holds(&running.state()) {
                changed.changed().await.unwrap();
            }
        };
        in_time(timeout(PATIENCE, waiting).await, "the subscription's state");
    }

    /// Ends when all that was published is acknowledged or given up.
    pub(super) async fn until_empty(&self, id: &str) {
        self.until(id, |state| state.backlog.is_empty()).await;
    }

    /// Ends when nothing is on its way.
    pub(super) async fn until_back(&self, id: &str) {
        self.until(id, |state| state.backlog.is_all_back()).await;
    }
}

/// A request that a subscriber got.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Received {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A push endpoint that answers what it is told to.
pub(super) struct Subscriber {
    pub(super) url: String,
    received: watch::Sender<Vec<Received>>,
    _server: LocalServer,
}

impl Subscriber {
    /// `answer` gives the status for a request and all that came with it before.
    pub(super) async fn answering(
        answer: impl Fn(&Received, &[Received]) -> u16 + Clone + Send + 'static,
    ) -> Subscriber {
        let bound = bind_loopback(0).unwrap();
        let url = format!("http://{}", bound.address);
        let received = watch::Sender::new(Vec::new());
        let keeping = received.clone();
        let server = LocalServer::start(bound, move |config| {
            let (answer, keeping) = (answer.clone(), keeping.clone());
            config.app_data(web::PayloadConfig::new(16 << 20));
            config.default_service(web::to(move |request: HttpRequest, body: Bytes| {
                let received = read(&request, body);
                let status = answer(&received, &keeping.borrow());
                keeping.send_modify(|all| all.push(received));
                async move { HttpResponse::build(StatusCode::from_u16(status).unwrap()).finish() }
            }));
        });
        Subscriber { url, received, _server: server.await.unwrap() }
    }

    /// Answers 200 always.
    pub(super) async fn content() -> Subscriber {
        Subscriber::answering(|_, _| 200).await
    }

    /// All requests so far, once there are so many.
    pub(super) async fn received(&self, count: usize) -> Vec<Received> {
        let mut received = self.received.subscribe();
        let waiting = received.wait_for(|all| all.len() >= count);
        in_time(timeout(PATIENCE, waiting).await, "requests").unwrap().clone()
    }

    /// How many requests came so far.
    pub(super) fn count(&self) -> usize {
        self.received.borrow().len()
    }
}

fn read(request: &HttpRequest, body: Bytes) -> Received {
    let headers = request.headers().iter().map(|(name, value)| {
        (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
    });
    Received { path: request.path().to_owned(), headers: headers.collect(), body }
}

fn in_time<T>(waited: Result<T, Elapsed>, what: &str) -> T {
    waited.unwrap_or_else(|_| panic!("{what} did not come in time"))
}
