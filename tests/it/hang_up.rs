//! Senders that hang up: their jobs go on, and each attempt still has its one record.

use std::sync::Arc;

use emulator::{Issuer, KeyAnswer, senders::tasks::Attempt};
use serde_json::Value;

use crate::{
    harness::{MARKER, Seen, Service, TASKS, field, jobs},
    wire::Wire,
};

#[tokio::test]
async fn a_sender_that_hangs_up_does_not_stop_its_job_and_the_repeat_is_a_duplicate() {
    let seen = Seen::default();
    let mut service = Service::start(jobs(&seen)).await;
    let delivery = Attempt { body: MARKER.into(), ..Attempt::first("receipts", "1") }.delivery();
    let leaving =
        tokio::spawn(service.post("/tasks/gate", delivery.clone().bearer(&service.token(TASKS))));
    seen.begun(1).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    // The hang-up may be noticed before or after the job ends: the record is the same but for its mark.
    seen.open_gate();
    let record = service.record().await;
    assert_eq!(field(&record, "outcome"), "done");
    let (answer, record) = service.deliver("/tasks/gate", &delivery).await;
    assert_eq!((answer.status, field(&record, "outcome")), (200, "duplicate"));
    assert_eq!(seen.all().len(), 1);
}

#[tokio::test]
async fn a_job_whose_sender_has_hung_up_is_still_let_end_by_the_drain() {
    let seen = Seen::default();
    let mut service = Service::start(jobs(&seen)).await;
    let delivery = Attempt { body: MARKER.into(), ..Attempt::first("receipts", "1") }.delivery();
    let mut leaving = Wire::open(&service).await;
    leaving.head("POST /tasks/gate", "Content-Length: 0").await;
    seen.begun(1).await;
    drop(leaving);
    // Answered on another connection: by then the first one's end has been seen on some worker or not.
    assert_eq!(service.deliver("/tasks/done", &delivery).await.0.status, 204);
    service.begin_stop();
    seen.open_gate();
    let records = service.stopped().await;
    assert_eq!(records.iter().map(|record| field(record, "outcome")).collect::<Vec<_>>(), ["done"]);
}

#[tokio::test]
async fn who_hangs_up_before_the_guard_has_decided_leaves_a_valid_record_without_a_caller() {
    let issuer = Issuer::start(0).await.unwrap();
    issuer.answer_keys_with(KeyAnswer::Hold);
    let mut service = Service::of(Arc::new(issuer), jobs(&Seen::default()), &[]);
    let mut leaving = Wire::open(&service).await;
    leaving.head("POST /tasks/done", "Content-Length: 0").await;
    while service.issuer.key_fetches() == 0 {
        tokio::task::yield_now().await;
    }
    drop(leaving);
    let record = service.record().await;
    // Whether the hang-up or the end of the wait is seen first.
    assert!(["incomplete", "refused"].contains(&field(&record, "outcome")), "{record}");
    assert_eq!(record["invocation"]["caller"], Value::Null);
    service.no_record();
}

#[tokio::test]
async fn who_forges_a_token_and_hangs_up_is_on_record_as_refused() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    let mut leaving = Wire::open(&service).await;
    leaving.token = "ya29.x".to_owned();
    leaving.head("POST /tasks/done", "Content-Length: 9").await;
    drop(leaving);
    let record = service.record().await;
    assert_eq!((field(&record, "outcome"), field(&record, "reason")), ("refused", "access_token"));
    service.no_record();
}

#[tokio::test]
async fn a_hang_up_during_the_job_is_marked() {
    let seen = Seen::default();
    let mut service = Service::with(jobs(&seen), &[("TASKS_DEADLINE", "1s")]).await;
    let mut leaving = Wire::open(&service).await;
    leaving.head("POST /tasks/hang", "Content-Length: 0").await;
    seen.begun(1).await;
    drop(leaving);
    let record = service.record().await;
    assert_eq!(field(&record, "outcome"), "timed_out");
    assert_eq!(record["invocation"]["client_gone"], true);
    assert_eq!(record["invocation"]["status"], 500);
    service.no_record();
}
