//! The same invocation does not succeed twice while the store remembers.

use emulator::senders::{eventarc::CloudEvent, pubsub::Push, scheduler::Run, tasks::Attempt};
use receiver::{invocation::Invocation, job_table::Jobs};
use serde_json::json;

use crate::harness::{MARKER, Seen, Service, TASKS, field, jobs};

fn task(name: &str) -> emulator::Delivery {
    Attempt { body: MARKER.into(), ..Attempt::first("receipts", name) }.delivery()
}

#[tokio::test]
async fn five_at_once_and_five_after_succeed_once() {
    let seen = Seen::default();
    let mut service = Service::start(jobs(&seen)).await;
    let token = service.token(TASKS);
    let five: Vec<_> = (0..5)
        .map(|_| tokio::spawn(service.post("/tasks/gate", task("1").bearer(&token))))
        .collect();
    seen.begun(1).await;
    seen.open_gate();
    let mut statuses = Vec::new();
    for delivery in five {
        statuses.push(delivery.await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 204]);
    service.records(5).await;
    for _ in 0..5 {
        let (answer, record) = service.deliver("/tasks/gate", &task("1")).await;
        assert_eq!((answer.status, field(&record, "outcome")), (200, "duplicate"));
    }
    assert_eq!(seen.all().len(), 1);
}

#[tokio::test]
async fn a_repeat_is_told_by_what_names_it_at_every_sender() {
    let seen = Seen::default();
    let mut service = Service::start(jobs(&seen)).await;
    let run =
        |time: &str| Run { schedule_time: Some(time.to_owned()), ..Run::new("nightly") }.delivery();
    let push = |id: &str| Push::new("projects/example/subscriptions/s", id, MARKER);
    let event =
        |id: &str| CloudEvent::object_finalized(id, "uploads", "a.pdf", &json!({})).binary();
    for (path, first, other) in [
        ("/scheduler/done", run("2026-10-05T01:41:00Z"), run("2026-10-05T01:42:00Z")),
        ("/tasks/done", task("1"), task("2")),
        ("/pubsub/done", push("1").wrapped(), push("2").wrapped()),
        ("/pubsub/done", push("3").unwrapped_with_metadata(), push("4").unwrapped_with_metadata()),
        ("/events/done", event("1"), event("2")),
    ] {
        for (delivery, outcome) in
            [(&first, "done"), (&first, "duplicate"), (&other, "done"), (&first, "duplicate")]
        {
            let (_, record) = service.deliver(path, delivery).await;
            assert_eq!(field(&record, "outcome"), outcome, "{path}");
        }
    }
    assert_eq!(seen.all().len(), 10);
}

#[tokio::test]
async fn another_job_another_queue_or_another_subscription_is_another_invocation() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    let of_queue = |queue: &str| Attempt::first(queue, "1").delivery();
    let of = |subscription: &str| Push::new(subscription, "1", MARKER).wrapped();
    for (path, delivery) in [
        ("/tasks/done", of_queue("a")),
        ("/tasks/fail-once", of_queue("a")),
        ("/tasks/done", of_queue("b")),
        ("/pubsub/done", of("projects/example/subscriptions/a")),
        ("/pubsub/done", of("projects/example/subscriptions/b")),
    ] {
        let (_, record) = service.deliver(path, &delivery).await;
        assert_ne!(field(&record, "outcome"), "duplicate", "{path}");
    }
}

#[tokio::test]
async fn an_attempt_that_failed_in_any_way_is_run_again() {
    let seen = Seen::default();
    let mut service = Service::with(jobs(&seen), &[("TASKS_DEADLINE", "1s")]).await;
    for (job, outcome) in [
        ("retry", "retry"),
        ("slow-down", "slow_down"),
        ("panic", "panicked"),
        ("hang", "timed_out"),
    ] {
        for _ in 0..2 {
            let (_, record) = service.deliver(&format!("/tasks/{job}"), &task(job)).await;
            assert_eq!(field(&record, "outcome"), outcome);
        }
    }
    assert_eq!(seen.all().len(), 8);
    let (_, record) = service.deliver("/tasks/fail-once", &task("f")).await;
    assert_eq!(field(&record, "outcome"), "retry");
    for outcome in ["done", "duplicate"] {
        let (_, record) = service.deliver("/tasks/fail-once", &task("f")).await;
        assert_eq!(field(&record, "outcome"), outcome);
    }
}

#[tokio::test]
async fn a_job_that_gave_up_is_not_run_again_unless_the_dead_letter_policy_is_to_have_it() {
    let push = Push::new("projects/example/subscriptions/s", "1", MARKER).wrapped();
    let mut acking = Service::start(jobs(&Seen::default())).await;
    let mut nacking = Service::with(jobs(&Seen::default()), &[("PUBSUB_GIVE_UP", "nack")]).await;
    for (service, second) in [(&mut acking, "duplicate"), (&mut nacking, "gave_up")] {
        for outcome in ["gave_up", second] {
            let (_, record) = service.deliver("/pubsub/give-up", &push).await;
            assert_eq!(field(&record, "outcome"), outcome);
        }
    }
}

#[tokio::test]
async fn a_repeat_that_waited_for_the_holder_as_long_as_it_could_is_409() {
    // A holder that outlives the repeat's deadline, which began later, is one that cannot be timed out.
    let (open, gate) = std::sync::mpsc::channel();
    let gate = std::sync::Mutex::new(gate);
    let begun = std::sync::Arc::new(tokio::sync::Notify::new());
    let mut table = Jobs::default();
    table.tasks("block", {
        let (begun, gate) = (begun.clone(), std::sync::Arc::new(gate));
        move |_: Invocation<()>| {
            let (begun, gate) = (begun.clone(), gate.clone());
            async move {
                begun.notify_one();
                gate.lock().unwrap().recv().unwrap();
                Ok(())
            }
        }
    });
    // Two workers, and connections are dealt in turn: the repeat is not on the blocked thread.
    let mut service = Service::with(table, &[("TASKS_DEADLINE", "1s")]).await;
    let token = service.token(TASKS);
    let holding = tokio::spawn(service.post("/tasks/block", task("1").bearer(&token)));
    begun.notified().await;
    let (answer, record) = service.deliver("/tasks/block", &task("1")).await;
    assert_eq!((answer.status, field(&record, "outcome")), (409, "in_progress"));
    assert!(record["invocation"]["duration_ms"].as_f64().unwrap() >= 1000.0, "{record}");
    open.send(()).unwrap();
    assert_eq!(holding.await.unwrap().status, 204);
    service.record().await;
    assert_eq!(service.deliver("/tasks/block", &task("1")).await.0.status, 200);
}

#[tokio::test]
async fn with_dedup_off_every_delivery_runs() {
    let seen = Seen::default();
    let mut service = Service::with(jobs(&seen), &[("DEDUP", "off")]).await;
    for _ in 0..2 {
        let (_, record) = service.deliver("/tasks/done", &task("1")).await;
        assert_eq!(field(&record, "outcome"), "done");
    }
    assert_eq!(seen.all().len(), 2);
}
