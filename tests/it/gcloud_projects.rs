//! What a project stands on, through the real gcloud: its APIs, its bill, its policy, its repositories of images and the
//! buckets of its builds' sources.

use emulator::Options;
use serde_json::{Value, json};

use crate::gcloud::Gcloud;

const IN: &str = "--location=us-central1";
const BUILDER: &str = "builder@demo-project.iam.gserviceaccount.com";

/// With an account to grant roles to.
async fn gcloud() -> Option<Gcloud> {
    let gcloud = Gcloud::start(Options::default()).await?;
    gcloud.emulator.create_account("builder").unwrap();
    Some(gcloud)
}

/// The whole state, but for when the policy of the project was changed.
fn state(gcloud: &Gcloud) -> Value {
    let mut state = gcloud.emulator.export().unwrap();
    state["iam"]["policies"]["projects/demo-project"]["etag"] = Value::Null;
    state
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_keeps_repositories_and_who_may_push_to_them() {
    let Some(gcloud) = gcloud().await else { return };
    let before = state(&gcloud);
    let artifacts = "gcloud artifacts repositories";
    let describe = format!("{artifacts} describe images {IN}");
    assert!(gcloud.refused(&describe).await.contains("NOT_FOUND"));
    let create = format!(
        "{artifacts} create images {IN} --repository-format=docker --description='Images of receiver' --labels=made-for=receiver"
    );
    gcloud.ok(&create).await;
    assert!(gcloud.refused(&create).await.contains("ALREADY_EXISTS"));
    let described = gcloud.json(&describe).await;
    assert_eq!(described["format"], "DOCKER");
    assert_eq!(described["labels"], json!({"made-for": "receiver"}));
    gcloud.ok(&format!("{artifacts} update images {IN} --update-labels=a=b")).await;
    let listed = gcloud.json(&format!("{artifacts} list {IN}")).await;
    assert_eq!(listed[0]["labels"], json!({"made-for": "receiver", "a": "b"}));
    let writer = format!("--member=serviceAccount:{BUILDER} --role=roles/artifactregistry.writer");
    gcloud.ok(&format!("{artifacts} add-iam-policy-binding images {IN} {writer}")).await;
    let policy = gcloud.json(&format!("{artifacts} get-iam-policy images {IN}")).await;
    assert_eq!(policy["bindings"][0]["members"][0], format!("serviceAccount:{BUILDER}"));
    // What was made is in an export, and an export makes it.
    let saved = gcloud.emulator.export().unwrap();
    gcloud.ok(&format!("{artifacts} delete images {IN} --quiet")).await;
    gcloud.emulator.import(saved).await.unwrap();
    gcloud.ok(&format!("{artifacts} remove-iam-policy-binding images {IN} {writer}")).await;
    gcloud.ok(&format!("{artifacts} delete images {IN} --quiet")).await;
    assert!(gcloud.refused(&describe).await.contains("NOT_FOUND"));
    assert_eq!(state(&gcloud), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_keeps_buckets_and_who_may_read_them() {
    let Some(gcloud) = gcloud().await else { return };
    let before = state(&gcloud);
    let buckets = "gcloud storage buckets";
    let describe = format!("{buckets} describe gs://sources");
    assert!(gcloud.refused(&describe).await.contains("404"));
    let create = format!(
        "{buckets} create gs://sources {IN} --uniform-bucket-level-access --public-access-prevention"
    );
    gcloud.ok(&create).await;
    assert!(gcloud.refused(&create).await.contains("conflict"));
    let described = gcloud.json(&describe).await;
    assert_eq!(described["location"], "US-CENTRAL1");
    assert_eq!(described["public_access_prevention"], "enforced");
    let names = gcloud.ok(&format!("{buckets} list --format='value(name)'")).await;
    assert_eq!(names, "sources");
    let viewer = format!("--member=serviceAccount:{BUILDER} --role=roles/storage.objectViewer");
    gcloud.ok(&format!("{buckets} add-iam-policy-binding gs://sources {viewer}")).await;
    let policy = gcloud.json(&format!("{buckets} get-iam-policy gs://sources")).await;
    assert_eq!(policy["bindings"][0]["members"][0], format!("serviceAccount:{BUILDER}"));
    gcloud.ok(&format!("{buckets} remove-iam-policy-binding gs://sources {viewer}")).await;
    // With a build's source in it.
    let folder = gcloud.folder.join("source");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("build.yaml"), "steps: [{name: ubuntu, args: [echo]}]").unwrap();
    gcloud
        .ok(&format!(
            "gcloud builds submit {} --config={0}/build.yaml --suppress-logs --gcs-source-staging-dir=gs://sources/source",
            folder.display()
        ))
        .await;
    assert!(gcloud.refused(&format!("{buckets} delete gs://sources")).await.contains("not empty"));
    gcloud.ok("gcloud storage rm --recursive gs://sources").await;
    assert!(gcloud.refused(&describe).await.contains("404"));
    assert_eq!(state(&gcloud), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_off_is_named_until_it_is_enabled() {
    let options = Options { apis_disabled: true, billing_disabled: true, ..Options::default() };
    let Some(gcloud) = Gcloud::start(options).await else { return };
    let billing = "gcloud billing projects describe demo-project --format='value(billingEnabled)'";
    assert_eq!(gcloud.ok(billing).await, "False");
    let enabled = "gcloud services list --enabled --format='value(config.name)'";
    assert!(!gcloud.ok(enabled).await.contains("artifactregistry"));
    for (line, service) in [
        (format!("gcloud artifacts repositories list {IN}"), "artifactregistry.googleapis.com"),
        ("gcloud storage buckets list".to_owned(), "storage.googleapis.com"),
        ("gcloud run services list --region=us-central1".to_owned(), "run.googleapis.com"),
        (format!("gcloud scheduler jobs list {IN}"), "cloudscheduler.googleapis.com"),
        (format!("gcloud tasks queues list {IN}"), "cloudtasks.googleapis.com"),
        ("gcloud pubsub topics list".to_owned(), "pubsub.googleapis.com"),
        ("gcloud iam service-accounts list".to_owned(), "iam.googleapis.com"),
        ("gcloud builds list".to_owned(), "cloudbuild.googleapis.com"),
    ] {
        let said = gcloud.refused(&line).await;
        assert!(said.contains("has not been used in project 123456789012"), "{line}: {said}");
        assert!(said.contains(service), "{line}: {said}");
    }
    gcloud.ok("gcloud services enable run.googleapis.com").await;
    gcloud.ok("gcloud services enable storage.googleapis.com compute.googleapis.com").await;
    let names = gcloud.ok(enabled).await;
    for name in ["run", "storage", "compute"] {
        assert!(names.contains(&format!("{name}.googleapis.com")), "{names}");
    }
    gcloud.ok("gcloud run services list --region=us-central1").await;
    gcloud.ok("gcloud services disable run.googleapis.com").await;
    let said = gcloud.refused("gcloud run services list --region=us-central1").await;
    assert!(said.contains("run.googleapis.com"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_s_policy_is_as_before_once_what_was_added_is_removed() {
    let Some(gcloud) = gcloud().await else { return };
    let before = state(&gcloud);
    let billing = "gcloud billing projects describe demo-project --format='value(billingEnabled)'";
    assert_eq!(gcloud.ok(billing).await, "True");
    let role = format!("--member=serviceAccount:{BUILDER} --role=roles/logging.logWriter");
    gcloud
        .ok(&format!("gcloud projects add-iam-policy-binding demo-project {role} --condition=None"))
        .await;
    assert_ne!(state(&gcloud), before);
    gcloud
        .ok(&format!(
            "gcloud projects remove-iam-policy-binding demo-project {role} --condition=None"
        ))
        .await;
    let user =
        format!("--member=user:ada@example.com --role=roles/iam.serviceAccountUser {BUILDER}");
    gcloud.ok(&format!("gcloud iam service-accounts add-iam-policy-binding {user}")).await;
    gcloud.ok(&format!("gcloud iam service-accounts remove-iam-policy-binding {user}")).await;
    assert_eq!(state(&gcloud), before);
    for line in ["describe nobody-s-project", "get-iam-policy nobody-s-project"] {
        let said = gcloud.refused(&format!("gcloud projects {line}")).await;
        assert!(
            said.contains("does not have permission") && said.contains("may not exist"),
            "{said}"
        );
    }
}
