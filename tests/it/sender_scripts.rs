//! scripts/schedule, queue and subscribe, with the real gcloud: what they make, that a second run changes nothing, and
//! what they refuse.

use std::{path::PathBuf, process::Command};

use emulator::{Clock, Options};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::gcloud::Gcloud;

/// The scripts, an emulator that has their accounts, and their settings file.
pub(crate) struct Scripts {
    pub(crate) gcloud: Gcloud,
    settings: PathBuf,
}

impl Scripts {
    /// `None` where gcloud is not installed.
    pub(crate) async fn start(options: Options) -> Option<Scripts> {
        let gcloud = Gcloud::start(options).await?;
        for account in ["run", "scheduler", "tasks", "pubsub"] {
            gcloud.emulator.create_account(&format!("receiver-{account}")).unwrap();
        }
        let settings = gcloud.folder.join("deploy.env");
        std::fs::write(&settings, "# Settings\nPROJECT=demo-project\nREGION=us-central1\n")
            .unwrap();
        Some(Scripts { gcloud, settings })
    }

    /// Runs `scripts/{line}`, which must end well, and gives its standard output.
    pub(crate) async fn ok(&self, line: &str) -> String {
        self.gcloud.ok(&self.whole(line)).await
    }

    /// Runs `scripts/{line}`, which must fail, and gives its standard error.
    pub(crate) async fn refused(&self, line: &str) -> String {
        self.gcloud.refused(&self.whole(line)).await
    }

    /// The line of shell that runs `scripts/{line}` with the settings.
    pub(crate) fn whole(&self, line: &str) -> String {
        format!("scripts/{line} --env-file={}", self.settings.display())
    }

    fn export(&self) -> Value {
        self.gcloud.emulator.export().unwrap()
    }

    /// Runs it and holds every line of what it says to one word.
    async fn each(&self, word: &str, line: &str) {
        let said = self.ok(line).await;
        assert!(
            !said.is_empty() && said.lines().all(|said| said.starts_with(word)),
            "{line}\n{said}"
        );
    }
}

/// On a clock that stands, so that two runs make the same to the microsecond, and no schedule fires.
pub(crate) fn still() -> Options {
    Options { clock: Clock::standing_at(Timestamp::now()), ..Options::default() }
}

/// Each with a URL that is none of the service's, and what a shell must not take apart.
const ALL: [&str; 3] = [
    r#"schedule --url=https://us-central1-demo-project.cloudfunctions.net/report/daily --schedule='5 4 * * *' \
        --method=POST --body='{"for": "Ada'\''s, and \"all\" $HOME"}' --attempt-deadline=300s"#,
    "queue --url=https://own.example/receipts --audience='https://own.example/a,b|https://other.example' --enqueue",
    "subscribe --url='https://own.example/uploads?kind=a&b' --max-delivery-attempts=7 --min-retry-delay=0",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_prints_the_commands_that_do_the_same_and_a_second_run_changes_nothing() {
    let Some(scripts) = Scripts::start(still()).await else { return };
    let before = scripts.export();
    let mut commands = String::new();
    for line in ALL {
        commands.push_str(&scripts.ok(&format!("{line} --dry-run")).await);
        commands.push('\n');
    }
    assert_eq!(scripts.export(), before, "a dry run changes nothing");
    scripts.gcloud.ok(&commands).await;
    let made_by_commands = scripts.export();
    assert_ne!(made_by_commands, before);

    scripts.gcloud.emulator.import(before).await.unwrap();
    for line in ALL {
        scripts.each("created", line).await;
    }
    let made = scripts.export();
    assert_eq!(made, made_by_commands);
    check_what_was_made(&made);
    for line in ALL {
        scripts.each("unchanged", line).await;
    }
    assert_eq!(scripts.export(), made, "the second run");
}

