//! What goes wrong on the way, by name, between the emulator's senders and the receiver: each fault ends in its outcome,
//! and each invocation succeeds exactly once.

use std::collections::BTreeMap;

use emulator::{Emulator, Fault, Options, Sender};
use serde_json::{Value, json};

use crate::{
    harness::{AUDIENCE, MARKER, Seen, Service, field},
    seed_story::{CALLER, service_of},
};

const TOPIC: &str = "v1/projects/demo-project/topics/orders";
const SUBSCRIPTION: &str = "v1/projects/demo-project/subscriptions/orders";

/// The base64 of the marker, as `scripts/check` looks for it in what the tests print.
const MARKED: &str = "UEFZTE9BRC1NQVJLRVI=";

/// An emulator whose subscription pushes to a receiver.
struct Lab {
    emulator: Emulator,
    service: Service,
    seen: Seen,
    client: reqwest::Client,
    fault: Fault,
}

impl Lab {
    /// With this fault set before the receiver starts: it fetches keys at once.
    async fn with(fault: Fault, next: Option<u32>) -> Lab {
        let emulator = Emulator::start(Options::default()).await.unwrap();
        emulator.create_account("schedulerunner").unwrap();
        emulator.set_fault(fault, next, None).unwrap();
        let seen = Seen::default();
        let service = service_of(&emulator, &seen, AUDIENCE, &[]).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let lab = Lab { emulator, service, seen, client, fault };
        lab.call("PUT", TOPIC, json!({})).await;
        let subscription = json!({
            "topic": TOPIC.trim_start_matches("v1/"),
            "ackDeadlineSeconds": 60,
            "pushConfig": {
                "pushEndpoint": format!("{}/pubsub/done", lab.service.url),
                "oidcToken": {"serviceAccountEmail": CALLER, "audience": AUDIENCE},
            },
        });
        lab.call("PUT", SUBSCRIPTION, subscription).await;
        lab
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("{}/{path}", self.emulator.url());
        let request = self.client.request(method.parse().unwrap(), url).body(body.to_string());
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Publishes a message and gives its id; `data` is base64.
    async fn publish(&self, data: &str) -> String {
        let body = json!({"messages": [{"data": data}]});
        let published = self.call("POST", &format!("{TOPIC}:publish"), body).await;
        published["messageIds"][0].as_str().unwrap().to_owned()
    }

    /// The outcomes and reasons of the next records.
    async fn outcomes(&mut self, count: usize) -> Vec<(String, String, u64)> {
        let records = self.service.records(count).await;
        let shown = |record: &Value| {
            let status = record["invocation"]["status"].as_u64().unwrap_or_default();
            (field(record, "outcome").to_owned(), field(record, "reason").to_owned(), status)
        };
        records.iter().map(shown).collect()
    }

    /// The fault befell a delivery, nothing but what was looked at came, and the job has succeeded once for each of so
    /// many invocations.
    async fn succeeded_once_each(self, invocations: usize) {
        // An attempt is in the history once its answer has come, which is after the record.
        let mut at_least = 1;
        let befallen = loop {
            let attempts = self.emulator.attempts_of(Sender::PubSub, at_least).await;
            assert!(attempts.len() >= at_least, "{:?} befell no delivery", self.fault);
            at_least = attempts.len() + 1;
            if let Some(befallen) =
                attempts.into_iter().find(|attempt| attempt.faults.contains(&self.fault))
            {
                break befallen;
            }
        };
        if self.fault == Fault::SlowBody {
            assert!(befallen.latency_ms > 900.0, "{befallen:?}");
        }
        let mut runs = BTreeMap::new();
        for invocation in self.seen.all() {
            assert_eq!(invocation.payload, MARKER);
            *runs.entry(invocation.idempotency_key()).or_insert(0) += 1;
        }
        assert_eq!(runs.len(), invocations, "{runs:?}");
        assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
        self.emulator.stop().await;
        assert_eq!(self.service.stopped().await, Vec::<Value>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_delivery_ends_in_its_outcome_and_the_next_attempt_is_done() {
    for (fault, outcome, reason, status) in [
        (Fault::Expired, "refused", "expired", 401),
        (Fault::SkewedClock, "refused", "not_yet_valid", 401),
        (Fault::WrongAudience, "refused", "wrong_audience", 401),
        (Fault::WrongCaller, "refused", "caller_not_allowed", 403),
        (Fault::Unsigned, "refused", "unsupported_algorithm", 401),
        (Fault::StrippedSignature, "refused", "signature_removed", 401),
        (Fault::UnknownKid, "refused", "unknown_key", 401),
        (Fault::Oversize, "too_large", "", 413),
    ] {
        let mut lab = Lab::with(fault, Some(1)).await;
        lab.publish(MARKED).await;
        let outcomes = lab.outcomes(2).await;
        let (first, found_reason, found_status) = &outcomes[0];
        assert_eq!((first.as_str(), *found_status), (outcome, status), "{fault:?}: {outcomes:?}");
        assert!(reason.is_empty() || found_reason == reason, "{fault:?}: {outcomes:?}");
        assert_eq!(outcomes[1].0, "done", "{fault:?}: {outcomes:?}");
        lab.succeeded_once_each(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_that_is_broken_is_acknowledged_since_it_proves_no_dead_letter_topic() {
    let mut lab = Lab::with(Fault::MalformedEnvelope, Some(1)).await;
    // A job that takes any text would be given the pieces: nothing says that they were an envelope.
    let endpoint = format!("{}/pubsub/number", lab.service.url);
    let token = json!({"serviceAccountEmail": CALLER, "audience": AUDIENCE});
    let config = json!({"pushEndpoint": endpoint, "oidcToken": token});
    let path = format!("{SUBSCRIPTION}:modifyPushConfig");
    lab.call("POST", &path, json!({"pushConfig": config})).await;
    // The base64 of 7.
    lab.publish("Nw==").await;
    let (outcome, _, status) = lab.outcomes(1).await.remove(0);
    assert_eq!((outcome.as_str(), status), ("unreadable", 200));
    lab.publish("Nw==").await;
    assert_eq!(lab.outcomes(1).await[0].0, "done");
    lab.succeeded_once_each(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_and_keys_that_rotate_are_no_fault_to_the_service() {
    for fault in [Fault::SlowBody, Fault::KeyRotation] {
        let mut lab = Lab::with(fault, Some(1)).await;
        lab.publish(MARKED).await;
        assert_eq!(lab.outcomes(1).await[0].0, "done", "{fault:?}");
        lab.succeeded_once_each(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_comes_twice_is_done_once_and_a_duplicate_once() {
    for fault in [Fault::Duplicate, Fault::ConcurrentDuplicate] {
        let mut lab = Lab::with(fault, Some(1)).await;
        lab.publish(MARKED).await;
        let mut outcomes: Vec<String> =
            lab.outcomes(2).await.into_iter().map(|(outcome, ..)| outcome).collect();
        outcomes.sort_unstable();
        assert_eq!(outcomes, ["done", "duplicate"], "{fault:?}");
        lab.succeeded_once_each(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_hangs_up_delivers_again_and_the_job_has_run_once() {
    let mut lab = Lab::with(Fault::HangUp, Some(1)).await;
    lab.publish(MARKED).await;
    // Hung up on before the guard has decided, nothing was run, and the next attempt does it.
    let outcomes = lab.outcomes(2).await;
    let done = outcomes.iter().filter(|(outcome, ..)| outcome == "done").count();
    assert_eq!(done, 1, "{outcomes:?}");
    assert!(["done", "duplicate"].contains(&&*outcomes[1].0), "{outcomes:?}");
    lab.succeeded_once_each(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_in_the_wrong_order_are_each_done() {
    let mut lab = Lab::with(Fault::Reorder, Some(1)).await;
    let first = lab.publish(MARKED).await;
    let second = lab.publish(MARKED).await;
    let records = lab.service.records(2).await;
    let delivered: Vec<&str> =
        records.iter().map(|record| field(record, "id").rsplit_once('/').unwrap().1).collect();
    assert_eq!(delivered, [second, first]);
    assert!(records.iter().all(|record| field(record, "outcome") == "done"));
    lab.succeeded_once_each(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_keys_cannot_be_had_the_answer_is_503_and_then_the_work_is_done() {
    for fault in [Fault::KeysDown, Fault::KeysSlow, Fault::KeysCorrupt] {
        // Until cleared: the receiver's first fetch is made at its start, before any delivery.
        let mut lab = Lab::with(fault, None).await;
        lab.publish(MARKED).await;
        let outcomes = lab.outcomes(1).await;
        let expected = ("refused".to_owned(), "keys_unavailable".to_owned(), 503);
        assert_eq!(outcomes, std::slice::from_ref(&expected), "{fault:?}");
        lab.emulator.clear_faults();
        let mut last = expected.clone();
        while last == expected {
            last = lab.outcomes(1).await.remove(0);
        }
        assert_eq!(last.0, "done", "{fault:?}: {last:?}");
        lab.succeeded_once_each(1).await;
    }
}
