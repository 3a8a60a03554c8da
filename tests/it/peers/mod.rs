//! Clients that nobody here wrote: Google's own, for Python and for Node, against the emulator. `scripts/peers`
//! installs them.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use emulator::{Emulator, Options};
use serde_json::Value;

use crate::{
    gcloud::Gcloud,
    harness::{AUDIENCE, Seen, field},
    seed_story::{CALLER, service_of},
};

/// What `scripts/peers` has made, if it was run.
#[expect(clippy::print_stderr, reason = "whoever runs the suite must see that this was skipped")]
pub(crate) fn installed() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    if ["python/bin/python", "node_modules/google-auth-library", "node_modules/@prometheus-io"]
        .iter()
        .all(|part| folder.join(part).exists())
    {
        return Some(folder);
    }
    eprintln!("skipped: Google's clients for Python and Node are not installed (scripts/peers)");
    None
}

fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers").join(name)
}

async fn run(mut command: Command, input: String) -> Output {
    let ran = move || {
        let pipe = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipe.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    tokio::task::spawn_blocking(ran).await.unwrap()
}

/// Those of the queries that Prometheus's own grammar does not take, and why.
pub(crate) async fn not_promql(folder: &Path, queries: &[String]) -> String {
    let mut node = Command::new("node");
    node.arg(program("promql.mjs")).arg(folder.join("node_modules/"));
    let output = run(node, queries.join("\n")).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    printed(&output)
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn google_s_python_clients_create_a_task_and_a_job_that_arrive() {
    let Some(folder) = installed() else { return };
    let emulator = Emulator::start(Options::default()).await.unwrap();
    emulator.create_account("schedulerunner").unwrap();
    let seen = Seen::default();
    let mut service = service_of(&emulator, &seen, AUDIENCE, &[]).await;
    let mut command = Command::new(folder.join("python/bin/python"));
    command.arg(program("create.py")).args([
        &emulator.url(),
        "demo-project",
        &service.url,
        CALLER,
        AUDIENCE,
    ]);
    let output = run(command, String::new()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let records = service.records(2).await;
    for sender in ["tasks", "scheduler"] {
        let record = records.iter().find(|record| field(record, "sender") == sender).unwrap();
        assert_eq!(field(record, "outcome"), "done", "{record}");
    }
    let payloads: Vec<String> = seen.all().into_iter().map(|one| one.payload).collect();
    assert!(payloads.contains(&"\"PAYLOAD-MARKER\"".to_owned()), "the task's body arrives");
}

#[tokio::test(flavor = "multi_thread")]
async fn google_s_libraries_accept_the_token_and_refuse_the_spoilt_ones() {
    let Some(folder) = installed() else { return };
    // The two refuse any issuer but Google's.
    let issuer = emulator::Issuer::start_as(0, "https://accounts.google.com").await.unwrap();
    let whole = issuer.id_token(AUDIENCE, CALLER);
    let stranger = emulator::SigningKey::generate().unwrap();
    let good = issuer.sign(&whole).unwrap();
    let tokens = [
        ("whole", good.clone(), true),
        ("expired", issuer.sign(&whole.clone().aged(7200)).unwrap(), false),
        ("for another audience", issuer.token("https://b.example", CALLER).unwrap(), false),
        ("signed by a stranger", emulator::forgery::sign_again(&good, &stranger).unwrap(), false),
        ("stripped", emulator::forgery::strip_signature(&good), false),
    ];
    for (about, token, is_good) in tokens {
        for certs_url in [issuer.certificates_url(), issuer.keys_url()] {
            let mut python = Command::new(folder.join("python/bin/python"));
            python.arg(program("verify.py")).args([&certs_url, AUDIENCE]);
            check(about, "google-auth", is_good, &run(python, token.clone()).await);
        }
        let mut node = Command::new("node");
        let modules = folder.join("node_modules/");
        node.arg(program("verify.mjs")).arg(modules).args([
            &issuer.certificates_url(),
            AUDIENCE,
            issuer.name(),
        ]);
        check(about, "google-auth-library", is_good, &run(node, token).await);
    }
}

fn check(about: &str, library: &str, is_good: bool, output: &Output) {
    assert_eq!(output.status.success(), is_good, "{library}, a token that is {about}");
    let expected = if is_good { CALLER } else { "" };
    assert_eq!(printed(output), expected, "{library}, a token that is {about}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(error.starts_with("refused"), !is_good, "{library}, {about}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_prints_identity_tokens_that_the_service_accepts_by_impersonation_and_by_key_file() {
    let Some(gcloud) = Gcloud::start(Options::default()).await else { return };
    let seen = Seen::default();
    let mut service = service_of(&gcloud.emulator, &seen, AUDIENCE, &[]).await;
    gcloud.ok("gcloud iam service-accounts create schedulerunner").await;
    let print = format!("gcloud auth print-identity-token --audiences={AUDIENCE}");
    let impersonate = format!("{print} --impersonate-service-account={CALLER} --include-email");
    // Not even an owner may, before it is granted.
    let refusal = gcloud.refused(&impersonate).await;
    assert!(refusal.contains("PERMISSION_DENIED"), "{refusal}");
    gcloud
        .ok(&format!("gcloud iam service-accounts add-iam-policy-binding {CALLER} --member=user:developer@example.com --role=roles/iam.serviceAccountTokenCreator"))
        .await;
    let impersonated = gcloud.ok(&impersonate).await;
    let key = gcloud.folder.join("key.json");
    let path = key.display();
    gcloud
        .ok(&format!("gcloud iam service-accounts keys create {path} --iam-account={CALLER}"))
        .await;
    // In a shell of its own settings: an access token file would win over an activated account.
    let by_key = gcloud
        .ok(&format!(
            "unset CLOUDSDK_AUTH_ACCESS_TOKEN_FILE; gcloud auth activate-service-account --key-file={path} && {print}"
        ))
        .await;
    for token in [impersonated, by_key] {
        let task = emulator::senders::tasks::Attempt::first("receipts", &token.len().to_string());
        let token = service.secret(token);
        let (answer, record) = service.send("/tasks/done", &task.delivery().bearer(&token)).await;
        assert_eq!(answer.status, 204, "{record}");
        assert_eq!(record["invocation"]["caller"]["email"], Value::from(CALLER));
    }
}
