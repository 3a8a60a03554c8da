//! What `scripts/generate` leaves of this template: a project of another name. `scripts/check-skeleton` builds it.

use crate::copied::Copied;

const WHOLE: [&str; 4] = ["parcel-desk", "acme-prod", "us-east1", "scheduler,pubsub"];

/// What a project has no use for.
const TRACES: [&str; 6] = [
    "receiver",
    "cargo generate",
    "cargo-generate",
    "check-skeleton",
    "begin template",
    "template only",
];

/// Rust's own types of that name, and what OpenTelemetry's collector calls its sources.
const OTHERS: [&str; 5] = [
    "watch::Receiver",
    "mpsc::Receiver",
    "broadcast::Receiver",
    "mpsc::UnboundedReceiver",
    "receivers:",
];

#[test]
fn a_generated_project_has_no_trace_of_the_template_and_resolves_as_locked() {
    let copied = Copied::new("skeleton");
    let (code, out, err) = copied.run("scripts/generate", &WHOLE);
    assert_eq!((code, &*err), (Some(0), ""), "{out}");
    for (path, bytes) in copied.files() {
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        for other in OTHERS {
            text = text.replace(other, "");
        }
        let text = format!("{}\n{text}", path.display()).to_lowercase();
        for trace in TRACES {
            let line = text.lines().find(|line| line.contains(trace));
            assert!(line.is_none(), "{}: {}", path.display(), line.unwrap_or_default());
        }
    }

    resolves_as_locked(&copied);
    assert!(copied.read("src/main.rs").contains("parcel_desk::jobs::jobs()"));
    assert!(copied.read("README.md").starts_with("# parcel-desk\n"));
}

#[test]
fn a_project_with_all_examples_resolves_as_locked() {
    let copied = Copied::new("skeleton-all");
    let (code, out, err) = copied.run("scripts/generate", &WHOLE[..3]);
    assert_eq!((code, &*err), (Some(0), ""), "{out}");
    resolves_as_locked(&copied);
    assert!(copied.read("Cargo.toml").contains("fan-out = "));
}

fn resolves_as_locked(copied: &Copied) {
    let lock = copied.read("Cargo.lock");
    for arguments in [
        &["tree", "--locked", "--offline"][..],
        &["tree", "--offline"],
        &["fmt", "--all", "--check"],
    ] {
        let (code, _, err) = copied.run("cargo", arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
    }
    assert_eq!(copied.read("Cargo.lock"), lock, "cargo would write it otherwise");
}

#[test]
fn a_generated_project_has_the_examples_and_settings_of_its_senders() {
    let copied = Copied::new("skeleton-senders");
    assert_eq!(copied.run("scripts/generate", &WHOLE).0, Some(0));
    let table = copied.read("src/jobs/mod.rs");
    let jobs: Vec<&str> = table.lines().filter(|line| line.contains("jobs.")).collect();
    let expected = [
        "    jobs.scheduler(\"probe\", probe::run);",
        "    jobs.scheduler(\"daily-report\", daily_report::run);",
        "    jobs.pubsub(\"index-upload\", index_upload::run);",
    ];
    assert_eq!(jobs, expected);
    assert!(!table.contains("send_receipt"), "{table}");
    assert!(!copied.folder.join("src/jobs/send_receipt.rs").exists());

    let settings = copied.read(".env.example");
    for (line, is_there) in [
        ("SCHEDULER_CALLERS=parcel-desk-scheduler@acme-prod.iam.gserviceaccount.com", true),
        ("PUBSUB_CALLERS=parcel-desk-pubsub@acme-prod.iam.gserviceaccount.com", true),
        ("TASKS_CALLERS=parcel-desk-tasks@acme-prod.iam.gserviceaccount.com", false),
        ("EVENTS_CALLERS=parcel-desk-events@acme-prod.iam.gserviceaccount.com", false),
        ("AUDIENCE=https://parcel-desk-123456789012.us-east1.run.app", true),
    ] {
        assert_eq!(settings.lines().any(|found| found == line), is_there, "{line}");
    }
}

#[test]
fn what_cannot_be_a_project_is_refused_and_nothing_is_changed() {
    let copied = Copied::new("skeleton-refused");
    let before = copied.files();
    for (index, value, fault) in [
        (0, "Parcel", "is no name of a service"),
        (0, "parcel_desk", "is no name of a service"),
        (0, "parcel-", "is no name of a service"),
        (0, "a--b", "is no name of a service"),
        (0, "p", "expected 2 to 20"),
        (0, "a-name-of-21-letters-", "is no name of a service"),
        (0, "a-name-of-21-letters-x", "expected 2 to 20"),
        (0, "match", "choose another name, such as my-match"),
        (0, "test", "choose another name, such as my-test"),
        (0, "oidc", "is a crate"),
        (0, "emulator", "is a crate"),
        (0, "serde-json", "is a crate"),
        (0, "receiver", "is a crate"),
        (0, "jobs", "is a module"),
        (1, "Acme", "is no project's id"),
        (1, "123456789012", "is no project's id"),
        (2, "mars", "is no region"),
        (3, "tasks,mail", "are no senders"),
        (3, "", "are no senders"),
    ] {
        let mut arguments = WHOLE;
        arguments[index] = value;
        let (code, out, err) = copied.run("scripts/generate", &arguments);
        assert_eq!((code, &*out), (Some(64), ""), "{value}: {err}");
        assert!(err.starts_with("scripts/generate: ") && err.contains(fault), "{value}: {err}");
        assert!(copied.files() == before, "{value} changed something");
    }
    assert_eq!(copied.run("scripts/generate", &WHOLE[..2]).0, Some(64));
    // What is not committed would be lost among the changes.
    assert_eq!(copied.run("git", &["init", "--quiet"]).0, Some(0));
    let before = copied.files();
    let (code, _, err) = copied.run("scripts/generate", &WHOLE);
    assert!(code == Some(1) && err.contains("commit or stash them first"), "{err}");
    assert!(copied.files() == before);
}
