//! From an empty project to a deployed, scheduled, queued and subscribed service and back: the scripts, in order, with
//! the real gcloud. The emulator runs the build's steps as the build's account, and each revision as a process with the
//! settings that it was deployed with.

use std::{path::PathBuf, process::Output};

use emulator::{Behind, Options, RunBuilds};
use serde_json::{Value, json};

use crate::{deployment::resources, gcloud::Gcloud};

/// What a cloner types; where a step's own work takes minutes here, a shorter one is put in its place.
const SETTINGS: &str = "
export REGION=us-central1 DEPLOYER=user:developer@example.com CHECK='cargo fmt --all --check' PROBE_EVERY=0
export DEPLOY_ENV=/dev/null/none
";

/// An empty project on the emulator, with nothing enabled.
struct Project(Gcloud);

impl Project {
    async fn start() -> Option<Project> {
        let program = Behind::Program(env!("CARGO_BIN_EXE_receiver").into());
        let tools = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/tools");
        let options = Options {
            run: vec![("receiver".to_owned(), program)],
            run_builds: Some(RunBuilds { tools: Some(tools) }),
            apis_disabled: true,
            ..Options::default()
        };
        Gcloud::start(options).await.map(Project)
    }

    /// Runs a line, which must end well, and gives what it printed.
    async fn ok(&self, line: &str) -> String {
        self.0.ok(&format!("{SETTINGS}{line}")).await
    }

    /// Runs a line that must fail, and gives what it complained of.
    async fn refused(&self, line: &str) -> String {
        self.0.refused(&format!("{SETTINGS}{line}")).await
    }

    /// What the doctor says: each finding with the command that mends it.
    async fn findings(&self) -> Vec<(String, String)> {
        let Output { status, stdout, stderr } =
            self.0.shell(&format!("{SETTINGS}scripts/doctor")).await;
        let said = String::from_utf8(stdout).unwrap();
        let findings: Vec<(String, String)> = said
            .lines()
            .zip(said.lines().skip(1))
            .filter_map(|(finding, mend)| {
                Some((finding.to_owned(), mend.strip_prefix("  mend: ")?.to_owned()))
            })
            .collect();
        let complaint = String::from_utf8(stderr).unwrap();
        assert_eq!(status.success(), findings.is_empty(), "{said}{complaint}");
        assert!(said.contains(&format!("{} findings", findings.len())), "{said}{complaint}");
        findings
    }

    /// All that is there, as far as a script could make or change it.
    fn resources(&self) -> Value {
        resources(&self.0)
    }
}

#[tokio::test]
async fn an_empty_project_gets_a_service_that_all_senders_reach_and_is_empty_again() {
    let Some(project) = Project::start().await else { return };
    let empty = project.resources();
    let printed = project.ok("scripts/setup").await;
    assert!(printed.contains("created    service receiver, with a placeholder"), "{printed}");

    // What the doctor finds now is mended by deploying.
    let findings = project.findings().await;
    let [(finding, mend)] = findings.as_slice() else { panic!("{findings:?}") };
    assert!(finding.contains("runs the placeholder"), "{finding}");
    let printed = project.ok(mend).await;
    assert!(printed.contains("serving    receiver-0"), "{printed}");

    project.ok("scripts/schedule && scripts/queue && scripts/subscribe").await;
    let printed = project.ok("scripts/fire --records=logging").await;
    for fired in ["scheduler/daily-report", "tasks/send-receipt fired-", "pubsub/index-upload "] {
        let line = printed.lines().find(|line| line.contains(&format!("done       {fired}")));
        assert!(line.is_some_and(|line| line.contains("204 in ")), "{printed}");
    }
    assert_eq!(project.findings().await, []);

    // A candidate that lets its probe not in gets no traffic.
    let image = "us-central1-docker.pkg.dev/demo-project/receiver/receiver@sha256:0123";
    let spoilt = format!("scripts/deploy --image={image}");
    let wrong_caller = "--job-settings=SCHEDULER_CALLERS=nobody@example.com";
    let complaint = project.refused(&format!("{spoilt} {wrong_caller}")).await;
    assert!(complaint.contains("was answered 403, expected 204; receiver-00002-"), "{complaint}");
    assert!(complaint.contains("caller_not_allowed"), "{complaint}");
    // One that does not come up is not even tried.
    let complaint =
        project.refused(&format!("{spoilt}4 --job-settings=SCHEDULER_AUTH=never")).await;
    assert!(complaint.contains("failed to start and listen"), "{complaint}");
    let good =
        format!("scripts/deploy --image={image}5 --job-settings='DEDUP=off|SCHEDULER_CALLERS='");
    let complaint = project.refused(&good).await;
    assert!(complaint.contains("failed to start and listen"), "{complaint}");
    let printed =
        project.ok(&format!("{spoilt}6 --job-settings='DEDUP=off|LOG_LEVEL=debug'")).await;
    assert!(printed.contains("updated    traffic, all to receiver-0"), "{printed}");
    let printed =
        project.ok(&format!("{spoilt}6 --job-settings='DEDUP=off|LOG_LEVEL=debug'")).await;
    assert!(printed.contains("unchanged  revision receiver-0"), "{printed}");
    let printed = project.ok("scripts/rollback").await;
    assert!(printed.contains("traffic, all to receiver-00002-"), "{printed}");

    // What it is watched by, and that the metrics count what was recorded above.
    let printed = project.ok("scripts/monitor").await;
    assert_eq!(
        printed.lines().filter(|line| line.starts_with("created ")).count(),
        10,
        "{printed}"
    );
    for (metric, at_least) in [("count", 3), ("duration", 3), ("lag", 2)] {
        let filter = format!(
            "gcloud logging metrics describe receiver.invocation.{metric} --format='value(filter)'"
        );
        let read = format!("gcloud logging read \"$({filter})\" --format='value(insertId)'");
        let found = project.ok(&read).await;
        assert!(found.lines().count() >= at_least, "{metric}: {found}");
    }

    let complaint = project.refused("scripts/teardown < /dev/null").await;
    assert!(complaint.contains("there is no terminal to ask at; say --yes"), "{complaint}");
    // What somebody else made stays.
    project.ok("gcloud tasks queues create others --location=us-central1").await;
    project.ok("gcloud pubsub topics create receiver-others").await;
    project.ok("scripts/teardown --yes").await;
    let printed = project.ok("scripts/teardown --yes").await;
    assert_eq!(printed, "There is nothing of receiver in demo-project, us-central1.");
    project.ok("gcloud tasks queues delete others --location=us-central1").await;
    project.ok("gcloud pubsub topics delete receiver-others").await;
    assert_eq!(project.resources(), empty);
}

