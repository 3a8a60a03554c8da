//! Jobs in motion, from the call that creates them to the requests that arrive.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use crate::{Clock, Emulator, Options};

const LOCATION: &str = "v1/projects/demo-project/locations/europe-west1";

/// A request that came, and what to answer it.
struct Received {
    head: String,
    answer: oneshot::Sender<u16>,
}

impl Received {
    fn schedule_time(&self) -> &str {
        let header = "x-cloudscheduler-scheduletime: ";
        self.head.lines().find_map(|line| line.strip_prefix(header)).unwrap()
    }
}

/// An emulator whose clock the test moves, one job in it, and the receiver that the job calls.
struct Stage {
    clock: Clock,
    emulator: Emulator,
    client: reqwest::Client,
    requests: mpsc::UnboundedReceiver<Received>,
}

impl Stage {
    /// With a job that has `fields`.
    async fn new(start: &str, fields: Value) -> Stage {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/", listener.local_addr().unwrap());
        let (tell, requests) = mpsc::unbounded_channel();
        tokio::spawn(receive(listener, tell));
        let clock = Clock::standing_at(time(start));
        let options = Options { clock: clock.clone(), ..Options::default() };
        let emulator = Emulator::start(options).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let stage = Stage { clock, emulator, client, requests };
        let mut job = json!({
            "name": "projects/demo-project/locations/europe-west1/jobs/j",
            "schedule": "* * * * *",
            "httpTarget": {"uri": uri, "httpMethod": "GET"},
        });
        for (name, value) in fields.as_object().unwrap() {
            job[name] = value.clone();
        }
        stage.call(reqwest::Method::POST, "jobs", &job).await;
        stage
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let url = format!("{}/cloudscheduler/{LOCATION}/{path}", self.emulator.url());
        let request = self.client.request(method, url).body(body.to_string());
        let response = request.send().await.unwrap();
        let status = response.status();
        let body = response.text().await.unwrap();
        assert!(status.is_success(), "{status} {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn verb(&self, verb: &str) -> Value {
        self.call(reqwest::Method::POST, &format!("jobs/j:{verb}"), &json!({})).await
    }

    /// The job once it is as `wanted`: an attempt's end is noted a little after its answer.
    async fn job_when(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let seen = async {
            loop {
                let job = self.call(reqwest::Method::GET, "jobs/j", &json!({})).await;
                if wanted(&job) {
                    return job;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), seen).await.unwrap()
    }

    fn move_to(&self, to: &str) {
        self.clock.move_to(time(to));
    }

    async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(Duration::from_secs(10), self.requests.recv());
        next.await.unwrap().unwrap()
    }

    /// Answers the next request and gives back its schedule time.
    async fn answer_next(&mut self, status: u16) -> String {
        let received = self.next().await;
        let schedule_time = received.schedule_time().to_owned();
        received.answer.send(status).unwrap();
        schedule_time
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

async fn receive(listener: TcpListener, tell: mpsc::UnboundedSender<Received>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let tell = tell.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            let length = stream.read(&mut buffer).await.unwrap();
            let head = String::from_utf8_lossy(&buffer[..length]).to_lowercase();
            let (answer, answered) = oneshot::channel();
            tell.send(Received { head, answer }).unwrap();
            if let Ok(status) = answered.await {
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn a_job_for_every_minute_fires_on_the_minute_twice_in_a_row() {
    let mut stage = Stage::new("2026-03-01T12:00:30Z", json!({})).await;
    for (just_before, minute) in [
        ("2026-03-01T12:00:59.999Z", "2026-03-01T12:01:00Z"),
        ("2026-03-01T12:01:59.999Z", "2026-03-01T12:02:00Z"),
    ] {
        stage.move_to(just_before);
        stage.job_when(|job| job["scheduleTime"] == minute).await;
        stage.move_to(minute);
        let request = stage.next().await;
        assert_eq!(request.schedule_time(), minute.to_lowercase());
        assert!(request.head.starts_with("get / http/1.1\r\n"));
        assert!(request.head.contains("\r\nx-cloudscheduler-jobname: j\r\n"));
        request.answer.send(200).unwrap();
        let job = stage.job_when(|job| job["status"] == json!({})).await;
        assert_eq!(job["lastAttemptTime"], minute);
    }
}

#[tokio::test]
async fn a_job_for_every_minute_fires_on_the_minute_through_both_changes_of_the_clock() {
    let berlin = json!({"timeZone": "Europe/Berlin"});
    for (start, minutes) in [
        (
            "2026-03-29T00:58:30Z",
            [
                ("2026-03-29T00:59:00Z", "2026-03-29t01:59:00+01:00"),
                ("2026-03-29T01:00:00Z", "2026-03-29t03:00:00+02:00"),
            ],
        ),
        (
            "2026-10-25T00:58:30Z",
            [
                ("2026-10-25T00:59:00Z", "2026-10-25t02:59:00+02:00"),
                ("2026-10-25T01:00:00Z", "2026-10-25t02:00:00+01:00"),
            ],
        ),
    ] {
        let mut stage = Stage::new(start, berlin.clone()).await;
        for (minute, schedule_time) in minutes {
            stage.move_to(minute);
            assert_eq!(stage.answer_next(200).await, schedule_time);
        }
    }
}

#[tokio::test]
async fn retries_come_after_their_backoff_with_the_same_schedule_time() {
    let retries = json!({"retryConfig": {"retryCount": 2, "minBackoffDuration": "4s"}});
    let mut stage = Stage::new("2026-03-01T12:00:30Z", retries).await;
    for (attempt, status, code, next) in [
        ("2026-03-01T12:01:00Z", 503, 14, "2026-03-01T12:01:04Z"),
        ("2026-03-01T12:01:04Z", 404, 5, "2026-03-01T12:01:12Z"),
        ("2026-03-01T12:01:12Z", 500, 13, "2026-03-01T12:02:00Z"),
    ] {
        stage.move_to(attempt);
        assert_eq!(stage.answer_next(status).await, "2026-03-01t12:01:00z");
        let job = stage.job_when(|job| job["status"] == json!({"code": code})).await;
        assert_eq!(
            (&job["scheduleTime"], &job["lastAttemptTime"]),
            (&json!(next), &json!(attempt))
        );
    }
    stage.move_to("2026-03-01T12:02:00Z");
    assert_eq!(stage.answer_next(200).await, "2026-03-01t12:02:00z");
}

#[tokio::test]
async fn runs_do_not_overlap_and_the_next_one_is_late() {
    let mut stage = Stage::new("2026-03-01T12:00:30Z", json!({})).await;
    stage.move_to("2026-03-01T12:01:00Z");
    let first = stage.next().await;
    stage.move_to("2026-03-01T12:04:30Z");
    // It starts beside the first; one of the schedule would have come before it.
    stage.verb("run").await;
    assert_eq!(stage.answer_next(200).await, "2026-03-01t12:04:30z");
    first.answer.send(200).unwrap();
    assert_eq!(stage.answer_next(200).await, "2026-03-01t12:02:00z");
    stage.job_when(|job| job["scheduleTime"] == "2026-03-01T12:05:00Z").await;
    stage.move_to("2026-03-01T12:05:00Z");
    assert_eq!(stage.answer_next(200).await, "2026-03-01t12:05:00z");
}

#[tokio::test]
async fn a_paused_job_is_silent_and_goes_on_with_the_next_time() {
    let mut stage = Stage::new("2026-03-01T12:00:30Z", json!({})).await;
    let paused = stage.verb("pause").await;
    assert_eq!((&paused["state"], paused.get("scheduleTime")), (&json!("PAUSED"), None));
    stage.move_to("2026-03-01T12:03:30Z");
    stage.verb("run").await;
    assert_eq!(stage.answer_next(200).await, "2026-03-01t12:03:30z", "by hand alone");
    stage.job_when(|job| job["status"] == json!({})).await;
    let resumed = stage.verb("resume").await;
    assert_eq!(resumed["scheduleTime"], "2026-03-01T12:04:00Z");
    stage.move_to("2026-03-01T12:04:00Z");
    assert_eq!(stage.answer_next(200).await, "2026-03-01t12:04:00z");
}

#[tokio::test]
async fn a_patched_schedule_counts_at_once() {
    let mut stage = Stage::new("2026-03-01T12:00:30Z", json!({"schedule": "0 0 1 1 *"})).await;
    let patch = json!({"schedule": "*/2 * * * *"});
    stage.call(reqwest::Method::PATCH, "jobs/j?updateMask=schedule", &patch).await;
    stage.move_to("2026-03-01T12:02:00Z");
    assert_eq!(stage.answer_next(200).await, "2026-03-01t12:02:00z");
}

#[tokio::test]
async fn a_deleted_job_makes_no_retry() {
    let retries = json!({"retryConfig": {"retryCount": 5}});
    let mut stage = Stage::new("2026-03-01T12:00:30Z", retries).await;
    stage.move_to("2026-03-01T12:01:00Z");
    stage.answer_next(500).await;
    let job = stage.job_when(|job| job["scheduleTime"] == "2026-03-01T12:01:05Z").await;
    stage.call(reqwest::Method::DELETE, "jobs/j", &json!({})).await;
    stage.move_to("2026-03-01T12:10:30Z");
    // Another of the same name has nothing of it.
    stage.call(reqwest::Method::POST, "jobs", &job).await;
    stage.move_to("2026-03-01T12:11:00Z");
    assert_eq!(stage.answer_next(200).await, "2026-03-01t12:11:00z");
}
