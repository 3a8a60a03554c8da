//! What the service is built and deployed from: the Dockerfile and what goes into its build, and `service.yaml`.
//! `scripts/check-image` builds the image and runs it.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use emulator::Options;
use serde_json::{Value, json};

use crate::gcloud::{Gcloud, REGION};

const DOCKERFILE: &str = include_str!("../../Dockerfile");
const SERVICE: &str = include_str!("../../service.yaml");

/// What the Dockerfile copies out of the project's folder.
fn copied() -> BTreeSet<&'static str> {
    let copies = DOCKERFILE.lines().filter_map(|line| line.strip_prefix("COPY "));
    let ours = copies.filter(|copy| !copy.starts_with("--from="));
    ours.flat_map(|copy| {
        let mut words: Vec<_> = copy.split_whitespace().collect();
        words.pop();
        words
    })
    .collect()
}

#[test]
fn the_build_is_handed_what_the_dockerfile_copies_and_nothing_else() {
    let ignore = include_str!("../../.dockerignore");
    let mut lines = ignore.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "all is left out first");
    let let_through: Option<BTreeSet<_>> = lines.map(|line| line.strip_prefix('!')).collect();
    assert_eq!(let_through, Some(copied()));
    let manifest = include_str!("../../Cargo.toml");
    let (_, members) = manifest.split_once("\nmembers = [").unwrap();
    for member in members.split_once(']').unwrap().0.split(", ") {
        let manifest = format!("{}/Cargo.toml", member.trim_matches('"'));
        assert!(copied().contains(&*manifest), "cargo looks for {manifest}");
    }
}

#[test]
fn the_dockerfile_has_instructions_that_every_builder_takes() {
    for only_some in ["# syntax", "<<", "--mount", "--link"] {
        let found = DOCKERFILE.lines().find(|line| line.contains(only_some));
        assert_eq!(found, None, "{only_some}");
    }
}

#[test]
fn the_image_is_built_with_the_toolchain_of_the_project() {
    let channel = include_str!("../../rust-toolchain.toml")
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .unwrap();
    let version = DOCKERFILE.lines().find_map(|line| line.strip_prefix("ARG RUST_VERSION="));
    assert_eq!(version, Some(channel.trim_matches('"')));
}

/// The settings that `service.yaml` hands the receiver.
fn settings() -> BTreeMap<&'static str, &'static str> {
    let (_, list) = SERVICE.split_once("          env:\n").unwrap();
    let lines = list.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    let lines: Vec<_> = lines.take_while(|line| *line != "traffic:").collect();
    let pairs = lines.chunks(2).map(|pair| {
        let name = pair[0].strip_prefix("- name: ").unwrap_or_else(|| panic!("{pair:?}"));
        let value = pair[1].strip_prefix("value: ").unwrap_or_else(|| panic!("{pair:?}"));
        (name, value.trim_matches('\''))
    });
    pairs.collect()
}

