//! Builds whose steps are really run, submitted by the real gcloud; the steps call the real gcloud themselves, as the
//! build's account.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
};

use emulator::{Options, RunBuilds};
use serde_json::{Value, json};

use crate::{gcloud::Gcloud, harness::PATIENCE};

const BUILDER: &str = "builder@demo-project.iam.gserviceaccount.com";

/// Steps are run; there is a bucket for sources, and an account that may read it and write logs.
async fn gcloud() -> Option<Gcloud> {
    let run_builds = Some(RunBuilds::default());
    let gcloud = Gcloud::start(Options { run_builds, ..Options::default() }).await?;
    gcloud.emulator.create_account("builder").unwrap();
    gcloud.ok("gcloud storage buckets create gs://sources --location=us-central1").await;
    let viewer = format!("--member=serviceAccount:{BUILDER} --role=roles/storage.objectViewer");
    gcloud
        .ok(&format!("gcloud storage buckets add-iam-policy-binding gs://sources {viewer}"))
        .await;
    grant_on_project(&gcloud, "roles/logging.logWriter").await;
    Some(gcloud)
}

async fn grant_on_project(gcloud: &Gcloud, role: &str) {
    gcloud
        .ok(&format!(
            "gcloud projects add-iam-policy-binding demo-project --member=serviceAccount:{BUILDER} --role={role} --condition=None"
        ))
        .await;
}

/// A command that submits a folder with this build in it, as the account.
fn submit(gcloud: &Gcloud, build: &Value) -> String {
    let folder = gcloud.folder.join("source");
    std::fs::create_dir_all(folder.join("inner")).unwrap();
    std::fs::write(folder.join("inner/file.txt"), "from the source").unwrap();
    std::fs::write(folder.join("build.json"), build.to_string()).unwrap();
    format!(
        "gcloud builds submit {} --config={0}/build.json --region=us-central1 --suppress-logs --gcs-source-staging-dir=gs://sources/source --service-account=projects/demo-project/serviceAccounts/{BUILDER} --format=json",
        folder.display()
    )
}

/// A build of these steps, whose logs go where an account of its own may write them.
fn build(steps: Value) -> Value {
    json!({"steps": steps, "options": {"logging": "CLOUD_LOGGING_ONLY"}})
}

