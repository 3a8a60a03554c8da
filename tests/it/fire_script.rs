//! scripts/fire, with the real gcloud and a receiver behind the emulator's service: it ends well when each of the
//! senders' records says `done`, from the emulator's history as from Cloud Logging, and says what is not done.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use emulator::{Issuer, Options, Sender};
use receiver::job_table::Jobs;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

use crate::{
    harness::{MARKER, Seen, Service, field, jobs},
    sender_scripts::{Scripts, still},
};

/// The service's deterministic URL, which callers and receiver take for the audience where none is said.
const AUDIENCE: &str = "https://receiver-123456789012.us-central1.run.app";

/// The service, deployed and open to its callers, with a receiver of these jobs behind it.
async fn deployed(options: Options, jobs: Jobs) -> Option<(Scripts, Service)> {
    let scripts = Scripts::start(options).await?;
    let emulator = &scripts.gcloud.emulator;
    let email = |sender: &str| format!("receiver-{sender}@demo-project.iam.gserviceaccount.com");
    let members =
        ["scheduler", "tasks", "pubsub"].map(|sender| format!("serviceAccount:{}", email(sender)));
    let policy = json!({"bindings": [{"role": "roles/run.invoker", "members": members}]});
    let file = scripts.gcloud.folder.join("policy.json");
    std::fs::write(&file, policy.to_string()).unwrap();
    scripts
        .gcloud
        .ok(&format!(
            "gcloud run deploy receiver --image=example/receiver --region=us-central1 --no-allow-unauthenticated --max-instances=2 --concurrency=30
             gcloud run services set-iam-policy receiver {} --region=us-central1",
            file.display()
        ))
        .await;
    let settings = [
        ("OIDC_ISSUER", emulator.issuer()),
        ("OIDC_KEYS_URL", &emulator.keys_url()),
        ("AUDIENCE", AUDIENCE),
        ("SCHEDULER_CALLERS", &email("scheduler")),
        ("TASKS_CALLERS", &email("tasks")),
        ("PUBSUB_CALLERS", &email("pubsub")),
    ];
    let service = Service::of(Arc::new(Issuer::start(0).await.unwrap()), jobs, &settings);
    emulator.put_behind("receiver", &service.url);
    Some((scripts, service))
}

/// Three records, one of each sender, done for its own caller and the right audience.
async fn are_done(service: &mut Service) -> Vec<Value> {
    let records = service.records(3).await;
    let mut senders: Vec<&str> = records.iter().map(|record| field(record, "sender")).collect();
    senders.sort_unstable();
    assert_eq!(senders, ["pubsub", "scheduler", "tasks"]);
    for record in &records {
        let caller =
            format!("receiver-{}@demo-project.iam.gserviceaccount.com", field(record, "sender"));
        assert_eq!(field(record, "outcome"), "done", "{record}");
        assert_eq!(record["invocation"]["caller"]["email"], caller);
        assert_eq!(record["invocation"]["caller"]["audience"], AUDIENCE);
    }
    service.no_record();
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_scripts_made_delivers_and_fire_shows_that_it_is_done() {
    let options = still();
    let clock = options.clock.clone();
    let Some((scripts, mut service)) = deployed(options, receiver::jobs::jobs()).await else {
        return;
    };
    let nothing = scripts.refused("fire --wait=1").await;
    assert!(nothing.contains("there is nothing to fire"), "{nothing}");
    scripts.ok("schedule").await;
    let queue = scripts.ok("queue").await;
    assert!(queue.contains("60 at once"), "two instances of thirty: {queue}");
    scripts.ok("subscribe").await;

    let shown = scripts.ok("fire").await;
    are_done(&mut service).await;
    let lines: Vec<&str> = shown.lines().filter(|line| line.starts_with("acknowledged")).collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line.contains(", 204 in ")), "{shown}");
    for job in ["scheduler/daily-report", "tasks/send-receipt fired-", "pubsub/index-upload "] {
        assert!(lines.iter().any(|line| line.contains(job)), "{job}: {shown}");
    }
    let whole = scripts.ok("fire tasks --json").await;
    service.record().await;
    let entry: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!((&entry["sender"], &entry["answer"]["status"]), (&json!("tasks"), &json!(204)));

    // Another run of the job, and not the same again.
    clock.advance(Duration::from_secs(1));
    from_cloud_logging(&scripts, &mut service).await;
    let missing = scripts.refused("fire tasks --tasks-job=missing").await;
    assert!(
        missing.contains("there is no queue receiver-missing; scripts/queue makes it"),
        "{missing}"
    );
}

