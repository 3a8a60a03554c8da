//! Bodies that are too large, cut short, slow or many, and heads that no sender makes: each is answered,
//! and each leaves its connection usable or closed.

use crate::{
    harness::{MARKER, Seen, Service, TASKS, field, jobs},
    wire::Wire,
};
use emulator::{
    Delivery,
    senders::{pubsub::Push, tasks::Attempt},
};
use receiver::{invocation::Invocation, job_table::Jobs};

fn task(body: impl Into<Vec<u8>>) -> Delivery {
    Attempt { body: body.into(), ..Attempt::first("receipts", "1") }.delivery()
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_by_its_declared_and_by_its_real_length() {
    let mut service = Service::with(jobs(&Seen::default()), &[("TASKS_BODY_LIMIT", "1MiB")]).await;
    let (answer, _) = service.deliver("/tasks/done", &task(vec![b'x'; 1 << 20])).await;
    assert_eq!(answer.status, 204);

    let mut declared = Wire::open(&service).await;
    declared.head("POST /tasks/done", "Content-Length: 20971520").await;
    assert_eq!(declared.status().await, 413);
    assert!(!declared.is_usable().await, "20 MiB are not read just to keep a connection");
    let record = service.record().await;
    assert_eq!(
        (field(&record, "outcome"), record["severity"].as_str()),
        ("too_large", Some("ERROR"))
    );
    assert!(field(&record, "reason").contains("1048576 bytes"), "{record}");

    let mut chunked = Wire::open(&service).await;
    chunked.head("POST /tasks/done", "Transfer-Encoding: chunked").await;
    let chunk = [b"40000\r\n".to_vec(), vec![b'x'; 0x40000], b"\r\n".to_vec()].concat();
    for _ in 0..5 {
        chunked.write(&chunk).await;
    }
    assert_eq!(chunked.status().await, 413);
    assert_eq!(field(&service.record().await, "outcome"), "too_large");
}

#[tokio::test]
async fn a_pubsub_message_of_the_largest_size_fits() {
    let mut table = Jobs::default();
    table.pubsub("size", async |message: Invocation<Vec<u8>>| {
        assert_eq!(message.payload.len(), 10_000_000);
        Ok(())
    });
    let mut service = Service::start(table).await;
    let largest =
        Push::new("projects/example/subscriptions/s", "1", vec![b'x'; 10_000_000]).wrapped();
    let (answer, record) = service.deliver("/pubsub/size", &largest).await;
    assert_eq!(answer.status, 204, "{record}");
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_incomplete_and_never_reaches_a_job() {
    let seen = Seen::default();
    let mut service = Service::start(jobs(&seen)).await;
    for (headers, half) in
        [("Content-Length: 100", MARKER), ("Transfer-Encoding: chunked", "20\r\nPAYLOAD-MARKER")]
    {
        let mut wire = Wire::open(&service).await;
        wire.head("POST /tasks/done", headers).await;
        wire.write(half.as_bytes()).await;
        drop(wire);
        let record = service.record().await;
        assert_eq!(field(&record, "outcome"), "incomplete", "{record}");
        assert_eq!(record["invocation"]["status"], 400);
    }
    let mut wire = Wire::open(&service).await;
    wire.head("POST /tasks/done", "Transfer-Encoding: chunked").await;
    wire.write(b"zz\r\nnonsense\r\n").await;
    // actix closes on broken chunks, at times before the answer is out.
    assert!(matches!(wire.status_or_end().await, None | Some(400)));
    assert_eq!(field(&service.record().await, "outcome"), "incomplete");
    assert_eq!(seen.all().len(), 0);
    assert_eq!(service.deliver("/tasks/done", &task("ok")).await.0.status, 204);
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_at_the_deadline_and_holds_up_nobody() {
    let deadline = [("TASKS_DEADLINE", "1s")];
    let mut service = Service::with(jobs(&Seen::default()), &deadline).await;
    let mut wire = Wire::open(&service).await;
    wire.head("POST /tasks/done", "Content-Length: 100").await;
    wire.write(b"x").await;
    assert_eq!(service.deliver("/tasks/done", &task("ok")).await.0.status, 204);
    assert_eq!(wire.status().await, 400);
    let record = service.record().await;
    assert_eq!(field(&record, "reason"), "the body came too slowly");
}

#[tokio::test]
async fn bodies_share_a_memory_and_what_does_not_fit_is_429() {
    let seen = Seen::default();
    let memory = [
        ("BODY_MEMORY", "1MiB"),
        ("TASKS_BODY_LIMIT", "1MiB"),
        ("PUBSUB_BODY_LIMIT", "1MiB"),
        ("EVENTS_BODY_LIMIT", "1MiB"),
        ("SCHEDULER_BODY_LIMIT", "1MiB"),
        ("DEDUP", "off"),
    ];
    let mut service = Service::with(jobs(&seen), &memory).await;
    let token = service.token(TASKS);
    let holding =
        tokio::spawn(service.post("/tasks/gate", task(vec![b'x'; 600 << 10]).bearer(&token)));
    seen.begun(1).await;
    let (answer, record) = service.deliver("/tasks/done", &task(vec![b'x'; 600 << 10])).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("5")));
    assert_eq!(field(&record, "reason"), "the memory for request bodies is used up");
    assert_eq!(service.deliver("/tasks/done", &task(vec![b'x'; 300 << 10])).await.0.status, 204);
    seen.open_gate();
    assert_eq!(holding.await.unwrap().status, 204);
    service.record().await;
    assert_eq!(service.deliver("/tasks/done", &task(vec![b'x'; 600 << 10])).await.0.status, 204);
}

#[tokio::test]
async fn attempts_beyond_the_permits_are_429_and_their_connections_go_on() {
    let seen = Seen::default();
    let mut service = Service::with(jobs(&seen), &[("MAX_IN_FLIGHT", "1"), ("DEDUP", "off")]).await;
    let holding =
        tokio::spawn(service.post("/tasks/gate", task("x").bearer(&service.token(TASKS))));
    seen.begun(1).await;
    let mut wire = Wire::open(&service).await;
    for _ in 0..2 {
        wire.head("POST /tasks/done", "Content-Length: 2").await;
        wire.write(b"ok").await;
        assert_eq!(wire.status().await, 429);
        let record = service.record().await;
        assert_eq!(field(&record, "outcome"), "overloaded");
    }
    seen.open_gate();
    assert_eq!(holding.await.unwrap().status, 204);
    service.record().await;
    assert!(wire.is_usable().await);
}

#[tokio::test]
async fn a_refusal_leaves_its_connection_usable_or_closes_it_and_the_rest_is_never_a_request() {
    // What follows the refused head looks like a request of its own.
    const SMUGGLED: &str =
        "POST /tasks/done HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    let mut service = Service::start(jobs(&Seen::default())).await;
    let small = format!("Content-Length: {}", SMUGGLED.len());
    let chunked = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    for (path, headers, body, usable) in [
        ("/tasks/done", &*small, SMUGGLED, Some(true)),
        ("/tasks/nothing", &small, SMUGGLED, Some(true)),
        ("/tasks/done", "Transfer-Encoding: chunked", &chunked, None),
        ("/tasks/nothing", "Transfer-Encoding: chunked", &chunked, None),
        ("/tasks/done", "Content-Length: 1000000", SMUGGLED, Some(false)),
    ] {
        let mut wire = Wire::open(&service).await;
        let good = std::mem::take(&mut wire.token);
        if path == "/tasks/nothing" {
            wire.token.clone_from(&good);
        }
        wire.head(&format!("POST {path}"), headers).await;
        wire.write(body.as_bytes()).await;
        let expected = if path == "/tasks/nothing" { 404 } else { 401 };
        assert_eq!(wire.status().await, expected, "{headers}");
        service.record().await;
        wire.token = good;
        let is_usable = wire.is_usable().await;
        if is_usable {
            assert_eq!(field(&service.record().await, "outcome"), "done");
        }
        assert_eq!(is_usable, usable.unwrap_or(is_usable), "{path} {headers}");
        service.no_record();
    }
}

#[tokio::test]
async fn a_body_that_was_read_keeps_its_connection_however_it_was_sent() {
    let mut service = Service::with(jobs(&Seen::default()), &[("DEDUP", "off")]).await;
    let mut wire = Wire::open(&service).await;
    for _ in 0..2 {
        wire.head("POST /tasks/done", "Transfer-Encoding: chunked").await;
        wire.write(b"2\r\nok\r\n0\r\n\r\n").await;
        assert_eq!(wire.status().await, 204);
        wire.head("POST /tasks/done", "Content-Length: 200000").await;
        wire.write(&[b'x'; 200_000]).await;
        assert_eq!(wire.status().await, 204);
    }
    assert!(wire.is_usable().await);
    service.records(5).await;
}

#[tokio::test]
async fn who_waits_for_100_continue_is_refused_without_sending_a_body() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    let mut wire = Wire::open(&service).await;
    let good = std::mem::replace(&mut wire.token, "forged".to_owned());
    wire.head("POST /tasks/done", "Content-Length: 2\r\nExpect: 100-continue").await;
    let status = wire.status().await;
    let status = if status == 100 { wire.status().await } else { status };
    assert_eq!(status, 401);
    assert_eq!(field(&service.record().await, "reason"), "malformed");
    wire.token = good;
    assert!(!wire.is_usable().await);
}

