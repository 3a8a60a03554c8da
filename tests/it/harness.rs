//! A receiver on a free port, and a sender whose every delivery must end in exactly one valid record.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, Mutex},
    thread,
    time::Duration,
};

use emulator::{Answer, Courier, Delivery, Issuer};
use jsonschema::Validator;
use receiver::{
    config::Config,
    invocation::Invocation,
    job_table::Jobs,
    outcome::JobError,
    record::{Format, Records},
    server::Server,
};
use serde_json::Value;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};

pub(crate) const AUDIENCE: &str = "https://receiver.example.run.app";
pub(crate) const SCHEDULER: &str = "scheduler@example.iam.gserviceaccount.com";
pub(crate) const TASKS: &str = "tasks@example.iam.gserviceaccount.com";
pub(crate) const PUBSUB: &str = "pubsub@example.iam.gserviceaccount.com";
pub(crate) const EVENTS: &str = "events@example.iam.gserviceaccount.com";

/// Stands in every payload of the suite, and must stand in no output of it.
pub(crate) const MARKER: &str = "PAYLOAD-MARKER";

/// Longer than anything here takes, for what should happen but may not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(include_str!("../../src/record/record.schema.json")).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
});

/// What every receiver of the suite is started with; a test adds to it or spoils one.
pub(crate) fn settings(issuer: &Issuer) -> BTreeMap<String, String> {
    [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("WORKERS", "2"),
        ("AUTH", "verify"),
        ("AUDIENCE", AUDIENCE),
        ("SCHEDULER_CALLERS", SCHEDULER),
        ("TASKS_CALLERS", TASKS),
        ("PUBSUB_CALLERS", PUBSUB),
        ("EVENTS_CALLERS", EVENTS),
        ("GOOGLE_CLOUD_PROJECT", "example"),
        ("OIDC_ISSUER", issuer.name()),
        ("OIDC_KEYS_URL", &issuer.keys_url()),
        ("IAP_KEYS_URL", &issuer.iap_keys_url()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A receiver, its issuer, and the records that it writes.
pub(crate) struct Service {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) url: String,
    courier: Courier,
    records: mpsc::UnboundedReceiver<String>,
    secrets: Mutex<Vec<String>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Service {
    /// With the usual settings.
    pub(crate) async fn start(jobs: Jobs) -> Self {
        Self::with(jobs, &[]).await
    }

    /// With some settings changed; an empty value unsets one.
    pub(crate) async fn with(jobs: Jobs, changes: &[(&str, &str)]) -> Self {
        Self::of(Arc::new(Issuer::start(0).await.unwrap()), jobs, changes)
    }

    /// With this issuer's keys.
    pub(crate) fn of(issuer: Arc<Issuer>, jobs: Jobs, changes: &[(&str, &str)]) -> Self {
        let mut settings = settings(&issuer);
        settings
            .extend(changes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let config =
            Config::from_lookup(&jobs.senders(), |name| settings.get(name).cloned()).unwrap();
        let (sink, records) = mpsc::unbounded_channel();
        let records_to = Records::to(Format::Json, config.about.clone(), move |line| {
            // The receiving end is gone where a test has ended already.
            let _ = sink.send(String::from_utf8(line.to_vec()).unwrap());
        });
        let server = Server::bind(config, jobs, records_to).unwrap();
        let url = format!("http://{}", server.address());
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let stopped = async { stopped.await.unwrap_or_default() };
            runtime.block_on(server.run(stopped)).unwrap();
        });
        Self {
            issuer,
            url,
            courier: Courier::new().unwrap(),
            records,
            secrets: Mutex::default(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// A good token of this account for the usual audience.
    pub(crate) fn token(&self, email: &str) -> String {
        self.secret(self.issuer.token(AUDIENCE, email).unwrap())
    }

    /// Remembers a token whose segments no record may hold.
    pub(crate) fn secret(&self, token: String) -> String {
        let segments = token.split('.').filter(|segment| segment.len() > 20).map(str::to_owned);
        self.secrets.lock().unwrap().extend(segments);
        token
    }

    /// Delivers with the token that this sender's account would have.
    pub(crate) async fn deliver(&mut self, path: &str, delivery: &Delivery) -> (Answer, Value) {
        let email = match path.split('/').nth(1) {
            Some("scheduler") => SCHEDULER,
            Some("tasks") => TASKS,
            Some("pubsub") => PUBSUB,
            _ => EVENTS,
        };
        let delivery = delivery.clone().bearer(&self.token(email));
        self.send(path, &delivery).await
    }

    /// Delivers as it is; the one record must be there by the time that the answer is.
    pub(crate) async fn send(&mut self, path: &str, delivery: &Delivery) -> (Answer, Value) {
        let answer = self.courier.deliver(&format!("{}{path}", self.url), delivery).await.unwrap();
        let record =
            self.records.try_recv().expect("the record is written before the answer goes out");
        self.no_record();
        let record = self.valid(&record);
        assert_eq!(record["invocation"]["status"], answer.status, "{record}");
        self.check_answer(&answer, &record);
        (answer, record)
    }

    /// Delivers without looking at records.
    pub(crate) fn post(
        &self,
        path: &str,
        delivery: Delivery,
    ) -> impl Future<Output = Answer> + use<> {
        let (courier, url) = (self.courier.clone(), format!("{}{path}", self.url));
        async move { courier.deliver(&url, &delivery).await.unwrap() }
    }

    /// The next record, which must be valid.
    pub(crate) async fn record(&mut self) -> Value {
        let line = timeout(PATIENCE, self.records.recv()).await.expect("a record in time").unwrap();
        self.valid(&line)
    }

    /// As many records, in the order that they were written.
    pub(crate) async fn records(&mut self, count: usize) -> Vec<Value> {
        let mut records = Vec::new();
        while records.len() < count {
            records.push(self.record().await);
        }
        records
    }

    /// There is no further record.
    pub(crate) fn no_record(&mut self) {
        assert_eq!(self.records.try_recv().ok(), None, "one record more than there should be");
    }

    /// Begins the drain, as SIGTERM does.
    pub(crate) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Stops, and gives what records are left.
    pub(crate) async fn stopped(mut self) -> Vec<Value> {
        self.begin_stop();
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap();
        let mut rest = Vec::new();
        while let Ok(line) = self.records.try_recv() {
            rest.push(self.valid(&line));
        }
        rest
    }

    /// Holds to the schema, to one line of at most 64 KiB, and to silence about tokens and payloads.
    fn valid(&self, line: &str) -> Value {
        assert!(line.ends_with('\n') && line.trim_end().lines().count() == 1, "one line: {line:?}");
        assert!(line.len() <= 64 * 1024, "{} bytes", line.len());
        let record: Value = serde_json::from_str(line).unwrap();
        check_schema(&record);
        self.check_silence(line);
        record
    }

    fn check_silence(&self, text: &str) {
        assert!(!text.contains(MARKER), "a payload's marker shows");
        for secret in self.secrets.lock().unwrap().iter() {
            assert!(!text.contains(secret.as_str()), "a token's segment shows");
        }
    }

    fn check_answer(&self, answer: &Answer, record: &Value) {
        self.check_silence(&answer.text());
        const ALLOWED: [&str; 7] = [
            "allow",
            "connection",
            "content-length",
            "content-type",
            "date",
            "retry-after",
            "www-authenticate",
        ];
        for (name, _) in &answer.headers {
            assert!(ALLOWED.contains(&name.as_str()), "the answer has the header {name}");
        }
        if answer.status < 300 {
            assert_eq!(answer.body, b"");
            return;
        }
        let problem: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(problem["status"], answer.status);
        assert_eq!(problem["outcome"], record["invocation"]["outcome"]);
        assert!(problem["title"].is_string());
    }
}

/// Holds a line of standard output to Cloud Logging's structured format and size
/// (<https://cloud.google.com/logging/docs/structured-logging>, <https://cloud.google.com/logging/quotas>).
pub(crate) fn check_line(line: &str) -> Value {
    const SEVERITIES: [&str; 4] = ["DEBUG", "INFO", "WARNING", "ERROR"];
    const SPECIAL: [&str; 4] = ["labels", "spanId", "trace", "trace_sampled"];
    assert!(line.len() <= 256 << 10, "{} bytes", line.len());
    let entry: Value = serde_json::from_str(line).unwrap_or_else(|fault| panic!("{fault}: {line}"));
    assert!(SEVERITIES.iter().any(|severity| entry["severity"] == *severity), "{line}");
    assert!(entry["message"].as_str().is_some_and(|message| !message.is_empty()), "{line}");
    assert!(
        entry["time"].as_str().is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok()),
        "{line}"
    );
    for name in entry.as_object().unwrap().keys() {
        let special = name.strip_prefix("logging.googleapis.com/");
        assert!(special.is_none_or(|special| SPECIAL.contains(&special)), "{name}: {line}");
    }
    entry
}

pub(crate) fn check_schema(record: &Value) {
    let faults: Vec<String> = SCHEMA
        .iter_errors(record)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}\n{record:#}");
}

/// A part of a record, as text; empty where it is not there.
pub(crate) fn field<'a>(record: &'a Value, name: &str) -> &'a str {
    record["invocation"][name].as_str().unwrap_or_default()
}

/// One job for each answer that a job can give, at every sender, named after it.
///
/// Each reads its payload as text and hands the invocation to `seen`.
pub(crate) fn jobs(seen: &Seen) -> Jobs {
    let mut jobs = Jobs::default();
    macro_rules! add {
        ($($name:literal => $job:expr),+ $(,)?) => {$(
            let job = { let seen = seen.clone(); move |invocation: Invocation<String>| {
                let seen = seen.clone();
                async move { seen.add(&invocation); $job(invocation, seen).await }
            }};
            jobs.scheduler($name, job.clone());
            jobs.tasks($name, job.clone());
            jobs.pubsub($name, job.clone());
            jobs.events($name, job);
        )+};
    }
    add! {
        "done" => async |_, _| Ok(()),
        "retry" => async |_, _| Err(JobError::retry("smtp timeout")),
        "slow-down" => async |_, _| Err(JobError::slow_down(Duration::from_millis(1500), "busy")),
        "give-up" => async |_, _| Err(JobError::give_up("no such order")),
        "panic" => async |_, _| panic!("on purpose"),
        "hang" => async |_, _| std::future::pending().await,
        "gate" => async |_, seen: Seen| { seen.0.gate.notified().await; Ok(()) },
        "fail-once" => async |invocation: Invocation<String>, seen: Seen| {
            match seen.count(invocation.idempotency_key()) { 1 => Err(JobError::retry("once")), _ => Ok(()) }
        },
    }
    jobs.tasks("number", async |_: Invocation<u32>| Ok(()));
    jobs.pubsub("number", async |_: Invocation<u32>| Ok(()));
    jobs.events("number", async |_: Invocation<u32>| Ok(()));
    jobs.scheduler("number", async |_: Invocation<u32>| Ok(()));
    jobs
}

/// What the jobs were handed, and a gate that they can wait at.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<SeenInner>);

#[derive(Default)]
struct SeenInner {
    invocations: Mutex<Vec<Invocation<String>>>,
    arrived: Notify,
    gate: Notify,
}

impl Seen {
    fn add(&self, invocation: &Invocation<String>) {
        self.0.invocations.lock().unwrap().push(invocation.clone());
        self.0.arrived.notify_one();
    }

    /// Every invocation so far.
    pub(crate) fn all(&self) -> Vec<Invocation<String>> {
        self.0.invocations.lock().unwrap().clone()
    }

    /// The one invocation since the last look.
    pub(crate) fn one(&self) -> Invocation<String> {
        let mut all = std::mem::take(&mut *self.0.invocations.lock().unwrap());
        assert_eq!(all.len(), 1, "the job ran once");
        all.remove(0)
    }

    /// How often this invocation was handed to a job.
    pub(crate) fn count(&self, key: Option<String>) -> usize {
        self.all().iter().filter(|invocation| invocation.idempotency_key() == key).count()
    }

    /// Waits until jobs were begun this often in all.
    pub(crate) async fn begun(&self, count: usize) {
        let enough = async {
            while self.all().len() < count {
                self.0.arrived.notified().await;
            }
        };
        timeout(PATIENCE, enough).await.expect("the jobs begin in time");
    }

    /// Lets one job, that waits or will, pass the gate.
    pub(crate) fn open_gate(&self) {
        self.0.gate.notify_one();
    }
}
