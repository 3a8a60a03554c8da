use serde_json::json;

use super::*;

fn logging() -> Logging {
    Logging::new(Project::default(), Clock::standing_at("2026-01-31T12:00:00Z".parse().unwrap()))
}

fn origin(stream: Stream) -> Origin {
    Origin {
        service: "receiver".to_owned(),
        revision: "receiver-00001-abc".to_owned(),
        region: "us-central1".to_owned(),
        stream,
    }
}

fn all(logging: &Logging) -> Vec<Value> {
    logging.matching(&Filter::default()).into_values().collect()
}

#[test]
fn a_line_is_an_entry_of_its_revision_with_time_and_id() {
    let logging = logging();
    logging.line(&origin(Stream::Stdout), r#"{"severity":"info","message":"m","a":1}"#);
    logging.line(&origin(Stream::Stderr), "it\u{2028}listens");
    logging.line(&origin(Stream::Stderr), " ");
    let resource = json!({
        "type": "cloud_run_revision",
        "labels": {
            "project_id": "demo-project",
            "location": "us-central1",
            "service_name": "receiver",
            "configuration_name": "receiver",
            "revision_name": "receiver-00001-abc",
        },
    });
    assert_eq!(
        all(&logging),
        [
            json!({
                "logName": "projects/demo-project/logs/run.googleapis.com%2Fstdout",
                "resource": resource,
                "timestamp": "2026-01-31T12:00:00Z",
                "receiveTimestamp": "2026-01-31T12:00:00Z",
                "insertId": "0000000000000001",
                "severity": "INFO",
                "jsonPayload": {"message": "m", "a": 1},
            }),
            json!({
                "logName": "projects/demo-project/logs/run.googleapis.com%2Fstderr",
                "resource": resource,
                "timestamp": "2026-01-31T12:00:00Z",
                "receiveTimestamp": "2026-01-31T12:00:00Z",
                "insertId": "0000000000000002",
                "textPayload": "it\u{2028}listens",
            }),
        ]
    );
}

#[test]
fn entries_stand_in_order_of_their_own_time_and_the_same_one_stands_once() {
    let logging = logging();
    for time in ["2026-01-31T11:00:00Z", "2026-01-31T10:00:00Z", "2026-01-31T10:00:00Z"] {
        let line = json!({"time": time, "logging.googleapis.com/insertId": "a", "n": 1});
        logging.line(&origin(Stream::Stdout), &line.to_string());
    }
    let times: Vec<Value> = all(&logging).iter().map(|entry| entry["timestamp"].clone()).collect();
    assert_eq!(times, ["2026-01-31T10:00:00Z", "2026-01-31T11:00:00Z"]);
}

#[test]
fn the_oldest_go_where_there_are_too_many_or_they_are_too_long() {
    let logging = logging();
    for number in 0..=KEPT_ENTRIES {
        logging.line(&origin(Stream::Stdout), &number.to_string());
    }
    let oldest = logging.kept().entries[0].json.clone();
    assert!(oldest.contains(r#""textPayload":"1""#), "{oldest}");
    assert_eq!(logging.kept().entries.len(), KEPT_ENTRIES);

    let long = "x".repeat(KEPT_BYTES / 2 - 1000);
    for _ in 0..3 {
        logging.line(&origin(Stream::Stdout), &long);
    }
    assert_eq!(logging.kept().entries.len(), 2);
    logging.line(&origin(Stream::Stdout), &"x".repeat(KEPT_BYTES));
    let kept = logging.kept();
    assert_eq!((kept.entries.len(), kept.bytes), (0, 0));
}

#[test]
fn a_program_s_own_words_are_not_for_debug() {
    let logging = logging();
    logging.line(&origin(Stream::Stdout), "secret");
    let shown = format!("{logging:?} {:?}", lift::entry("secret"));
    assert!(shown.contains("entries: 1") && !shown.contains("secret"), "{shown}");
}
