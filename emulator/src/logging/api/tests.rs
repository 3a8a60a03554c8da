use serde_json::{Value, json};

use super::*;
use crate::{
    iam::Principal,
    logging::{Origin, Stream},
    testing::{call, call_as, google},
};

fn asked(google: &Google, method: &str, body: Value) -> Result<Value, ApiError> {
    answer(google, &call("POST", &format!("/v2/entries:{method}"), body))
}

/// A request that finds everything.
fn whole() -> Value {
    json!({
        "resourceNames": ["projects/demo-project"],
        "filter": "",
        "orderBy": "timestamp asc",
        "pageSize": 2,
    })
}

fn texts(answer: &Value) -> Vec<&str> {
    let entries = answer["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|entry| entry["textPayload"].as_str().unwrap()).collect()
}

fn log(google: &Google, lines: &[&str]) {
    let origin = Origin {
        service: "receiver".to_owned(),
        revision: "receiver-00001-abc".to_owned(),
        region: "us-central1".to_owned(),
        stream: Stream::Stdout,
    };
    lines.iter().for_each(|line| google.logging.line(&origin, line));
}

#[tokio::test]
async fn a_page_begins_where_the_one_before_ended_whatever_came_meanwhile() {
    let google = google();
    log(&google, &["1", "2", "3"]);
    for (order, first, second) in [
        ("timestamp asc", ["1", "2"], vec!["3", "4"]),
        ("timestamp desc", ["4", "3"], vec!["2", "1"]),
    ] {
        let mut request = whole();
        request["orderBy"] = order.into();
        let page = asked(&google, "list", request.clone()).unwrap();
        assert_eq!(texts(&page), first, "{order}");
        request["pageToken"] = page["nextPageToken"].clone();
        log(&google, &["4"]);
        let page = asked(&google, "list", request).unwrap();
        assert_eq!(texts(&page), second, "{order}");
        assert_eq!(page["nextPageToken"], Value::Null);
    }
}

#[tokio::test]
async fn what_matches_nothing_is_an_empty_answer() {
    let mut request = whole();
    request["filter"] = "unicorn".into();
    assert_eq!(asked(&google(), "list", request).unwrap(), json!({}));
}

#[tokio::test]
async fn a_request_that_cannot_be_is_refused_with_the_reason() {
    for (field, value, said) in [
        ("resourceNames", json!([]), "resource_names: is empty; name projects/demo-project"),
        (
            "resourceNames",
            json!(["organizations/1"]),
            "\"organizations/1\" is not in projects/demo-project",
        ),
        ("resourceNames", json!(["projects/other"]), "\"projects/other\" is not in"),
        (
            "resourceNames",
            json!(["projects/demo-project/locations/global/buckets/_Default/views/_AllLogs"]),
            "is a log view, which this emulator does not have",
        ),
        ("filter", json!("thud=1"), "filter: an entry has no field \"thud\""),
        ("orderBy", json!("severity"), "expected \"timestamp asc\" or \"timestamp desc\""),
        ("pageSize", json!(-1), "is negative"),
        ("pageToken", json!("x"), "is none that this emulator gave"),
        ("thud", json!(1), "unknown field `thud`"),
    ] {
        let mut request = whole();
        request[field] = value;
        let fault = asked(&google(), "list", request).unwrap_err();
        assert_eq!(fault.http_status(), 400, "{field}");
        assert!(fault.message.contains(said), "{field}: {}", fault.message);
    }
    let fault = asked(&google(), "tail", json!({})).unwrap_err();
    assert_eq!(fault.http_status(), 400);
    assert!(fault.message.contains("no entries:tail"), "{}", fault.message);
    assert_eq!(asked(&google(), "thud", json!({})).unwrap_err().http_status(), 404);
}

/// As `gcloud logging write` asks.
fn written() -> Value {
    json!({"entries": [{
        "logName": "projects/demo-project/logs/my%2Flog",
        "resource": {"type": "global"},
        "severity": "ALERT",
        "textPayload": "help",
    }]})
}

#[tokio::test]
async fn a_written_entry_is_read_again() {
    let google = google();
    let mut dry = written();
    dry["dryRun"] = true.into();
    assert_eq!(asked(&google, "write", dry).unwrap(), json!({}));
    assert_eq!(asked(&google, "list", whole()).unwrap(), json!({}));

    let defaults = json!({
        "logName": "projects/123456789012/logs/other",
        "resource": {"type": "global", "labels": {"project_id": "x"}},
        "labels": {"a": "1", "b": "1"},
        "entries": [{"labels": {"b": "2"}, "jsonPayload": {"c": 3}}],
    });
    for request in [written(), defaults] {
        assert_eq!(asked(&google, "write", request).unwrap(), json!({}));
    }
    let read = asked(&google, "list", whole()).unwrap();
    let mut entries = read["entries"].as_array().unwrap().clone();
    for entry in &mut entries {
        for name in ["timestamp", "receiveTimestamp", "insertId"] {
            assert!(entry.as_object_mut().unwrap().remove(name).is_some(), "{name}");
        }
    }
    assert_eq!(
        entries,
        [
            json!({
                "logName": "projects/demo-project/logs/my%2Flog",
                "resource": {"type": "global", "labels": {"project_id": "demo-project"}},
                "severity": "ALERT",
                "textPayload": "help",
            }),
            json!({
                "logName": "projects/demo-project/logs/other",
                "resource": {"type": "global", "labels": {"project_id": "x"}},
                "labels": {"a": "1", "b": "2"},
                "jsonPayload": {"c": 3},
            }),
        ]
    );
    let logs = call("GET", "/v2/projects/demo-project/logs", Value::Null);
    assert_eq!(
        answer(&google, &logs).unwrap(),
        json!({"logNames": ["projects/demo-project/logs/my%2Flog", "projects/demo-project/logs/other"]})
    );
}

#[tokio::test]
async fn a_spoiled_entry_is_refused_and_nothing_is_written() {
    let google = google();
    for (field, value, said) in [
        (
            "logName",
            json!("my-log"),
            "entries[1].log_name: \"my-log\" is not in projects/demo-project",
        ),
        ("logName", json!("projects/demo-project/logs/a/b"), "expected projects/PROJECT/logs/ID"),
        ("logName", json!("projects/demo-project/logs/"), "expected projects/PROJECT/logs/ID"),
        ("logName", json!("projects/demo-project/logs/a%20b"), "expected projects/PROJECT/logs/ID"),
        ("resource", json!({}), "entries[1].resource.type: is empty"),
        ("jsonPayload", json!({}), "has more than one payload"),
        ("severity", json!("LOUD"), "\"LOUD\" is not one of DEFAULT"),
        ("labels", json!({"a": 1}), "invalid type"),
        ("thud", json!(1), "unknown field `thud`"),
    ] {
        let mut request = written();
        let mut spoiled = request["entries"][0].clone();
        spoiled[field] = value;
        request["entries"].as_array_mut().unwrap().push(spoiled);
        let fault = asked(&google, "write", request).unwrap_err();
        assert_eq!(fault.http_status(), 400, "{field}");
        assert!(fault.message.contains(said), "{field}: {}", fault.message);
    }
    assert_eq!(asked(&google, "list", whole()).unwrap(), json!({}));
}

#[tokio::test]
async fn reading_and_writing_need_their_permissions() {
    let google = google();
    let account = google.iam.create_account("caller").unwrap();
    let caller = || Principal::Account(account.email.clone());
    for (body, verb, permission) in [
        (whole(), "list", "logging.logEntries.list"),
        (written(), "write", "logging.logEntries.create"),
    ] {
        let call = call_as(caller(), "POST", &format!("/v2/entries:{verb}"), body);
        let fault = answer(&google, &call).unwrap_err();
        assert_eq!(fault.http_status(), 403);
        assert!(fault.message.contains(permission), "{}", fault.message);
    }
    let logs = call_as(caller(), "GET", "/v2/projects/demo-project/logs", Value::Null);
    assert!(answer(&google, &logs).unwrap_err().message.contains("logging.logs.list"));
}
