//! What the deployment scripts do when something is missing, wrong, half done or done twice, with the real gcloud; the
//! way through all of them is `whole_way`.

use std::{collections::BTreeSet, path::Path, process::Command};

use emulator::{Behind, Options, RunBuilds};
use serde_json::Value;

use crate::gcloud::Gcloud;

/// Where; and nobody's own deploy.env is read.
const SETTINGS: &str = "export REGION=us-central1 PROBE_EVERY=0 DEPLOY_ENV=/dev/null\n";

/// The bucket of the builds' sources.
const BUCKET: &str = "receiver-source-123456789012";

/// Runs a line that must end well, and gives what it printed.
async fn ok(gcloud: &Gcloud, line: &str) -> String {
    gcloud.ok(&format!("{SETTINGS}{line}")).await
}

/// Runs a line that must fail, and gives what it complained of.
async fn refused(gcloud: &Gcloud, line: &str) -> String {
    gcloud.refused(&format!("{SETTINGS}{line}")).await
}

/// All that is there, but what stays or counts: enabled APIs, the names of deleted queues, and etags.
pub(crate) fn resources(gcloud: &Gcloud) -> Value {
    let mut export = gcloud.emulator.export().unwrap();
    export["apis"] = Value::Null;
    export["tasks"]["deletedQueues"] = Value::Null;
    put_in_order(&mut export);
    export
}

/// Takes out etags, and sorts what has no order: gcloud writes the bindings of a policy in one of its own.
fn put_in_order(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove("etag");
            members.values_mut().for_each(put_in_order);
        }
        Value::Array(values) => {
            values.iter_mut().for_each(put_in_order);
            values.sort_by_key(ToString::to_string);
        }
        _ => {}
    }
}

/// What setup grants with `SENDERS=tasks,pubsub`, `ENQUEUE=yes` and `TELEMETRY=yes`, and nothing beside it.
const GRANTS: [&str; 16] = [
    // The callers and the probe reach this service and no other.
    "roles/run.invoker on service receiver for receiver-probe@",
    "roles/run.invoker on service receiver for receiver-pubsub@",
    "roles/run.invoker on service receiver for receiver-tasks@",
    // The build deploys this service, as its account, from its repository and its bucket.
    "roles/artifactregistry.writer on repository receiver for receiver-build@",
    "roles/iam.serviceAccountOpenIdTokenCreator on account receiver-probe@ for receiver-build@",
    "roles/iam.serviceAccountUser on account receiver-run@ for receiver-build@",
    "roles/logging.logWriter on project demo-project for receiver-build@",
    "roles/run.developer on service receiver for receiver-build@",
    "roles/storage.objectViewer on bucket receiver-source-123456789012 for receiver-build@",
    // The service exports traces and metrics.
    "roles/telemetry.writer on project demo-project for receiver-run@",
    // The service puts tasks into its queue.
    "roles/iam.serviceAccountUser on account receiver-tasks@ for receiver-run@",
    // Whoever deploys acts as the accounts that what is made carries.
    "roles/iam.serviceAccountOpenIdTokenCreator on account receiver-probe@ for ops@example.com",
    "roles/iam.serviceAccountUser on account receiver-build@ for ops@example.com",
    "roles/iam.serviceAccountUser on account receiver-pubsub@ for ops@example.com",
    "roles/iam.serviceAccountUser on account receiver-run@ for ops@example.com",
    "roles/iam.serviceAccountUser on account receiver-tasks@ for ops@example.com",
];

