//! What each sender puts on the wire, and what its job is handed. Shapes: the emulator's, which has them
//! from Google's documents, and literal bodies from those documents.

use std::collections::BTreeMap;

use emulator::{
    Delivery, Method,
    senders::{eventarc::CloudEvent, pubsub::Push, scheduler::Run, tasks::Attempt},
};
use receiver::senders::Origin;
use serde_json::{Value, json};

use crate::harness::{MARKER, Seen, Service, field, jobs};

async fn service() -> (Service, Seen) {
    let seen = Seen::default();
    (Service::with(jobs(&seen), &[("RECORD_ATTRIBUTES", "eventType|kind")]).await, seen)
}

/// An attempt at a task as the documentation describes it, with a body that no record may show.
fn task(task: &str) -> Attempt {
    Attempt { body: MARKER.into(), ..Attempt::first("receipts", task) }
}

#[tokio::test]
async fn scheduler_runs_arrive_by_every_method_with_their_name_and_time() {
    let (mut service, seen) = service().await;
    for (number, method) in [Method::Get, Method::Post, Method::Put].into_iter().enumerate() {
        let mut run = Run::new("nightly");
        run.method = method;
        run.schedule_time = Some(format!("2026-10-05T01:41:0{number}-07:00"));
        if method.takes_body() {
            run.body = MARKER.into();
        }
        let (answer, record) = service.deliver("/scheduler/done", &run.delivery()).await;
        assert_eq!(answer.status, 204);
        assert_eq!(field(&record, "outcome"), "done");
        assert_eq!(field(&record, "first_due"), format!("2026-10-05T08:41:0{number}Z"));
        assert_eq!(field(&record, "id"), format!("nightly/2026-10-05T01:41:0{number}-07:00"));
        assert_eq!(record["invocation"]["scheduler"]["job_name"], "nightly");
        let invocation = seen.one();
        assert_eq!(invocation.payload, if method.takes_body() { MARKER } else { "" });
        assert_eq!(invocation.attempt, None);
        assert_eq!(invocation.caller.email(), Some("scheduler@example.iam.gserviceaccount.com"));
        assert!(invocation.lag().unwrap().as_secs() > 0);
        let remaining_secs = invocation.remaining().as_secs();
        assert!((160..170).contains(&remaining_secs), "{remaining_secs}");
    }
}

#[tokio::test]
async fn a_run_started_by_hand_without_name_and_time_runs_and_is_recorded_as_unnamed() {
    let (mut service, seen) = service().await;
    let run = Run { job_name: None, schedule_time: None, ..Run::new("nightly") };
    let (answer, record) = service.deliver("/scheduler/done", &run.delivery()).await;
    assert_eq!(answer.status, 204);
    assert_eq!(field(&record, "dedup"), "unnamed");
    assert_eq!(record["invocation"]["id"], Value::Null);
    assert_eq!(seen.one().idempotency_key(), None);
}

#[tokio::test]
async fn tasks_arrive_by_every_method_without_a_content_type() {
    let (mut service, seen) = service().await;
    for method in [Method::Get, Method::Post, Method::Put] {
        let mut attempt = task(&format!("by-{}", method.as_str()));
        attempt.method = method;
        if !method.takes_body() {
            attempt.body.clear();
        }
        let delivery = attempt.delivery();
        assert!(
            delivery.headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("content-type"))
        );
        let (answer, record) = service.deliver("/tasks/done", &delivery).await;
        assert_eq!((answer.status, field(&record, "outcome")), (204, "done"));
        assert_eq!(seen.one().payload, if method.takes_body() { MARKER } else { "" });
    }
}

