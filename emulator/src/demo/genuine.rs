//! What the real senders deliver to the bundled jobs.

use base64::{Engine, prelude::BASE64_STANDARD};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    Act, Expected, Step,
    stage::{BULK, RECEIPTS, RUN, STRICT, UPLOADS, UPLOADS_UNWRAPPED},
    step::Call,
};
use crate::{
    faults::Fault,
    senders::{Sender, eventarc::CloudEvent},
};

/// The account of a sender, which its route admits and no other does.
pub(super) fn caller(sender: Sender) -> &'static str {
    match sender {
        Sender::Scheduler => "scheduler-caller@demo-project.iam.gserviceaccount.com",
        Sender::Tasks => "tasks-caller@demo-project.iam.gserviceaccount.com",
        Sender::PubSub => "pubsub-caller@demo-project.iam.gserviceaccount.com",
        Sender::Eventarc => "events-caller@demo-project.iam.gserviceaccount.com",
    }
}

/// Every genuine delivery, in order. `token` is of Eventarc's account, whose events are delivered by hand;
/// `service_url` is where tasks go.
pub(super) fn steps(service_url: &str, token: &str) -> Vec<Step> {
    let enqueue = |queue: &str, name: &str, order: &str, email: &str| {
        let task = task(service_url, queue, name, order, email);
        post(&format!("{queue}/tasks"), task)
    };
    let once = |call| Act::Call(None, vec![call]);
    let twice = |call| Act::Call(Some(Fault::Duplicate), vec![call]);
    let event = |id| CloudEvent::object_finalized(id, "uploads", "a.pdf", &object());
    let by_hand = |delivery: crate::senders::Delivery| Act::Deliver(delivery.bearer(token));
    let ada = "ada@example.com";
    let hopeless = Act::Call(
        None,
        // What asked the queue to ease off would come again.
        vec![
            Call::new(Method::DELETE, BULK, Value::Null),
            enqueue(RECEIPTS, "4714", "A-1002", "nowhere"),
        ],
    );

    let (report, receipt, upload) = ("daily-report", "send-receipt", "index-upload");
    use Sender::{Eventarc, PubSub, Scheduler, Tasks};
    let plan: [(&str, Sender, &str, Act, &str, u16); 18] = [
        ("a scheduled run", Scheduler, report, once(post(RUN, json!({}))), "done", 204),
        ("a task", Tasks, receipt, twice(enqueue(RECEIPTS, "4711", "A-1001", ada)), "done", 204),
        ("the same task again", Tasks, receipt, Act::Await, "duplicate", 200),
        (
            "a task that fails",
            Tasks,
            receipt,
            once(enqueue(RECEIPTS, "4712", "retry-me", ada)),
            "retry",
            500,
        ),
        ("its next attempt", Tasks, receipt, Act::Await, "done", 204),
        (
            "the queue should ease off",
            Tasks,
            receipt,
            once(enqueue(BULK, "4713", "slow-down", ada)),
            "slow_down",
            503,
        ),
        ("a task that never can", Tasks, receipt, hopeless, "gave_up", 200),
        (
            "a push, wrapped",
            PubSub,
            upload,
            twice(publish(UPLOADS, &object().to_string())),
            "done",
            204,
        ),
        ("the same push again", PubSub, upload, Act::Await, "duplicate", 200),
        (
            "a push, unwrapped",
            PubSub,
            upload,
            once(publish(UPLOADS_UNWRAPPED, &object().to_string())),
            "done",
            204,
        ),
        (
            "no JSON, nowhere to put it",
            PubSub,
            upload,
            once(publish(UPLOADS, "not json")),
            "unreadable",
            200,
        ),
        (
            "no JSON, dead-letter topic",
            PubSub,
            upload,
            once(publish(STRICT, "not json")),
            "unreadable",
            422,
        ),
        ("its 2nd attempt", PubSub, upload, Act::Await, "unreadable", 422),
        ("its 3rd attempt", PubSub, upload, Act::Await, "unreadable", 422),
        ("its 4th attempt", PubSub, upload, Act::Await, "unreadable", 422),
        ("its 5th and last attempt", PubSub, upload, Act::Await, "unreadable", 422),
        ("a CloudEvent, binary", Eventarc, upload, by_hand(event("e-1").binary()), "done", 204),
        (
            "a CloudEvent, structured",
            Eventarc,
            upload,
            by_hand(event("e-2").structured()),
            "done",
            204,
        ),
    ];
    plan.into_iter()
        .map(|(about, sender, job, act, outcome, status)| Step {
            about,
            job,
            sender,
            act,
            expected: Expected { outcome, status, reason: None, caller: Some(caller(sender)) },
        })
        .collect()
}

fn post(path: &str, body: Value) -> Call {
    Call::new(Method::POST, path, body)
}

/// A task that the job `send-receipt` understands.
fn task(service_url: &str, queue: &str, name: &str, order: &str, email: &str) -> Value {
    let (_, queue) = queue.split_once('/').unwrap_or_default();
    json!({"task": {
        "name": format!("{queue}/tasks/{name}"),
        "httpRequest": {
            "url": format!("{service_url}/tasks/send-receipt"),
            "headers": {"Content-Type": "application/json"},
            "body": BASE64_STANDARD.encode(json!({"order": order, "email": email}).to_string()),
            "oidcToken": super::stage::oidc_token(Sender::Tasks),
        },
    }})
}

/// A Cloud Storage notification, as Pub/Sub carries it.
fn publish(topic: &str, data: &str) -> Call {
    let attributes = json!({
        "eventType": "OBJECT_FINALIZE",
        "bucketId": "uploads",
        "objectId": "a.pdf",
    });
    let message = json!({"data": BASE64_STANDARD.encode(data), "attributes": attributes});
    post(&format!("{topic}:publish"), json!({"messages": [message]}))
}

fn object() -> Value {
    json!({"bucket": "uploads", "name": "a.pdf", "size": "1024"})
}
