//! `scripts/new-job`: a job of any sender is added whole, or nothing is.

use std::path::Path;

use crate::copied::Copied;

const TABLE: &str = "src/jobs/mod.rs";

/// What a table without any job looks like.
const EMPTY: &str = "\
//! Your jobs: one file each, and one line each below.

use crate::job_table::Jobs;

/// Every job and the path it answers at: `/{sender}/{name}`. Add yours here.
pub fn jobs() -> Jobs {
    let mut jobs = Jobs::default();
    jobs
}
";

fn is_formatted(copied: &Copied) -> bool {
    copied.run("cargo", &["fmt", "--check"]).0 == Some(0)
}

#[test]
fn a_job_of_each_sender_is_added_to_an_empty_table_in_order_and_formatted() {
    let copied = Copied::new("new-job-empty");
    copied.write(TABLE, EMPTY);
    for (sender, name) in
        [("tasks", "send-mail"), ("scheduler", "x2"), ("events", "archive"), ("pubsub", "x10")]
    {
        let (code, out, err) = copied.run("scripts/new-job", &[sender, name]);
        assert_eq!((code, &*err), (Some(0), ""));
        let upper = sender.to_uppercase();
        assert!(
            out.contains(&format!("/{sender}/{name}")) && out.contains(&format!("{upper}_CALLERS")),
            "{out}"
        );
        let job = copied.read(&format!("src/jobs/{}.rs", name.replace('-', "_")));
        assert!(job.contains("Invocation::sample(Sender::"), "{job}");
    }
    let added = "mod archive;\nmod send_mail;\nmod x10;\nmod x2;\n\nuse ";
    let lines = "    jobs.tasks(\"send-mail\", send_mail::run);
    jobs.scheduler(\"x2\", x2::run);
    jobs.events(\"archive\", archive::run);
    jobs.pubsub(\"x10\", x10::run);
    jobs\n";
    let expected = EMPTY.replace("use ", added).replace("    jobs\n", lines);
    assert_eq!(copied.read(TABLE), expected);
    assert!(is_formatted(&copied));
}

#[test]
fn a_job_is_added_to_the_table_as_it_is_however_long_its_name() {
    let copied = Copied::new("new-job-long");
    let before = copied.read(TABLE);
    let name = format!("long{}", "-name".repeat(12));
    let (code, _, err) = copied.run("scripts/new-job", &["pubsub", &name]);
    assert_eq!((code, &*err), (Some(0), ""));
    let after = copied.read(TABLE);
    let is_new =
        |line: &&str| line.contains("long") || ["    jobs.pubsub(", "    );"].contains(line);
    let rest: Vec<&str> = after.lines().filter(|line| !is_new(line)).collect();
    assert_eq!(rest, before.lines().collect::<Vec<_>>());
    assert!(is_formatted(&copied));
}

#[test]
fn what_cannot_be_a_job_is_refused_and_nothing_is_changed() {
    let copied = Copied::new("new-job-refused");
    assert_eq!(copied.run("scripts/new-job", &["tasks", "there"]).0, Some(0));
    let before = copied.files();
    for (arguments, fault) in [
        (&["tasks"][..], "expected SENDER NAME"),
        (&["tasks", "a", "b"], "expected SENDER NAME"),
        (
            &["mail", "send"],
            "there is no sender 'mail'; expected scheduler, tasks, pubsub or events",
        ),
        (&["tasks", "Send"], "'Send' is no name of a job"),
        (&["tasks", "send_mail"], "is no name of a job"),
        (&["tasks", "2nd"], "is no name of a job"),
        (&["tasks", "a--b"], "is no name of a job"),
        (&["tasks", "a-"], "is no name of a job"),
        (&["tasks", "../a"], "is no name of a job"),
        (&["tasks", ""], "is no name of a job"),
        (&["tasks", "move"], "choose another name, such as move-job"),
        (&["tasks", "jobs"], "choose another name, such as jobs-job"),
        (&["scheduler", "healthz"], "ends in z"),
        (&["tasks", "there"], "src/jobs/there.rs exists"),
        (&["events", "there"], "src/jobs/there.rs exists"),
    ] {
        let (code, out, err) = copied.run("scripts/new-job", arguments);
        assert_eq!((code, &*out), (Some(64), ""), "{arguments:?}");
        assert!(
            err.starts_with("scripts/new-job: ") && err.contains(fault),
            "{arguments:?}: {err}"
        );
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(copied.files() == before, "{arguments:?} changed something");
    }
}

#[test]
fn a_table_that_has_the_job_or_no_place_for_it_is_left_as_it_is() {
    let copied = Copied::new("new-job-table");
    let ready = EMPTY.replace("use ", "mod mail;\n\nuse ");
    let line = EMPTY.replace(
        "    jobs\n",
        "    jobs.tasks(\n        \"mail\",\n        other::run,\n    );\n    jobs\n",
    );
    for (table, code, fault) in [
        (ready, 64, "has a job 'mail' already"),
        (line, 64, "has a job 'mail' already"),
        (EMPTY.replace("    jobs\n", "    return jobs;\n"), 1, "has no place for a job"),
        (EMPTY.replace("use crate::job_table::Jobs;\n", ""), 1, "has no place for a job"),
        (EMPTY.replace("-> Jobs {", "-> Jobs {{"), 1, "rustfmt cannot read"),
    ] {
        copied.write(TABLE, &table);
        let before = copied.files();
        let (found, _, err) = copied.run("scripts/new-job", &["tasks", "mail"]);
        assert!(found == Some(code) && err.contains(fault), "{found:?} {err}");
        assert!(copied.files() == before, "{fault}: something changed");
    }
    std::fs::remove_file(copied.folder.join(TABLE)).unwrap();
    let (code, _, err) = copied.run("scripts/new-job", &["tasks", "mail"]);
    assert!(code == Some(1) && err.contains("there is no src/jobs/mod.rs"), "{err}");
    assert!(!copied.files().contains_key(Path::new("src/jobs/mail.rs")));
}
