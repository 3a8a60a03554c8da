//! An entry of the history in one line.

use emulator::history::{Attempt, Call, Entry, NextRetry};
use jiff::{Timestamp, tz::TimeZone};

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const GREY: &str = "90";

/// `   7 12:01:02.345 tasks     queues/receipts 4711 #2  503  12.3 ms, again at 12:01:12`.
pub(in crate::cli) fn line(entry: &Entry, in_colour: bool) -> String {
    match entry {
        Entry::Attempt(attempt) => of_attempt(attempt, in_colour),
        Entry::Call(call) => of_call(call, in_colour),
    }
}

/// What a follower is told of an attempt that it has seen.
pub(super) fn next_retry(retry: &NextRetry, in_colour: bool) -> String {
    let said = match retry.next_retry {
        Some(at) => format!("again at {}", clock(at)),
        None => "not again".to_owned(),
    };
    painted(GREY, &format!("{:>4} {said}", retry.id), in_colour)
}

fn of_attempt(attempt: &Attempt, in_colour: bool) -> String {
    let colour = match &attempt.answer {
        _ if attempt.acknowledged => GREEN,
        Some(_) => YELLOW,
        None => RED,
    };
    let result = match &attempt.answer {
        Some(answer) => answer.status.to_string(),
        None if attempt.timed_out => "time".to_owned(),
        None => "none".to_owned(),
    };
    let result = painted(colour, &format!("{result:>4}"), in_colour);
    let Attempt { id, sender, invocation, attempt: number, latency_ms, .. } = attempt;
    let (time, sender) = (clock(attempt.time), sender.name());
    let resource = short(&attempt.resource);
    let mut line = format!(
        "{id:>4} {time} {sender:<9} {resource} {invocation} #{number} {result} {latency_ms:.1} ms"
    );
    if let Some(id) = attempt.replay_of {
        line.push_str(&format!(", replay of {id}"));
    }
    if !attempt.faults.is_empty() {
        let names: Vec<&str> = attempt.faults.iter().map(|fault| fault.name()).collect();
        line.push_str(&format!(", {}", names.join(" and ")));
    }
    if let Some(at) = attempt.next_retry {
        line.push_str(&format!(", again at {}", clock(at)));
    }
    if let Some(error) = &attempt.error {
        line.push_str(&format!(": {error}"));
    }
    line
}

fn of_call(call: &Call, in_colour: bool) -> String {
    let Call { id, method, url, status, .. } = call;
    let time = clock(call.time);
    let call = painted(GREY, &format!("{method} {url} {status}, passed through"), in_colour);
    format!("{id:>4} {time} {:<9} {call}", "call")
}

/// The last two segments of a resource's name, such as `queues/receipts`.
fn short(resource: &str) -> &str {
    let last = resource.rmatch_indices('/').nth(1);
    last.and_then(|(at, _)| resource.get(at + 1..)).unwrap_or(resource)
}

/// The time of day where the person is.
fn clock(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system()).strftime("%H:%M:%S.%3f").to_string()
}

fn painted(colour: &str, text: &str, in_colour: bool) -> String {
    if in_colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn attempt() -> Attempt {
        serde_json::from_value(json!({
            "id": 7,
            "time": "2026-10-05T12:01:02.345Z",
            "sender": "tasks",
            "resource": "projects/p/locations/l/queues/receipts",
            "invocation": "4711",
            "attempt": 2,
            "request": {"method": "POST", "url": "http://a/", "headers": [], "body": "", "body_bytes": 0},
            "answer": {"status": 503, "headers": [], "body": ""},
            "acknowledged": false,
            "timed_out": false,
            "latency_ms": 12.345,
            "faults": ["slow-body", "expired"],
            "error": null,
            "next_retry": "2026-10-05T12:01:12.345Z",
            "replay_of": 3,
        }))
        .unwrap()
    }

    #[test]
    fn an_attempt_is_one_line() {
        let said = line(&Entry::Attempt(Box::new(attempt())), false);
        let (time, again) = (clock(attempt().time), clock(attempt().next_retry.unwrap()));
        assert_eq!(
            said,
            format!(
                "   7 {time} tasks     queues/receipts 4711 #2  503 12.3 ms, replay of 3, \
                 slow-body and expired, again at {again}"
            )
        );
        let failed = Attempt {
            answer: None,
            faults: Vec::new(),
            next_retry: None,
            replay_of: None,
            error: Some("not sent: no account".to_owned()),
            ..attempt()
        };
        let said = line(&Entry::Attempt(Box::new(failed)), true);
        assert!(said.ends_with("\u{1b}[31mnone\u{1b}[0m 12.3 ms: not sent: no account"), "{said}");
    }

    #[test]
    fn a_resource_is_shown_by_its_last_two_segments() {
        assert_eq!(short("projects/p/subscriptions/s"), "subscriptions/s");
        assert_eq!(short("s"), "s");
    }
}