#[tokio::test]
async fn a_tasks_retry_says_which_attempt_it_is_and_what_came_before() {
    let (mut service, seen) = service().await;
    let attempt = Attempt {
        retry_count: 3,
        execution_count: 1,
        eta: "2024-07-17T17:11:05.266817Z".parse().unwrap(),
        previous_response: Some(503),
        retry_reason: Some(String::new()),
        ..task("4711")
    };
    let (_, record) = service.deliver("/tasks/done", &attempt.delivery()).await;
    assert_eq!(record["invocation"]["attempt"], 4);
    assert_eq!(field(&record, "id"), "receipts/4711");
    assert_eq!(
        record["invocation"]["tasks"],
        json!({"queue": "receipts", "task": "4711", "retry_count": 3, "execution_count": 1,
            "eta": "2024-07-17T17:11:05.266817Z", "previous_response": 503})
    );
    let invocation = seen.one();
    assert_eq!(invocation.attempt, Some(4));
    assert_eq!(invocation.idempotency_key().as_deref(), Some("tasks:receipts/4711"));
    let Origin::Tasks(origin) = invocation.origin else { panic!("not a task") };
    assert_eq!((origin.retry_reason, origin.previous_response), (None, Some(503)));
}

#[tokio::test]
async fn a_tasks_headers_that_make_no_sense_are_left_out_and_fail_nothing() {
    let (mut service, seen) = service().await;
    let delivery = task("odd")
        .delivery()
        .header("X-CloudTasks-TaskRetryCount", "many")
        .header("X-CloudTasks-TaskETA", "soon")
        .header("X-CloudTasks-TaskExecutionCount", "-1");
    let (answer, record) = service.deliver("/tasks/done", &delivery).await;
    assert_eq!(answer.status, 204);
    assert_eq!(record["invocation"]["tasks"], json!({"queue": "receipts", "task": "odd"}));
    assert_eq!((seen.one().attempt, record["invocation"]["lag_ms"].clone()), (None, Value::Null));
}

/// The largest envelope in <https://cloud.google.com/pubsub/docs/push>, both spellings at once.
fn envelope() -> Value {
    json!({
        "deliveryAttempt": 5,
        "message": {
            "attributes": {"eventType": "OBJECT_FINALIZE", "secret": MARKER},
            "data": "UEFZTE9BRC1NQVJLRVI=",
            "messageId": "2070443601311540",
            "message_id": "2070443601311540",
            "orderingKey": "a-key",
            "publishTime": "2021-02-26T19:13:55.749Z",
            "publish_time": "2021-02-26T19:13:55.749Z"
        },
        "subscription": "projects/example/subscriptions/uploads"
    })
}

fn push(body: &Value) -> Delivery {
    Push::new("projects/example/subscriptions/uploads", "1", "").wrapped().body(body.to_string())
}

#[tokio::test]
async fn the_largest_envelope_that_pubsub_documents_is_read_whole() {
    let (mut service, seen) = service().await;
    let (answer, record) = service.deliver("/pubsub/done", &push(&envelope())).await;
    assert_eq!(answer.status, 204);
    assert_eq!(field(&record, "id"), "projects/example/subscriptions/uploads/2070443601311540");
    assert_eq!(record["invocation"]["attempt"], 5);
    assert_eq!(
        record["invocation"]["pubsub"],
        json!({"subscription": "projects/example/subscriptions/uploads", "message_id": "2070443601311540",
            "delivery_attempt": 5, "wrapped": true, "attributes": {"eventType": "OBJECT_FINALIZE"}})
    );
    let invocation = seen.one();
    assert_eq!(invocation.payload, MARKER);
    assert_eq!(invocation.attributes["secret"], MARKER);
    assert_eq!(invocation.first_due.unwrap().to_string(), "2021-02-26T19:13:55.749Z");
    let Origin::Pubsub(message) = invocation.origin else { panic!("not a message") };
    assert_eq!(message.ordering_key.as_deref(), Some("a-key"));
}

