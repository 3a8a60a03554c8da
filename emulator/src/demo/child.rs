//! The receiver as a child process, and its standard output as records.

use std::{io, path::Path, process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    time::timeout,
};

use super::{AUDIENCE, genuine::caller};
use crate::{
    child_process::{self, STOP_WITHIN},
    emulator::Emulator,
    error::Error,
    senders::Sender,
};

/// How long the receiver may take until it listens.
const START_WITHIN: Duration = Duration::from_secs(10);

/// How long a record may take after its answer.
const RECORD_WITHIN: Duration = Duration::from_secs(5);

/// A running receiver. It is killed when dropped.
#[derive(Debug)]
pub(super) struct Service {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    url: String,
    strays: Vec<String>,
}

/// What was left when the receiver had stopped.
#[derive(Debug)]
pub(super) struct Ending {
    /// Records that no delivery accounts for.
    pub(super) records: Vec<Value>,
    /// Lines of standard output that are no JSON.
    pub(super) strays: Vec<String>,
}

impl Service {
    /// Starts the binary with a whole environment of its own, and waits until it says that it listens.
    ///
    /// # Errors
    /// [`Error::Service`] if it cannot be started, ends, or does not listen in time.
    pub(super) async fn start(binary: &Path, emulator: &Emulator) -> Result<Service, Error> {
        // A name without a slash would be looked up in the search path, which the child has not.
        let found = binary.canonicalize();
        let binary = found.map_err(|error| {
            Error::Service(format!("is not at {}: {error}; build it first", binary.display()))
        })?;
        let mut child = Command::new(&binary)
            .env_clear()
            .envs([
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("AUTH", "verify"),
                ("AUDIENCE", AUDIENCE),
                ("OIDC_ISSUER", emulator.issuer()),
                ("OIDC_KEYS_URL", &emulator.keys_url()),
                ("SCHEDULER_CALLERS", caller(Sender::Scheduler)),
                ("TASKS_CALLERS", caller(Sender::Tasks)),
                ("PUBSUB_CALLERS", caller(Sender::PubSub)),
                ("EVENTS_CALLERS", caller(Sender::Eventarc)),
                ("LOG_FORMAT", "json"),
                ("DEDUP", "memory"),
                ("GOOGLE_CLOUD_PROJECT", "demo-project"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Error::Service(format!("cannot be run: {error}")))?;
        let (tell, lines) = mpsc::unbounded_channel();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read_lines(stdout, tell));
        }
        let mut service = Service { child, lines, url: String::new(), strays: Vec::new() };
        service.url = timeout(START_WITHIN, service.listening())
            .await
            .map_err(|_| Error::Service(format!("did not listen within {START_WITHIN:?}")))??;
        Ok(service)
    }

    /// Where it listens, without a slash at the end.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The next record, or `None` if none comes in time.
    pub(super) async fn next_record(&mut self) -> Option<Value> {
        let next = async {
            loop {
                let line = self.lines.recv().await?;
                if let Some(record) = self.record(line) {
                    return Some(record);
                }
            }
        };
        timeout(RECORD_WITHIN, next).await.ok().flatten()
    }

    /// The records that are there without having been waited for: a delivery left more than one.
    pub(super) fn surplus_records(&mut self) -> Vec<Value> {
        let mut records = Vec::new();
        while let Ok(line) = self.lines.try_recv() {
            records.extend(self.record(line));
        }
        records
    }

    /// SIGTERM, as Cloud Run sends it; what is left must be gone in time, with exit code 0.
    ///
    /// # Errors
    /// [`Error::Service`] if it is not; then it is killed.
    pub(super) async fn stop(mut self) -> Result<Ending, Error> {
        let sent = child_process::terminate(&mut self.child).await;
        sent.map_err(|error| Error::Service(format!("cannot be sent SIGTERM: {error}")))?;
        let ended = timeout(STOP_WITHIN, self.child.wait()).await;
        let Ok(status) = ended else {
            let killed = self.child.kill().await;
            killed.map_err(|error| Error::Service(format!("cannot be killed: {error}")))?;
            return Err(Error::Service(format!("did not stop within {STOP_WITHIN:?} of SIGTERM")));
        };
        let status = status.map_err(lost)?;
        if !status.success() {
            return Err(Error::Service(format!("stopped with {status} instead of exit code 0")));
        }
        let mut records = Vec::new();
        while let Some(line) = self.lines.recv().await {
            records.extend(self.record(line));
        }
        Ok(Ending { records, strays: self.strays })
    }

    /// The invocation in a line of the log, if it is a record.
    fn record(&mut self, line: String) -> Option<Value> {
        match serde_json::from_str::<Value>(&line) {
            Ok(mut object) => object.get_mut("invocation").map(Value::take),
            Err(_) => {
                self.strays.push(line);
                None
            }
        }
    }

    async fn listening(&mut self) -> Result<String, Error> {
        while let Some(line) = self.lines.recv().await {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            let message = line.get("message").and_then(Value::as_str);
            if let Some(url) = message.and_then(|text| text.strip_prefix("listening on ")) {
                return Ok(url.trim_end_matches('/').to_owned());
            }
        }
        let status = self.child.wait().await.map_err(lost)?;
        Err(Error::Service(format!("ended before it listened, with {status}")))
    }
}

fn lost(error: io::Error) -> Error {
    Error::Service(format!("cannot be waited for: {error}"))
}

/// Passes lines on until the child closes its output or nobody listens.
async fn read_lines(stdout: ChildStdout, tell: mpsc::UnboundedSender<String>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if tell.send(line).is_err() {
            return;
        }
    }
}
