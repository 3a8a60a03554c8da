//! Google's own Pub/Sub emulator, driven by `gcloud`, pushes to the receiver; a signing proxy in between
//! adds the token that the emulator leaves out. Runs wherever gcloud and its emulator are installed.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use emulator::{
    RunningIssuer,
    sign::{Proxy, Target},
};
use serde_json::json;

use crate::harness::{AUDIENCE, MARKER, PUBSUB, Seen, Service, field, jobs};

const PROJECT: &str = "example-project";
const MESSAGES: usize = 500;

/// Google's emulator, killed when dropped.
struct GooglesEmulator {
    child: Child,
    url: String,
    gcloud_config: PathBuf,
}

impl GooglesEmulator {
    /// `None` where it is not installed.
    fn start() -> Option<Self> {
        let root = Command::new("gcloud")
            .args(["info", "--format=value(installation.sdk_root)"])
            .output()
            .ok()?;
        let root = String::from_utf8(root.stdout).unwrap();
        let folder = Path::new(root.trim()).join("platform/pubsub-emulator/lib");
        let jar = std::fs::read_dir(folder).ok()?.find_map(|file| {
            let file = file.unwrap().path();
            file.to_string_lossy().ends_with("-all.jar").then_some(file)
        })?;
        // It cannot say which port it took, so it is given one that was free just now.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new("java")
            .arg("-jar")
            .arg(jar)
            .args(["--host=127.0.0.1", &format!("--port={port}")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(
            log.any(|line| line.unwrap().contains("Server started")),
            "the Pub/Sub emulator did not start"
        );
        std::thread::spawn(move || log.for_each(drop));
        let gcloud_config = std::env::temp_dir().join(format!("receiver-gcloud-{port}"));
        Some(Self { child, url: format!("http://127.0.0.1:{port}"), gcloud_config })
    }

    /// Runs one gcloud command against it, without a Google account.
    fn gcloud(&self, arguments: &[&str]) {
        let output = Command::new("gcloud")
            .args(arguments)
            .env("CLOUDSDK_CONFIG", &self.gcloud_config)
            .env("CLOUDSDK_CORE_PROJECT", PROJECT)
            .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
            .env("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true")
            .env("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true")
            .env("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false")
            .env("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true")
            .env("CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB", format!("{}/", self.url))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "gcloud {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for GooglesEmulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.gcloud_config);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "whoever runs the suite must see that this was skipped")]
async fn five_hundred_messages_of_googles_emulator_end_in_as_many_done_records_wrapped_and_unwrapped()
 {
    let Some(google) = tokio::task::spawn_blocking(GooglesEmulator::start).await.unwrap() else {
        eprintln!(
            "skipped: gcloud with its Pub/Sub emulator is not installed (google-cloud-cli-pubsub-emulator)"
        );
        return;
    };
    let seen = Seen::default();
    let mut service = Service::start(jobs(&seen)).await;
    let target = Target {
        forward_url: service.url.clone(),
        audience: AUDIENCE.to_owned(),
        email: PUBSUB.to_owned(),
    };
    let issuer = RunningIssuer::at(&service.issuer.url()).unwrap();
    let proxy = Proxy::start("127.0.0.1:0".parse().unwrap(), target, issuer).await.unwrap();
    let endpoint = format!("--push-endpoint={}/pubsub/done", proxy.url());

    let google = tokio::task::spawn_blocking(move || {
        google.gcloud(&["pubsub", "topics", "create", "orders"]);
        let create = ["pubsub", "subscriptions", "create"];
        google.gcloud(
            &[&create[..], &["wrapped", "--topic=orders", &endpoint, "--ack-deadline=60"]].concat(),
        );
        let unwrapped =
            ["--push-no-wrapper", "--push-no-wrapper-write-metadata", "--ack-deadline=60"];
        google.gcloud(
            &[&create[..], &["unwrapped", "--topic=orders", &endpoint], &unwrapped].concat(),
        );
        google.gcloud(&[
            "pubsub",
            "topics",
            "publish",
            "orders",
            "--message=1",
            "--attribute=kind=order",
        ]);
        google
    })
    .await
    .unwrap();
    // gcloud publishes one message a second; the rest go the way of the client libraries.
    let publish = format!("{}/v1/projects/{PROJECT}/topics/orders:publish", google.url);
    let messages: Vec<_> = (2..=MESSAGES)
        .map(|number| json!({"data": STANDARD.encode(format!("{MARKER}-{number}")), "attributes": {"kind": "order"}}))
        .collect();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let published =
        client.post(publish).body(json!({"messages": messages}).to_string()).send().await.unwrap();
    assert_eq!(published.status().as_u16(), 200);

    let mut done = [BTreeSet::new(), BTreeSet::new()];
    while done.iter().any(|ids| ids.len() < MESSAGES) {
        let record = service.record().await;
        // The emulator, too, delivers at least once.
        if field(&record, "outcome") != "duplicate" {
            assert_eq!(field(&record, "outcome"), "done", "{record}");
            let is_wrapped = record["invocation"]["pubsub"]["wrapped"].as_bool().unwrap();
            let subscription = if is_wrapped { "wrapped" } else { "unwrapped" };
            let id = field(&record, "id").to_owned();
            assert!(
                id.starts_with(&format!("projects/{PROJECT}/subscriptions/{subscription}/")),
                "{id}"
            );
            assert!(done[usize::from(is_wrapped)].insert(id), "an id is done twice");
        }
    }
    let handed = seen.all();
    assert_eq!(handed.len(), 2 * MESSAGES);
    assert!(handed.iter().all(|invocation| invocation.attributes["kind"] == "order"));
    let payloads: BTreeSet<_> =
        handed.iter().map(|invocation| invocation.payload.as_str()).collect();
    assert_eq!(payloads.len(), MESSAGES);
    drop(google);
    proxy.stop().await;
}
