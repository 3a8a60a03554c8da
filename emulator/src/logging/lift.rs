//! A line of a program's output as an entry, as the logging agent makes one: what it knows of a JSON object's members
//! become the entry's own fields, and the rest is the payload.
//!
//! Source: <https://cloud.google.com/logging/docs/structured-logging#structured_logging_special_fields>.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{entry::LogEntry, severity::Severity};

/// What the line says of itself. What is no JSON object is text.
pub(super) fn entry(line: &str) -> LogEntry {
    match serde_json::from_str(line) {
        Ok(Value::Object(members)) => of_members(members),
        _ => LogEntry { text_payload: Some(line.to_owned()), ..LogEntry::default() },
    }
}

fn of_members(mut members: Map<String, Value>) -> LogEntry {
    let of = &mut members;
    let mut entry = LogEntry {
        severity: severity(of),
        timestamp: time(of),
        http_request: taken(of, "httpRequest"),
        insert_id: taken(of, "logging.googleapis.com/insertId").unwrap_or_default(),
        labels: taken(of, "logging.googleapis.com/labels").unwrap_or_default(),
        operation: taken(of, "logging.googleapis.com/operation"),
        source_location: taken(of, "logging.googleapis.com/sourceLocation"),
        span_id: taken(of, "logging.googleapis.com/spanId").unwrap_or_default(),
        trace: taken(of, "logging.googleapis.com/trace").unwrap_or_default(),
        trace_sampled: taken(of, "logging.googleapis.com/trace_sampled").unwrap_or_default(),
        ..LogEntry::default()
    };
    match members.get("message") {
        Some(Value::String(message)) if members.len() == 1 => {
            entry.text_payload = Some(message.clone());
        }
        _ => entry.json_payload = Some(members),
    }
    entry
}

/// Takes a member out; one of another type stays where it is, in the payload.
fn taken<T: DeserializeOwned>(members: &mut Map<String, Value>, name: &str) -> Option<T> {
    let read = T::deserialize(members.get(name)?).ok()?;
    members.remove(name);
    Some(read)
}

fn severity(members: &mut Map<String, Value>) -> Severity {
    let word = match members.get("severity") {
        Some(Value::String(word)) => word.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Severity::default(),
    };
    members.remove("severity");
    Severity::of_program(&word)
}

/// `timestamp` as seconds and nanoseconds, else `timestampSeconds` and `timestampNanos`, else `time` of RFC 3339.
fn time(members: &mut Map<String, Value>) -> Option<Timestamp> {
    let pair = |of: &Map<String, Value>, seconds: &str, nanoseconds: &str| {
        let seconds = of.get(seconds)?.as_i64()?;
        let nanoseconds = i32::try_from(of.get(nanoseconds)?.as_i64()?).ok()?;
        Timestamp::new(seconds, nanoseconds).ok()
    };
    if let Some(time) = members
        .get("timestamp")
        .and_then(Value::as_object)
        .and_then(|timestamp| pair(timestamp, "seconds", "nanos"))
    {
        members.remove("timestamp");
        return Some(time);
    }
    if let Some(time) = pair(members, "timestampSeconds", "timestampNanos") {
        members.remove("timestampSeconds");
        members.remove("timestampNanos");
        return Some(time);
    }
    taken(members, "time")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(line: &Value) -> Value {
        let mut shown = serde_json::to_value(entry(&line.to_string())).unwrap();
        let members = shown.as_object_mut().unwrap();
        for name in ["logName", "resource", "receiveTimestamp"] {
            members.remove(name);
        }
        members.retain(|_, value| !value.is_null() && *value != json!(""));
        shown
    }

    /// The example of the documents.
    fn whole() -> Value {
        json!({
            "severity": "ERROR",
            "message": "There was an error in the application.",
            "httpRequest": {"requestMethod": "GET"},
            "time": "2020-10-12T07:20:50.52Z",
            "logging.googleapis.com/insertId": "42",
            "logging.googleapis.com/labels": {"user_label_1": "value_1"},
            "logging.googleapis.com/operation": {"id": "get_data", "first": true},
            "logging.googleapis.com/sourceLocation": {"file": "get_data.py", "line": "142"},
            "logging.googleapis.com/spanId": "000000000000004a",
            "logging.googleapis.com/trace": "projects/p/traces/0679686673a",
            "logging.googleapis.com/trace_sampled": true,
        })
    }

    #[test]
    fn what_the_agent_knows_becomes_the_entry_s_own_and_a_lone_message_its_text() {
        let expected = json!({
            "severity": "ERROR",
            "textPayload": "There was an error in the application.",
            "httpRequest": {"requestMethod": "GET"},
            "timestamp": "2020-10-12T07:20:50.52Z",
            "insertId": "42",
            "labels": {"user_label_1": "value_1"},
            "operation": {"id": "get_data", "first": true},
            "sourceLocation": {"file": "get_data.py", "line": "142"},
            "spanId": "000000000000004a",
            "trace": "projects/p/traces/0679686673a",
            "traceSampled": true,
        });
        assert_eq!(shown(&whole()), expected);
    }

    #[test]
    fn beside_other_members_the_message_stays_in_the_payload() {
        let mut line = whole();
        line["invocation"] = json!({"sender": "tasks"});
        assert_eq!(
            shown(&line)["jsonPayload"],
            json!({
                "message": "There was an error in the application.",
                "invocation": {"sender": "tasks"},
            })
        );
    }

    #[test]
    fn a_member_of_another_type_stays_in_the_payload() {
        for (name, value) in [
            ("time", json!("yesterday")),
            ("time", json!(5)),
            ("timestamp", json!({"seconds": 1})),
            ("httpRequest", json!("GET /")),
            ("severity", json!({})),
            ("logging.googleapis.com/labels", json!({"a": 1})),
            ("logging.googleapis.com/trace", json!(7)),
            ("logging.googleapis.com/trace_sampled", json!("true")),
        ] {
            assert_eq!(shown(&json!({name: value}))["jsonPayload"], json!({name: value}), "{name}");
        }
    }

    #[test]
    fn the_time_is_looked_for_in_three_places() {
        let expected = "2001-09-09T01:46:40.000000005Z";
        for line in [
            json!({"timestamp": {"seconds": 1_000_000_000, "nanos": 5}}),
            json!({"timestampSeconds": 1_000_000_000, "timestampNanos": 5}),
            json!({"time": expected}),
        ] {
            let entry = shown(&line);
            assert_eq!(entry, json!({"timestamp": expected, "jsonPayload": {}}), "{line}");
        }
    }

    #[test]
    fn what_is_no_json_object_is_text() {
        for line in ["it listens", "[1]", "{\"a\":", "null", "5"] {
            assert_eq!(entry(line).text_payload.as_deref(), Some(line));
        }
        assert_eq!(
            shown(&json!({"message": {"a": 1}})),
            json!({"jsonPayload": {"message": {"a": 1}}})
        );
    }
}
