//! Settings: all faults at once, each with what to do; warnings; the command line.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    process::{Command, Output},
};

use receiver::{
    config::{Config, Faults},
    job_table::Jobs,
    jobs,
};

use crate::harness::{Seen, jobs as every_job};

/// Enough for every sender.
fn whole() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("AUTH", "verify"),
        ("AUDIENCE", "https://receiver.example.run.app"),
        ("SCHEDULER_CALLERS", "scheduler@example.iam.gserviceaccount.com"),
        ("TASKS_CALLERS", "tasks@example.iam.gserviceaccount.com"),
        ("PUBSUB_CALLERS", "100000000000000000001|pubsub@example.iam.gserviceaccount.com"),
        ("EVENTS_CALLERS", "events@example.iam.gserviceaccount.com"),
        ("TASKS_DISPATCH_DEADLINE", "4m"),
    ])
}

fn read(settings: &BTreeMap<&str, &str>) -> Result<Config, Faults> {
    let table = every_job(&Seen::default());
    Config::from_lookup(&table.senders(), |name| {
        settings.get(name).map(|value| (*value).to_owned())
    })
}

fn faults(changes: &[(&'static str, &'static str)]) -> Vec<String> {
    let mut settings = whole();
    settings.extend(changes.iter().copied());
    match read(&settings) {
        Ok(_) => Vec::new(),
        Err(Faults(faults)) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn warnings(changes: &[(&'static str, &'static str)]) -> Vec<String> {
    let mut settings = whole();
    settings.extend(changes.iter().copied());
    read(&settings).unwrap().warnings
}

#[test]
fn the_least_that_every_sender_needs_has_no_fault_and_no_warning() {
    assert_eq!(faults(&[]), <[String; 0]>::default());
    assert_eq!(warnings(&[]), <[String; 0]>::default());
}

#[test]
fn each_wrong_setting_is_named_with_its_value_what_was_expected_and_what_to_do() {
    for (changes, name, expected) in [
        (&[("AUTH", "")][..], "AUTH is not set", "verify or platform"),
        (
            &[("AUTH", "Verify")],
            "AUTH is \"Verify\"",
            "verify (check each ID token here) or platform",
        ),
        (&[("TASKS_AUTH", "none")], "TASKS_AUTH is \"none\"", "verify"),
        (&[("AUDIENCE", "")], "AUDIENCE is not set", "the audience"),
        (&[("AUDIENCE", "|")], "AUDIENCE is \"|\"", "one or more values"),
        (&[("TASKS_CALLERS", "")], "TASKS_CALLERS is not set", "the accounts that may call"),
        (&[("TASKS_CALLERS", "tasks")], "TASKS_CALLERS is \"tasks\"", "by address or numeric id"),
        (&[("TASKS_CALLERS", "*@example.com,b@example.com")], "TASKS_CALLERS is", "separated by |"),
        (&[("HOST", "localhost")], "HOST is \"localhost\"", "an IP address"),
        (&[("PORT", "http")], "PORT is \"http\"", "a port from 0 to 65535"),
        (&[("PORT", "70000")], "PORT is \"70000\"", "a port from 0 to 65535"),
        (&[("WORKERS", "0")], "WORKERS is \"0\"", "from 1"),
        (&[("MAX_IN_FLIGHT", "-1")], "MAX_IN_FLIGHT is \"-1\"", "from 1"),
        (&[("BODY_MEMORY", "64MB")], "BODY_MEMORY is \"64MB\"", "such as 512KiB"),
        (&[("BODY_MEMORY", "2MiB")], "PUBSUB_BODY_LIMIT is \"14MiB\"", "at most BODY_MEMORY, 2MiB"),
        (&[("TASKS_DEADLINE", "soon")], "TASKS_DEADLINE is \"soon\"", "such as 55s"),
        (&[("DEDUP", "redis://localhost")], "DEDUP is \"redis://localhost\"", "memory or off"),
        (&[("PUBSUB_GIVE_UP", "drop")], "PUBSUB_GIVE_UP is \"drop\"", "ack or nack"),
        (&[("LOG_FORMAT", "xml")], "LOG_FORMAT is \"xml\"", "json or text"),
        (&[("LOG_LEVEL", "3")], "LOG_LEVEL is \"3\"", "error, warn"),
        (&[("OIDC_KEYS_URL", "certs")], "OIDC_KEYS_URL is \"certs\"", "an absolute URL"),
        (
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            "OTEL_EXPORTER_OTLP_PROTOCOL is \"grpc\"",
            "http/protobuf, which is the one protocol",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json")],
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is",
            "http/protobuf",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")],
            "OTEL_EXPORTER_OTLP_ENDPOINT is",
            "an absolute URL",
        ),
        (
            &[("TELEMETRY_AUTH", "yes"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")],
            "TELEMETRY_AUTH is",
            "google or none",
        ),
        (
            &[
                ("TELEMETRY_AUTH", "google"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ],
            "TELEMETRY_AUTH is \"google\"",
            "an https endpoint",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://telemetry.googleapis.com")],
            "TELEMETRY_AUTH is \"google\"",
            "an https endpoint",
        ),
        (&[("TELEMETRY_WAIT", "1001")], "TELEMETRY_WAIT is", "from 0 to 1000"),
        (&[("OTEL_EXPORTER_OTLP_TIMEOUT", "0")], "OTEL_EXPORTER_OTLP_TIMEOUT is", "from 1"),
        (&[("OTEL_METRIC_EXPORT_INTERVAL", "0")], "OTEL_METRIC_EXPORT_INTERVAL is", "from 1"),
        (
            &[("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")],
            "OTEL_EXPORTER_OTLP_COMPRESSION is",
            "none",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_HEADERS", "api key=0123")],
            "OTEL_EXPORTER_OTLP_HEADERS is \"…\"",
            "of HTTP headers",
        ),
        (&[("OTEL_TRACES_SAMPLER", "xray")], "OTEL_TRACES_SAMPLER is", "traceidratio"),
        (&[("OTEL_TRACES_SAMPLER_ARG", "2")], "OTEL_TRACES_SAMPLER_ARG is", "from 0 to 1"),
        (&[("OTEL_TRACES_EXPORTER", "zipkin")], "OTEL_TRACES_EXPORTER is", "otlp or none"),
        (&[("OTEL_SDK_DISABLED", "1")], "OTEL_SDK_DISABLED is", "true or false"),
        (&[("OTEL_BSP_SCHEDULE_DELAY", "5s")], "OTEL_BSP_SCHEDULE_DELAY is", "milliseconds"),
        // It may be a key.
        (
            &[("OTEL_EXPORTER_OTLP_HEADERS", "secret")],
            "OTEL_EXPORTER_OTLP_HEADERS is \"…\"",
            "name=value pairs",
        ),
        (&[("AUTH", "platform")], "PLATFORM_IDENTITY is not set", "cloud-run, iap, or the header"),
        (
            &[("AUTH", "platform"), ("PLATFORM_IDENTITY", "cloudrun")],
            "PLATFORM_IDENTITY is \"cloudrun\"",
            "cloud-run",
        ),
        (
            &[("AUTH", "platform"), ("PLATFORM_IDENTITY", "x-jwt-payload")],
            "HOST is \"0.0.0.0\"",
            "loopback",
        ),
        (
            &[
                ("AUTH", "platform"),
                ("PLATFORM_IDENTITY", "x-jwt-payload"),
                ("PROXY_CALLERS", "p@example.com"),
            ],
            "PROXY_AUDIENCE is not set",
            "the audience",
        ),
        (
            &[("AUTH", "platform"), ("PLATFORM_IDENTITY", "iap"), ("EVENTS_CALLERS", "")],
            "EVENTS_CALLERS is not set",
            "accounts",
        ),
        (
            &[("K_SERVICE", "orders"), ("OIDC_ISSUER", "http://127.0.0.1:8800")],
            "OIDC_ISSUER is",
            "Google's issuer",
        ),
        (
            &[("K_SERVICE", "orders"), ("OIDC_KEYS_URL", "http://127.0.0.1:8800/certs")],
            "OIDC_KEYS_URL is",
            "https",
        ),
        (
            &[("K_SERVICE", "orders"), ("ALLOW_TEST_ISSUER", "yes"), ("OIDC_ISSUER", "x")],
            "ALLOW_TEST_ISSUER is",
            "1",
        ),
    ] {
        let faults = faults(changes);
        let found = faults.iter().find(|fault| fault.starts_with(name));
        let found = found.unwrap_or_else(|| panic!("{name:?} is not among {faults:#?}"));
        assert!(found.contains(expected), "{found}");
        assert!(found.matches("; ").count() >= 2, "what to do is missing: {found}");
    }
}

#[test]
fn all_faults_are_reported_together_and_once() {
    let faults = faults(&[
        ("AUDIENCE", ""),
        ("TASKS_CALLERS", "x"),
        ("PORT", "x"),
        ("DEDUP", "x"),
        ("EVENTS_AUTH", "x"),
    ]);
    assert_eq!(faults.len(), 5, "{faults:#?}");
}

#[test]
fn a_jobs_own_setting_that_is_missing_is_reported_with_all_other_faults() {
    let mut table = Jobs::default();
    table.tasks("done", async |_: receiver::invocation::Invocation<()>| Ok(()));
    assert_eq!(table.setting("TEST_SMTP_URL", "the mail service's URL"), "");
    let Err(Faults(faults)) = Config::from_environment(&table) else { panic!("no fault") };
    let own = "TEST_SMTP_URL is not set; expected the mail service's URL; set it";
    assert!(faults.iter().any(|fault| fault.to_string().starts_with(own)), "{faults:#?}");
    assert!(faults.iter().any(|fault| fault.name == "AUTH"), "{faults:#?}");
    assert!(!table.setting("PATH", "a path").is_empty());
}

#[test]
fn a_wrong_setting_is_not_also_reported_as_missing() {
    let own = [
        ("AUTH", ""),
        ("SCHEDULER_AUTH", "x"),
        ("TASKS_AUTH", "x"),
        ("PUBSUB_AUTH", "x"),
        ("EVENTS_AUTH", "x"),
    ];
    let faults = faults(&own);
    assert_eq!(faults.len(), 4, "{faults:#?}");
    assert!(faults.iter().all(|fault| fault.contains("_AUTH is \"x\"")), "{faults:#?}");
    let faults = self::faults(&[
        ("AUDIENCE", ""),
        ("SCHEDULER_AUDIENCE", "|"),
        ("TASKS_AUDIENCE", "a"),
        ("PUBSUB_AUDIENCE", "b"),
        ("EVENTS_AUDIENCE", "c"),
    ]);
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(faults[0].starts_with("SCHEDULER_AUDIENCE is \"|\""), "{faults:#?}");
}

#[test]
fn a_sender_without_a_job_needs_no_settings() {
    let mut table = Jobs::default();
    table.tasks("done", async |_: receiver::invocation::Invocation<()>| Ok(()));
    let settings =
        BTreeMap::from([("AUTH", "verify"), ("AUDIENCE", "a"), ("TASKS_CALLERS", "t@example.com")]);
    Config::from_lookup(&table.senders(), |name| {
        settings.get(name).map(|value| (*value).to_owned())
    })
    .unwrap();
    Config::from_lookup(&Jobs::default().senders(), |_| None).unwrap();
}

#[test]
fn a_senders_own_setting_goes_before_the_one_for_all() {
    let own = [
        ("SCHEDULER_AUTH", "platform"),
        ("SCHEDULER_PLATFORM_IDENTITY", "cloud-run"),
        ("AUDIENCE", ""),
        ("SCHEDULER_CALLERS", ""),
        ("TASKS_AUDIENCE", "a"),
        ("PUBSUB_AUDIENCE", "b"),
        ("EVENTS_AUDIENCE", "c"),
    ];
    assert_eq!(faults(&own), <[String; 0]>::default());
}

#[test]
fn what_is_doubtful_is_warned_about_with_what_to_do() {
    let platform = [
        ("AUTH", "platform"),
        ("PLATFORM_IDENTITY", "cloud-run"),
        ("TASKS_CALLERS", ""),
        ("AUDIENCE", ""),
    ];
    for (changes, warning) in [
        (
            &[("TASKS_DEADLINE", "5m")][..],
            "TASKS_DEADLINE is 300s, not below TASKS_DISPATCH_DEADLINE, 240s",
        ),
        (&[("TASKS_DEADLINE", "5m")], "TASKS_DEADLINE is 300s, not below REQUEST_TIMEOUT, 300s"),
        (
            &[("TASKS_DISPATCH_DEADLINE", "10m")],
            "TASKS_DISPATCH_DEADLINE is 600s, not below REQUEST_TIMEOUT, 300s",
        ),
        (
            &[("PUBSUB_DEADLINE", "10s")],
            "PUBSUB_DEADLINE is 10s, not below PUBSUB_ACK_DEADLINE, 10s",
        ),
        (
            &platform,
            "TASKS_CALLERS is not set: every account that the front end lets through may call /tasks",
        ),
        (&platform, "AUDIENCE is not set for tasks"),
        (&platform, "deploy with --no-allow-unauthenticated"),
        (&[("MAX_INSTANCES", "3")], "DEDUP is memory and MAX_INSTANCES is 3"),
        (&[("K_SERVICE", "orders")], "DEDUP is memory and MAX_INSTANCES is not set"),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://telemetry.googleapis.com"),
                ("GOOGLE_CLOUD_PROJECT", ""),
            ],
            "GOOGLE_CLOUD_PROJECT is not set, and Google takes traces",
        ),
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"), ("TELEMETRY_WAIT", "1000")],
            "PUBSUB_DEADLINE and TELEMETRY_WAIT are 10s together, not below PUBSUB_ACK_DEADLINE, 10s",
        ),
    ] {
        let warnings = warnings(changes);
        assert!(warnings.iter().any(|found| found.contains(warning)), "{warning}: {warnings:#?}");
    }
    assert_eq!(warnings(&[("MAX_INSTANCES", "3"), ("DEDUP", "off")]), <[String; 0]>::default());
}

#[test]
fn the_example_names_every_setting_that_is_read_and_its_defaults_are_the_real_ones() {
    let example = include_str!("../../.env.example");
    let lines = || {
        example.lines().filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once('='))
    };
    let named: BTreeSet<&str> = lines()
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    // Each kind of guard reads settings that the others do not.
    let asked = RefCell::new(BTreeSet::new());
    for (auth, identity) in [("verify", ""), ("platform", "x-jwt-payload"), ("platform", "iap")] {
        let lookup = |name: &str| {
            asked.borrow_mut().insert(name.to_owned());
            match name {
                "AUTH" => Some(auth.to_owned()),
                "PLATFORM_IDENTITY" => Some(identity.to_owned()),
                _ => None,
            }
        };
        let _ = Config::from_lookup(&every_job(&Seen::default()).senders(), lookup);
    }
    // The example may name settings of own jobs beside them.
    for name in asked.into_inner() {
        assert!(named.contains(&*name), "{name} is not in .env.example");
    }

    let settings: BTreeMap<&str, &str> =
        lines().filter(|(name, _)| !name.starts_with('#')).collect();
    let config = read(&whole()).unwrap();
    for setting in
        config.effective.iter().filter(|setting| setting.is_default && setting.name != "WORKERS")
    {
        let mut changed = whole();
        changed.insert(&setting.name, settings[&*setting.name]);
        let read = read(&changed).unwrap_or_else(|faults| panic!("{faults}"));
        let found = read.effective.iter().find(|found| found.name == setting.name).unwrap();
        // The one default that depends on a setting of `whole`.
        let expected = if setting.name == "TASKS_DEADLINE" { "290s" } else { &setting.value };
        assert_eq!(found.value, expected, "{}", setting.name);
    }
}

/// The binary with these settings and no others.
fn run(arguments: &[&str], settings: &BTreeMap<&str, &str>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_receiver"))
        .args(arguments)
        .env_clear()
        .envs(settings)
        .output()
        .unwrap()
}

/// As [`whole`], whatever jobs the table has.
fn check(changes: &[(&'static str, &'static str)]) -> (Option<i32>, String, String) {
    let mut settings = whole();
    settings.extend(changes.iter().copied());
    let output = run(&["check"], &settings);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn check_prints_the_settings_in_effect_and_exits_0() {
    let (code, out, err) = check(&[("PORT", "9000"), ("K_SERVICE", "orders")]);
    assert_eq!((code, &*err), (Some(0), ""), "{out}");
    let line =
        |name: &str| out.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("PORT ").ends_with("9000"), "{out}");
    assert!(line("HOST ").ends_with("0.0.0.0  (default)"), "{out}");
    assert!(line("warning: DEDUP is memory").contains("MAX_INSTANCES"), "{out}");
}

#[test]
fn check_shows_no_key_of_a_collector() {
    let whole = "https://collector.example:4318/otlp?key=KEY";
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "key=KEY");
    let (code, out, err) = check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", whole), headers]);
    assert_eq!((code, &*err), (Some(0), ""), "{out}");
    assert!(out.contains("https://collector.example:4318/otlp\n"), "{out}");
    assert!(!out.contains("KEY"), "{out}");
    for (spoilt, shown) in [
        ("collector.example/otlp?key=KEY", "is \"collector.example/otlp\""),
        ("user:KEY@collector.example", "is \"collector.example\""),
        ("https://user:KEY@collector.example/otlp", "is \"https://collector.example/otlp\""),
    ] {
        let (code, _, err) = check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", spoilt)]);
        assert_eq!(code, Some(64), "{spoilt}");
        assert!(err.contains(shown) && err.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{err}");
        assert!(!err.contains("KEY"), "{err}");
    }
}

#[test]
fn check_prints_every_fault_and_exits_64_and_so_does_serving() {
    let changes = [("PORT", "http"), ("DEDUP", "sometimes")];
    let (code, out, err) = check(&changes);
    assert_eq!((code, &*out), (Some(64), ""));
    assert!(err.contains("PORT is \"http\"") && err.contains("DEDUP is \"sometimes\""), "{err}");
    let mut settings = whole();
    settings.extend(changes);
    let output = run(&[], &settings);
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(64), err));
}

#[test]
fn without_any_setting_the_faults_are_those_of_the_jobs_in_the_table() {
    let output = run(&["check"], &BTreeMap::new());
    let is_missing = !jobs::jobs().senders().is_empty();
    assert_eq!(output.status.code(), Some(if is_missing { 64 } else { 0 }));
    assert_eq!(String::from_utf8(output.stderr).unwrap().contains("AUTH is not set"), is_missing);
}

#[test]
fn the_command_line_helps_and_refuses_what_it_does_not_know() {
    for (arguments, code) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["serve"], 64),
        (&["check", "twice"], 64),
        (&["--port", "1"], 64),
    ] {
        let output = run(arguments, &BTreeMap::new());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains("receiver"), "{text}");
    }
}