async fn newest(gcloud: &Gcloud) -> Value {
    let listed = gcloud.json("gcloud builds list --region=us-central1 --limit=1").await;
    listed[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_share_a_workspace_and_get_their_substitutions() {
    let Some(gcloud) = gcloud().await else { return };
    let mut build = build(json!([
        {
            "id": "write",
            "name": "ubuntu",
            "dir": "made/here",
            "entrypoint": "bash",
            "args": ["-c", "echo \"$_GREETING $PROJECT_ID $$OWN $(cat /dev/stdin) $(cat ../../inner/file.txt)\" > file.txt"],
            "env": ["OWN=${_GREETING}s"],
        },
        {
            "id": "read",
            "name": "ubuntu",
            "waitFor": ["write"],
            "env": ["EXPECTED=$_EXPECTED"],
            "script": "test \"$(cat made/here/file.txt)\" = \"$EXPECTED\"",
        },
        {
            "name": "ubuntu",
            "script": "#!/usr/bin/env bash\nset -euo pipefail\n[[ $HOME != \"$PWD\" && -z ${CARGO_MANIFEST_DIR:-} ]]",
        },
    ]));
    build["substitutions"] = json!({"_GREETING": "bye", "_EXPECTED": "?"});
    let expected = "hello demo-project hellos  from the source";
    let line = submit(&gcloud, &build);
    let built: Value = serde_json::from_str(
        &gcloud.ok(&format!("{line} --substitutions='_GREETING=hello,_EXPECTED={expected}'")).await,
    )
    .unwrap();
    assert_eq!(built["status"], "SUCCESS");
    assert_eq!(built["warnings"], Value::Null);
    let steps = built["steps"].as_array().unwrap();
    assert!(steps.iter().all(|step| step["status"] == "SUCCESS"), "{built:#}");
    assert_eq!(newest(&gcloud).await["id"], built["id"]);
    let said = gcloud.refused(&format!("{line} --substitutions=_UNUSED=1")).await;
    assert!(said.contains("_UNUSED") && said.contains("not matched in the template"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_may_what_the_build_s_account_may() {
    let Some(gcloud) = gcloud().await else { return };
    let list = json!([{
        "id": "list the topics",
        "name": "gcr.io/google.com/cloudsdktool/google-cloud-cli:slim",
        "args": ["gcloud", "pubsub", "topics", "list"],
    }]);
    let line = submit(&gcloud, &build(list));
    let said = gcloud.refused(&line).await;
    assert!(said.contains("completed with status \"FAILURE\""), "{said}");
    assert!(said.contains("build step 0 \"list the topics\" failed: exit status: 1"), "{said}");
    grant_on_project(&gcloud, "roles/pubsub.viewer").await;
    gcloud.ok(&line).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_step_that_fails_ends_the_build_unless_it_may_fail() {
    let Some(gcloud) = gcloud().await else { return };
    let exit = |code: &str| json!({"name": "ubuntu", "script": format!("exit {code}")});
    let mut allowed = exit("3");
    allowed["allowExitCodes"] = json!([3]);
    let line = submit(&gcloud, &build(json!([allowed, exit("4"), exit("0")])));
    let said = gcloud.refused(&line).await;
    assert!(
        said.contains("BUILD FAILURE: build step 1 \"ubuntu\" failed: exit status: 4"),
        "{said}"
    );
    let built = newest(&gcloud).await;
    assert_eq!(built["failureInfo"]["type"], "USER_BUILD_STEP");
    let steps = built["steps"].as_array().unwrap();
    let statuses: Vec<_> = steps.iter().map(|step| (&step["status"], &step["exitCode"])).collect();
    let (failure, none) = (json!("FAILURE"), Value::Null);
    assert_eq!(
        statuses,
        [(&failure, &json!(3)), (&failure, &json!(4)), (&none, &none)],
        "the last was never run"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn time_limits_and_cancellation_kill_what_runs() {
    let Some(gcloud) = gcloud().await else { return };
    let pipe = gcloud.folder.join("pipe");
    gcloud.ok(&format!("mkfifo {}", pipe.display())).await;
    // Whoever reads the pipe sees its end once the step, and what it started, are gone.
    let script = format!("exec > {}; echo begun; sleep 600 & wait", pipe.display());
    let mut slow = build(json!([{"name": "ubuntu", "script": script}]));
    slow["timeout"] = "4s".into();
    let (said, rest) =
        tokio::join!(async { gcloud.refused(&submit(&gcloud, &slow)).await }, async {
            rest_of(begun(&pipe).await).await
        });
    assert!(said.contains("completed with status \"TIMEOUT\""), "{said}");
    assert!(said.contains("longer than its timeout, 4s"), "{said}");
    assert_eq!(rest, "");
    slow["timeout"] = "600s".into();
    let line = format!("{} --async", submit(&gcloud, &slow));
    let (submitted, running) = tokio::join!(gcloud.ok(&line), begun(&pipe));
    let submitted: Value = serde_json::from_str(&submitted).unwrap();
    assert_eq!(submitted["status"], "WORKING");
    let id = submitted["id"].as_str().unwrap();
    gcloud.ok(&format!("gcloud builds cancel {id} --region=us-central1")).await;
    assert_eq!(rest_of(running).await, "");
    let built = gcloud.json(&format!("gcloud builds describe {id} --region=us-central1")).await;
    assert_eq!(built["status"], "CANCELLED");
    assert_eq!(built["steps"][0]["status"], "CANCELLED");
    assert!(!std::env::temp_dir().join(format!("build-{id}")).exists(), "its folder is gone");
    let elsewhere = format!("gcloud builds describe {id} --region=europe-west1");
    assert!(gcloud.refused(&elsewhere).await.contains("NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_on_once_the_emulator_stopped() {
    let Some(gcloud) = gcloud().await else { return };
    let pipe = gcloud.folder.join("pipe");
    gcloud.ok(&format!("mkfifo {}", pipe.display())).await;
    let script = format!("exec > {}; echo begun; sleep 600 & wait", pipe.display());
    let line = submit(&gcloud, &build(json!([{"name": "ubuntu", "script": script}])));
    let line = format!("{line} --async");
    let (_, running) = tokio::join!(gcloud.ok(&line), begun(&pipe));
    drop(gcloud);
    assert_eq!(rest_of(running).await, "");
}

/// The pipe, once the step has written to it.
async fn begun(pipe: &Path) -> BufReader<File> {
    let pipe = pipe.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut reader = BufReader::new(File::open(pipe).unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "begun\n");
        reader
    });
    tokio::time::timeout(PATIENCE, read).await.expect("the step begins in time").unwrap()
}

/// What else is written to it, until nobody is left who could.
async fn rest_of(mut pipe: BufReader<File>) -> String {
    let read = tokio::task::spawn_blocking(move || {
        let mut rest = String::new();
        pipe.read_to_string(&mut rest).unwrap();
        rest
    });
    tokio::time::timeout(PATIENCE, read).await.expect("the step is killed in time").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_lacks_what_google_needs_is_told_so() {
    let Some(gcloud) = gcloud().await else { return };
    let echo = json!([{"name": "ubuntu", "args": ["true"]}]);
    let mut unlogged = build(echo.clone());
    unlogged["options"] = json!({});
    let said = gcloud.refused(&submit(&gcloud, &unlogged)).await;
    assert!(said.contains("where its logs go"), "{said}");
    let binding = format!("--member=serviceAccount:{BUILDER} --role=roles/logging.logWriter");
    gcloud
        .ok(&format!(
            "gcloud projects remove-iam-policy-binding demo-project {binding} --condition=None"
        ))
        .await;
    let line = submit(&gcloud, &build(echo));
    let warned: Value = serde_json::from_str(&gcloud.ok(&line).await).unwrap();
    let warning = warned["warnings"][0]["text"].as_str().unwrap();
    assert!(warning.contains("roles/logging.logWriter"), "{warning}");
    let viewer = format!("--member=serviceAccount:{BUILDER} --role=roles/storage.objectViewer");
    gcloud
        .ok(&format!("gcloud storage buckets remove-iam-policy-binding gs://sources {viewer}"))
        .await;
    let said = gcloud.refused(&line).await;
    assert!(said.contains("could not resolve source") && said.contains(BUILDER), "{said}");
    let missing = line.replace(BUILDER, "nobody@demo-project.iam.gserviceaccount.com");
    assert!(gcloud.refused(&missing).await.contains("NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unless_it_is_asked_for_no_step_is_run() {
    let Some(gcloud) = Gcloud::start(Options::default()).await else { return };
    let marker = gcloud.folder.join("run");
    let steps = json!([{"name": "ubuntu", "script": format!("touch {}", marker.display())}]);
    let file = gcloud.folder.join("build.json");
    std::fs::write(&file, build(steps).to_string()).unwrap();
    let line =
        format!("gcloud builds submit --no-source --config={} --suppress-logs", file.display());
    let built = gcloud.json(&line).await;
    assert_eq!(built["status"], "SUCCESS");
    assert!(built["statusDetail"].as_str().unwrap().contains("--run-builds"), "{built}");
    assert!(!marker.exists());
    gcloud.json(&format!("{line} --async")).await;
}
