//! The example job that enqueues a task for each tenant: as its own process, told by the environment, behind the
//! emulator's Scheduler, queue and front end.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use emulator::{Courier, Delivery, senders::scheduler::Run};
use receiver::{
    config::Config,
    record::{Format, Records},
    server::Server,
};
use serde_json::{Value, json};

use crate::lab::{CALLER, Lab, MACHINE};

const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// The receiver's own binary, whose records are read.
struct Process {
    child: Child,
    records: mpsc::Receiver<Value>,
    url: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// With the jobs of src/jobs and what a deployment sets.
    fn start(lab: &Lab, queue: &str) -> Process {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program)
            .args(["--exact", "fan_out::serves", "--ignored", "--nocapture"])
            .env_clear()
            .envs(lab.variables())
            .envs([
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("AUTH", "verify"),
                ("AUDIENCE", &*lab.url),
                ("SCHEDULER_CALLERS", CALLER),
                ("TASKS_CALLERS", CALLER),
                ("PUBSUB_CALLERS", CALLER),
                ("EVENTS_CALLERS", CALLER),
                ("DEDUP", "off"),
                ("ALLOW_TEST_ISSUER", "1"),
                ("LOG_FORMAT", "json"),
                ("FAN_OUT_QUEUE", queue),
                ("FAN_OUT_URL", &format!("{}/tasks/tenant-report", lab.url)),
                ("FAN_OUT_ACCOUNT", CALLER),
                ("FAN_OUT_TENANTS", &TENANTS.join(",")),
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.by_ref().find_map(|line| {
            let entry: Value = serde_json::from_str(&line.unwrap()).ok()?;
            entry["port"].as_u64()
        });
        let (sink, records) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let entry: Value = serde_json::from_str(&line).unwrap_or_default();
                if entry["invocation"].is_object() && sink.send(entry).is_err() {
                    break;
                }
            }
        });
        let url = format!("http://127.0.0.1:{}", port.expect("it says where it listens"));
        Process { child, records, url }
    }

    fn next(&self) -> Value {
        let next = || self.records.recv_timeout(Duration::from_secs(30));
        tokio::task::block_in_place(next).expect("a record in time")["invocation"].take()
    }
}

#[test]
#[ignore = "is no test but the program that the test below starts"]
#[expect(clippy::print_stdout, reason = "a program says where it listens")]
fn serves() {
    let jobs = receiver::jobs::jobs();
    let config = Config::from_environment(&jobs).unwrap();
    let records = Records::to_stdout(Format::Json, config.about.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::bind(config, jobs, records).unwrap();
        println!("\n{}", json!({"port": server.address().port()}));
        server.run(std::future::pending()).await.unwrap();
    });
}

/// One scheduled run, as Scheduler delivers it.
fn tick() -> Delivery {
    let mut run = Run::new("fan-out");
    run.schedule_time = Some("2026-11-24T09:00:00Z".to_owned());
    run.delivery()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_ends_in_one_done_record_a_tenant_and_a_second_one_enqueues_nothing() {
    let lab = Lab::start().await;
    let queue = lab.create_queue().await;
    lab.bind(CALLER).await;
    lab.let_enqueue(&queue, MACHINE).await;
    let process = Process::start(&lab, &queue);
    lab.emulator.put_behind("receiver", &process.url);
    let token = lab.emulator.token(&lab.url, CALLER).await.unwrap();
    let deliver = async || {
        let delivery = tick().bearer(&token);
        let url = format!("{}/scheduler/fan-out", lab.url);
        Courier::new().unwrap().deliver(&url, &delivery).await.unwrap().status
    };

    assert_eq!(deliver().await, 204);
    let mut jobs: Vec<String> = Vec::new();
    for _ in 0..=TENANTS.len() {
        let record = process.next();
        assert_eq!(record["outcome"], "done", "{record}");
        jobs.push(record["job"].as_str().unwrap().to_owned());
    }
    jobs.sort_unstable();
    assert_eq!(jobs, ["fan-out", "tenant-report", "tenant-report", "tenant-report"]);

    assert_eq!(deliver().await, 204);
    assert_eq!(process.next()["job"], "fan-out");
    let left = lab.api("GET", &format!("cloudtasks/v2/{queue}/tasks"), json!(null)).await;
    assert_eq!(left.get("tasks"), None, "{left}");
    assert!(process.records.try_recv().is_err(), "no tenant's report came twice");
}
