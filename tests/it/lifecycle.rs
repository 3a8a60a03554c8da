//! From the open port to the last record: real processes, real signals.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use emulator::{Courier, Issuer, KeyAnswer, senders::tasks::Attempt};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::{
    harness::{
        AUDIENCE, MARKER, PATIENCE, Seen, Service, TASKS, check_line, check_schema, field, jobs,
        settings,
    },
    wire::Wire,
};

/// A receiver as its own process.
pub(crate) struct Process {
    child: Child,
    pub(crate) lines: mpsc::Receiver<Value>,
    /// Records of jobs that ended while others were waited for.
    early: Vec<Value>,
    pub(crate) url: String,
}

impl Process {
    /// Starts it and waits for the line that says where it listens.
    pub(crate) fn start(binary: PathBuf, issuer: &Issuer, changes: &[(&str, &str)]) -> Self {
        let mut command = Command::new(binary);
        command
            .env_clear()
            .envs(settings(issuer))
            .envs(changes.iter().copied())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                let line = line.unwrap();
                assert!(!line.contains(MARKER), "a payload's marker shows");
                // Nobody listens any more where a test has ended already.
                let _ = sender.send(check_line(&line));
            }
        });
        let first: Value = lines.recv_timeout(PATIENCE).unwrap();
        let url = format!("http://127.0.0.1:{}", first["port"]);
        assert_eq!(first["message"], format!("listening on {url}"), "{first}");
        Self { child, lines, early: Vec::new(), url }
    }

    pub(crate) fn terminate(&self) {
        // The shell's own kill: a bare machine has no program of that name.
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Its exit status and every record it wrote.
    pub(crate) fn ended(mut self) -> (ExitStatus, Vec<Value>) {
        let status = self.child.wait().unwrap();
        let mut records = std::mem::take(&mut self.early);
        records.extend(self.lines.iter().filter(is_record));
        records.iter().for_each(check_schema);
        (status, records)
    }

    /// Waits until this many jobs have begun.
    fn begun(&mut self, jobs: usize) {
        let mut begun = 0;
        while begun < jobs {
            let line = self.lines.recv_timeout(PATIENCE).unwrap();
            begun += usize::from(line["message"] == "begun");
            if is_record(&line) {
                self.early.push(line);
            }
        }
    }
}

fn is_record(line: &Value) -> bool {
    line.get("invocation").is_some()
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Examples are built beside the tests.
pub(crate) fn slow_jobs() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let example = tests.parent().unwrap().parent().unwrap().join("examples/slow_jobs");
    assert!(
        example.exists(),
        "run `cargo build --examples` first: `cargo test` builds them, `--test` alone does not"
    );
    example
}

