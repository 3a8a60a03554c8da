//! The endpoints over HTTP, by their own client and by hand.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Event, Filter, RunningEmulator};
use crate::{
    attempts::{Order, recorder::Recorder},
    emulator::{Emulator, Options},
    faults::{Fault, SetFault},
    history::Entry,
    project::Project,
    senders::{Sender, tasks},
};

fn task(recorder: &Recorder, queue: &str) -> Order {
    Order {
        delivery: tasks::Attempt::first(queue, "4711").delivery(),
        url: recorder.url.clone(),
        resource: format!("projects/demo-project/locations/l/queues/{queue}"),
        invocation: "4711".to_owned(),
        attempt: 1,
        auth: None,
        deadline: Duration::from_secs(5),
    }
}

async fn start() -> (Emulator, RunningEmulator, Recorder) {
    let emulator = Emulator::start(Options::default()).await.unwrap();
    let running = RunningEmulator::at(&format!("{}/", emulator.url())).unwrap();
    (emulator, running, Recorder::start().await)
}

/// Status and body of a request by hand.
async fn ask(emulator: &Emulator, method: &str, path: &str, body: &str) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/emulator/{path}", emulator.url());
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let response = client.request(method, url).body(body.to_owned()).send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

#[tokio::test]
async fn the_history_is_listed_by_sender_resource_and_id() {
    let (emulator, running, recorder) = start().await;
    emulator.google().attempt(task(&recorder, "a")).await;
    emulator.google().history.called(Timestamp::now(), "POST", "/serviceusage/v1/x:enable", 200);
    emulator.google().attempt(task(&recorder, "b")).await;
    let ids = async |filter: Filter| {
        let entries = running.history(&filter).await.unwrap();
        entries.iter().map(Entry::id).collect::<Vec<_>>()
    };
    let all = Filter::default();
    assert_eq!(ids(all.clone()).await, [1, 2, 3]);
    assert_eq!(ids(Filter { since: Some(1), ..all.clone() }).await, [2, 3]);
    assert_eq!(ids(Filter { sender: Some(Sender::Tasks), ..all.clone() }).await, [1, 3]);
    assert_eq!(ids(Filter { sender: Some(Sender::PubSub), ..all.clone() }).await, [] as [u64; 0]);
    assert_eq!(ids(Filter { resource: Some("queues/b".to_owned()), ..all }).await, [3]);
    let (status, list) = ask(&emulator, "GET", "history", "").await;
    assert_eq!(
        (status, &list[0]["kind"], &list[1]["kind"]),
        (200, &json!("attempt"), &json!("call"))
    );
    assert_eq!(list[0]["request"]["headers"][0], json!(["User-Agent", "Google-Cloud-Tasks"]));
    assert_eq!(list[0]["answer"]["status"], 204);
    assert_eq!(emulator.calls()[0].url, "/serviceusage/v1/x:enable");
    let (status, refusal) = ask(&emulator, "GET", "history?sender=cron", "").await;
    assert_eq!((status, &refusal["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
}

#[tokio::test]
async fn a_follower_gets_what_was_what_comes_and_when_it_comes_again() {
    let (emulator, running, recorder) = start().await;
    let google = emulator.google();
    google.attempt(task(&recorder, "a")).await;
    let filter = Filter { since: Some(0), resource: Some("a".to_owned()), ..Filter::default() };
    let mut followed = running.follow(&filter).await.unwrap();
    let entry_of = |event: Option<Event>| match event {
        Some(Event::Entry(entry)) => entry.id(),
        other => panic!("{other:?}"),
    };
    assert_eq!(entry_of(followed.next().await.unwrap()), 1);
    let at = Some("2026-10-05T12:00:00Z".parse().unwrap());
    let other = google.attempt(task(&recorder, "b")).await;
    google.history.will_retry(other.entry, at);
    let end = google.attempt(task(&recorder, "a")).await;
    google.history.will_retry(end.entry, at);
    assert_eq!(entry_of(followed.next().await.unwrap()), 3);
    match followed.next().await.unwrap() {
        Some(Event::NextRetry(retry)) => assert_eq!((retry.id, retry.next_retry), (3, at)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn events_are_server_sent_events_that_go_on_after_the_last_id() {
    let (emulator, _, recorder) = start().await;
    for queue in ["a", "b"] {
        emulator.google().attempt(task(&recorder, queue)).await;
    }
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{}/emulator/history", emulator.url()));
    let request = request.header("accept", "text/event-stream").header("last-event-id", "1");
    let mut response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let event = String::from_utf8(response.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let (head, data) = event.split_once("data: ").unwrap();
    assert_eq!(head, "event: entry\nid: 2\n");
    assert!(data.ends_with("}\n\n") && data.trim_end().lines().count() == 1, "{data}");
}

#[tokio::test]
async fn a_follower_that_reads_too_slowly_misses_no_entry() {
    let (emulator, running, _) = start().await;
    let mut followed = running.follow(&Filter::default()).await.unwrap();
    // Faster than they are told, and more than the changes that wait for a follower.
    for _ in 0..3000 {
        emulator.google().history.called(Timestamp::now(), "GET", "/serviceusage/v1/x", 200);
    }
    for expected in 1..=3000 {
        match followed.next().await.unwrap() {
            Some(Event::Entry(entry)) => assert_eq!(entry.id(), expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_replay_answers_the_new_entry() {
    let (emulator, running, recorder) = start().await;
    emulator.google().attempt(task(&recorder, "a")).await;
    let Entry::Attempt(replayed) = running.replay(1).await.unwrap() else {
        panic!("it is an attempt")
    };
    assert_eq!((replayed.id, replayed.replay_of), (2, Some(1)));
    let fault = running.replay(9).await.unwrap_err().to_string();
    assert_eq!(fault, "the emulator refuses: History entry 9 was not found.");
    let (status, refusal) = ask(&emulator, "POST", "history/x/replay", "").await;
    assert_eq!(status, 400);
    assert_eq!(refusal["error"]["message"], "id: is no number; take one from /emulator/history");
}

#[tokio::test]
async fn faults_are_set_listed_and_cleared() {
    let (emulator, running, _) = start().await;
    let fault = SetFault { fault: Fault::HangUp, next: Some(3), sender: Some(Sender::Tasks) };
    assert_eq!(running.set_fault(fault).await.unwrap(), [fault]);
    let body = r#"{"fault": "keys-down"}"#;
    let (status, set) = ask(&emulator, "POST", "faults", body).await;
    assert_eq!(status, 200);
    assert_eq!(
        set,
        json!([
            {"fault": "hang-up", "next": 3, "sender": "tasks"},
            {"fault": "keys-down", "next": null, "sender": null},
        ])
    );
    for body in ["{}", "{", r#"{"fault": "no-such"}"#, r#"{"fault": "expired", "next": 0}"#] {
        assert_eq!(ask(&emulator, "POST", "faults", body).await.0, 400, "{body}");
    }
    running.clear_faults().await.unwrap();
    assert_eq!(running.faults().await.unwrap(), []);
}

#[tokio::test]
async fn the_state_goes_out_and_comes_back_to_the_same_project_alone() {
    let (emulator, running, _) = start().await;
    let state = running.export().await.unwrap();
    assert_eq!(state["version"], 2);
    assert_eq!(state["project"], json!({"id": "demo-project", "number": 123_456_789_012_u64}));
    running.import(state.to_string()).await.unwrap();
    emulator.import(emulator.export().unwrap()).await.unwrap();
    for (field, value, expected) in [
        ("version", json!(1), "version is 1; this emulator reads 2"),
        ("project", json!({"id": "x", "number": 1}), "start the emulator with --project x"),
        ("project", json!("x"), "Invalid JSON payload received"),
        ("more", json!(1), "unknown field `more`"),
    ] {
        let mut spoilt = state.clone();
        spoilt[field] = value;
        let fault = running.import(spoilt.to_string()).await.unwrap_err().to_string();
        assert!(fault.contains(expected), "{fault}");
    }
}

#[tokio::test]
async fn the_environment_is_the_emulator_s() {
    let options = Options {
        issuer: Some("https://accounts.google.com".to_owned()),
        project: Project { id: "other".to_owned(), number: 7 },
        ..Options::default()
    };
    let emulator = Emulator::start(options).await.unwrap();
    let running = RunningEmulator::at(&emulator.url()).unwrap();
    let environment = running.environment().await.unwrap();
    assert_eq!(environment, emulator.environment());
    assert_eq!((&*environment.project.id, &*environment.url), ("other", &*emulator.url()));
    assert_eq!(environment.issuer, "https://accounts.google.com");
    emulator.stop().await;
    let fault = running.environment().await.unwrap_err().to_string();
    assert!(fault.ends_with("or name another with --emulator-url"), "{fault}");
}

#[tokio::test]
async fn a_web_page_reaches_neither_the_emulator_s_own_endpoints_nor_google_s() {
    let (emulator, _, _) = start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in ["emulator/state", "emulator/environment", "v1/projects/demo-project", "token", ""]
    {
        let request = |name: &str, value: &str| {
            client.get(format!("{}/{path}", emulator.url())).header(name, value).send()
        };
        for (name, value) in [("origin", "https://page.example"), ("host", "rebound.example")] {
            let response = request(name, value).await.unwrap();
            assert_eq!(response.status().as_u16(), 403, "{name} /{path}");
            assert!(response.text().await.unwrap().contains(value));
        }
        let answer = request("host", "localhost").await.unwrap().text().await.unwrap();
        assert!(!answer.contains("The emulator"), "/{path}: {answer}");
    }
    // The keys are public, and a page can do nothing with them.
    let keys = client.get(emulator.keys_url()).header("origin", "https://page.example");
    assert_eq!(keys.send().await.unwrap().status().as_u16(), 200);
}