#[tokio::test]
async fn setup_grants_what_is_needed_and_no_more_and_ends_what_was_left_half_done() {
    // An old project: Pub/Sub's agent has no role of its own.
    let options = Options { apis_disabled: true, legacy_agents: true, ..Options::default() };
    let Some(gcloud) = Gcloud::start(options).await else { return };
    let empty = resources(&gcloud);
    let setup = "scripts/setup --senders=tasks,pubsub --enqueue --telemetry --deployer=user:ops@example.com";

    // A dry run of an empty project prints commands, and leaves it empty.
    let printed = ok(&gcloud, &format!("{setup} --dry-run")).await;
    for line in printed.lines() {
        assert!(line.starts_with("gcloud --quiet --project=demo-project "), "{line}");
    }
    assert!(printed.contains(" run deploy receiver --region=us-central1 --image="), "{printed}");
    // Whoever runs it makes the service, and so must be allowed to act as its account, whoever deploys later.
    let account = "export CLOUDSDK_CORE_ACCOUNT=admin@example.com\n";
    let printed = ok(&gcloud, &format!("{account}{setup} --dry-run")).await;
    let may_act = "receiver-run@demo-project.iam.gserviceaccount.com --member=user:admin@example.com --role=roles/iam.serviceAccountUser";
    let (before, _) = printed.split_once(" run deploy receiver ").unwrap();
    assert!(before.contains(may_act), "{printed}");
    assert_eq!(resources(&gcloud), empty);

    let printed = ok(&gcloud, setup).await;
    let granted: BTreeSet<String> = printed
        .lines()
        .map(|line| line.strip_prefix("created ").unwrap_or_else(|| panic!("{line}")).trim_start())
        .filter(|thing| thing.starts_with("roles/"))
        .map(|grant| grant.replace("demo-project.iam.gserviceaccount.com", ""))
        .collect();
    assert_eq!(granted, GRANTS.map(str::to_owned).into());
    // As it says, so it is.
    let made = resources(&gcloud);
    assert_eq!(bindings_of(&made) - bindings_of(&empty), GRANTS.len());

    // As if it had been stopped before it came to these.
    let invoker = "--role=roles/run.invoker --member=serviceAccount:receiver-tasks@demo-project.iam.gserviceaccount.com";
    ok(
        &gcloud,
        &format!(
            "gcloud storage buckets delete gs://{BUCKET}
         gcloud run services remove-iam-policy-binding receiver --region=us-central1 {invoker}"
        ),
    )
    .await;
    let printed = ok(&gcloud, setup).await;
    let (created, rest): (Vec<&str>, Vec<&str>) =
        printed.lines().partition(|line| line.starts_with("created "));
    let expected = [
        format!("bucket {BUCKET}"),
        "roles/run.invoker on service receiver for receiver-tasks@demo-project.iam.gserviceaccount.com".to_owned(),
        format!("roles/storage.objectViewer on bucket {BUCKET} for receiver-build@demo-project.iam.gserviceaccount.com"),
        "roles/iam.serviceAccountTokenCreator on account receiver-pubsub@demo-project.iam.gserviceaccount.com for service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com".to_owned(),
    ];
    assert_eq!(created, expected.map(|thing| format!("created    {thing}")));
    for line in rest {
        assert!(line.starts_with("unchanged "), "{line}");
    }
    let mut again = resources(&gcloud);
    assert_eq!(bindings_of(&again) - bindings_of(&made), 1, "{again:#}");
    for part in ["run", "registry"] {
        assert_eq!(again[part].take(), made[part], "{part}");
    }

    // A sister's things stay, though their names begin alike; what somebody has deleted by hand is no obstacle, and what
    // that left behind goes too.
    ok(&gcloud, &format!(
        "gcloud run deploy receiver-two --region=us-central1 --image=us-docker.pkg.dev/cloudrun/container/hello --no-allow-unauthenticated
         gcloud tasks queues create receiver-two-jobs --location=us-central1
         gcloud iam service-accounts delete receiver-build@demo-project.iam.gserviceaccount.com
         gcloud storage buckets delete gs://{BUCKET}"
    ))
    .await;
    let printed = ok(&gcloud, "scripts/teardown --yes").await;
    assert!(printed.contains("deleted    roles/logging.logWriter on project"), "{printed}");
    assert!(!printed.contains("receiver-two"), "{printed}");
    ok(
        &gcloud,
        "gcloud run services delete receiver-two --region=us-central1
         gcloud tasks queues delete receiver-two-jobs --location=us-central1",
    )
    .await;
    assert_eq!(resources(&gcloud), empty);
}

/// How many roles are held, in everything that was exported.
fn bindings_of(export: &Value) -> usize {
    let policies = export["iam"]["policies"].as_object().unwrap().values();
    let bindings = policies.flat_map(|policy| policy["bindings"].as_array().unwrap());
    bindings.map(|binding| binding["members"].as_array().unwrap().len()).sum()
}