/// Delivers jobs that take this long, waits until all have begun, sends SIGTERM, and gives the statuses.
async fn terminate_during(
    milliseconds: &[u64],
    changes: &[(&str, &str)],
) -> (Vec<u16>, Duration, ExitStatus, Vec<Value>) {
    let issuer = Issuer::start(0).await.unwrap();
    let mut process = Process::start(slow_jobs(), &issuer, changes);
    let token = issuer.token(AUDIENCE, TASKS).unwrap();
    let courier = Courier::new().unwrap();
    let deliveries: Vec<_> = milliseconds
        .iter()
        .enumerate()
        .map(|(number, milliseconds)| {
            let (courier, url) = (courier.clone(), format!("{}/tasks/sleep", process.url));
            let task = Attempt::first("slow", &number.to_string())
                .delivery()
                .body(milliseconds.to_string());
            let delivery = task.bearer(&token);
            tokio::spawn(async move { courier.deliver(&url, &delivery).await.unwrap().status })
        })
        .collect();
    let count = milliseconds.len();
    let process = tokio::task::spawn_blocking(move || {
        process.begun(count);
        process.terminate();
        process
    })
    .await
    .unwrap();
    let asked = Instant::now();
    let mut statuses = Vec::new();
    for delivery in deliveries {
        statuses.push(delivery.await.unwrap());
    }
    let answered = asked.elapsed();
    let (status, records) = tokio::task::spawn_blocking(|| process.ended()).await.unwrap();
    let exited = asked.elapsed();
    assert!(exited < Duration::from_secs(10), "Cloud Run kills after 10 s: {exited:?}");
    (statuses, answered, status, records)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_sigterm_two_hundred_jobs_of_up_to_five_seconds_end_and_are_answered_and_recorded() {
    let milliseconds: Vec<u64> = (0..200).map(|number| 1000 + number * 20).collect();
    let (statuses, _, status, records) = terminate_during(&milliseconds, &[]).await;
    assert_eq!(statuses, [204; 200]);
    assert_eq!(status.code(), Some(0));
    assert_eq!(records.len(), 200);
    assert!(records.iter().all(|record| field(record, "outcome") == "done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_sigterm_jobs_longer_than_the_drain_are_aborted_and_answered_500() {
    let (mut statuses, answered, status, records) =
        terminate_during(&[60_000, 60_000, 10, 60_000], &[]).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 500, 500, 500]);
    assert!(answered < Duration::from_secs(8), "{answered:?}");
    assert_eq!(status.code(), Some(0));
    let aborted = records.iter().filter(|record| field(record, "outcome") == "aborted").count();
    assert_eq!((records.len(), aborted), (4, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_service_stops_at_once_even_with_a_connection_kept_alive() {
    let issuer = Issuer::start(0).await.unwrap();
    let process = Process::start(env!("CARGO_BIN_EXE_receiver").into(), &issuer, &[]);
    let mut idle = TcpStream::connect(process.url.strip_prefix("http://").unwrap()).await.unwrap();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    idle.readable().await.unwrap();
    let asked = Instant::now();
    process.terminate();
    let (status, records) = tokio::task::spawn_blocking(|| process.ended()).await.unwrap();
    assert_eq!((status.code(), records.len()), (Some(0), 0));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_finest_log_level_every_line_is_json_and_none_shows_a_token_or_a_payload() {
    let issuer = Issuer::start(0).await.unwrap();
    let process = Process::start(slow_jobs(), &issuer, &[("LOG_LEVEL", "trace")]);
    let courier = Courier::new().unwrap();
    let token = issuer.token(AUDIENCE, TASKS).unwrap();
    for (name, body, bearer, status) in
        [("a", "1", &*token, 204), ("b", MARKER, &token, 422), ("c", MARKER, "ya29.secret", 401)]
    {
        let task = Attempt::first("slow", name).delivery().body(body).bearer(bearer);
        let answer = courier.deliver(&format!("{}/tasks/sleep", process.url), &task).await.unwrap();
        assert_eq!(answer.status, status);
    }
    process.terminate();
    let lines: Vec<Value> =
        tokio::task::spawn_blocking(move || process.lines.iter().collect()).await.unwrap();
    assert!(lines.iter().any(|line| line["message"] == "stopped"), "the last line is missing");
    let all = serde_json::to_string(&lines).unwrap();
    let segments: Vec<&str> = token.split('.').collect();
    assert!(segments.iter().all(|segment| !all.contains(segment)), "a token's segment shows");
    assert!(!all.contains("ya29.") && !all.contains(MARKER), "a secret shows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_said_and_the_exit_code_is_1() {
    let issuer = Issuer::start(0).await.unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_receiver"));
    command.env_clear().envs(settings(&issuer)).env("PORT", &port);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["severity"], "ERROR");
    assert!(
        line["error"].as_str().unwrap().contains(&format!("cannot listen at 127.0.0.1:{port}")),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_blocks_its_thread_does_not_keep_the_process_from_ending() {
    let issuer = Issuer::start(0).await.unwrap();
    let mut process = Process::start(slow_jobs(), &issuer, &[]);
    let courier = Courier::new().unwrap();
    let url = format!("{}/tasks/block", process.url);
    let delivery =
        Attempt::first("slow", "1").delivery().bearer(&issuer.token(AUDIENCE, TASKS).unwrap());
    let blocking = tokio::spawn(async move { courier.deliver(&url, &delivery).await.is_err() });
    let process = tokio::task::spawn_blocking(move || {
        process.begun(1);
        process.terminate();
        process
    });
    let process = process.await.unwrap();
    let asked = Instant::now();
    let (status, _) = tokio::task::spawn_blocking(|| process.ended()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert!(blocking.await.unwrap(), "nobody answers for a blocked thread");
}

#[tokio::test]
async fn while_draining_a_request_on_a_kept_connection_is_served_and_the_connection_closed() {
    let seen = Seen::default();
    let mut service = Service::start(jobs(&seen)).await;
    let task =
        |name: &str| Attempt { body: MARKER.into(), ..Attempt::first("receipts", name) }.delivery();
    let mut kept = Wire::open(&service).await;
    kept.head("POST /tasks/done", "Content-Length: 0").await;
    service.record().await;
    assert_eq!(kept.status().await, 204);
    let held = tokio::spawn(service.post("/tasks/gate", task("1").bearer(&service.token(TASKS))));
    seen.begun(2).await;
    service.begin_stop();
    // Asked again until the signal has arrived; what is served before it keeps the connection.
    loop {
        kept.head("POST /tasks/done", "Content-Length: 0").await;
        let (status, head) = kept.answer().await;
        assert_eq!(status, 204);
        service.record().await;
        if head.contains("connection: close") {
            break;
        }
    }
    seen.open_gate();
    assert_eq!(held.await.unwrap().status, 204);
    assert_eq!(service.stopped().await.len(), 1);
}

#[tokio::test]
async fn at_the_drain_a_request_that_waits_for_keys_is_answered_too() {
    let issuer = Issuer::start(0).await.unwrap();
    issuer.answer_keys_with(KeyAnswer::Hold);
    // One worker reads its connections in the order in which they became readable.
    let one = [("WORKERS", "1")];
    let mut service = Service::of(Arc::new(issuer), jobs(&Seen::default()), &one);
    let mut waiting = Wire::open(&service).await;
    waiting.head("POST /tasks/done", "Content-Length: 0").await;
    let forged = Attempt::first("receipts", "2").delivery().bearer("ya29.x");
    assert_eq!(service.send("/tasks/done", &forged).await.0.status, 401);
    service.begin_stop();
    service.issuer.answer_keys_with(KeyAnswer::Keys);
    assert_eq!(waiting.status().await, 204);
    assert_eq!(service.stopped().await.len(), 1);
}
