//! What `gateways/` ships: the real Envoy in front of the receiver with the configuration for it, and what the folder
//! says of the others. `scripts/peers` installs Envoy.
//!
//! What must be of this machine is replaced: ports, and the authority that vouches for Google's keys.

mod callers;

mod detours;

mod documents;

mod endpoints;

mod envoy;

mod keys;

use std::sync::Arc;

use emulator::{
    Delivery, Issuer, Method,
    senders::{eventarc::CloudEvent, pubsub::Push, scheduler::Run, tasks::Attempt},
};
use serde_json::{Value, json};

use self::envoy::{Envoy, KeysOf, SHIPPED};
use crate::harness::{MARKER, Seen, Service, field, jobs};

/// What the shipped files have for the service's URL.
const AUDIENCE: &str = "https://receiver-123456789012.europe-west1.run.app";

const SENDERS: [&str; 4] = ["scheduler", "tasks", "pubsub", "events"];

/// The account that the shipped files let a sender's route be called by.
fn caller(sender: &str) -> String {
    format!("receiver-{sender}@my-project.iam.gserviceaccount.com")
}

/// A delivery that nothing else is wrong with.
fn delivery(sender: &str) -> Delivery {
    match sender {
        "scheduler" => {
            let (method, body) = (Method::Post, MARKER.into());
            Run { method, body, ..Run::new("nightly") }.delivery()
        }
        "tasks" => Attempt { body: MARKER.into(), ..Attempt::first("receipts", "1") }.delivery(),
        "pubsub" => Push::new("projects/example/subscriptions/s", "1", MARKER).wrapped(),
        _ => CloudEvent::object_finalized("1", "uploads", "a.pdf", &json!(MARKER)).binary(),
    }
}

/// Envoy, the receiver behind it in platform mode, and an issuer that is called as Google is.
struct Gateway {
    envoy: Envoy,
    service: Service,
}

impl Gateway {
    /// With the shipped configuration.
    async fn shipped() -> Option<Self> {
        Self::start(KeysOf::Google, &[], |_| SHIPPED.to_owned()).await
    }

    /// With a configuration, which may hold what the issuer signs, and `settings` besides those that go with it.
    async fn start(
        keys: KeysOf,
        settings: &[(&str, &str)],
        config: impl FnOnce(&Issuer) -> String,
    ) -> Option<Self> {
        let issuer = Issuer::start_as(0, "https://accounts.google.com").await.unwrap();
        let callers =
            SENDERS.map(|sender| (format!("{}_CALLERS", sender.to_uppercase()), caller(sender)));
        let mut all = vec![
            ("AUTH", "platform"),
            ("PLATFORM_IDENTITY", "x-jwt-payload"),
            ("AUDIENCE", AUDIENCE),
            ("DEDUP", "off"),
        ];
        all.extend(callers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        all.extend(settings);
        let jwks = issuer.keys().jwks().to_string();
        let config = config(&issuer);
        let service = Service::of(Arc::new(issuer), jobs(&Seen::default()), &all);
        let envoy = Envoy::start(&service.url, keys, &jwks, config).await?;
        Some(Self { envoy, service })
    }

    /// A good token of this account.
    fn token(&self, email: &str) -> String {
        self.service.secret(self.service.issuer.token(AUDIENCE, email).unwrap())
    }

    /// Gets as far as the job, and is on record as this sender's caller.
    async fn admits(&mut self, sender: &str, delivery: &Delivery) -> Value {
        let path = format!("/{sender}/done");
        let status = self.envoy.send(&path, delivery).await;
        let record = self.service.record().await;
        self.service.no_record();
        assert_eq!((status, field(&record, "outcome")), (204, "done"), "{record}");
        let found = &record["invocation"]["caller"];
        assert_eq!(found["email"], caller(sender));
        assert_eq!(found["audience"], AUDIENCE);
        assert_eq!(found["auth"], "platform");
        record
    }

    /// Is answered by Envoy, and never reaches the receiver.
    async fn refuses(&mut self, status: u16, path: &str, delivery: &Delivery) {
        let (shown, _) = path.split_once('?').unwrap_or((path, ""));
        assert_eq!(self.envoy.send(path, delivery).await, status, "{shown}");
        self.service.no_record();
    }
}
