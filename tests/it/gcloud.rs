//! The real `gcloud`, set up for an emulator by what `emulator env` prints and by nothing else.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use emulator::{Emulator, Options};
use serde_json::Value;

/// Where everything regional is.
pub(crate) const REGION: &str = "us-central1";

/// An emulator, and a shell in which `gcloud` speaks to it.
pub(crate) struct Gcloud {
    pub(crate) emulator: Emulator,
    /// For gcloud's own files, removed when dropped.
    pub(crate) folder: PathBuf,
    exports: String,
}

impl Drop for Gcloud {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Gcloud {
    /// `None`, and a line that says so, where gcloud is not installed.
    #[expect(
        clippy::print_stderr,
        reason = "whoever runs the suite must see that this was skipped"
    )]
    pub(crate) async fn start(options: Options) -> Option<Self> {
        if Command::new("gcloud").arg("--version").output().is_err() {
            eprintln!("skipped: gcloud is not installed (google-cloud-cli)");
            return None;
        }
        let emulator = Emulator::start(options).await.unwrap();
        let port = emulator.url().rsplit_once(':').unwrap().1.to_owned();
        let folder = std::env::temp_dir().join(format!("gcloud-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let exports = emulator.environment().exports(&folder);
        Some(Self { emulator, folder, exports })
    }

    /// Runs a line of shell and gives what it printed, which must have ended well.
    pub(crate) async fn ok(&self, line: &str) -> String {
        let output = self.shell(line).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{error}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The same, printed as JSON by `--format=json`.
    pub(crate) async fn json(&self, line: &str) -> Value {
        let text = self.ok(&format!("{line} --format=json")).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}\n{text}"))
    }

    /// Runs a line of shell that must fail, and gives what gcloud said.
    pub(crate) async fn refused(&self, line: &str) -> String {
        let output = self.shell(line).await;
        assert!(!output.status.success(), "{line}: is not refused");
        let error = String::from_utf8(output.stderr).unwrap();
        // A reply that it cannot read is a fault of the emulator, whatever the exit code.
        assert!(!error.contains("gcloud crashed"), "{line}\n{error}");
        error
    }

    /// Runs a line of shell, however it ends.
    pub(crate) async fn shell(&self, line: &str) -> Output {
        let script = format!("set -eu\n{}\n{line}", self.exports);
        let ran = move || Command::new("bash").args(["-c", &script]).output().unwrap();
        tokio::task::spawn_blocking(ran).await.unwrap()
    }
}
