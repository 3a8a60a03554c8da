//! The emulator with two accounts, a receiver behind its Cloud Run front end, and whoever calls.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use caller::Environment;
use emulator::{Emulator, Options};
use receiver::{
    config::Config,
    invocation::Invocation,
    job_table::Jobs,
    record::{Format, Records},
    server::Server,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Longer than anything here takes, for what should happen but may not.
const PATIENCE: Duration = Duration::from_secs(30);

/// An account that the receiver lets in.
pub(crate) const CALLER: &str = "caller@demo-project.iam.gserviceaccount.com";
/// One that it does not know.
pub(crate) const OTHER: &str = "stranger@demo-project.iam.gserviceaccount.com";
/// The account of the emulator's metadata server.
pub(crate) const MACHINE: &str = "123456789012-compute@developer.gserviceaccount.com";

pub(crate) struct Lab {
    pub(crate) emulator: Emulator,
    /// The receiver as Cloud Run shows it, which is the audience too.
    pub(crate) url: String,
    pub(crate) folder: PathBuf,
    records: mpsc::Receiver<Value>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Lab {
    pub(crate) async fn start() -> Lab {
        Lab::with(&[]).await
    }

    /// With some of the usual settings changed.
    pub(crate) async fn with(changes: &[(&str, &str)]) -> Lab {
        let mut jobs = Jobs::default();
        jobs.scheduler("probe", async |_: Invocation<()>| Ok(()));
        jobs.tasks("send-receipt", async |_: Invocation<Value>| Ok(()));
        let emulator = Emulator::start(Options::default()).await.unwrap();
        for id in ["caller", "stranger"] {
            emulator.create_account(id).unwrap();
        }
        let url = deploy(&emulator.url()).await;
        let mut settings: BTreeMap<&str, String> = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("AUTH", "verify"),
            ("AUDIENCE", &url),
            ("SCHEDULER_CALLERS", CALLER),
            ("TASKS_CALLERS", &format!("{CALLER}|{MACHINE}")),
            ("DEDUP", "off"),
            ("OIDC_ISSUER", emulator.issuer()),
            ("OIDC_KEYS_URL", &emulator.keys_url()),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();
        settings.extend(changes.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let config =
            Config::from_lookup(&jobs.senders(), |name| settings.get(name).cloned()).unwrap();
        let (sink, records) = mpsc::channel();
        let to = Records::to(Format::Json, config.about.clone(), move |line| {
            // The receiving end is gone where a test has ended already.
            let _ = sink.send(serde_json::from_slice(line).unwrap());
        });
        let server = Server::bind(config, jobs, to).unwrap();
        emulator.put_behind("receiver", &format!("http://{}", server.address()));
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let stopped = async { stopped.await.unwrap_or_default() };
            runtime.block_on(server.run(stopped)).unwrap();
        });
        let port = emulator.url().rsplit_once(':').unwrap().1.to_owned();
        let folder = std::env::temp_dir().join(format!("caller-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Lab { emulator, url, folder, records, stop: Some(stop), thread: Some(thread) }
    }

    /// The variables that `emulator env` gives a shell, and a home of their own.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let exports = self.emulator.environment().exports(&self.folder);
        let mut variables: BTreeMap<String, String> = exports
            .lines()
            .filter_map(|line| line.strip_prefix("export ")?.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
            .collect();
        variables.insert("HOME".to_owned(), self.folder.to_string_lossy().into_owned());
        variables
    }

    /// What this process would read if it had those.
    pub(crate) fn environment(&self) -> Environment {
        let variables = self.variables();
        Environment::from_lookup(|name| variables.get(name).cloned())
    }

    /// Asks one of Google's APIs as the project's owner.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Value) -> Value {
        api(&self.emulator.url(), method, path, body).await
    }

    /// Grants a role on a resource; `path` is the API's, up to the colon.
    pub(crate) async fn grant(&self, path: &str, role: &str, member: &str) {
        let policy = self.api("POST", &format!("{path}:getIamPolicy"), json!({})).await;
        let mut bindings = policy["bindings"].as_array().cloned().unwrap_or_default();
        bindings.push(json!({"role": role, "members": [member]}));
        let policy = json!({"policy": {"bindings": bindings}});
        self.api("POST", &format!("{path}:setIamPolicy"), policy).await;
    }

    /// Grants a role on an account.
    pub(crate) async fn grant_on(&self, account: &str, role: &str, member: &str) {
        let path = format!("iam/v1/projects/-/serviceAccounts/{account}");
        self.grant(&path, role, member).await;
    }

    /// Lets an account create tasks in a queue that carry the caller's token.
    pub(crate) async fn let_enqueue(&self, queue: &str, account: &str) {
        let member = format!("serviceAccount:{account}");
        self.grant(&format!("cloudtasks/v2/{queue}"), "roles/cloudtasks.enqueuer", &member).await;
        self.grant_on(CALLER, "roles/iam.serviceAccountUser", &member).await;
    }

    /// Lets an account call the receiver through the front end.
    pub(crate) async fn bind(&self, account: &str) {
        let path = "run/v1/projects/demo-project/locations/us-central1/services/receiver";
        self.grant(path, "roles/run.invoker", &format!("serviceAccount:{account}")).await;
    }

    /// A file with a new key of the account, as gcloud writes it.
    pub(crate) async fn key_file(&self, account: &str) -> PathBuf {
        let path = format!("iam/v1/projects/-/serviceAccounts/{account}/keys");
        let key = self.api("POST", &path, json!({})).await;
        let text = BASE64_STANDARD.decode(key["privateKeyData"].as_str().unwrap()).unwrap();
        self.file(&format!("{}.json", account.split('@').next().unwrap()), &text)
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) async fn create_queue(&self) -> String {
        let parent = "projects/demo-project/locations/us-central1";
        let name = format!("{parent}/queues/receipts");
        let path = format!("cloudtasks/v2/{parent}/queues");
        self.api("POST", &path, json!({"name": name})).await;
        name
    }

    /// The next record of the receiver.
    pub(crate) async fn record(&self) -> Value {
        let next = || self.records.recv_timeout(PATIENCE);
        tokio::task::block_in_place(next).expect("a record in time")
    }

    /// There is no further record.
    pub(crate) fn no_record(&self) {
        assert!(self.records.try_recv().is_err(), "one record more than there should be");
    }

    /// Runs the command with what `emulator env` exports, and `input`.
    pub(crate) async fn run(&self, arguments: &[&str], input: &str) -> Ran {
        self.run_with(&[], arguments, input).await
    }

    /// The same with some variables more; an empty one is not set.
    pub(crate) async fn run_with(
        &self,
        changes: &[(&str, &str)],
        arguments: &[&str],
        input: &str,
    ) -> Ran {
        let mut variables = self.variables();
        variables.extend(changes.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let mut command = Command::new(env!("CARGO_BIN_EXE_oidc-caller"));
        command.args(arguments).env_clear().envs(variables).current_dir(&self.folder);
        let ran = Ran::of(command, input.to_owned()).await;
        ran.is_silent();
        ran
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    pub(crate) complaint: String,
}

impl Ran {
    pub(crate) async fn of(mut command: Command, input: String) -> Ran {
        let run = move || {
            let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = pipes.spawn().unwrap();
            // Whoever does not read has ended.
            let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
            child.wait_with_output().unwrap()
        };
        let Output { status, stdout, stderr } = tokio::task::spawn_blocking(run).await.unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        Ran { code: status.code(), said: text(stdout), complaint: text(stderr) }
    }

    /// What it printed, if it ended well.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{} {}", self.said, self.complaint);
        self.said
    }

    /// The one line that it complained with.
    pub(crate) fn refused(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0), "{}", self.complaint);
        assert_eq!(self.complaint.lines().count(), 1, "{}", self.complaint);
        self.complaint
    }

    /// No complaint has a token in it.
    fn is_silent(&self) {
        assert!(!self.complaint.contains("eyJ"), "a token stands in a complaint");
    }
}

async fn api(url: &str, method: &str, path: &str, body: Value) -> Value {
    let method = method.parse().unwrap();
    let request = reqwest::Client::new().request(method, format!("{url}/{path}"));
    let request = request.bearer_auth("developer").header("content-type", "application/json");
    let request = if body.is_null() { request } else { request.body(body.to_string()) };
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{path}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

/// Deploys the service, closed to all, and gives its URL.
async fn deploy(url: &str) -> String {
    let path = "run/v1/projects/demo-project/locations/us-central1/services";
    let service = json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "receiver", "namespace": "demo-project"},
        "spec": {"template": {"spec": {"containers": [{"image": "example/receiver"}]}}},
    });
    api(url, "POST", path, service).await;
    let service = api(url, "GET", &format!("{path}/receiver"), Value::Null).await;
    service["status"]["url"].as_str().unwrap().to_owned()
}
