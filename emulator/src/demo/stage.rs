//! What the demonstration is played on: an emulator with a job, queues and subscriptions that lead to the receiver.

use std::{collections::HashMap, time::Duration};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::{
    AUDIENCE,
    genuine::caller,
    step::{Act, Answered, Call, Step},
};
use crate::{
    emulator::{Emulator, Options},
    error::Error,
    fire::Courier,
    senders::Sender,
};

/// The job's run.
pub(super) const RUN: &str = "v1/projects/demo-project/locations/us-central1/jobs/daily-report:run";

/// A queue as Google makes it.
pub(super) const RECEIPTS: &str = "v2/projects/demo-project/locations/us-central1/queues/receipts";

/// Another, to be slowed down without the first.
pub(super) const BULK: &str = "v2/projects/demo-project/locations/us-central1/queues/bulk";

/// A topic whose subscription pushes wrapped messages.
pub(super) const UPLOADS: &str = "v1/projects/demo-project/topics/uploads";

/// One whose subscription pushes unwrapped ones with their metadata.
pub(super) const UPLOADS_UNWRAPPED: &str = "v1/projects/demo-project/topics/uploads-unwrapped";

/// One whose subscription has a dead-letter topic.
pub(super) const STRICT: &str = "v1/projects/demo-project/topics/uploads-strict";

const DEAD: &str = "projects/demo-project/topics/dead-uploads";

const DEAD_SUBSCRIPTION: &str = "v1/projects/demo-project/subscriptions/dead-uploads";

/// How often a dead-letter topic is asked before its message counts as missing.
const PULLS: usize = 50;

/// An emulator, and hands to play it with.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) emulator: Emulator,
    courier: Courier,
    client: Client,
    /// How many attempts of each sender were looked at.
    seen: HashMap<Sender, usize>,
}

impl Stage {
    /// An emulator without anything in it but the senders' accounts.
    ///
    /// # Errors
    /// As [`Emulator::start`].
    pub(super) async fn build() -> Result<Stage, Error> {
        let emulator = Emulator::start(Options::default()).await?;
        for sender in [Sender::Scheduler, Sender::Tasks, Sender::PubSub, Sender::Eventarc] {
            let (id, _) = caller(sender).split_once('@').unwrap_or_default();
            emulator.create_account(id)?;
        }
        let client = Client::builder().no_proxy().build().map_err(Error::Client)?;
        Ok(Stage { emulator, courier: Courier::new()?, client, seen: HashMap::new() })
    }

    /// Makes a job, two queues and three subscriptions that deliver to the receiver.
    ///
    /// # Errors
    /// [`Error::Refused`] if the control plane does not take one.
    pub(super) async fn set_up(&self, service_url: &str) -> Result<(), Error> {
        let project = "v1/projects/demo-project";
        let job = json!({
            "name": RUN.trim_start_matches("v1/").trim_end_matches(":run"),
            "schedule": "0 0 1 1 *",
            "httpTarget": {
                "uri": format!("{service_url}/scheduler/daily-report"),
                "httpMethod": "GET",
                "oidcToken": oidc_token(Sender::Scheduler),
            },
        });
        self.call(&Call::new(Method::POST, &format!("{project}/locations/us-central1/jobs"), job))
            .await?;
        for queue in [RECEIPTS, BULK] {
            let (parent, _) = queue.rsplit_once('/').unwrap_or_default();
            let name = queue.trim_start_matches("v2/");
            self.call(&Call::new(Method::POST, parent, json!({"name": name}))).await?;
        }
        let dead = format!("v1/{DEAD}");
        for topic in [UPLOADS, UPLOADS_UNWRAPPED, STRICT, &dead] {
            self.call(&Call::new(Method::PUT, topic, json!({}))).await?;
        }
        let dead_letters = json!({"topic": DEAD});
        self.call(&Call::new(Method::PUT, DEAD_SUBSCRIPTION, dead_letters)).await?;
        for topic in [UPLOADS, UPLOADS_UNWRAPPED, STRICT] {
            let mut subscription = json!({
                "topic": topic.trim_start_matches("v1/"),
                "ackDeadlineSeconds": 60,
                "pushConfig": {
                    "pushEndpoint": format!("{service_url}/pubsub/index-upload"),
                    "oidcToken": oidc_token(Sender::PubSub),
                },
            });
            if topic == UPLOADS_UNWRAPPED {
                subscription["pushConfig"]["noWrapper"] = json!({"writeMetadata": true});
            }
            if topic == STRICT {
                subscription["deadLetterPolicy"] =
                    json!({"deadLetterTopic": DEAD, "maxDeliveryAttempts": 5});
            }
            let path = topic.replace("/topics/", "/subscriptions/");
            self.call(&Call::new(Method::PUT, &path, subscription)).await?;
        }
        // Without these two grants nothing is ever dead-lettered.
        let strict = STRICT.replace("/topics/", "/subscriptions/");
        for (resource, role) in
            [(dead, "roles/pubsub.publisher"), (strict, "roles/pubsub.subscriber")]
        {
            let agent = self.emulator.google().project.agent(Sender::PubSub).member();
            let policy = json!({"bindings": [{"role": role, "members": [agent]}]});
            let path = format!("{resource}:setIamPolicy");
            self.call(&Call::new(Method::POST, &path, json!({"policy": policy}))).await?;
        }
        Ok(())
    }

