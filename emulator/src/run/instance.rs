//! Revisions as processes of this machine, in the place of containers: `--run NAME=PROGRAM`.
//!
//! Source: <https://cloud.google.com/run/docs/container-contract>.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    sync::Mutex,
    time::{sleep, timeout},
};

use super::{name::ServiceName, revision::Revision};
use crate::{child_process, google::Google, local_server::bind_loopback};

/// How long a program may take until it listens. Google waits four minutes.
const START_WITHIN: Duration = Duration::from_secs(30);

/// How often it is tried meanwhile.
const TRY_EVERY: Duration = Duration::from_millis(5);

/// The processes that run, by service and revision.
#[derive(Debug, Default)]
pub(super) struct Instances(Mutex<BTreeMap<(ServiceName, String), Instance>>);

/// A process. It is killed when dropped.
#[derive(Debug)]
struct Instance {
    child: Child,
    url: String,
}

impl Instances {
    /// Where the revision's process listens; it is started where there is none, or none any more.
    ///
    /// # Errors
    /// A sentence that says why it does not run.
    pub(super) async fn url(
        &self,
        google: &Google,
        service: &ServiceName,
        revision: &Revision,
        program: &Path,
    ) -> Result<String, String> {
        let mut instances = self.0.lock().await;
        let key = (service.clone(), revision.name.clone());
        if let Some(instance) = instances.get_mut(&key)
            && matches!(instance.child.try_wait(), Ok(None))
        {
            return Ok(instance.url.clone());
        }
        let instance = start(google, service, revision, program).await?;
        let url = instance.url.clone();
        instances.insert(key, instance);
        Ok(url)
    }

    /// Ends the processes of a service's revisions that are not among the `kept`.
    pub(super) async fn keep(&self, service: &ServiceName, kept: &[String]) {
        let mut instances = self.0.lock().await;
        let ending: Vec<_> = instances
            .extract_if(.., |(of, revision), _| of == service && !kept.contains(revision))
            .collect();
        // Requests to others must not wait for it.
        drop(instances);
        end(ending.into_iter().map(|(_, instance)| instance)).await;
    }

    /// Ends all of them.
    pub(super) async fn end(&self) {
        let instances = std::mem::take(&mut *self.0.lock().await);
        end(instances.into_values()).await;
    }
}

/// As Cloud Run ends instances: SIGTERM, and ten seconds later SIGKILL.
async fn end(instances: impl Iterator<Item = Instance>) {
    let mut instances: Vec<Instance> = instances.collect();
    for instance in &mut instances {
        // One that is gone needs no signal.
        let _ = child_process::terminate(&mut instance.child).await;
    }
    for mut instance in instances {
        if timeout(child_process::STOP_WITHIN, instance.child.wait()).await.is_err() {
            let _ = instance.child.kill().await;
        }
    }
}

async fn start(
    google: &Google,
    service: &ServiceName,
    revision: &Revision,
    program: &Path,
) -> Result<Instance, String> {
    let port = bind_loopback(0).map_err(|error| error.to_string())?.address.port();
    let mut child = Command::new(program)
        .args(revision.arguments())
        .env_clear()
        .envs(google.run_environment())
        .envs(revision.settings())
        .env("PORT", port.to_string())
        .env("K_SERVICE", &service.id)
        .env("K_CONFIGURATION", &service.id)
        .env("K_REVISION", &revision.name)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
    let listens = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            sleep(TRY_EVERY).await;
        }
    };
    tokio::select! {
        ended = child.wait() => {
            let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(format!("it ended before it listened, with {how}; what it said stands in the emulator's output"))
        }
        listening = timeout(START_WITHIN, listens) => match listening {
            Ok(()) => Ok(Instance { child, url: format!("http://127.0.0.1:{port}") }),
            Err(_) => Err(format!("it did not listen within {} s", START_WITHIN.as_secs())),
        }
    }
}