#[tokio::test]
async fn a_wrong_content_type_changes_nothing_for_a_sender_that_sets_none() {
    let mut service = Service::with(jobs(&Seen::default()), &[("DEDUP", "off")]).await;
    for content_type in
        ["application/octet-stream", "text/html", "application/x-www-form-urlencoded", "nonsense"]
    {
        let delivery = task("7").header("Content-Type", content_type);
        assert_eq!(
            service.deliver("/tasks/number", &delivery).await.0.status,
            204,
            "{content_type}"
        );
        let push = Push::new("projects/example/subscriptions/s", "1", "7").wrapped();
        let delivery = push.header("Content-Type", content_type);
        assert_eq!(
            service.deliver("/pubsub/number", &delivery).await.0.status,
            204,
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn heads_that_actix_itself_refuses_are_answered_4xx_without_a_record() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    for head in ["POST /tasks/done HTTP/1.1\r\nbroken header\r\n\r\n", "nonsense\r\n\r\n"] {
        let mut wire = Wire::open(&service).await;
        wire.write(head.as_bytes()).await;
        assert_eq!(wire.status().await, 400);
        assert!(!wire.is_usable().await);
    }
    service.no_record();
    assert_eq!(service.deliver("/tasks/done", &task("ok")).await.0.status, 204);
}