/// What is not plain from the commands.
fn check_what_was_made(made: &Value) {
    let target = &made["scheduler"]["jobs"][0]["job"]["httpTarget"];
    let audience = "https://us-central1-demo-project.cloudfunctions.net/report";
    assert_eq!(target["oidcToken"]["audience"], audience);
    // {"for": "Ada's, and \"all\" $HOME"}
    assert_eq!(target["body"], "eyJmb3IiOiAiQWRhJ3MsIGFuZCBcImFsbFwiICRIT01FIn0=");
    let subscriptions = made["pubsub"]["subscriptions"].as_array().unwrap();
    assert_eq!(subscriptions.len(), 2);
    for subscription in subscriptions {
        let settings = &subscription["settings"];
        assert_eq!(settings["labels"], json!({"made-for": "receiver"}));
        assert_eq!(settings["messageRetentionDuration"], "604800s");
        assert_eq!(settings["expirationPolicy"], json!({}), "it never expires");
    }
    assert_eq!(made["pubsub"]["topics"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_setting_changes_that_alone_and_what_else_was_set_stays() {
    let Some(scripts) = Scripts::start(still()).await else { return };
    let url = "--url=https://own.example/x";
    for script in ["schedule", "queue", "subscribe"] {
        scripts.each("created", &format!("{script} {url}")).await;
    }
    // What the scripts have no setting for.
    scripts
        .gcloud
        .ok("gcloud scheduler jobs update http receiver-daily-report --location=us-central1 --update-headers=A=b --max-backoff=60s
             gcloud tasks queues update receiver-send-receipt --location=us-central1 --max-doublings=3
             gcloud tasks queues pause receiver-send-receipt --location=us-central1
             gcloud pubsub subscriptions update receiver-index-upload --update-labels=team=a")
        .await;
    let before = scripts.export();
    let mut expected = before.clone();
    let deadline = "--ack-deadline=90 --max-retry-delay=60";
    // A zone of UTC's hours leaves the next run where it is.
    for (line, part, field, value) in [
        (
            "schedule --time-zone=Africa/Abidjan",
            "/scheduler/jobs/0/job",
            "timeZone",
            json!("Africa/Abidjan"),
        ),
        (
            "queue --max-concurrent-dispatches=7",
            "/tasks/queues/0/queue/rateLimits",
            "maxConcurrentDispatches",
            json!(7),
        ),
        (
            &format!("subscribe {deadline}"),
            "/pubsub/subscriptions/0/settings",
            "ackDeadlineSeconds",
            json!(90),
        ),
    ] {
        let said = scripts.ok(&format!("{line} {url}")).await;
        let updated: Vec<&str> =
            said.lines().filter(|said| !said.starts_with("unchanged")).collect();
        assert!(updated.len() == 1 && updated[0].starts_with("updated"), "{line}\n{said}");
        let part = expected.pointer_mut(part).unwrap_or_else(|| panic!("{part}\n{before:#}"));
        part[field] = value;
        if line.ends_with(deadline) {
            part["retryPolicy"]["maximumBackoff"] = "60s".into();
        }
        assert_eq!(scripts.export(), expected, "{line}");
    }
    // gcloud's own flag for it does nothing.
    scripts
        .each(
            "updated",
            &format!("schedule --time-zone=Africa/Abidjan --method=PUT --body=x {url}"),
        )
        .await;
    scripts.each("updated", &format!("schedule --time-zone=Africa/Abidjan {url}")).await;
    assert_eq!(scripts.export(), expected, "the body is gone again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_made_is_not_touched() {
    let Some(scripts) = Scripts::start(still()).await else { return };
    let url = "--url=https://own.example/x";
    scripts
        .gcloud
        .ok("gcloud scheduler jobs create http receiver-theirs --location=us-central1 --schedule='0 0 * * *' --uri=https://theirs.example/
             gcloud pubsub topics create theirs
             gcloud pubsub subscriptions create receiver-theirs --topic=theirs")
        .await;
    let before = scripts.export();
    for (line, said) in [
        ("schedule theirs", "scripts/schedule did not make"),
        ("subscribe theirs", "it has no label made-for=receiver"),
        ("subscribe --topic=missing", "there is no topic missing"),
    ] {
        let refusal = scripts.refused(&format!("{line} {url}")).await;
        assert!(refusal.contains(said), "{line}: {refusal}");
        assert_eq!(scripts.export(), before, "{line}");
    }
    for script in ["schedule", "queue", "subscribe"] {
        let refusal = scripts.refused(script).await;
        assert!(
            refusal.contains(
                "there is no service receiver in us-central1; deploy it with scripts/deploy"
            ),
            "{refusal}"
        );
        assert_eq!(refusal.lines().count(), 1, "{refusal}");
    }
    assert_eq!(scripts.export(), before);

    // Their topic is used, and stays theirs.
    scripts.ok(&format!("subscribe --topic=theirs {url}")).await;
    scripts
        .each("unchanged", &format!("subscribe --topic=projects/demo-project/topics/theirs {url}"))
        .await;
    let labels = scripts.gcloud.json("gcloud pubsub topics describe theirs").await["labels"].take();
    assert_eq!(labels, Value::Null);
    let refusal = scripts.refused(&format!("subscribe {url}")).await;
    assert!(refusal.contains("on another topic"), "{refusal}");

    scripts.each("created", &format!("queue {url}")).await;
    scripts
        .gcloud
        .ok("gcloud tasks queues delete receiver-send-receipt --location=us-central1")
        .await;
    let refusal = scripts.refused(&format!("queue {url}")).await;
    assert!(refusal.contains("Cloud Tasks keeps the name"), "{refusal}");
}

/// Without an emulator: the settings alone decide, before gcloud is asked for anything.
fn run(line: &str) -> (Option<i32>, String) {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("scripts/{line}")]);
    command.envs([("PROJECT", "demo-project"), ("REGION", "us-central1")]);
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn bad_input_is_refused_with_one_line_that_names_it() {
    let long = format!("subscribe {}", "a".repeat(61));
    for (line, said) in [
        ("schedule 'daily report'", "the job is 'daily report'; it takes the name"),
        ("schedule \"it's\"", "the job is 'it's'"),
        ("queue 'a\"b'", "the job is 'a\"b'"),
        ("queue -- -a", "the job is '-a'"),
        ("queue a-", "the job is 'a-'"),
        ("subscribe ''", "the job is ''"),
        ("subscribe Index", "the job is 'Index'"),
        ("subscribe statusz", "paths that end in z"),
        (&long, "61 characters; 60 are the most"),
        ("schedule one two", "unknown argument 'two'"),
        ("schedule --url=own.example/x", "URL is 'own.example/x'; it takes https://HOST/PATH"),
        ("schedule --url=http://own.example/x", "it takes https://"),
        ("queue --url=https:///x", "it takes https://"),
        ("queue --url='https://own.example/a b'", "percent-encoded"),
        ("subscribe --url=https://canary---receiver-abc-uc.a.run.app/x", "the URL of a tag"),
        ("subscribe --audience='https://a.example https://b.example'", "an audience has no spaces"),
        ("schedule --body=x", "a GET has no body; say --method=POST"),
        ("schedule --method=DELETE", "METHOD is 'DELETE'"),
        (
            "schedule --attempt-deadline=14",
            "ATTEMPT_DEADLINE is '14'; it takes seconds, 15 to 1800",
        ),
        ("schedule --attempt-deadline=1801s", "15 to 1800"),
        ("schedule --attempt-deadline=3m", "ATTEMPT_DEADLINE is '3m'"),
        ("schedule --max-retry-attempts=6", "MAX_RETRY_ATTEMPTS is '6'; it takes 0 to 5"),
        ("queue --max-attempts=-1", "MAX_ATTEMPTS is '-1'"),
        (
            "queue --min-backoff=20 --max-backoff=10",
            "MAX_BACKOFF is '10'; it takes seconds, 20 to 3600",
        ),
        ("queue --max-dispatches-per-second=501", "1 to 500"),
        ("queue --max-instances='a[$(id)]'", "MAX_INSTANCES is 'a["),
        ("subscribe --ack-deadline=601", "ACK_DEADLINE is '601'; it takes seconds, 10 to 600"),
        ("subscribe --max-delivery-attempts=4", "5 to 100"),
        ("subscribe --min-retry-delay=601", "0 to 600"),
        ("subscribe --topic='a b'", "TOPIC is 'a b'"),
        ("fire events", "unknown sender 'events'"),
        ("fire --records=logs", "it takes logging or history"),
        ("fire --tasks-job='a b'", "TASKS_JOB is 'a b'"),
    ] {
        let (code, error) = run(line);
        assert_eq!(code, Some(64), "{line}: {error}");
        assert!(error.contains(said), "{line}: {error}");
        assert!(error.starts_with("scripts/") && error.lines().count() == 1, "{line}: {error}");
    }
}

#[test]
fn the_audience_is_what_google_would_have_it_for_that_url() {
    let of = |url: &str| {
        let output = Command::new("bash")
            .args(["-c", ". scripts/lib/settings; audience_of \"$1\"", "scripts/schedule", url])
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    };
    let function = "https://us-central1-p.cloudfunctions.net/report";
    for (url, audience) in [
        (
            "https://receiver-123456789012.us-central1.run.app",
            "https://receiver-123456789012.us-central1.run.app",
        ),
        ("https://receiver-abc-uc.a.run.app/scheduler/x", "https://receiver-abc-uc.a.run.app"),
        (function, function),
        ("https://us-central1-p.cloudfunctions.net/report/daily?a=b/c#d", function),
        ("https://us-central1-p.cloudfunctions.net/", "https://us-central1-p.cloudfunctions.net"),
        ("https://own.example:8443/x?y=https://z.example/", "https://own.example:8443"),
        ("https://own.example?x", "https://own.example"),
        ("https://own.example#x", "https://own.example"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080"),
    ] {
        assert_eq!(of(url).as_deref(), Some(audience), "{url}");
    }
    for garbage in
        ["", "own.example", "ftp://own.example", "https://", "https:///x", "https:// own.example"]
    {
        assert_eq!(of(garbage), None, "{garbage}");
    }
}