/// What is spoilt, and what the doctor says of it.
const SPOILT: [(&str, &str); 24] = [
    (
        "gcloud scheduler jobs update http receiver-daily-report --location=us-central1 --max-retry-attempts=0",
        "has no retries",
    ),
    (
        "gcloud scheduler jobs update http receiver-daily-report --location=us-central1 --attempt-deadline=30s",
        "waits 30s for an answer, and the receiver takes it to wait 180s",
    ),
    (
        "gcloud scheduler jobs update http receiver-daily-report --location=us-central1 --oidc-service-account-email=receiver-scheduler@demo-project.iam.gserviceaccount.com --oidc-token-audience=https://other.example.com",
        "asks for https://other.example.com",
    ),
    (
        "gcloud scheduler jobs pause receiver-daily-report --location=us-central1",
        "is paused: it does not run",
    ),
    (
        "gcloud tasks queues update receiver-send-receipt --location=us-central1 --max-concurrent-dispatches=1000",
        "sends up to 1000 tasks at once",
    ),
    (
        "gcloud tasks queues update receiver-send-receipt --location=us-central1 --max-attempts=unlimited --clear-max-retry-duration",
        "never gives up",
    ),
    (
        "gcloud tasks queues pause receiver-send-receipt --location=us-central1",
        "is paused: it dispatches nothing",
    ),
    (
        "gcloud pubsub subscriptions update receiver-index-upload --expiration-period=2d",
        "is deleted when it was idle for 2 days",
    ),
    (
        "gcloud pubsub subscriptions update receiver-index-upload-dead --expiration-period=31d",
        "is deleted when it was idle for 31 days",
    ),
    (
        "gcloud pubsub subscriptions update receiver-index-upload --ack-deadline=10",
        "waits 10s for an answer, and the receiver takes it to wait 60s",
    ),
    (
        "gcloud pubsub subscriptions modify-push-config receiver-index-upload --push-endpoint=$ENDPOINT --push-auth-service-account=receiver-tasks@demo-project.iam.gserviceaccount.com --push-auth-token-audience=https://receiver-123456789012.us-central1.run.app",
        "which is none of PUBSUB_CALLERS",
    ),
    (
        "gcloud pubsub topics remove-iam-policy-binding receiver-index-upload-dead --member=$AGENT --role=roles/pubsub.publisher",
        "may not publish to receiver-index-upload-dead",
    ),
    (
        "gcloud pubsub subscriptions remove-iam-policy-binding receiver-index-upload --member=$AGENT --role=roles/pubsub.subscriber",
        "may not acknowledge on receiver-index-upload",
    ),
    (
        "gcloud run services remove-iam-policy-binding receiver --region=us-central1 --member=serviceAccount:receiver-tasks@demo-project.iam.gserviceaccount.com --role=roles/run.invoker",
        "may not invoke receiver",
    ),
    (
        "gcloud iam service-accounts delete receiver-events@demo-project.iam.gserviceaccount.com",
        "There is no account receiver-events@",
    ),
    (
        "gcloud iam service-accounts disable receiver-scheduler@demo-project.iam.gserviceaccount.com",
        "receiver-scheduler@demo-project.iam.gserviceaccount.com is disabled",
    ),
    (
        "gcloud projects remove-iam-policy-binding demo-project --member=serviceAccount:service-123456789012@gcp-sa-cloudscheduler.iam.gserviceaccount.com --role=roles/cloudscheduler.serviceAgent --condition=None",
        "gcp-sa-cloudscheduler.iam.gserviceaccount.com has lost its role",
    ),
    (
        "gcloud projects remove-iam-policy-binding demo-project --member=serviceAccount:service-123456789012@gcp-sa-cloudtasks.iam.gserviceaccount.com --role=roles/cloudtasks.serviceAgent --condition=None",
        "gcp-sa-cloudtasks.iam.gserviceaccount.com has lost its role",
    ),
    (
        "gcloud projects remove-iam-policy-binding demo-project --member=$AGENT --role=roles/pubsub.serviceAgent --condition=None",
        "may have no token made for receiver-pubsub@",
    ),
    (
        "gcloud run services update receiver --region=us-central1 --timeout=100",
        "takes itself to have 660s for a request, and Cloud Run ends one after 100s",
    ),
    (
        "gcloud services disable cloudtasks.googleapis.com",
        "The API cloudtasks.googleapis.com is off",
    ),
    // Those below are spoilt one by one, since one hides another.
    (
        "gcloud run services update receiver --region=us-central1 --update-env-vars=AUDIENCE=https://own.example.com",
        "Cloud Run for none of that",
    ),
    (
        "gcloud pubsub subscriptions delete receiver-index-upload-dead",
        "Nobody reads the dead-letter topic receiver-index-upload-dead",
    ),
    ("gcloud pubsub topics delete receiver-index-upload-dead", "has no dead-letter topic"),
];

