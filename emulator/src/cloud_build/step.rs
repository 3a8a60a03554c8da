//! One step as a process of this machine.

use std::{
    io::{self, Write as _, stderr},
    path::{Component, Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    fs,
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Command,
    time::timeout,
};

use super::asked::Step;
use crate::child_process::Group;

/// How long the output of a step is waited for once it has ended.
const OUTPUT_WITHIN: Duration = Duration::from_secs(1);

/// The builders of Cloud Build's own, which are called by the name of their program
/// (<https://cloud.google.com/build/docs/cloud-builders>).
const BUILDERS: &str = "gcr.io/cloud-builders/";

/// Where a step runs.
pub(super) struct Place<'a> {
    /// Where its script is written.
    pub(super) folder: &'a Path,
    /// `/workspace`, which all steps share.
    pub(super) workspace: &'a Path,
    /// All variables that it gets beside its own.
    pub(super) environment: &'a [(String, String)],
    /// What each line of its output begins with.
    pub(super) prefix: String,
}

/// Runs a step to its end. It is killed, with all that it started, where this is dropped.
///
/// # Errors
/// A sentence that says why it cannot be run.
pub(super) async fn run(
    step: &Step,
    index: usize,
    place: &Place<'_>,
) -> Result<ExitStatus, String> {
    let words = words(step, index, place).await?;
    let Some((program, arguments)) = words.split_first() else {
        return Err(format!(
            "what the image {} runs by itself is not known here; say entrypoint, args or script",
            step.name
        ));
    };
    let directory = directory(&step.dir, place.workspace)?;
    fs::create_dir_all(&directory).await.map_err(|error| format!("dir {:?}: {error}", step.dir))?;
    let own = step.env.iter().filter_map(|pair| pair.split_once('='));
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(place.environment.iter().map(|(name, value)| (name, value)))
        .envs(own)
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program} cannot be run on this machine: {error}"))?;
    let group = Group::of(&child);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let prefix = place.prefix.clone();
    let mut printing = tokio::spawn(async move {
        tokio::join!(print(out, &prefix), print(err, &prefix));
    });
    let ended = child.wait().await.map_err(|error| error.to_string())?;
    drop(group);
    // What left the group may hold the output open.
    if timeout(OUTPUT_WITHIN, &mut printing).await.is_err() {
        printing.abort();
    }
    Ok(ended)
}

/// The program and its arguments; nothing where an image alone knows.
async fn words(step: &Step, index: usize, place: &Place<'_>) -> Result<Vec<String>, String> {
    if !step.script.is_empty() {
        let file = place.folder.join(format!("step-{index}"));
        let fault = |error: io::Error| format!("its script cannot be written: {error}");
        fs::write(&file, &step.script).await.map_err(fault)?;
        let mut words = interpreter(&step.script);
        words.push(file.to_string_lossy().into_owned());
        return Ok(words);
    }
    let program = match (&*step.entrypoint, step.name.strip_prefix(BUILDERS)) {
        ("", Some(builder)) => builder.split([':', '@', '/']).next().unwrap_or_default(),
        (entrypoint, _) => entrypoint,
    };
    let program = Some(program).filter(|program| !program.is_empty()).map(str::to_owned);
    Ok(program.into_iter().chain(step.args.iter().cloned()).collect())
}

/// What reads a script: what its first line says, as the system reads that, or else the plain shell
/// (<https://cloud.google.com/build/docs/configuring-builds/run-bash-scripts>).
fn interpreter(script: &str) -> Vec<String> {
    let first = script.lines().next().and_then(|line| line.strip_prefix("#!")).unwrap_or_default();
    match first.trim().split_once(char::is_whitespace) {
        Some((program, argument)) => vec![program.to_owned(), argument.trim().to_owned()],
        None if first.trim().is_empty() => vec!["/bin/sh".to_owned()],
        None => vec![first.trim().to_owned()],
    }
}

/// Where a step begins; `/workspace` is a folder of the build here.
fn directory(said: &str, workspace: &Path) -> Result<PathBuf, String> {
    let said = Path::new(said);
    let within = said.strip_prefix("/workspace").unwrap_or(said);
    if within.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Ok(workspace.join(within));
    }
    Err(format!("its dir {} is outside of /workspace, which alone is here", said.display()))
}

/// Passes lines on to the emulator's own standard error.
async fn print(output: Option<impl AsyncRead + Unpin>, prefix: &str) {
    let Some(output) = output else { return };
    let mut lines = BufReader::new(output).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        // Where nobody reads, the step goes on.
        let _ = writeln!(stderr().lock(), "{prefix}{}", line.trim_end_matches('\r'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_by_what_its_first_line_says() {
        for (script, expected) in [
            ("echo", vec!["/bin/sh"]),
            ("", vec!["/bin/sh"]),
            ("#!\necho", vec!["/bin/sh"]),
            ("#!/bin/bash\necho", vec!["/bin/bash"]),
            ("#! /usr/bin/env -S bash -eu\necho", vec!["/usr/bin/env", "-S bash -eu"]),
        ] {
            assert_eq!(interpreter(script), expected, "{script}");
        }
    }

    #[test]
    fn a_step_begins_within_the_workspace() {
        let workspace = Path::new("/tmp/build-1/workspace");
        for (said, expected) in [
            ("", Some("")),
            ("a/./b", Some("a/b")),
            ("/workspace", Some("")),
            ("/workspace/a", Some("a")),
            ("/etc", None),
            ("a/../..", None),
        ] {
            let expected = expected.map(|within| workspace.join(within));
            assert_eq!(directory(said, workspace).ok(), expected, "{said}");
        }
    }

    #[tokio::test]
    async fn what_an_image_calls_is_known_of_builders_alone() {
        let place = Place {
            folder: Path::new("/"),
            workspace: Path::new("/"),
            environment: &[],
            prefix: String::new(),
        };
        for (name, entrypoint, args, expected) in [
            ("gcr.io/cloud-builders/docker", "", vec!["ps"], vec!["docker", "ps"]),
            ("gcr.io/cloud-builders/docker:20", "bash", vec!["x"], vec!["bash", "x"]),
            (
                "gcr.io/google.com/cloudsdktool/google-cloud-cli:slim",
                "",
                vec!["gcloud"],
                vec!["gcloud"],
            ),
            ("ubuntu", "", vec![], vec![]),
        ] {
            let step = Step {
                name: name.to_owned(),
                entrypoint: entrypoint.to_owned(),
                args: args.into_iter().map(str::to_owned).collect(),
                ..Step::default()
            };
            assert_eq!(words(&step, 0, &place).await.unwrap(), expected, "{name}");
        }
    }
}
