//! What the real senders deliver to the bundled jobs.

use serde_json::{Value, json};

use super::{AUDIENCE, Expected, Step};
use crate::{
    error::Error,
    issuer::Issuer,
    senders::{
        Delivery, Method, Sender, eventarc::CloudEvent, pubsub::Push, scheduler::Run,
        tasks::Attempt,
    },
};

/// The account of a sender, which its route admits and no other does.
pub(super) fn caller(sender: Sender) -> &'static str {
    match sender {
        Sender::Scheduler => "scheduler-caller@demo.iam.gserviceaccount.com",
        Sender::Tasks => "tasks-caller@demo.iam.gserviceaccount.com",
        Sender::PubSub => "pubsub-caller@demo.iam.gserviceaccount.com",
        Sender::Eventarc => "events-caller@demo.iam.gserviceaccount.com",
    }
}

/// A task that the job `send-receipt` understands.
pub(super) fn receipt(task: &str, order: &str, email: &str) -> Attempt {
    Attempt {
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: json!({"order": order, "email": email}).to_string().into_bytes(),
        ..Attempt::first("receipts", task)
    }
}

/// Every genuine delivery, in order.
///
/// # Errors
/// [`Error::Crypto`] if a token cannot be signed.
pub(super) fn steps(issuer: &Issuer) -> Result<Vec<Step>, Error> {
    let report = Run { method: Method::Get, ..Run::new("daily-report") };
    let sent = receipt("4711", "A-1001", "ada@example.com");
    let retried = receipt("4712", "retry-me", "ada@example.com");
    let slowed = receipt("4713", "slow-down", "ada@example.com");
    let hopeless = receipt("4714", "A-1002", "nowhere");
    let wrapped = upload("2070443601311540");
    let unwrapped = upload("2070443601311541");
    let poison = Push { data: b"not json".to_vec(), ..upload("2070443601311542") };
    let dead_letter = Push { delivery_attempt: Some(5), ..poison.clone() };
    let event = |id| CloudEvent::object_finalized(id, "uploads", "a.pdf", &object());

    let plan: [(&str, &str, Delivery, &str, u16); 14] = [
        ("a scheduled run", "daily-report", report.delivery(), "done", 204),
        ("a task", "send-receipt", sent.delivery(), "done", 204),
        ("a task that fails", "send-receipt", retried.delivery(), "retry", 500),
        ("its next attempt", "send-receipt", retried.after(500).delivery(), "done", 204),
        ("the first task again", "send-receipt", sent.delivery(), "duplicate", 200),
        ("the queue should ease off", "send-receipt", slowed.delivery(), "slow_down", 503),
        ("a task that never can", "send-receipt", hopeless.delivery(), "gave_up", 200),
        ("a push, wrapped", "index-upload", wrapped.wrapped(), "done", 204),
        ("the same push again", "index-upload", wrapped.wrapped(), "duplicate", 200),
        ("a push, unwrapped", "index-upload", unwrapped.unwrapped_with_metadata(), "done", 204),
        ("no JSON, nowhere to put it", "index-upload", poison.wrapped(), "unreadable", 200),
        ("no JSON, dead-letter topic", "index-upload", dead_letter.wrapped(), "unreadable", 422),
        ("a CloudEvent, binary", "index-upload", event("e-1").binary(), "done", 204),
        ("a CloudEvent, structured", "index-upload", event("e-2").structured(), "done", 204),
    ];
    plan.into_iter()
        .map(|(about, job, delivery, outcome, status)| {
            let caller = caller(delivery.sender);
            let token = issuer.token(AUDIENCE, caller)?;
            Ok(Step {
                about,
                job,
                delivery: delivery.bearer(&token),
                expected: Expected { outcome, status, reason: None, caller: Some(caller) },
            })
        })
        .collect()
}

/// A Cloud Storage notification, as Pub/Sub carries it.
fn upload(message_id: &str) -> Push {
    let data = object().to_string();
    Push::new("projects/demo/subscriptions/index-upload", message_id, data)
        .attribute("eventType", "OBJECT_FINALIZE")
        .attribute("bucketId", "uploads")
        .attribute("objectId", "a.pdf")
}

fn object() -> Value {
    json!({"bucket": "uploads", "name": "a.pdf", "size": "1024"})
}