/// The same records, read as `gcloud logging read` reads them from a live service.
async fn from_cloud_logging(scripts: &Scripts, service: &mut Service) {
    let logging = Logging::start().await;
    let describe =
        "gcloud run services describe receiver --region=us-central1 --format='value(status.url)'";
    let url = scripts.gcloud.ok(describe).await;
    let fire = |arguments: &str| {
        let line = format!(
            "fire --records=logging --url={url}/tasks/send-receipt --audience={AUDIENCE} {arguments}"
        );
        format!("{}\n{}", logging.exports(), scripts.whole(&line))
    };
    let (shown, ()) = tokio::join!(async { scripts.gcloud.ok(&fire("")).await }, async {
        // Asked before anything is there, as a live service's log is.
        logging.asked.notified().await;
        logging.write(are_done(service).await);
    });
    let done: Vec<&str> = shown.lines().filter(|line| line.starts_with("done ")).collect();
    assert!(done.len() == 3 && done.iter().all(|line| line.contains("204 in ")), "{shown}");
    let filters = logging.filters();
    for (sender, job, rest) in [
        ("scheduler", "daily-report", ""),
        ("tasks", "send-receipt", " AND jsonPayload.invocation.tasks.task=\"fired-"),
        ("pubsub", "index-upload", " AND jsonPayload.invocation.pubsub.message_id=\""),
    ] {
        let asked = format!(
            " AND jsonPayload.invocation.sender=\"{sender}\" AND jsonPayload.invocation.job=\"{job}\"{rest}"
        );
        let filter = filters.iter().find(|filter| filter.contains(&asked));
        let filter = filter.unwrap_or_else(|| panic!("{asked}: {filters:#?}"));
        let whose = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"receiver\" \
            AND resource.labels.location=\"us-central1\" AND timestamp>=\"20";
        assert!(filter.starts_with(whose), "{filter}");
    }

    let wrong = fire(&format!("tasks --task={MARKER}"));
    let (refusal, ()) = tokio::join!(async { scripts.gcloud.refused(&wrong).await }, async {
        logging.write(vec![service.record().await]);
    });
    assert!(refusal.contains("tasks/send-receipt is unreadable, expected done"), "{refusal}");
    assert!(!refusal.contains(MARKER), "a payload shows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_never_succeeds_is_kept_where_it_can_be_read() {
    let jobs = jobs(&Seen::default());
    let Some((scripts, mut service)) = deployed(Options::default(), jobs).await else { return };
    scripts.ok("subscribe retry --min-retry-delay=0 --max-retry-delay=0").await;
    let refusal = scripts
        .refused(&format!("fire pubsub --pubsub-job=retry --message={MARKER} --wait=1"))
        .await;
    assert!(refusal.contains("pubsub/retry is unacknowledged, expected done"), "{refusal}");
    assert!(!refusal.contains(MARKER), "a payload shows");
    let attempts = scripts.gcloud.emulator.attempts_of(Sender::PubSub, 5).await;
    assert_eq!(attempts.len(), 5, "deliveries");
    assert!(service.records(5).await.iter().all(|record| field(record, "outcome") == "retry"));
    let pull = "gcloud pubsub subscriptions pull receiver-retry-dead --auto-ack";
    let mut dead = scripts.gcloud.json(pull).await;
    if dead == json!([]) {
        // The last answer is in the history a moment before the message is on its way.
        dead = scripts.gcloud.json(pull).await;
    }
    let message = &dead[0]["message"];
    assert!(message["messageId"].is_string(), "{dead}");
    assert_eq!(message["attributes"]["CloudPubSubDeadLetterSourceSubscription"], "receiver-retry");
    assert_eq!(message["attributes"]["CloudPubSubDeadLetterSourceDeliveryCount"], "5");
    service.no_record();
}

/// Answers Cloud Logging's `entries.list` with what was written to it.
struct Logging {
    port: u16,
    known: Arc<Known>,
    /// Whenever somebody asks.
    asked: Arc<Notify>,
}

#[derive(Default)]
struct Known {
    records: Mutex<Vec<Value>>,
    filters: Mutex<Vec<String>>,
}

impl Logging {
    async fn start() -> Logging {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (known, asked) = (Arc::<Known>::default(), Arc::<Notify>::default());
        let (answering, asking) = (Arc::clone(&known), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answering.answer(stream).await;
                asking.notify_one();
            }
        });
        Logging { port, known, asked }
    }

    /// Lets gcloud find it: the emulator's proxy knows no such address, and nothing here needs it.
    fn exports(&self) -> String {
        let address = format!("http://127.0.0.1:{}/", self.port);
        format!(
            "export CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING={address}\nunset CLOUDSDK_PROXY_TYPE CLOUDSDK_PROXY_ADDRESS CLOUDSDK_PROXY_PORT"
        )
    }

    fn write(&self, records: Vec<Value>) {
        self.known.records.lock().unwrap().extend(records);
    }

    fn filters(&self) -> Vec<String> {
        self.known.filters.lock().unwrap().clone()
    }
}

impl Known {
    async fn answer(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).await.unwrap() > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let asked: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(asked["resourceNames"], json!(["projects/demo-project"]));
        let filter = asked["filter"].as_str().unwrap();
        self.filters.lock().unwrap().push(filter.to_owned());
        let entries = self.entries(filter);
        let answer = json!({ "entries": entries }).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            answer.len()
        );
        stream.write_all((head + &answer).as_bytes()).await.unwrap();
    }

    /// The records that each part of the filter about the invocation holds for, the last first.
    fn entries(&self, filter: &str) -> Vec<Value> {
        let parts = || filter.split(" AND ").filter_map(|part| part.strip_prefix("jsonPayload."));
        let holds = |record: &&Value| {
            parts().all(|part| {
                let (field, value) = part.split_once('=').unwrap();
                let pointer = format!("/{}", field.replace('.', "/"));
                record.pointer(&pointer).and_then(Value::as_str) == Some(value.trim_matches('"'))
            })
        };
        let entry = |record: &Value| {
            json!({
                "logName": "projects/demo-project/logs/run.googleapis.com%2Fstdout",
                "resource": {"type": "cloud_run_revision", "labels": {"service_name": "receiver"}},
                "timestamp": record["time"],
                "jsonPayload": {"message": record["message"], "invocation": record["invocation"]},
            })
        };
        let records = self.records.lock().unwrap();
        records.iter().rev().filter(holds).map(entry).collect()
    }
}
