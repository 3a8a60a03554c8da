//! A receiver's records in Cloud Logging, read and written by the real gcloud.

use emulator::{
    Behind, Options,
    logging::{Origin, Stream},
    senders::{pubsub::Push, tasks::Attempt},
};
use serde_json::{Value, json};

use crate::{
    gcloud::{Gcloud, REGION},
    harness::{MARKER, Seen, Service, TASKS, jobs},
    local::readme,
};

/// An emulator with the record of one task, `q/t`, and a line that is no record.
async fn gcloud() -> Option<(Gcloud, Value)> {
    let gcloud = Gcloud::start(Options::default()).await?;
    let mut service = Service::start(jobs(&Seen::default())).await;
    let task = Attempt { body: MARKER.into(), ..Attempt::first("q", "t") }.delivery();
    let (_, record) = service.deliver("/tasks/retry", &task).await;
    let origin = |stream| Origin {
        service: "receiver".to_owned(),
        revision: "receiver-00001-abc".to_owned(),
        region: REGION.to_owned(),
        stream,
    };
    gcloud.emulator.log_line(&origin(Stream::Stdout), &record.to_string());
    gcloud.emulator.log_line(&origin(Stream::Stderr), "no record at all");
    Some((gcloud, record))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_found_by_what_it_says_of_its_invocation() {
    let Some((gcloud, record)) = gcloud().await else { return };
    let found = gcloud
        .json(
            "gcloud logging read 'resource.type=\"cloud_run_revision\" AND \
             resource.labels.service_name=\"receiver\" AND \
             jsonPayload.invocation.sender=\"tasks\" AND \
             jsonPayload.invocation.id=\"q/t\"' --freshness=1h --limit=10",
        )
        .await;
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    let entry = &found[0];
    assert_eq!(entry["jsonPayload"]["invocation"], record["invocation"]);
    assert_eq!(entry["jsonPayload"]["message"], record["message"]);
    assert_eq!(entry["jsonPayload"].as_object().unwrap().len(), 2, "{entry}");
    assert_eq!(entry["timestamp"], record["time"]);
    assert_eq!(entry["severity"], record["severity"]);
    assert_eq!(entry["labels"], record["logging.googleapis.com/labels"]);
    assert_eq!(entry["logName"], "projects/demo-project/logs/run.googleapis.com%2Fstdout");
    assert_eq!(
        entry["resource"],
        json!({
            "type": "cloud_run_revision",
            "labels": {
                "project_id": "demo-project",
                "location": REGION,
                "service_name": "receiver",
                "configuration_name": "receiver",
                "revision_name": "receiver-00001-abc",
            },
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_s_own_filters_orders_and_limits_are_understood() {
    let Some((gcloud, _)) = gcloud().await else { return };
    let read = async |filter: &str| {
        gcloud
            .ok(&format!("gcloud logging read {filter} --format='value(logName.basename())'"))
            .await
    };
    // The record is of an earlier time than the line is.
    assert_eq!(read("").await, "run.googleapis.com%2Fstderr\nrun.googleapis.com%2Fstdout");
    assert_eq!(read("--order=asc --limit=1").await, "run.googleapis.com%2Fstdout");
    assert_eq!(read("'severity>=WARNING'").await, "run.googleapis.com%2Fstdout");
    let caller = format!("'severity>=WARNING OR \"{TASKS}\" OR thud' --freshness=10m");
    assert_eq!(read(&caller).await, "run.googleapis.com%2Fstdout");
    assert_eq!(read("'textPayload:\"RECORD at\"'").await, "run.googleapis.com%2Fstderr");
    assert_eq!(read("'timestamp<\"2020-01-01\"'").await, "");

    let lines = gcloud
        .ok(&format!(
            "gcloud run services logs read receiver --region={REGION} --log-filter='NOT severity:*'"
        ))
        .await;
    assert!(lines.ends_with("no record at all"), "{lines}");
    assert_eq!(
        gcloud.ok("gcloud logging logs list --format='value(.)'").await,
        "projects/demo-project/logs/run.googleapis.com%2Fstderr\n\
         projects/demo-project/logs/run.googleapis.com%2Fstdout"
    );
    let fault = gcloud.refused("gcloud logging read 'severity>=ERROR AND (thud'").await;
    assert!(fault.contains("expected \")\", found the end at line 1"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_gcloud_writes_is_read_again() {
    let Some((gcloud, _)) = gcloud().await else { return };
    gcloud.ok("gcloud logging write my/log '{\"a\": {\"b\": 5}}' --payload-type=json --severity=ALERT").await;
    let found = gcloud.json("gcloud logging read 'log_id(\"my/log\") jsonPayload.a.b>4'").await;
    assert_eq!(found[0]["severity"], "ALERT", "{found}");
    assert_eq!(found[0]["logName"], "projects/demo-project/logs/my%2Flog");
    assert_eq!(found[0]["resource"]["type"], "global");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_revision_s_process_says_can_be_read_though_it_never_listened() {
    let run = vec![("receiver".to_owned(), Behind::Program("/bin/sh".into()))];
    let Some(gcloud) = Gcloud::start(Options { run, ..Options::default() }).await else { return };
    let script =
        r#"echo "{\"severity\":\"notice\",\"message\":\"it begins\"}"; printf oops >&2; exit 3"#;
    let deploy = format!(
        "gcloud run deploy receiver --image=us-docker.pkg.dev/demo-project/images/receiver \
         --region={REGION} --no-allow-unauthenticated --args='^|^-c|{script}'"
    );
    gcloud.refused(&deploy).await;
    let read = "gcloud logging read 'resource.labels.service_name=receiver resource.labels.revision_name:receiver-00001-'";
    let found = gcloud.json(read).await;
    let mut said: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["textPayload"].as_str().unwrap(), entry["severity"].as_str()))
        .collect();
    // The two streams are read side by side.
    said.sort_unstable();
    assert_eq!(said, [("it begins", Some("NOTICE")), ("oops", None)], "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_s_queries_find_what_they_are_for() {
    let Some(gcloud) = Gcloud::start(Options::default()).await else { return };
    let mut service = Service::start(jobs(&Seen::default())).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let task = Attempt { body: MARKER.into(), ..Attempt::first("receipts", "4711") }.delivery();
    let task = task.header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let often = Attempt { retry_count: 6, ..Attempt::first("receipts", "1") }.delivery();
    let push = Push::new("projects/p/subscriptions/s", "1234567890", MARKER).wrapped();
    let mut records = Vec::new();
    for (path, delivery) in
        [("/tasks/done", &task), ("/tasks/retry", &often), ("/pubsub/done", &push)]
    {
        records.push(service.deliver(path, delivery).await.1);
    }
    records.push(service.send("/tasks/done", &often).await.1);
    for record in &records {
        let origin = Origin {
            service: "receiver".to_owned(),
            revision: "receiver-00001-abc".to_owned(),
            region: REGION.to_owned(),
            stream: Stream::Stdout,
        };
        gcloud.emulator.log_line(&origin, &record.to_string());
    }
    let expected = [
        "tasks/done receipts/4711 attempt 1: done, 204",
        "missing",
        "tasks/retry receipts/1 attempt 7: retry, 500",
        "pubsub/done",
        "tasks/done receipts/4711 attempt 1: done, 204",
    ];
    let queries = readme("Watch it")[1];
    assert_eq!(queries.lines().count(), expected.len());
    for (query, expected) in queries.lines().zip(expected) {
        // The tests' records are of this project.
        let found = gcloud.ok(&query.replace("my-project", "example")).await;
        assert!(found.contains(expected) && found.lines().count() == 1, "{query}\n{found}");
    }
}
