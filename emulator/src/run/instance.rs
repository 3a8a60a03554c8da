//! A revision as a process of this machine, in the place of a container: `--run NAME=PROGRAM`.
//!
//! Source: <https://cloud.google.com/run/docs/container-contract>.

use std::{
    ffi::OsString,
    path::Path,
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{name::ServiceName, output::Output, revision::Revision};
use crate::{
    child_process::{self, Group},
    google::Google,
    local_server::bind_loopback,
};

/// How long a program may take until it listens. Google waits four minutes.
const START_WITHIN: Duration = Duration::from_secs(30);

/// How often it is tried meanwhile.
const TRY_EVERY: Duration = Duration::from_millis(5);

/// A process, the leader of a group with what it starts itself. It is killed when dropped.
#[derive(Debug)]
pub(super) struct Instance {
    child: Mutex<Child>,
    group: Group,
    output: Output,
    /// Where it listens, without a slash at the end.
    pub(super) url: String,
}

impl Instance {
    /// Starts the program as the revision says, and waits until it takes connections on the port that it is told.
    ///
    /// # Errors
    /// A sentence that says what it did instead.
    pub(super) async fn start(
        google: &Google,
        service: &ServiceName,
        revision: &Revision,
        program: &Path,
    ) -> Result<Instance, String> {
        let port = bind_loopback(0).map_err(|error| error.to_string())?.address.port();
        let mut child = Command::new(program)
            .args(revision.arguments())
            .env_clear()
            .envs(search_path().map(|path| ("PATH", path)))
            .envs(google.run_environment())
            .envs(revision.settings())
            .env("PORT", port.to_string())
            .env("K_SERVICE", &service.id)
            .env("K_CONFIGURATION", &service.id)
            .env("K_REVISION", &revision.name)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What ends a container ends all that is in it; and Ctrl-C is for the emulator, which then sends SIGTERM.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
        let group = Group::of(&child);
        let output = Output::follow(google, &mut child, service, &revision.name);
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                sleep(TRY_EVERY).await;
            }
        };
        let fault = tokio::select! {
            // Whoever listens there is not this program, once it has ended.
            biased;
            ended = child.wait() => {
                let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                format!("it ended before that, with {how}; what it said stands in the emulator's output")
            }
            listening = timeout(START_WITHIN, listens) => match listening {
                Ok(()) => {
                    return Ok(Instance {
                        child: Mutex::new(child),
                        group,
                        output,
                        url: format!("http://127.0.0.1:{port}"),
                    });
                }
                Err(_) => format!("it did not within {} s", START_WITHIN.as_secs()),
            },
        };
        drop(group);
        // What it said is there to be read before this says so.
        output.end().await;
        Err(fault)
    }

    /// Whether it has not ended by itself.
    pub(super) fn is_running(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(child.try_wait(), Ok(None))
    }

    /// As Cloud Run ends instances: SIGTERM, and ten seconds later SIGKILL; what it started itself goes with it.
    pub(super) async fn end(self) {
        let mut child = self.child.into_inner().unwrap_or_else(PoisonError::into_inner);
        // One that is gone needs no signal.
        let _ = child_process::terminate(&mut child).await;
        let _ = timeout(child_process::STOP_WITHIN, child.wait()).await;
        drop(self.group);
        // Takes notice of its end, so that nothing is left of it.
        let _ = child.wait().await;
        self.output.end().await;
    }
}

/// Where the emulator's own programs are found: a revision's wrapper finds the same ones.
#[expect(clippy::disallowed_methods, reason = "it is no setting, and is only passed on")]
fn search_path() -> Option<OsString> {
    std::env::var_os("PATH")
}