    /// Sets a delivery off and gives what it was answered.
    ///
    /// # Errors
    /// [`Error::Refused`] if the control plane does not take a call, [`Error::NoAnswer`] if nothing is delivered.
    pub(super) async fn play(&mut self, step: &Step, service_url: &str) -> Result<Answered, Error> {
        match &step.act {
            Act::Deliver(delivery) => {
                let url = format!("{service_url}{}", step.path());
                let answer = self.courier.deliver(&url, delivery).await?;
                return Ok(Answered { status: answer.status, took: answer.took });
            }
            Act::Call(fault, calls) => {
                if let Some(fault) = fault {
                    self.emulator.set_fault(*fault, Some(1), Some(step.sender))?;
                }
                for call in calls {
                    self.call(call).await?;
                }
            }
            Act::Await => {}
        }
        let seen = self.seen.entry(step.sender).or_default();
        let attempts = self.emulator.attempts_of(step.sender, *seen + 1).await;
        let attempt = attempts.get(*seen);
        *seen += 1;
        let answered = attempt.and_then(|attempt| Some((attempt, attempt.answer.as_ref()?)));
        let (attempt, answer) = answered.ok_or_else(|| Error::NoAnswer {
            url: format!("{service_url}{}", step.path()),
            reason: attempt
                .and_then(|attempt| attempt.error.clone())
                .unwrap_or_else(|| "nothing was delivered".to_owned()),
            timed_out: false,
        })?;
        let took = Duration::from_secs_f64(attempt.latency_ms / 1000.0);
        Ok(Answered { status: answer.status, took })
    }

    /// Whether the dead-letter topic has got a message.
    ///
    /// # Errors
    /// [`Error::Refused`] if it cannot be pulled.
    pub(super) async fn has_dead_letter(&self) -> Result<bool, Error> {
        let pull = Call::new(
            Method::POST,
            &format!("{DEAD_SUBSCRIPTION}:pull"),
            json!({"maxMessages": 1}),
        );
        for _ in 0..PULLS {
            let pulled = self.call(&pull).await?;
            if pulled.get("receivedMessages").is_some() {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(false)
    }

    async fn call(&self, call: &Call) -> Result<Value, Error> {
        let url = format!("{}/{}", self.emulator.url(), call.path);
        let request = self.client.request(call.method.clone(), &url).body(call.body.to_string());
        let response = request.send().await.map_err(|error| Error::no_answer(&url, &error))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| Error::no_answer(&url, &error))?;
        if status != 200 {
            let body = String::from_utf8_lossy(&body).into_owned();
            return Err(Error::Refused { url, status, body });
        }
        serde_json::from_slice(&body)
            .map_err(|source| Error::Json { what: "the control plane's answer", source })
    }
}

/// How a sender proves itself to the receiver.
pub(super) fn oidc_token(sender: Sender) -> Value {
    json!({"serviceAccountEmail": caller(sender), "audience": AUDIENCE})
}
