//! What each outcome is answered to each sender, and how its record weighs.

use emulator::{
    Delivery, Method,
    senders::{eventarc::CloudEvent, pubsub::Push, scheduler::Run, tasks::Attempt},
};
use receiver::{invocation::Invocation, job_table::Jobs};
use serde_json::{Value, json};

use crate::harness::{MARKER, Seen, Service, field, jobs};

const SENDERS: [&str; 4] = ["scheduler", "tasks", "pubsub", "events"];

/// A delivery that nothing else is wrong with.
fn delivery(sender: &str, body: &str) -> Delivery {
    match sender {
        "scheduler" => {
            Run { method: Method::Post, body: body.into(), ..Run::new("nightly") }.delivery()
        }
        "tasks" => Attempt { body: body.into(), ..Attempt::first("receipts", "1") }.delivery(),
        "pubsub" => Push::new("projects/example/subscriptions/s", "1", body).wrapped(),
        _ => {
            let mut event = CloudEvent::object_finalized("1", "uploads", "a.pdf", &json!({}));
            event.data = body.into();
            event.binary()
        }
    }
}

/// `{sender, status}` of one outcome, all else as expected.
async fn check(
    changes: &[(&str, &str)],
    job: &str,
    outcome: &str,
    severity: &str,
    statuses: [u16; 4],
) {
    let mut service =
        Service::with(jobs(&Seen::default()), &[&[("DEDUP", "off")], changes].concat()).await;
    for (sender, status) in SENDERS.into_iter().zip(statuses) {
        let (answer, record) =
            service.deliver(&format!("/{sender}/{job}"), &delivery(sender, MARKER)).await;
        assert_eq!((answer.status, field(&record, "outcome")), (status, outcome), "{sender}");
        assert_eq!(record["severity"], severity);
        assert_eq!(
            record["logging.googleapis.com/labels"],
            json!({"sender": sender, "job": job, "outcome": outcome})
        );
        let message = record["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{sender}/{job}")), "{message}");
        assert!(message.contains(&format!(": {outcome}, {status} in ")), "{message}");
        // As it ended, so the connection goes on.
        assert_eq!(answer.header("connection"), None);
        let retry_after = match (outcome, sender) {
            ("slow_down", "scheduler" | "tasks") => Some("2"),
            _ => None,
        };
        assert_eq!(answer.header("retry-after"), retry_after);
    }
}

#[tokio::test]
async fn a_job_that_is_done_is_204() {
    check(&[], "done", "done", "INFO", [204; 4]).await;
}

#[tokio::test]
async fn a_job_that_wants_a_retry_is_500() {
    check(&[], "retry", "retry", "WARNING", [500; 4]).await;
}

#[tokio::test]
async fn a_job_that_wants_its_sender_to_slow_down_is_503() {
    check(&[], "slow-down", "slow_down", "WARNING", [503; 4]).await;
}

#[tokio::test]
async fn a_job_that_gave_up_is_accepted_and_recorded_as_an_error() {
    check(&[], "give-up", "gave_up", "ERROR", [200; 4]).await;
}

#[tokio::test]
async fn a_job_that_gave_up_is_refused_where_the_setting_leaves_it_to_the_dead_letter_policy() {
    check(&[("PUBSUB_GIVE_UP", "nack")], "give-up", "gave_up", "ERROR", [200, 200, 422, 422]).await;
}

#[tokio::test]
async fn a_job_that_panicked_is_500_and_leaves_the_server_and_its_connection_alive() {
    check(&[], "panic", "panicked", "ERROR", [500; 4]).await;
}

#[tokio::test]
async fn a_job_beyond_its_deadline_is_500() {
    let deadlines = [
        ("SCHEDULER_DEADLINE", "1s"),
        ("TASKS_DEADLINE", "1s"),
        ("PUBSUB_DEADLINE", "1s"),
        ("EVENTS_DEADLINE", "1s"),
    ];
    check(&deadlines, "hang", "timed_out", "ERROR", [500; 4]).await;
}

#[tokio::test]
async fn a_payload_of_another_type_is_acknowledged_where_it_would_come_back_for_ever() {
    check(&[], "number", "unreadable", "ERROR", [422, 422, 200, 200]).await;
}

#[tokio::test]
async fn a_payload_of_another_type_is_refused_where_a_dead_letter_policy_is_proved() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    let mut push = Push::new("projects/example/subscriptions/s", "1", MARKER);
    push.delivery_attempt = Some(1);
    let (answer, record) = service.deliver("/pubsub/number", &push.wrapped()).await;
    assert_eq!((answer.status, field(&record, "outcome")), (422, "unreadable"));
    assert_eq!(field(&record, "reason"), "the payload is not JSON (line 1, column 1)");
    let published = CloudEvent::message_published("projects/example/topics/t", &push);
    assert_eq!(service.deliver("/events/number", &published.binary()).await.0.status, 422);
}

#[tokio::test]
async fn envelopes_that_are_none_are_acknowledged_with_an_error_that_names_the_fault() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    let wrapped = || Push::new("projects/example/subscriptions/s", "1", MARKER).wrapped();
    let deep = format!(
        "{{\"message\":{{\"data\":{}1{}}},\"subscription\":\"s\"}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for (body, fault) in [
        (
            &b"{\"message\":{\"data\":\"%%%\"},\"subscription\":\"s\"}"[..],
            "message.data is not standard base64",
        ),
        (b"{\"message\":{\"data\":\"UEFZ\"},\"message\":{\"data\":\"UEFZ\"},\"subscription\":\"s\"}", "another shape"),
        (b"{\"message\":{\"data\":\"UEFZ\",\"data\":\"UEFZ\"},\"subscription\":\"s\"}", "another shape"),
        (b"{\"message\":{\"data\":7},\"subscription\":\"s\"}", "another shape"),
        (b"{\"message\":{\"data\":\"UEFZ\"},\"subscription\":\"s\"", "ends too early"),
        (b"{\"message\":{\"data\":\"UEFZ\"},\"subscription\":\"\xff\"}", "is not JSON"),
        (deep.as_bytes(), "another shape"),
    ] {
        let (answer, record) = service.deliver("/pubsub/done", &wrapped().body(body)).await;
        assert_eq!((answer.status, field(&record, "outcome")), (200, "unreadable"), "{record}");
        assert!(field(&record, "reason").contains(fault), "{record}");
    }
}

