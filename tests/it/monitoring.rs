//! What an operator watches the service by: the documents in `monitoring/` name nothing that the code does not have, gcloud
//! takes them, and Prometheus's own grammar their queries.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use emulator::Options;
use oidc::Reason;
use receiver::telemetry::metrics::{LABELS, NAMES, STUCK_FROM};
use serde_json::Value;

use crate::{gcloud::Gcloud, local::readme};

/// Google's own labels, of the resource and of histograms.
const GIVEN: [&str; 4] = ["monitored_resource", "job", "location", "le"];

/// The documents of a folder of `monitoring/`, by their names without `.json`.
fn documents(folder: &str) -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("monitoring").join(folder);
    let mut paths: Vec<PathBuf> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    let read = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".json").unwrap();
        (name.to_owned(), serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    };
    paths.iter().map(|path| read(path)).collect()
}

/// Every query of a document, in Prometheus's language.
fn queries(document: &Value) -> Vec<&str> {
    match document {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, member)| match (name.as_str(), member) {
                ("prometheusQuery" | "query", Value::String(query)) => vec![query.as_str()],
                _ => queries(member),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(queries).collect(),
        _ => Vec::new(),
    }
}

/// The same of all dashboards and alerts.
fn all_queries() -> Vec<String> {
    let all = [documents(""), documents("alerts")].concat();
    let all: Vec<String> =
        all.iter().flat_map(|(_, one)| queries(one)).map(str::to_owned).collect();
    assert!(all.len() > 20, "{all:?}");
    all
}

/// What stands between each `begin` and the next `end`.
fn between<'a>(text: &'a str, begin: &str, end: char) -> Vec<&'a str> {
    text.split(begin).skip(1).filter_map(|rest| rest.split_once(end)).map(|(one, _)| one).collect()
}

