//! What each fault does on the wire.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::Value;

use super::{AUDIENCE, Lab, decoded};
use crate::{
    attempts::Order,
    faults::Fault,
    senders::{Method, Sender, tasks},
};

#[tokio::test]
async fn token_faults_spoil_one_token_and_the_next_is_whole_again() {
    let mut lab = Lab::start().await;
    lab.attempt(lab.task("1")).await;
    let whole = lab.recorder.next().await.token().unwrap();
    let now = decoded(&whole[1])["iat"].as_i64().unwrap();
    for fault in [
        Fault::Expired,
        Fault::SkewedClock,
        Fault::WrongAudience,
        Fault::WrongCaller,
        Fault::Unsigned,
        Fault::StrippedSignature,
        Fault::UnknownKid,
    ] {
        let end = lab.attempt_with(fault, lab.task("1")).await;
        assert_eq!(lab.entry(&end).faults, [fault]);
        let token = lab.recorder.next().await.token().unwrap();
        let (header, claims) = (decoded(&token[0]), decoded(&token[1]));
        let is_spoilt = match fault {
            Fault::Expired => claims["exp"].as_i64().unwrap() < now - 3000,
            Fault::SkewedClock => claims["iat"].as_i64().unwrap() > now + 200,
            Fault::WrongAudience => claims["aud"] != AUDIENCE,
            Fault::WrongCaller => {
                claims["email"] == "wrong-caller@demo-project.iam.gserviceaccount.com"
                    && claims["sub"] != decoded(&whole[1])["sub"]
            }
            Fault::Unsigned => header["alg"] == "none" && token[2].is_empty(),
            Fault::StrippedSignature => token[2] == "SIGNATURE_REMOVED_BY_GOOGLE",
            _ => header["kid"] == "0".repeat(40),
        };
        assert!(is_spoilt, "{fault:?} {header} {claims}");
        lab.attempt(lab.task("1")).await;
        assert_eq!(lab.recorder.next().await.token().unwrap(), whole, "after {fault:?}");
    }
    // A delivery without a token leaves it to the next.
    lab.emulator.set_fault(Fault::Expired, Some(1), None).unwrap();
    lab.attempt(Order { auth: None, ..lab.task("1") }).await;
    assert_eq!(lab.emulator.google().faults.list().len(), 1);
}

#[tokio::test]
async fn faults_are_counted_by_sender_and_can_be_cleared() {
    let lab = Lab::start().await;
    lab.emulator.set_fault(Fault::WrongAudience, Some(2), Some(Sender::PubSub)).unwrap();
    lab.emulator.set_fault(Fault::Unsigned, None, None).unwrap();
    let faults = async |order| {
        let end = lab.attempt(order).await;
        lab.entry(&end).faults
    };
    assert_eq!(faults(lab.task("1")).await, [Fault::Unsigned]);
    for _ in 0..2 {
        assert_eq!(faults(lab.push()).await, [Fault::WrongAudience, Fault::Unsigned]);
    }
    assert_eq!(faults(lab.push()).await, [Fault::Unsigned]);
    lab.emulator.clear_faults();
    assert_eq!(faults(lab.push()).await, []);
    let fault = lab.emulator.set_fault(Fault::Expired, Some(0), None).unwrap_err().to_string();
    assert!(fault.contains("give the number of deliveries"), "{fault}");
}

