//! Attempts over the wire, and what stands in the history then.

mod faults;

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{End, Order, recorder::Recorder};
use crate::{
    emulator::{Emulator, Options},
    faults::Fault,
    history::{Attempt, Entry},
    senders::{pubsub::Push, tasks},
    tokens::Auth,
};

const EMAIL: &str = "caller@demo-project.iam.gserviceaccount.com";
const AUDIENCE: &str = "https://receiver.example";

/// An emulator with one account, and what it delivers to.
struct Lab {
    emulator: Emulator,
    recorder: Recorder,
}

impl Lab {
    async fn start() -> Lab {
        let emulator = Emulator::start(Options::default()).await.unwrap();
        emulator.create_account("caller").unwrap();
        Lab { emulator, recorder: Recorder::start().await }
    }

    fn task(&self, name: &str) -> Order {
        let body = br#"{"order": "A-1001"}"#.to_vec();
        Order {
            delivery: tasks::Attempt { body, ..tasks::Attempt::first("receipts", name) }.delivery(),
            url: self.recorder.url.clone(),
            resource: "projects/demo-project/locations/l/queues/receipts".to_owned(),
            invocation: name.to_owned(),
            attempt: 1,
            auth: Some(Auth::Oidc { email: EMAIL.to_owned(), audience: AUDIENCE.to_owned() }),
            deadline: Duration::from_secs(10),
        }
    }

    fn push(&self) -> Order {
        let subscription = "projects/demo-project/subscriptions/s";
        Order {
            delivery: Push::new(subscription, "1", "Hello").wrapped(),
            resource: subscription.to_owned(),
            ..self.task("1")
        }
    }

    async fn attempt(&self, order: Order) -> End {
        self.emulator.google().attempt(order).await
    }

    /// The same with a fault, once.
    async fn attempt_with(&self, fault: Fault, order: Order) -> End {
        self.emulator.set_fault(fault, Some(1), None).unwrap();
        let end = self.attempt(order).await;
        assert_eq!(self.emulator.google().faults.list(), [], "{fault:?} is used up");
        end
    }

    fn entry(&self, end: &End) -> Attempt {
        match self.emulator.google().history.entry(end.entry) {
            Some(Entry::Attempt(attempt)) => *attempt,
            other => panic!("{other:?}"),
        }
    }
}

fn decoded(segment: &str) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
}

#[tokio::test]
async fn an_attempt_is_the_delivery_with_a_token_that_is_used_again_and_never_kept() {
    let mut lab = Lab::start().await;
    lab.recorder.answer(
        "HTTP/1.1 200 OK\r\nX-Secret: ECHO\r\nLocation: ECHO\r\nContent-Length: 9999\r\n\r\nECHO",
    );
    let end = lab.attempt(lab.task("4711")).await;
    assert_eq!(end.status, None, "the body is cut short");
    lab.recorder.answer("HTTP/1.1 200 OK\r\nX-Secret: ECHO\r\nLocation: ECHO\r\n\r\nECHO");
    let end = lab.attempt(lab.task("4711")).await;
    assert_eq!((end.status, end.acknowledged, end.timed_out), (Some(200), true, false));
    let (first, second) = (lab.recorder.next().await, lab.recorder.next().await);
    assert!(second.head.starts_with("POST /job?a=b HTTP/1.1\r\n"), "{}", second.head);
    assert_eq!(second.body, br#"{"order": "A-1001"}"#);
    let token = second.token().unwrap();
    assert_eq!(first.token().unwrap(), token, "reused for its hour");
    assert_eq!(decoded(&token[1])["aud"], AUDIENCE);
    let entry = lab.entry(&end);
    assert_eq!(entry.request.headers.last().unwrap().1, "Bearer eyJhbGciOi…");
    assert!(entry.answer.unwrap().body.contains("authorization: Bearer eyJhbGciOi…"));
    let all = serde_json::to_string(&lab.emulator.history()).unwrap();
    for segment in token {
        assert!(!all.contains(&segment), "{all}");
    }
    assert!(!format!("{:?}", lab.emulator.google().history).contains("eyJhbGciOiJ"));
}

#[tokio::test]
async fn who_gets_no_token_sends_nothing_and_the_history_says_why() {
    let mut lab = Lab::start().await;
    let stranger = Auth::OAuth { email: "stranger@x".to_owned() };
    let end = lab.attempt(Order { auth: Some(stranger), ..lab.task("1") }).await;
    assert_eq!((end.status, end.acknowledged, end.took), (None, false, Duration::ZERO));
    let error = lab.entry(&end).error.unwrap();
    assert_eq!(error, "not sent: the service account stranger@x does not exist; create it");
    lab.recorder.none();

    lab.attempt(Order { auth: None, ..lab.task("1") }).await;
    assert_eq!(lab.recorder.next().await.token(), None, "and who is told of none needs none");

    let options = Options { legacy_agents: true, ..Options::default() };
    let legacy = Lab { emulator: Emulator::start(options).await.unwrap(), ..lab };
    legacy.emulator.create_account("caller").unwrap();
    let end = legacy.attempt(legacy.push()).await;
    let error = legacy.entry(&end).error.unwrap();
    assert!(error.contains("@gcp-sa-pubsub.iam.gserviceaccount.com"), "{error}");
    assert!(error.contains("grant it roles/iam.serviceAccountTokenCreator"), "{error}");
    // A fault is for what is delivered.
    legacy.emulator.set_fault(Fault::Expired, Some(1), None).unwrap();
    legacy.attempt(legacy.push()).await;
    assert_eq!(legacy.emulator.google().faults.list().len(), 1);
}

#[tokio::test]
async fn what_is_answered_and_how_it_fails_is_told_to_the_sender() {
    let lab = Lab::start().await;
    lab.recorder.answer("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno");
    let end = lab.attempt(lab.task("1")).await;
    assert_eq!((end.status, end.acknowledged), (Some(503), false));
    assert_eq!(end.retry_after, Some(Duration::from_secs(7)));
    let answer = lab.entry(&end).answer.unwrap();
    assert_eq!((answer.status, &*answer.body), (503, "no"));
    assert_eq!(answer.headers, [("retry-after".to_owned(), "7".to_owned())]);

    lab.recorder.shut();
    let end = lab.attempt(Order { deadline: Duration::from_millis(50), ..lab.task("1") }).await;
    assert_eq!((end.status, end.timed_out), (None, true));
    assert_eq!(lab.entry(&end).error.unwrap(), "no answer within 0.05 s");

    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    let end = lab.attempt(Order { url: url.clone(), ..lab.task("1") }).await;
    assert_eq!((end.status, end.timed_out), (None, false));
    assert!(lab.entry(&end).error.unwrap().contains(&url));
}

#[tokio::test]
async fn a_replay_is_the_same_delivery_with_the_token_of_now() {
    let mut lab = Lab::start().await;
    let end = lab.attempt_with(Fault::Expired, lab.task("4711")).await;
    let before = lab.recorder.next().await;
    let Entry::Attempt(entry) = lab.emulator.google().replay(end.entry).await.unwrap() else {
        panic!("it is an attempt")
    };
    let after = lab.recorder.next().await;
    assert_eq!(before.body, after.body);
    assert_ne!(before.token(), after.token());
    assert_eq!((entry.id, entry.replay_of, entry.acknowledged), (2, Some(1), true));
    assert_eq!(entry.faults, []);
    let fault = lab.emulator.google().replay(crate::history::EntryId(99)).await.unwrap_err();
    assert_eq!(fault.http_status(), 404);
}