#[tokio::test]
async fn events_that_are_none_are_acknowledged_with_an_error_that_names_the_fault() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    let event = CloudEvent::object_finalized("1", "uploads", "a.pdf", &json!({"name": MARKER}));
    let binary = event.binary();
    let structured = |body: &str| event.structured().body(body);
    let batch = event.structured().header("Content-Type", "application/cloudevents-batch+json");
    for (delivery, fault) in [
        (binary.clone().without("ce-id"), "attribute id is missing"),
        (binary.clone().without("ce-source"), "attribute source is missing"),
        (binary.clone().without("ce-type"), "attribute type is missing"),
        (binary.clone().without("ce-specversion"), "attribute specversion is missing"),
        (binary.clone().header("ce-specversion", "0.3"), "specversion is not 1.0"),
        (structured("{"), "ends too early"),
        (structured("[]"), "another shape"),
        (structured("{\"id\":\"1\",\"id\":\"2\"}"), "another shape"),
        (
            structured("{\"specversion\":\"1.0\",\"data_base64\":\"%\"}"),
            "data_base64 is not standard base64",
        ),
        (batch, "Eventarc sends no batches"),
    ] {
        let (answer, record) = service.deliver("/events/done", &delivery).await;
        assert_eq!((answer.status, field(&record, "outcome")), (200, "unreadable"), "{record}");
        assert!(field(&record, "reason").contains(fault), "{fault}: {record}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_unreadable_and_not_a_panic() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    let delivery = Attempt { body: vec![0xff, 0xfe], ..Attempt::first("receipts", "1") }.delivery();
    let (answer, record) = service.deliver("/tasks/done", &delivery).await;
    assert_eq!((answer.status, field(&record, "outcome")), (422, "unreadable"));
    assert!(field(&record, "reason").contains("not UTF-8"), "{record}");
}

#[tokio::test]
async fn a_payload_whose_type_panics_while_it_is_read_is_a_panic_of_the_job() {
    #[derive(Debug)]
    struct Fragile;
    impl<'de> serde::Deserialize<'de> for Fragile {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("read on purpose")
        }
    }
    let mut table = Jobs::default();
    table.tasks("fragile", async |_: Invocation<Fragile>| Ok(()));
    let mut service = Service::start(table).await;
    let (answer, record) = service.deliver("/tasks/fragile", &delivery("tasks", MARKER)).await;
    assert_eq!((answer.status, field(&record, "outcome")), (500, "panicked"));
    assert_eq!(field(&record, "reason"), "read on purpose");
    assert_eq!(answer.header("connection"), None);
}

#[tokio::test]
async fn an_unknown_job_is_404_and_its_name_never_becomes_a_label() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    for path in [
        "/tasks/nothing",
        "/tasks//done",
        "/tasks/done/",
        "/tasks/done/more",
        "/tasks/",
        "/tasks",
        "/tasks/%00",
        "/tasks/DONE",
    ] {
        let (answer, record) = service.deliver(path, &delivery("tasks", MARKER)).await;
        assert_eq!((answer.status, field(&record, "outcome")), (404, "no_such_job"), "{path}");
        assert_eq!(record["logging.googleapis.com/labels"]["job"], Value::Null);
    }
}

#[tokio::test]
async fn a_method_that_the_sender_does_not_use_is_405_and_says_which_are() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    for (sender, method, allow) in [
        ("scheduler", Method::Delete, "GET, POST, PUT"),
        ("tasks", Method::Patch, "GET, POST, PUT"),
        ("pubsub", Method::Get, "POST"),
        ("events", Method::Put, "POST"),
    ] {
        let mut delivery = delivery(sender, "");
        delivery.method = method;
        let (answer, record) = service.deliver(&format!("/{sender}/done"), &delivery).await;
        assert_eq!((answer.status, field(&record, "outcome")), (405, "no_such_job"), "{sender}");
        assert_eq!(answer.header("allow"), Some(allow));
    }
}

#[tokio::test]
async fn faults_of_code_and_data_go_to_error_reporting_with_service_and_version() {
    let revision =
        [("K_SERVICE", "orders"), ("K_REVISION", "orders-00007"), ("ALLOW_TEST_ISSUER", "1")];
    let mut service = Service::with(jobs(&Seen::default()), &revision).await;
    for job in ["give-up", "panic"] {
        let (_, record) =
            service.deliver(&format!("/tasks/{job}"), &delivery("tasks", MARKER)).await;
        assert_eq!(
            record["serviceContext"],
            json!({"service": "orders", "version": "orders-00007"})
        );
    }
    let (_, record) = service.deliver("/tasks/panic", &delivery("tasks", MARKER)).await;
    assert_eq!(field(&record, "reason"), "on purpose");
}

#[tokio::test]
async fn what_a_job_says_of_its_failure_is_in_the_record_and_not_in_the_answer() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    let (answer, record) = service.deliver("/tasks/retry", &delivery("tasks", MARKER)).await;
    assert_eq!(field(&record, "reason"), "smtp timeout");
    assert!(!answer.text().contains("smtp"), "{}", answer.text());
}
