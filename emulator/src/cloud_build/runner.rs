//! Steps run as processes of this machine, one after the other, as the build's account.
//!
//! A step's image is not used: what it calls must be installed. The order of the document is one that `waitFor` allows.

use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::{fs, io::AsyncWriteExt as _, process::Command, task::AbortHandle, time::timeout};

use super::{Asked, RunBuilds, Step, expansion::expand};
use crate::{google::Google, iam::Principal, storage};

/// Where nothing is said: <https://cloud.google.com/build/docs/build-config-file-schema#timeout_2>.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// How long the token of the build's account lasts, in seconds.
const TOKEN_SECONDS: i64 = 3600;

/// One build under way.
struct Run {
    google: Arc<Google>,
    tools: Option<PathBuf>,
    id: String,
    account: Option<String>,
    asked: Asked,
    values: BTreeMap<String, String>,
    folder: PathBuf,
}

/// Starts a build; its record is kept up to date from here.
pub(super) fn start(
    google: Arc<Google>,
    run: RunBuilds,
    id: String,
    account: Option<String>,
    asked: Asked,
    values: BTreeMap<String, String>,
) -> AbortHandle {
    let folder = std::env::temp_dir().join(format!("build-{id}"));
    let run =
        Run { tools: run.tools, id, account, asked, values, folder, google: Arc::clone(&google) };
    google.spawn(run.finish()).abort_handle()
}

impl Drop for Run {
    fn drop(&mut self) {
        // Also where it is cancelled, or the emulator stops; what cannot be removed is in a temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Run {
    async fn finish(self) {
        let limit =
            self.asked.timeout.as_deref().and_then(|text| text.strip_suffix('s')?.parse().ok());
        let limit = limit.map_or(TIMEOUT, Duration::from_secs);
        let (status, detail) = match timeout(limit, self.steps()).await {
            Ok(Ok(())) => ("SUCCESS", None),
            Ok(Err(detail)) => ("FAILURE", Some(detail)),
            Err(_) => ("TIMEOUT", Some(format!("it took longer than {} s", limit.as_secs()))),
        };
        let mut changes = json!({"status": status, "finishTime": self.google.clock.now()});
        if let Some(detail) = detail {
            changes["failureInfo"] = json!({"type": "USER_BUILD_STEP", "detail": detail});
            changes["statusDetail"] = detail.into();
        }
        self.google.builds.update(&self.id, changes);
    }

    async fn steps(&self) -> Result<(), String> {
        let workspace = self.folder.join("workspace");
        self.unpack(&workspace).await?;
        let environment = self.environment().map_err(|error| error.to_string())?;
        let sourced = self.folder.join("environment");
        fs::write(&sourced, environment).await.map_err(told("the environment"))?;
        for (index, step) in self.asked.steps.iter().enumerate() {
            let name = if step.id.is_empty() { format!("#{index}") } else { step.id.clone() };
            let ended = self.step(index, step, &workspace).await.map_err(told(&name))?;
            if !ended.success() {
                return Err(format!("the step \"{name}\" failed: {ended}"));
            }
        }
        Ok(())
    }

    /// The source, as `gcloud builds submit` uploaded it, which the build's account must be allowed to read.
    async fn unpack(&self, workspace: &Path) -> Result<(), String> {
        fs::create_dir_all(workspace).await.map_err(told("the workspace"))?;
        // It will hold an access token.
        let private = std::fs::Permissions::from_mode(0o700);
        fs::set_permissions(&self.folder, private).await.map_err(told("the workspace"))?;
        let Some(source) = &self.asked.source.storage_source else { return Ok(()) };
        if let Some(account) = &self.account {
            let principal = Principal::Account(account.clone());
            let bucket = storage::resource(&source.bucket);
            let may = self.google.iam.require(&principal, "storage.objects.get", &bucket);
            may.map_err(|fault| format!("{account} cannot fetch the source: {}", fault.message))?;
        }
        let content = self.google.storage.object(&source.bucket, &source.object);
        let content = content
            .ok_or_else(|| format!("there is no gs://{}/{}", source.bucket, source.object))?;
        // It leaves out what would end up elsewhere.
        let mut tar = Command::new("tar")
            .args(["-xz", "--no-same-owner", "-C"])
            .arg(workspace)
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(told("tar"))?;
        if let Some(mut stdin) = tar.stdin.take() {
            stdin.write_all(&content).await.map_err(told("the source"))?;
        }
        let ended = tar.wait().await.map_err(told("tar"))?;
        if ended.success() {
            Ok(())
        } else {
            Err(format!("the source cannot be unpacked: {ended}"))
        }
    }

    /// Lines of shell that make gcloud speak to this emulator as the build's account.
    fn environment(&self) -> Result<String, crate::Error> {
        let mut lines = self.google.environment().exports(&self.folder);
        if let Some(account) = &self.account {
            let token = self.google.tokens.access_token(account, TOKEN_SECONDS)?;
            lines.push_str(&format!("echo '{token}' >| \"$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE\"\n"));
        }
        if let Some(tools) = &self.tools {
            lines.push_str(&format!("PATH='{}':$PATH\n", tools.display()));
        }
        Ok(lines)
    }

    async fn step(
        &self,
        index: usize,
        step: &Step,
        workspace: &Path,
    ) -> io::Result<std::process::ExitStatus> {
        let expanded = |text: &String| expand(text, |name| self.values.get(name).cloned());
        let mut words: Vec<String> = Vec::new();
        if let Some(script) = &step.script {
            let file = self.folder.join(format!("step-{index}"));
            fs::write(&file, script).await?;
            let executable = std::fs::Permissions::from_mode(0o700);
            fs::set_permissions(&file, executable).await?;
            if !script.starts_with("#!") {
                words.push("bash".to_owned());
            }
            words.push(file.to_string_lossy().into_owned());
        } else {
            words.push(step.entrypoint.as_ref().map_or_else(|| program_of(&step.name), expanded));
            words.extend(step.args.iter().map(expanded));
        }
        let variables = self.asked.options.env.iter().chain(&step.env).map(expanded);
        Command::new("bash")
            .args(["-c", ". \"$1\" && shift && exec \"$@\"", "bash"])
            .arg(self.folder.join("environment"))
            .args(words)
            .envs(variables.filter_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            }))
            .current_dir(workspace.join(expanded(&step.dir)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .status()
            .await
    }
}

/// What an image runs where no step says: a builder's own program, which is called as it is.
fn program_of(image: &str) -> String {
    let name = image.split([':', '@']).next().unwrap_or_default();
    name.rsplit('/').next().unwrap_or_default().to_owned()
}

fn told(what: &str) -> impl FnOnce(io::Error) -> String {
    let what = what.to_owned();
    move |error| format!("{what}: {error}")
}
