//! The bounds of the history, and what followers hear.

use std::time::Duration;

use super::*;
use crate::{
    clock::Clock,
    senders::{Delivery, tasks},
};

fn made(body: Vec<u8>) -> Made {
    let delivery = tasks::Attempt { body, ..tasks::Attempt::first("q", "4711") }.delivery();
    made_of(delivery)
}

fn made_of(delivery: Delivery) -> Made {
    Made {
        at: Clock::system().now(),
        order: Arc::new(Order {
            delivery,
            url: "http://127.0.0.1:1/".to_owned(),
            resource: "projects/p/locations/l/queues/q".to_owned(),
            invocation: "4711".to_owned(),
            attempt: 1,
            auth: None,
            deadline: Duration::from_secs(1),
        }),
        token: None,
        spoilt_body: None,
        answer: None,
        acknowledged: false,
        timed_out: false,
        took: Duration::from_micros(1234),
        faults: Vec::new(),
        error: None,
        replay_of: None,
    }
}

fn ids(history: &History) -> (u64, u64, usize) {
    let slots = history.since(0);
    (slots.first().unwrap().id(), slots.last().unwrap().id(), slots.len())
}

#[test]
fn the_oldest_entries_are_forgotten() {
    let history = History::default();
    for _ in 0..KEPT_ENTRIES + 5 {
        history.called(Timestamp::now(), "GET", "/serviceusage/v1/x", 200);
    }
    assert_eq!(ids(&history), (6, 10_005, 10_000));
    assert_eq!(history.entry(EntryId(5)), None);
    assert_eq!(history.entry(EntryId(10_005)).unwrap().id(), 10_005);
    assert_eq!(history.order(EntryId(5)).unwrap_err().http_status(), 404);
    let fault = history.order(EntryId(6)).unwrap_err();
    assert_eq!(fault.http_status(), 400);
    assert!(fault.message.contains("only attempts can be replayed"), "{}", fault.message);
}

#[test]
fn large_bodies_are_forgotten_sooner() {
    let history = History::default();
    for _ in 0..10 {
        history.made(made(vec![b'x'; 10 << 20]));
    }
    assert_eq!(ids(&history), (5, 10, 6));
    history.made(made(vec![b'x'; 100 << 20]));
    assert_eq!(ids(&history), (11, 11, 1), "the last one stays whatever its size");
    history.made(made(Vec::new()));
    assert_eq!(ids(&history), (12, 12, 1));
    assert!(history.kept().bytes < 1000, "what is forgotten is not counted");
}

#[test]
fn a_body_is_shown_by_its_start_and_kept_whole() {
    let history = History::default();
    let id = history.made(made(vec![b'x'; SHOWN_BYTES + 1]));
    let Some(Entry::Attempt(attempt)) = history.entry(id) else { panic!("it is kept") };
    assert_eq!(attempt.request.body.len(), SHOWN_BYTES);
    assert_eq!(attempt.request.body_bytes, SHOWN_BYTES + 1);
    assert!((attempt.latency_ms - 1.234).abs() < 1e-9);
    assert_eq!(history.order(id).unwrap().delivery.body.len(), SHOWN_BYTES + 1);
}

#[test]
fn an_attribute_that_is_called_as_a_token_is_shows_none() {
    let delivery =
        tasks::Attempt::first("q", "1").delivery().bearer("eyJhbGciOiJub25lIn0.e30.c2ln");
    let delivery = delivery.header("X-Serverless-Authorization", "bearer secret");
    let history = History::default();
    let id = history.made(Made { token: Some(redacted("ya29.secret")), ..made_of(delivery) });
    let Some(Entry::Attempt(attempt)) = history.entry(id) else { panic!("it is kept") };
    let shown = attempt.request.headers.iter().filter(|(name, _)| name.ends_with("uthorization"));
    let shown: Vec<_> = shown.map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(
        shown,
        [("X-Serverless-Authorization", "bearer …"), ("Authorization", "Bearer ya29.…")]
    );
}

#[test]
fn followers_hear_of_entries_and_of_retries_without_a_gap() {
    let history = History::default();
    history.made(made(Vec::new()));
    let (backlog, mut changes) = history.follow(Some(0));
    assert_eq!(backlog.len(), 1);
    let id = history.made(made(Vec::new()));
    let at = Some("2026-10-05T12:00:00Z".parse().unwrap());
    history.will_retry(id, at);
    history.will_retry(id, at);
    history.will_retry(EntryId(99), at);
    history.will_retry(id, None);
    assert!(matches!(changes.try_recv(), Ok(Change::New(slot)) if slot.id() == 2));
    for next_retry in [at, None] {
        let expected = NextRetry { id: 2, next_retry };
        assert!(matches!(changes.try_recv(), Ok(Change::NextRetry(retry)) if retry == expected));
    }
    assert!(changes.try_recv().is_err());
    history.will_retry(id, at);
    let Some(Entry::Attempt(attempt)) = history.entry(id) else { panic!("it is kept") };
    assert_eq!(attempt.next_retry, at);
}