#[tokio::test]
async fn only_what_was_probed_gets_traffic() {
    let program = Behind::Program(env!("CARGO_BIN_EXE_receiver").into());
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tools");
    let options = Options {
        run: vec![("receiver".to_owned(), program)],
        run_builds: Some(RunBuilds { tools: Some(tools) }),
        ..Options::default()
    };
    let Some(gcloud) = Gcloud::start(options).await else { return };
    let setup = "export DEPLOYER=user:developer@example.com\n";
    ok(&gcloud, &format!("{setup}scripts/setup")).await;
    let image = |digit: char| {
        let digest: String = std::iter::repeat_n(digit, 64).collect();
        format!("us-central1-docker.pkg.dev/demo-project/receiver/receiver@sha256:{digest}")
    };
    let deploy =
        |digit, options: &str| format!("scripts/deploy --image={} {options}", image(digit));
    let printed = ok(&gcloud, &deploy('a', "")).await;
    assert!(printed.contains("traffic, all to receiver-00002-"), "{printed}");

    // What does not let its probe in stays without traffic, and is not taken for what is deployed next.
    let complaint =
        refused(&gcloud, &deploy('b', "--job-settings=SCHEDULER_CALLERS=nobody@example.com")).await;
    assert!(complaint.contains("was answered 403, expected 204; receiver-00002-"), "{complaint}");
    let printed = ok(&gcloud, &deploy('a', "")).await;
    let expected = [
        "unchanged  revision receiver-00002-",
        "probed ",
        "unchanged  traffic, all to receiver-00002-",
    ];
    assert_eq!(printed.lines().count(), expected.len(), "{printed}");
    for (line, expected) in printed.lines().zip(expected) {
        assert!(line.starts_with(expected), "{printed}");
    }

    // What the README says of the job that makes a task for each tenant, as far as that changes nothing.
    if let Some((_, section)) = include_str!("../../README.md").split_once("<!-- begin fan-out -->")
    {
        let block = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
        let lines: String = block.lines().map(|line| format!("{line} --dry-run\n")).collect();
        let printed = ok(&gcloud, &format!("{setup}{lines}")).await;
        for part in ["_FEATURES=fan-out@@", "receiver-tenant-report", "http receiver-fan-out"] {
            assert!(printed.contains(part), "{part}: {printed}");
        }
    }

    // Two deployments at once: the later candidate is not the earlier one's.
    ok(&gcloud, &deploy('c', "--only=candidate")).await;
    let complaint = refused(&gcloud, &deploy('d', "--only=traffic")).await;
    assert!(complaint.contains("is another deployment's; receiver-00002-"), "{complaint}");
    // Google's own endpoint of traces and metrics, and the region that it wants to know.
    let printed = ok(&gcloud, &deploy('e', "--telemetry --dry-run")).await;
    let endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=https://telemetry.googleapis.com@@OTEL_RESOURCE_ATTRIBUTES=cloud.region=us-central1";
    assert!(printed.contains(endpoint), "{printed}");
    // What an earlier deployment said of callers, and this one does not, goes; tags of somebody else's stay.
    let printed = ok(&gcloud, &deploy('e', "--senders=scheduler --dry-run")).await;
    assert!(
        printed.contains("--set-env-vars=") && printed.contains("SCHEDULER_CALLERS="),
        "{printed}"
    );
    assert!(!printed.contains("TASKS_CALLERS"), "{printed}");
    let latest = "gcloud run services describe receiver --region=us-central1 --format='value(status.latestCreatedRevisionName)'";
    let tag =
        "gcloud run services update-traffic receiver --region=us-central1 --update-tags=theirs";
    ok(&gcloud, &format!("{tag}=$({latest})")).await;
    ok(&gcloud, &deploy('e', "")).await;
    let service = gcloud.json("gcloud run services describe receiver --region=us-central1").await;
    let traffic = service["status"]["traffic"].as_array().unwrap();
    let mut tags: Vec<&str> = traffic.iter().filter_map(|one| one["tag"].as_str()).collect();
    tags.sort_unstable();
    assert_eq!(tags, ["previous", "theirs"]);

    // Who trusts Cloud Run's check must have one.
    ok(&gcloud, "gcloud run services add-iam-policy-binding receiver --region=us-central1 --member=allUsers --role=roles/run.invoker").await;
    let complaint = refused(&gcloud, &deploy('f', "--job-settings='TASKS_AUTH=platform'")).await;
    assert!(
        complaint
            .contains("and allUsers may call; run: gcloud run services remove-iam-policy-binding"),
        "{complaint}"
    );

    // A build that fails says where.
    let complaint = refused(&gcloud, "scripts/deploy --check='exit 3'").await;
    assert!(
        complaint.contains("the build failed")
            && complaint.contains("Format, lint, document and test"),
        "{complaint}"
    );
    assert!(complaint.contains("its log: gcloud beta builds log "), "{complaint}");

    // Where no probe gets in, it says why.
    let of_service = "gcloud run services update receiver --region=us-central1";
    ok(&gcloud, &format!("{of_service} --ingress=internal")).await;
    let complaint = refused(&gcloud, &deploy('f', "")).await;
    assert!(complaint.contains("where the ingress is internal; "), "{complaint}");
    ok(&gcloud, &format!("{of_service} --ingress=all")).await;

    // What --source leaves on a service stays on it whatever the image.
    let archive = r#"/^  template:/,/annotations:/ s|annotations:|&\n        run.googleapis.com/sources: '{"":"gs://a/b"}'|; /^      name: receiver-/d"#;
    ok(&gcloud, &format!(
        "gcloud run services describe receiver --region=us-central1 --format=export | sed '{}' > {1}/service.yaml
         gcloud run services replace {1}/service.yaml --region=us-central1",
        archive.replace('\'', r"'\''"),
        gcloud.folder.display(),
    ))
    .await;
    for deploy in [&*deploy('f', ""), "scripts/deploy"] {
        let complaint = refused(&gcloud, deploy).await;
        assert!(complaint.contains("receiver was deployed with --source"), "{complaint}");
    }
}