/// Each spoilt thing is found, and what the doctor prints mends it: minutes of gcloud, so only where that is asked for.
#[tokio::test]
#[ignore = "minutes of gcloud; scripts/check --full runs it"]
async fn a_second_pass_changes_nothing_and_each_finding_is_mended_by_what_is_printed() {
    let Some(project) = Project::start().await else { return };
    let pass = "scripts/setup && scripts/schedule && scripts/queue && scripts/subscribe";
    project.ok(&format!("scripts/setup && scripts/deploy && {pass}")).await;
    let before = project.resources();
    let printed = project.ok(pass).await;
    for line in printed.lines() {
        assert!(line.starts_with("unchanged "), "{line}");
    }
    assert_eq!(project.resources(), before);
    assert_eq!(project.findings().await, []);

    let url = project
        .ok("gcloud run services describe receiver --region=us-central1 --format='value(status.url)'")
        .await;
    let variables = format!(
        "ENDPOINT={url}/pubsub/index-upload AGENT=serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com\n"
    );
    // By themselves: what is public hides that an account is not let in.
    let alone = [
        (
            "gcloud run services update receiver --region=us-central1 --update-env-vars=AUTH=platform,PLATFORM_IDENTITY=cloud-run && gcloud run services add-iam-policy-binding receiver --region=us-central1 --member=allUsers --role=roles/run.invoker",
            "and allUsers may call: anybody can forge a token",
        ),
        (
            "gcloud run services update receiver --region=us-central1 --no-invoker-iam-check",
            "and that is off: anybody can forge a token",
        ),
        (
            "gcloud beta run services update receiver --region=us-central1 --no-default-url",
            "run.app URL is off",
        ),
        (
            "gcloud run services update receiver --region=us-central1 --ingress=internal && gcloud scheduler jobs update http receiver-daily-report --location=us-central1 --uri=https://own.example.com/scheduler/daily-report",
            "the service's ingress is internal",
        ),
        (
            "gcloud scheduler jobs update http receiver-daily-report --location=us-central1 --clear-auth-token",
            "sends no ID token",
        ),
        (
            "gcloud pubsub topics delete receiver-index-upload",
            "The topic of the subscription receiver-index-upload is deleted",
        ),
        (
            "gcloud pubsub subscriptions update receiver-index-upload --clear-dead-letter-policy",
            "has no dead-letter topic",
        ),
    ];
    let (together, one_by_one) = SPOILT.split_at(21);
    let mut rounds = vec![together.to_vec()];
    rounds.extend(one_by_one.iter().chain(&alone).map(|one| vec![*one]));
    for spoilt in rounds {
        for (line, _) in &spoilt {
            project.ok(&format!("{variables}{line}")).await;
        }
        let mut found: Vec<String> = Vec::new();
        // What is mended may show what it hid.
        for _ in 0..4 {
            let findings = project.findings().await;
            for (finding, mend) in &findings {
                project.ok(mend).await;
                found.push(finding.clone());
            }
            if findings.is_empty() {
                break;
            }
        }
        assert_eq!(project.findings().await, [], "after {spoilt:?}");
        for (line, expected) in &spoilt {
            assert!(found.iter().any(|one| one.contains(expected)), "{line}: {found:#?}");
        }
    }
    // What was mended by giving way, such as to another audience, is put back.
    let back = "gcloud run services update receiver --region=us-central1 --update-env-vars=AUTH=verify,AUDIENCE=https://receiver-123456789012.us-central1.run.app";
    project.ok(&format!("{back} && scripts/schedule && scripts/queue && scripts/subscribe")).await;
    let fired = project.ok("scripts/fire").await;
    assert_eq!(fired.matches(", 204 in ").count(), 3, "{fired}");
    assert_eq!(json!(project.findings().await), json!([]));
}