#[tokio::test]
async fn an_envelope_is_read_without_whatever_may_be_absent() {
    let (mut service, seen) = service().await;
    for (number, absent) in [
        "/deliveryAttempt",
        "/message/attributes",
        "/message/data",
        "/message/messageId",
        "/message/message_id",
        "/message/orderingKey",
        "/message/publishTime",
        "/message/publish_time",
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = envelope();
        let (parent, name) = absent.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        body["subscription"] = format!("projects/example/subscriptions/s{number}").into();
        let (answer, record) = service.deliver("/pubsub/done", &push(&body)).await;
        assert_eq!((answer.status, field(&record, "outcome")), (204, "done"), "without {absent}");
        let invocation = seen.one();
        assert!(invocation.id.is_some() && invocation.first_due.is_some(), "without {absent}");
        assert_eq!(invocation.attempt, (name != "deliveryAttempt").then_some(5));
        assert_eq!(invocation.payload, if name == "data" { "" } else { MARKER });
    }
    let mut null = envelope();
    null["message"]["data"] = Value::Null;
    null["subscription"] = "projects/example/subscriptions/null".into();
    assert_eq!(service.deliver("/pubsub/done", &push(&null)).await.0.status, 204);
    assert_eq!(seen.one().payload, "");
    let mut unnamed = envelope();
    unnamed["message"].as_object_mut().unwrap().retain(|name, _| !name.starts_with("message"));
    let (_, record) = service.deliver("/pubsub/done", &push(&unnamed)).await;
    assert_eq!(field(&record, "dedup"), "unnamed");
}

#[tokio::test]
async fn an_unwrapped_message_with_metadata_is_named_and_its_attributes_are_headers() {
    let (mut service, seen) = service().await;
    let push =
        Push::new("projects/example/subscriptions/raw", "77", MARKER).attribute("kind", "order");
    for (number, spelling) in
        ["x-goog-pubsub-ordering-key", "x-goog-ordering-key"].into_iter().enumerate()
    {
        let delivery = push
            .unwrapped_with_metadata()
            .header("x-goog-pubsub-message-id", &format!("77{number}"))
            .without("x-goog-pubsub-ordering-key")
            .header(spelling, "a-key");
        let (answer, record) = service.deliver("/pubsub/done", &delivery).await;
        assert_eq!(answer.status, 204);
        assert_eq!(field(&record, "id"), format!("projects/example/subscriptions/raw/77{number}"));
        assert_eq!(record["invocation"]["pubsub"]["wrapped"], false);
        assert_eq!(record["invocation"]["pubsub"]["attributes"], json!({"kind": "order"}));
        let invocation = seen.one();
        assert_eq!(invocation.payload, MARKER);
        assert_eq!(
            invocation.attributes,
            BTreeMap::from([("kind".to_owned(), "order".to_owned())])
        );
        let Origin::Pubsub(message) = invocation.origin else { panic!("not a message") };
        assert_eq!(message.ordering_key.as_deref(), Some("a-key"));
        assert!(message.publish_time.is_some());
    }
}

#[tokio::test]
async fn an_attribute_is_found_by_its_name_in_any_case_however_it_came() {
    let seen = Seen::default();
    let allowed = [("RECORD_ATTRIBUTES", "eventType")];
    let mut service = Service::with(jobs(&seen), &allowed).await;
    let push = |id: &str| {
        Push::new("projects/example/subscriptions/s", id, MARKER)
            .attribute("eventType", "OBJECT_DELETE")
    };
    for delivery in [push("1").wrapped(), push("2").unwrapped_with_metadata()] {
        let (_, record) = service.deliver("/pubsub/done", &delivery).await;
        assert_eq!(
            record["invocation"]["pubsub"]["attributes"],
            json!({"eventType": "OBJECT_DELETE"})
        );
        let invocation = seen.one();
        assert_eq!(invocation.attribute("eventType"), Some("OBJECT_DELETE"));
        assert_eq!(invocation.attribute("nothing"), None);
    }
}

#[tokio::test]
async fn an_unwrapped_message_without_metadata_is_its_body_and_nothing_else() {
    let (mut service, seen) = service().await;
    for body in [
        MARKER,
        "{\"message\":\"hello\"}",
        "{\"message\":{\"text\":\"hi\"}}",
        "{\"message\":\"user created\",\"data\":{\"id\":1}}",
        "{\"order\":1}",
        "[1]",
        "",
    ] {
        let delivery = Push::new("projects/example/subscriptions/raw", "77", body).unwrapped();
        let (answer, record) = service.deliver("/pubsub/done", &delivery).await;
        assert_eq!((answer.status, field(&record, "dedup")), (204, "unnamed"), "{body}");
        assert_eq!(record["invocation"]["pubsub"], json!({"wrapped": false}));
        assert_eq!(seen.one().payload, body);
    }
}

