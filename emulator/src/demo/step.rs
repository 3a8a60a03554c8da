//! One delivery of the demonstration, what sets it off, and what must come of it.

use std::time::Duration;

use serde_json::Value;

use crate::{
    faults::Fault,
    senders::{Delivery, Sender},
};

/// A delivery, the job it is for, and what must come of it.
#[derive(Debug)]
pub(super) struct Step {
    /// What it shows, in a few words.
    pub(super) about: &'static str,
    pub(super) job: &'static str,
    pub(super) sender: Sender,
    pub(super) act: Act,
    pub(super) expected: Expected,
}

/// What sets a delivery off.
#[derive(Debug)]
pub(super) enum Act {
    /// It is sent by hand: a forgery, or an event, which no sender of the emulator has.
    Deliver(Delivery),
    /// These calls of the control plane, upon which the sender delivers by itself; a fault may go before.
    Call(Option<Fault>, Vec<Call>),
    /// Nothing: the sender goes on by itself.
    Await,
}

/// A call of the control plane.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: reqwest::Method,
    pub(super) path: String,
    pub(super) body: Value,
}

impl Call {
    pub(super) fn new(method: reqwest::Method, path: &str, body: Value) -> Call {
        Call { method, path: path.to_owned(), body }
    }
}

/// What the sender got.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) took: Duration,
}

/// What the record and the answer must say.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) outcome: &'static str,
    pub(super) status: u16,
    /// The record's exact reason; `None` leaves it to the job.
    pub(super) reason: Option<&'static str>,
    /// The proved account's email; `None` where no caller may be recorded.
    pub(super) caller: Option<&'static str>,
}

impl Step {
    /// `/SENDER/JOB`, the receiver's routes.
    pub(super) fn path(&self) -> String {
        format!("/{}/{}", self.sender(), self.job)
    }

    /// The sender as the receiver's routes and records name it.
    pub(super) fn sender(&self) -> &'static str {
        match self.sender {
            Sender::Scheduler => "scheduler",
            Sender::Tasks => "tasks",
            Sender::PubSub => "pubsub",
            Sender::Eventarc => "events",
        }
    }

    /// Everything that is not as expected, one sentence each.
    pub(super) fn faults(&self, answer: Answered, record: Option<&Value>) -> Vec<String> {
        let expected = &self.expected;
        let mut faults = Vec::new();
        if answer.status != expected.status {
            faults.push(format!("answered {} instead of {}", answer.status, expected.status));
        }
        let Some(record) = record else {
            faults.push("left no record".to_owned());
            return faults;
        };
        let caller = record.pointer("/caller/email").and_then(Value::as_str);
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let mut compare = |name: &str, found: Option<&str>, wanted: Option<&str>| {
            if found != wanted {
                faults.push(format!(
                    "recorded {name} {} instead of {}",
                    found.unwrap_or("none"),
                    wanted.unwrap_or("none")
                ));
            }
        };
        compare("sender", text("sender"), Some(self.sender()));
        compare("job", text("job"), Some(self.job));
        compare("outcome", text("outcome"), Some(expected.outcome));
        compare("caller", caller, expected.caller);
        if expected.reason.is_some() {
            compare("reason", text("reason"), expected.reason);
        }
        let status = record.get("status").map(Value::to_string);
        compare("status", status.as_deref(), Some(&expected.status.to_string()));
        faults
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step() -> Step {
        Step {
            about: "a run",
            job: "daily-report",
            sender: Sender::Scheduler,
            act: Act::Await,
            expected: Expected {
                outcome: "refused",
                status: 401,
                reason: Some("expired"),
                caller: None,
            },
        }
    }

    fn answer(status: u16) -> Answered {
        Answered { status, took: Duration::ZERO }
    }

    fn record() -> Value {
        json!({
            "sender": "scheduler",
            "job": "daily-report",
            "outcome": "refused",
            "reason": "expired",
            "status": 401,
        })
    }

    #[test]
    fn what_is_as_expected_has_no_faults() {
        assert_eq!(step().path(), "/scheduler/daily-report");
        assert_eq!(step().faults(answer(401), Some(&record())), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_told() {
        for (field, value, fault) in [
            ("sender", json!("tasks"), "recorded sender tasks instead of scheduler"),
            ("job", json!("x"), "recorded job x instead of daily-report"),
            ("outcome", json!("done"), "recorded outcome done instead of refused"),
            ("reason", json!(null), "recorded reason none instead of expired"),
            ("status", json!(403), "recorded status 403 instead of 401"),
            ("caller", json!({"email": "a@b"}), "recorded caller a@b instead of none"),
        ] {
            let mut record = record();
            record[field] = value;
            assert_eq!(step().faults(answer(401), Some(&record)), [fault]);
        }
        assert_eq!(
            step().faults(answer(204), None),
            ["answered 204 instead of 401", "left no record"]
        );
    }
}
