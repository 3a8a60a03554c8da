//! One build under way: its source is unpacked, and its steps are run one after the other, as the build's account.

use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{task::JoinHandle, time::timeout};

use super::{
    RunBuilds,
    asked::{Asked, Step, TIMEOUT},
    document::{Document, Failure},
    source, step,
    substitution::Values,
};
use crate::google::Google;

/// One build under way.
pub(super) struct Builder {
    pub(super) google: Arc<Google>,
    pub(super) run: RunBuilds,
    pub(super) id: String,
    /// The email of the account that it is run as.
    pub(super) account: String,
    pub(super) asked: Asked,
    pub(super) values: Values,
}

/// A build's own folder, removed when dropped: also where the build is cancelled, or the emulator stops.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is in a temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Builder {
    /// Sets it going; its record is kept up to date from here.
    pub(super) fn start(self) -> JoinHandle<()> {
        let google = Arc::clone(&self.google);
        google.spawn(self.see_through())
    }

    async fn see_through(self) {
        let limit = self.asked.timeout.unwrap_or(TIMEOUT).0;
        let ended = timeout(limit, self.steps(limit)).await.unwrap_or_else(|_| {
            Err(Failure {
                status: "TIMEOUT",
                kind: "USER_BUILD_STEP",
                detail: format!("the build took longer than its timeout, {limit:?}"),
            })
        });
        self.record(|document| document.end(self.google.clock.now(), ended));
    }

    async fn steps(&self, limit: Duration) -> Result<(), Failure> {
        let fault = |error: std::io::Error| Failure::of_source(format!("the workspace: {error}"));
        let folder = Folder(env::temp_dir().join(format!("build-{}", self.id)));
        let (workspace, home) = (folder.0.join("workspace"), folder.0.join("home"));
        // It will hold an access token.
        fs::DirBuilder::new().mode(0o700).create(&folder.0).map_err(fault)?;
        fs::create_dir(&workspace).map_err(fault)?;
        fs::create_dir(&home).map_err(fault)?;
        if let Some(source) = self.asked.source.as_ref().and_then(|one| one.storage_source.as_ref())
        {
            source::unpack(&self.google, source, &workspace).await?;
        }
        let environment = self.environment(&home, limit)?;
        for (index, step) in self.asked.steps.iter().enumerate() {
            let mut environment = environment.clone();
            if step.automap_substitutions || self.asked.options.automap_substitutions {
                environment.extend(self.values.clone());
            }
            let short = self.id.get(..8).unwrap_or_default();
            let place = step::Place {
                folder: &folder.0,
                workspace: &workspace,
                environment: &environment,
                prefix: format!("build {short}: Step #{index} - {:?}: ", step.id),
            };
            self.step(index, step, &place).await?;
        }
        Ok(())
    }

    /// Runs one step, and keeps its part of the record.
    async fn step(
        &self,
        index: usize,
        step: &Step,
        place: &step::Place<'_>,
    ) -> Result<(), Failure> {
        let now = || self.google.clock.now();
        let title = step.title(index);
        self.record(|document| document.begin_step(index, now()));
        let running = step::run(step, index, place);
        let ended = match step.timeout {
            Some(limit) => timeout(limit.0, running).await,
            None => Ok(running.await),
        };
        let (status, code, ended) = match ended {
            Ok(Ok(ended)) if ended.success() => ("SUCCESS", Some(0), Ok(())),
            Ok(Ok(ended)) => {
                let fault = Failure::of_step(format!("{title} failed: {ended}"));
                ("FAILURE", ended.code(), Err(fault))
            }
            Ok(Err(reason)) => {
                ("FAILURE", None, Err(Failure::of_step(format!("{title} failed: {reason}"))))
            }
            // What becomes of the build then is not documented.
            Err(_) => {
                let detail = format!("{title} took longer than its timeout");
                let fault = Failure { status: "TIMEOUT", ..Failure::of_step(detail) };
                ("TIMEOUT", None, Err(fault))
            }
        };
        self.record(|document| document.end_step(index, now(), status, code));
        let codes = &step.allow_exit_codes;
        let is_allowed = step.allow_failure || code.is_some_and(|code| codes.contains(&code));
        if is_allowed && status == "FAILURE" { Ok(()) } else { ended }
    }

    /// The variables of every step: where programs are, and what makes gcloud speak to this emulator as the build's
    /// account.
    fn environment(&self, home: &Path, limit: Duration) -> Result<Vec<(String, String)>, Failure> {
        let fault = |error: String| Failure::of_step(format!("the steps' environment: {error}"));
        let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let token = self.google.tokens.access_token(&self.account, seconds);
        let token = token.map_err(|error| fault(error.to_string()))?;
        let mut variables = self.google.environment().gcloud(&home.join("gcloud"));
        let file = home.join("access-token");
        fs::write(&file, token).map_err(|error| fault(error.to_string()))?;
        let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
        set("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", file.to_string_lossy().into_owned());
        set("HOME", home.to_string_lossy().into_owned());
        // These look in the home of whoever installed them, which is not a step's.
        for (name, within_home) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            let folder = of_machine(name).map(PathBuf::from);
            let folder = folder.or_else(|| Some(env::home_dir()?.join(within_home)));
            if let Some(folder) = folder.filter(|folder| folder.is_dir()) {
                set(name, folder.to_string_lossy().into_owned());
            }
        }
        let folders = of_machine("PATH").unwrap_or_default();
        let folders = self.run.tools.clone().into_iter().chain(env::split_paths(&folders));
        let path = env::join_paths(folders).map_err(|error| fault(error.to_string()))?;
        set("PATH", path.to_string_lossy().into_owned());
        let own = self.asked.options.env.iter().filter_map(|pair| pair.split_once('='));
        own.for_each(|(name, value)| set(name, value.to_owned()));
        Ok(variables)
    }

    fn record(&self, change: impl FnOnce(&mut Document)) {
        self.google.builds.with(&self.id, |build| change(&mut build.document));
    }
}

/// A variable by which this machine's programs are found: they stand in for those of images.
#[expect(clippy::disallowed_methods, reason = "no setting of ours, and of the moment")]
fn of_machine(name: &str) -> Option<OsString> {
    env::var_os(name)
}