#[tokio::test]
async fn a_duplicate_comes_after_the_answer_and_the_acknowledged_one_counts() {
    let mut lab = Lab::start().await;
    lab.recorder.answer("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    lab.recorder.shut();
    lab.emulator.set_fault(Fault::Duplicate, Some(1), None).unwrap();
    let (google, order) = (lab.emulator.google().clone(), lab.task("4711"));
    let attempt = tokio::spawn(async move { google.attempt(order).await });
    lab.recorder.arrived(1).await;
    lab.recorder.open(1);
    let first = lab.recorder.next().await;
    lab.recorder.arrived(2).await;
    lab.recorder.answer("HTTP/1.1 204 Done\r\n\r\n");
    lab.recorder.open(1);
    let second = lab.recorder.next().await;
    assert_eq!((&first.head, &first.body), (&second.head, &second.body));
    let end = attempt.await.unwrap();
    assert!(end.acknowledged);
    let statuses: Vec<_> = lab.emulator.attempts_of(Sender::Tasks, 2).await;
    let statuses = statuses.into_iter().map(|one| (one.id, one.answer.unwrap().status));
    assert_eq!(statuses.collect::<Vec<_>>(), [(1, 500), (2, 204)]);
    assert_eq!(end.entry.0, 2);
}

#[tokio::test]
async fn concurrent_duplicates_are_there_at_once() {
    let mut lab = Lab::start().await;
    lab.recorder.shut();
    lab.emulator.set_fault(Fault::ConcurrentDuplicate, Some(1), None).unwrap();
    let (google, order) = (lab.emulator.google().clone(), lab.task("4711"));
    let attempt = tokio::spawn(async move { google.attempt(order).await });
    lab.recorder.arrived(2).await;
    lab.recorder.open(2);
    let (first, second) = (lab.recorder.next().await, lab.recorder.next().await);
    assert_eq!((&first.head, &first.body), (&second.head, &second.body));
    assert!(attempt.await.unwrap().acknowledged);
    assert_eq!(lab.emulator.history().len(), 2);
}

#[tokio::test]
async fn a_key_rotation_leaves_no_key_that_anyone_has_fetched() {
    let mut lab = Lab::start().await;
    let keys = lab.emulator.google().authority.keys().await.unwrap().clone();
    lab.attempt(lab.task("1")).await;
    let before = lab.recorder.next().await.token().unwrap();
    lab.attempt_with(Fault::KeyRotation, lab.task("1")).await;
    let after = lab.recorder.next().await.token().unwrap();
    assert_ne!(decoded(&before[0])["kid"], decoded(&after[0])["kid"]);
    assert!(!keys.publishes(decoded(&before[0])["kid"].as_str().unwrap()));
    assert_eq!(decoded(&after[0])["kid"], keys.current().id());
}

#[tokio::test]
async fn key_outages_last_as_long_as_their_deliveries() {
    let mut lab = Lab::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let fetch = async || {
        let response = client.get(lab.emulator.keys_url()).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    for (fault, status) in [(Fault::KeysDown, 503), (Fault::KeysCorrupt, 200)] {
        lab.emulator.set_fault(fault, Some(1), Some(Sender::Tasks)).unwrap();
        lab.attempt(lab.push()).await;
        let (answered, keys) = fetch().await;
        assert_eq!(answered, status);
        assert!(serde_json::from_str::<Value>(&keys).is_err(), "{keys}");
        lab.attempt(lab.task("1")).await;
        let (answered, keys) = fetch().await;
        assert_eq!(answered, 200);
        assert!(keys.contains("\"kid\""), "restored");
    }
    lab.emulator.set_fault(Fault::KeysSlow, None, None).unwrap();
    let slow = fetch();
    let cleared = async {
        // It waits for three seconds, unless the fault is cleared.
        while lab.emulator.google().authority.key_page.fetches.load(Ordering::SeqCst) < 5 {
            tokio::task::yield_now().await;
        }
        lab.emulator.clear_faults();
    };
    let ((answered, _), ()) = tokio::join!(slow, cleared);
    assert_eq!(answered, 200);
    lab.recorder.next().await;
}

#[tokio::test]
async fn bodies_are_cut_and_filled_up_and_the_order_stays_whole() {
    let mut lab = Lab::start().await;
    let end = lab.attempt_with(Fault::MalformedEnvelope, lab.push()).await;
    let cut = lab.recorder.next().await.body;
    assert!(serde_json::from_slice::<Value>(&cut).is_err());
    assert_eq!(lab.entry(&end).request.body_bytes, cut.len());
    lab.emulator.google().replay(end.entry).await.unwrap();
    let whole = lab.recorder.next().await.body;
    assert!(whole.starts_with(&cut) && serde_json::from_slice::<Value>(&whole).is_ok());

    for (order, limit) in [(lab.task("1"), 1 << 20), (lab.push(), 14 << 20)] {
        let end = lab.attempt_with(Fault::Oversize, order).await;
        let body = lab.recorder.next().await.body;
        assert_eq!(body.len(), limit + 1);
        assert!(body.starts_with(b"{") && body.ends_with(b"  "));
        let request = lab.entry(&end).request;
        assert_eq!((request.body_bytes, request.body.len()), (limit + 1, 4096));
    }
}

#[tokio::test]
async fn a_slow_body_comes_whole_over_a_second() {
    let mut lab = Lab::start().await;
    let end = lab.attempt_with(Fault::SlowBody, lab.task("1")).await;
    let received = lab.recorder.next().await;
    assert_eq!(received.body, br#"{"order": "A-1001"}"#);
    assert!(received.body_took > Duration::from_millis(700), "{:?}", received.body_took);
    assert!(received.head.contains("content-length: 19\r\n"), "{}", received.head);
    assert!(end.acknowledged);
}

#[tokio::test]
async fn who_hangs_up_has_sent_all_and_sees_no_answer() {
    let mut lab = Lab::start().await;
    lab.recorder.shut();
    let end = lab.attempt_with(Fault::HangUp, lab.task("1")).await;
    let received = lab.recorder.next().await;
    assert!(received.hung_up);
    assert_eq!(received.body, br#"{"order": "A-1001"}"#);
    assert!(received.head.starts_with("POST /job?a=b HTTP/1.1\r\nHost: 127.0.0.1:"));
    assert_eq!(received.token().unwrap().len(), 3);
    assert_eq!((end.status, end.acknowledged, end.timed_out), (None, false, false));
    assert!(lab.entry(&end).error.unwrap().starts_with("hung up"));
    let get = tasks::Attempt { method: Method::Get, ..tasks::Attempt::first("q", "1") };
    lab.attempt_with(Fault::HangUp, Order { delivery: get.delivery(), ..lab.task("1") }).await;
    assert!(lab.recorder.next().await.head.starts_with("GET /job"));
}

#[tokio::test]
async fn a_reordered_delivery_goes_after_the_next_of_its_sender() {
    let mut lab = Lab::start().await;
    lab.emulator.set_fault(Fault::Reorder, Some(1), None).unwrap();
    let (google, order) = (lab.emulator.google().clone(), lab.task("first"));
    let held = tokio::spawn(async move { google.attempt(order).await });
    while !lab.emulator.google().faults.list().is_empty() {
        tokio::task::yield_now().await;
    }
    lab.attempt(lab.push()).await;
    assert!(!lab.recorder.next().await.head.contains("first"));
    assert!(!held.is_finished(), "another sender's does not count");
    lab.attempt(lab.task("second")).await;
    assert!(lab.recorder.next().await.head.contains("x-cloudtasks-taskname: second\r\n"));
    assert!(held.await.unwrap().acknowledged);
    assert!(lab.recorder.next().await.head.contains("x-cloudtasks-taskname: first\r\n"));
}
