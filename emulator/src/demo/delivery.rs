//! One delivery of the demonstration and what must come of it.

use serde_json::Value;

use crate::{
    fire::Answer,
    senders::{Delivery, Sender},
};

/// A delivery, the job it is for, and what must come of it.
#[derive(Debug)]
pub(super) struct Step {
    /// What it shows, in a few words.
    pub(super) about: &'static str,
    pub(super) job: &'static str,
    pub(super) delivery: Delivery,
    pub(super) expected: Expected,
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
        match self.delivery.sender {
            Sender::Scheduler => "scheduler",
            Sender::Tasks => "tasks",
            Sender::PubSub => "pubsub",
            Sender::Eventarc => "events",
        }
    }

    /// Everything that is not as expected, one sentence each.
    pub(super) fn faults(&self, answer: &Answer, record: Option<&Value>) -> Vec<String> {
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
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::senders::scheduler::Run;

    fn step() -> Step {
        Step {
            about: "a run",
            job: "daily-report",
            delivery: Run::new("daily-report").delivery(),
            expected: Expected {
                outcome: "refused",
                status: 401,
                reason: Some("expired"),
                caller: None,
            },
        }
    }

    fn answer(status: u16) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            took: Duration::ZERO,
            acknowledged: false,
        }
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
        assert_eq!(step().faults(&answer(401), Some(&record())), Vec::<String>::new());
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
            assert_eq!(step().faults(&answer(401), Some(&record)), [fault]);
        }
        assert_eq!(
            step().faults(&answer(204), None),
            ["answered 204 instead of 401", "left no record"]
        );
    }
}