/// As an operator's queries may name them: the record's own schema has them all.
fn outcomes() -> BTreeSet<String> {
    let schema: Value =
        serde_json::from_str(include_str!("../../src/record/record.schema.json")).unwrap();
    let all = schema.pointer("/$defs/outcome/enum").unwrap();
    all.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_metric_and_label_that_a_dashboard_or_an_alert_names_exists() {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let all = all_queries();
    for query in &all {
        let selectors = between(query, "{", '}');
        assert!(!selectors.is_empty(), "{query}");
        for selector in selectors {
            // Names in quotes, as Google has PromQL; the suffix is a histogram's.
            let rest = selector.strip_prefix("\"@METRICS@").unwrap_or_else(|| panic!("{query}"));
            let (name, rest) = rest.split_once('"').unwrap();
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            seen.insert(
                NAMES.iter().find(|known| **known == name).unwrap_or_else(|| panic!("{query}")),
            );
            let matchers = rest.strip_prefix(", @OF_SERVICE@").unwrap_or_else(|| panic!("{query}"));
            for matcher in matchers.split(", ").filter(|matcher| !matcher.is_empty()) {
                let (label, value) = matcher.split_once(['=', '!']).unwrap();
                assert!(LABELS.contains(&label), "{query}");
                let is_known = |value: &str| match label {
                    "outcome" => outcomes().contains(value),
                    "reason" => Reason::ALL.iter().any(|reason| reason.as_str() == value),
                    _ => false,
                };
                let values = value.trim_start_matches(['=', '~']).trim_matches('"');
                assert!(values.split('|').all(is_known), "{query}");
            }
        }
        for label in between(query, "by (", ')').iter().flat_map(|by| by.split(", ")) {
            assert!(LABELS.contains(&label) || GIVEN.contains(&label), "{label}: {query}");
        }
    }
    assert_eq!(seen, NAMES.into(), "each metric stands in a dashboard");
}

#[test]
fn log_based_metrics_are_the_receiver_s_own_by_what_records_say() {
    let mut names = Vec::new();
    for (name, metric) in documents("log-metrics") {
        assert!(NAMES.contains(&&*name), "{name}");
        let labels: Vec<&str> = metric["metricDescriptor"]["labels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|label| label["key"].as_str().unwrap())
            .collect();
        match &*name {
            "invocation.count" => assert_eq!(labels, LABELS),
            _ => assert_eq!(labels, LABELS[..2], "{name}"),
        }
        let filter = metric["filter"].as_str().unwrap();
        assert_eq!(
            filter.contains(&format!("jsonPayload.invocation.attempt>={STUCK_FROM} ")),
            name == "invocation.stuck",
            "{filter}"
        );
        if let Some(reason) = metric["labelExtractors"]["reason"].as_str() {
            // A job's own words are no label.
            let [reasons] = *between(reason, "^(", ')') else { panic!("{reason}") };
            let expected: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
            assert_eq!(reasons.split('|').collect::<Vec<_>>(), expected);
        }
        names.push(name);
    }
    // Alerts and the attempts' dashboard need no others.
    for (name, document) in documents("alerts").iter().chain(&documents("")[..1]) {
        for query in queries(document) {
            let named = between(query, "@METRICS@", '"');
            let is_there = |one: &&str| names.contains(&one.trim_end_matches("_bucket").to_owned());
            assert!(named.iter().all(is_there), "{name}: {query}");
        }
    }
}

#[tokio::test]
async fn prometheus_s_own_grammar_takes_every_query() {
    let Some(folder) = crate::peers::installed() else { return };
    for (metrics, of_service) in [
        ("", "monitored_resource=\"prometheus_target\", job=\"receiver\""),
        ("logging.googleapis.com/user/receiver.", "monitored_resource=\"cloud_run_revision\""),
    ] {
        let fill = |query: &String| {
            query.replace("@METRICS@", metrics).replace("@OF_SERVICE@", of_service)
        };
        let filled: Vec<String> = all_queries().iter().map(fill).collect();
        assert_eq!(crate::peers::not_promql(&folder, &filled).await, "");
    }
    let spoilt = ["sum by (outcome) (rate({\"invocation.count\"}[5m])".to_owned()];
    assert!(crate::peers::not_promql(&folder, &spoilt).await.starts_with("sum by"));
}

#[tokio::test]
async fn what_an_operator_watches_by_is_made_once_changed_where_it_differs_and_deleted() {
    let Some(gcloud) = Gcloud::start(Options::default()).await else { return };
    let line = |line: &str| format!("export REGION=us-central1 DEPLOY_ENV=/dev/null\n{line}");
    let empty = gcloud.emulator.export().unwrap();
    let each = async |word: &str, command: &str| {
        let said = gcloud.ok(&line(command)).await;
        for said in said.lines() {
            assert!(said.starts_with(word), "{command}\n{said}");
        }
        said.lines().count()
    };
    assert_eq!(each("created ", "scripts/monitor").await, 10);
    let made = gcloud.emulator.export().unwrap();
    assert_eq!(each("unchanged ", "scripts/monitor").await, 10);
    assert_eq!(gcloud.emulator.export().unwrap(), made);

    // Dashboards by the metrics that the service exports itself, and somebody is told.
    let channels = "--channels=projects/demo-project/notificationChannels/1,projects/demo-project/notificationChannels/2";
    let said = gcloud.ok(&line(&format!("scripts/monitor --telemetry {channels}"))).await;
    let count = |word: &str| said.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((count("updated "), count("created ")), (6, 1), "{said}");
    let policies = gcloud.json("gcloud alpha monitoring policies list").await;
    for policy in policies.as_array().unwrap() {
        assert_eq!(policy["notificationChannels"].as_array().unwrap().len(), 2, "{policy}");
        assert!(policy.to_string().contains("logging.googleapis.com/user/receiver."), "{policy}");
        assert!(!policy.to_string().contains('@'), "{policy}");
    }
    let dashboards = gcloud.json("gcloud monitoring dashboards list").await;
    for dashboard in dashboards.as_array().unwrap() {
        assert!(!dashboard.to_string().contains("logging.googleapis.com/user"), "{dashboard}");
    }
    // As the README says it.
    let as_said = readme("Watch it")[0].replace("my-project", "demo-project");
    gcloud.ok(&line(&as_said)).await;
    // Whom they tell stays where nothing is said.
    assert_eq!(each("unchanged ", "scripts/monitor").await, 10);
    let policies = gcloud.json("gcloud alpha monitoring policies list").await;
    for policy in policies.as_array().unwrap() {
        assert_eq!(policy["notificationChannels"].as_array().unwrap().len(), 1, "{policy}");
        assert!(policy.to_string().contains("logging.googleapis.com/user/receiver."), "{policy}");
    }
    // Somebody else's stay.
    gcloud
        .ok("gcloud logging metrics create other --description=x --log-filter=severity=ERROR")
        .await;
    each("deleted ", "scripts/teardown --yes").await;
    gcloud.ok("gcloud logging metrics delete other").await;
    assert_eq!(gcloud.emulator.export().unwrap(), empty);

    let refused = gcloud.refused(&line("scripts/monitor --channels=me@example.com")).await;
    assert!(
        refused.contains("it takes names such as projects/my-project/notification"),
        "{refused}"
    );
}