#[test]
fn service_yaml_has_settings_that_the_example_knows_and_the_service_takes_without_a_doubt_but_one()
{
    let settings = settings();
    let example = include_str!("../../.env.example");
    for name in settings.keys() {
        let known = example
            .lines()
            .any(|line| line.trim_start_matches('#').starts_with(&format!("{name}=")));
        assert!(known, "{name} is not in .env.example");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_receiver"))
        .arg("check")
        .env_clear()
        .envs(settings)
        // What Cloud Run adds.
        .envs([("PORT", "8080"), ("K_SERVICE", "receiver"), ("K_REVISION", "receiver-00001-abc")])
        .output()
        .unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let doubts: Vec<_> = text.lines().filter(|line| line.starts_with("warning: ")).collect();
    // True of every service with several instances; the file says it too.
    assert!(
        matches!(&*doubts, [one] if one.contains("DEDUP is memory and MAX_INSTANCES is 4")),
        "{doubts:#?}"
    );
}

/// Applies it as its head says, `edit`ed first, and gives the service that Cloud Run then has.
async fn replaced(gcloud: &Gcloud, edit: &str) -> Value {
    let head: Vec<_> = SERVICE.lines().take_while(|line| line.starts_with('#')).collect();
    let command: Vec<_> = head.iter().filter_map(|line| line.strip_prefix("#   ")).collect();
    let command = command.join("\n");
    let root = env!("CARGO_MANIFEST_DIR");
    let lines = format!(
        "export PROJECT=demo-project NUMBER=123456789012 REGION={REGION} TAG=1
        cd {}
        sed '{edit}' {root}/service.yaml > service.yaml
        {command}",
        gcloud.folder.display()
    );
    gcloud.ok(&lines).await;
    gcloud.json(&format!("gcloud run services describe receiver --region={REGION}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_takes_service_yaml_with_the_collector_switched_off_and_on() {
    let Some(gcloud) = Gcloud::start(Options::default()).await else { return };
    gcloud.ok("gcloud iam service-accounts create receiver-run").await;
    let service = replaced(&gcloud, "").await;
    let spec = &service["spec"]["template"]["spec"];
    assert_eq!(spec["serviceAccountName"], "receiver-run@demo-project.iam.gserviceaccount.com");
    let containers = spec["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 1, "{containers:#?}");
    let found: BTreeMap<_, _> = containers[0]["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair["name"].as_str().unwrap(), pair["value"].as_str().unwrap().to_owned()))
        .collect();
    let written = settings();
    let filled_in = written.iter().map(|(name, value)| {
        (*name, value.replace("my-project", "demo-project").replace("europe-west1", REGION))
    });
    assert_eq!(found, filled_in.collect());
    // Else Cloud Run would refuse the tokens that the receiver takes.
    let urls = &service["metadata"]["annotations"]["run.googleapis.com/urls"];
    let urls: Vec<String> = serde_json::from_str(urls.as_str().unwrap()).unwrap();
    assert!(urls.contains(&found["AUDIENCE"]), "{urls:?}");

    // The documented command, on what stands indented in the comment.
    let (_, switch) = SERVICE.split_once("here and above: sed '").unwrap();
    let service = replaced(&gcloud, switch.split_once('\'').unwrap().0).await;
    let template = &service["spec"]["template"];
    let names: Vec<_> = template["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| container["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["receiver", "collector"]);
    let order =
        template["metadata"]["annotations"]["run.googleapis.com/container-dependencies"].as_str();
    assert_eq!(order, Some(r#"{"receiver":["collector"]}"#));
}

/// What of a service the two ways to deploy it must agree on.
fn essence(service: &Value) -> Value {
    let mut template = service["spec"]["template"].clone();
    let annotations = &template["metadata"]["annotations"];
    let annotations = ["autoscaling.knative.dev/maxScale", "run.googleapis.com/startup-cpu-boost"]
        // gcloud writes `True`.
        .map(|name| annotations[name].as_str().unwrap_or_default().to_lowercase());
    let spec = template["spec"].as_object_mut().unwrap();
    spec.remove("nodeSelector");
    let container = spec["containers"][0].as_object_mut().unwrap();
    for name in ["image", "name", "ports"] {
        container.remove(name);
    }
    container["resources"].as_object_mut().unwrap().remove("requests");
    json!({"annotations": annotations, "spec": spec, "traffic": service["status"]["traffic"][0]["percent"]})
}

#[tokio::test(flavor = "multi_thread")]
async fn service_yaml_is_what_scripts_deploy_deploys() {
    let Some(gcloud) = Gcloud::start(Options::default()).await else { return };
    // As setup leaves it.
    gcloud.ok("gcloud iam service-accounts create receiver-run").await;
    gcloud
        .ok(&format!("gcloud run deploy receiver --region={REGION} --no-allow-unauthenticated --image=us-docker.pkg.dev/cloudrun/container/hello"))
        .await;
    // The document has the one URL that is known beforehand; and not the settings of whoever runs the tests.
    let settings = gcloud.folder.join("deploy.env");
    std::fs::write(&settings, "").unwrap();
    let deploy = format!(
        "cd {0}
        PROJECT=demo-project REGION={REGION} scripts/deploy --env-file={1} --only=candidate --audience=https://receiver-123456789012.{REGION}.run.app \\
            --image=us-central1-docker.pkg.dev/demo-project/receiver/receiver:1
        scripts/deploy --env-file={1} --project=demo-project --region={REGION} --only=traffic",
        env!("CARGO_MANIFEST_DIR"),
        settings.display()
    );
    gcloud.ok(&deploy).await;
    let describe = format!("gcloud run services describe receiver --region={REGION}");
    let deployed = essence(&gcloud.json(&describe).await);
    let replaced = essence(&replaced(&gcloud, "").await);
    assert_eq!(deployed, replaced, "{deployed:#}\n{replaced:#}");
}