#[tokio::test]
async fn a_service_of_somebody_else_s_is_not_taken_over_and_not_deleted() {
    let Some(gcloud) = Gcloud::start(Options::default()).await else { return };
    ok(&gcloud, "gcloud run deploy receiver --region=us-central1 --image=us-docker.pkg.dev/cloudrun/container/hello --no-allow-unauthenticated").await;
    let theirs = resources(&gcloud);
    let complaint = refused(&gcloud, "scripts/setup").await;
    assert!(complaint.contains("without the label made-for=receiver"), "{complaint}");
    let said = refused(&gcloud, "scripts/teardown --yes").await.replace("teardown", "setup");
    assert!(complaint.ends_with(&said), "{said}");
    assert_eq!(resources(&gcloud), theirs);
    // As it says.
    let (_, mend) = complaint.split_once("give it to them: ").unwrap();
    ok(&gcloud, mend).await;
    let printed = ok(&gcloud, "scripts/setup").await;
    assert!(printed.contains("unchanged  service receiver"), "{printed}");
}

#[tokio::test]
async fn gcloud_takes_cloudbuild_yaml_and_each_step_waits_for_steps_before_it() {
    let Some(gcloud) = Gcloud::start(Options::default()).await else { return };
    let config = "--no-source --config=cloudbuild.yaml --region=us-central1";
    ok(&gcloud, &format!("gcloud builds submit {config}")).await;
    let builds = gcloud.json("gcloud builds list --region=us-central1").await;
    let mut before = Vec::new();
    for step in builds[0]["steps"].as_array().unwrap() {
        let id = step["id"].as_str().unwrap();
        for awaited in step["waitFor"].as_array().into_iter().flatten() {
            let awaited = awaited.as_str().unwrap();
            assert!(
                awaited == "-" || before.contains(&awaited),
                "{id} waits for {awaited}, which is no step before it"
            );
        }
        before.push(id);
    }
}

/// What a line of bash prints, which needs no gcloud.
fn bash(line: &str) -> String {
    let output = Command::new("bash").args(["-euc", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn names_are_built_right_for_a_project_of_a_domain() {
    let names = bash(
        "PROJECT=example.com:my-project SERVICE=receiver; . scripts/lib/settings; check_names; account tasks; echo
         audience_of 'https://europe-west1-my-project.cloudfunctions.net/nightly/x?y'; echo
         audience_of 'https://jobs.example.com:8443/a/b?c#d'",
    );
    assert_eq!(
        names.lines().collect::<Vec<_>>(),
        [
            "receiver-tasks@my-project.example.com.iam.gserviceaccount.com",
            "https://europe-west1-my-project.cloudfunctions.net/nightly",
            "https://jobs.example.com:8443",
        ]
    );
}