fn event(id: &str) -> CloudEvent {
    let data = json!({"bucket": "uploads", "name": MARKER, "size": "1024"});
    CloudEvent::object_finalized(id, "uploads", "a.pdf", &data)
}

#[tokio::test]
async fn an_event_is_the_same_in_binary_and_structured_mode() {
    let (mut service, seen) = service().await;
    let mut handed = Vec::new();
    for (mode, delivery) in
        [("binary", event("b-1").binary()), ("structured", event("s-1").structured())]
    {
        let (answer, record) = service.deliver("/events/done", &delivery).await;
        assert_eq!(answer.status, 204, "{mode}");
        let of_event = &record["invocation"]["events"];
        assert_eq!(of_event["mode"], mode);
        assert_eq!(of_event["type"], "google.cloud.storage.object.v1.finalized");
        assert_eq!(of_event["subject"], "objects/a.pdf");
        let invocation = seen.one();
        assert_eq!(
            serde_json::from_str::<Value>(&invocation.payload).unwrap(),
            json!({"bucket": "uploads", "name": MARKER, "size": "1024"})
        );
        let Origin::Events(origin) = invocation.origin else { panic!("not an event") };
        handed.push((
            origin.source,
            origin.event_type,
            origin.subject,
            invocation.attributes.get("bucket").cloned(),
        ));
    }
    assert_eq!(handed[0], handed[1]);
}

#[tokio::test]
async fn binary_mode_decodes_percent_encoded_attributes_and_loses_no_event_over_an_odd_one() {
    let (mut service, seen) = service().await;
    for (number, subject, expected) in [
        (0, "objects/caf%C3%A9%20menu.pdf", "objects/café menu.pdf"),
        (1, "objects/100%", "objects/100%"),
        (2, "objects/%ff", "objects/\u{fffd}"),
    ] {
        let delivery = event(&format!("p-{number}")).binary().header("ce-subject", subject);
        let (answer, _) = service.deliver("/events/done", &delivery).await;
        assert_eq!(answer.status, 204);
        let Origin::Events(origin) = seen.one().origin else { panic!("not an event") };
        assert_eq!(origin.subject.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn structured_mode_reads_base64_data_and_attributes_of_every_type() {
    let (mut service, seen) = service().await;
    let body = json!({"specversion": "1.0", "id": "s-2", "source": "//example", "type": "t", "count": 3, "flag": true,
        "data_base64": "UEFZTE9BRC1NQVJLRVI="});
    let delivery = event("s-2").structured().body(body.to_string());
    let (answer, _) = service.deliver("/events/done", &delivery).await;
    assert_eq!(answer.status, 204);
    let invocation = seen.one();
    assert_eq!(invocation.payload, MARKER);
    assert_eq!(invocation.attributes["count"], "3");
    assert_eq!(invocation.attributes["flag"], "true");
}

#[tokio::test]
async fn a_message_published_event_gives_the_job_the_message_itself() {
    let (mut service, seen) = service().await;
    let mut published = event("m-1");
    published.event_type = "google.cloud.pubsub.topic.v1.messagePublished".to_owned();
    published.source = "//pubsub.googleapis.com/projects/example/topics/orders".to_owned();
    published.data = envelope().to_string().into_bytes();
    for (number, delivery) in [published.binary(), published.structured()].into_iter().enumerate() {
        let job = ["/events/done", "/events/fail-once"][number];
        let (_, record) = service.deliver(job, &delivery).await;
        assert_eq!(record["invocation"]["attempt"], 5);
        let invocation = seen.one();
        assert_eq!(invocation.payload, MARKER);
        assert_eq!(invocation.attributes["eventType"], "OBJECT_FINALIZE");
    }
}
