//! What has become of a task so far: the counters that Cloud Tasks shows and sends.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::resource::task::{Attempt, Status, Task, microseconds};
use crate::attempts::End;

/// Why an attempt did not count as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Failure {
    /// An answer with that status.
    Answered(u16),
    /// No answer within the deadline.
    TimedOut,
    /// No answer for another reason: no connection, no token.
    NoAnswer,
}

impl Failure {
    /// Of an attempt that was not acknowledged.
    pub(super) fn of(end: &End) -> Failure {
        match end.status {
            Some(status) => Failure::Answered(status),
            None if end.timed_out => Failure::TimedOut,
            None => Failure::NoAnswer,
        }
    }

    /// `X-CloudTasks-TaskPreviousResponse` of the attempt after: 504 for a time-out, as recorded. By the same rule, the
    /// HTTP status of the canonical code, it is 500 where nobody answered.
    pub(super) fn previous_response(self) -> u16 {
        match self {
            Failure::Answered(status) => status,
            Failure::TimedOut => 504,
            Failure::NoAnswer => 500,
        }
    }

    /// `Attempt.response_status`. Codes as in `google/rpc/code.proto`; described tasks have been seen with
    /// `INTERNAL(13): HTTP status code 502`, `FAILED_PRECONDITION(9): HTTP status code 405` and
    /// `UNKNOWN(2): HTTP status code 0`.
    fn status(self) -> Status {
        let http_status = match self {
            Failure::Answered(status) => status,
            Failure::TimedOut => 504,
            Failure::NoAnswer => 0,
        };
        let (code, word) = match http_status {
            400 => (3, "INVALID_ARGUMENT"),
            401 => (16, "UNAUTHENTICATED"),
            403 => (7, "PERMISSION_DENIED"),
            404 => (5, "NOT_FOUND"),
            409 => (10, "ABORTED"),
            429 => (8, "RESOURCE_EXHAUSTED"),
            499 => (1, "CANCELLED"),
            501 => (12, "UNIMPLEMENTED"),
            503 => (14, "UNAVAILABLE"),
            504 => (4, "DEADLINE_EXCEEDED"),
            402..=498 => (9, "FAILED_PRECONDITION"),
            500..=599 => (13, "INTERNAL"),
            _ => (2, "UNKNOWN"),
        };
        let message = match self {
            Failure::TimedOut => format!("{word}({code}): no answer within the dispatch deadline"),
            _ => format!("{word}({code}): HTTP status code {http_status}"),
        };
        Status { code, message }
    }
}

/// The counters of one task, and its last attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Progress {
    /// Attempts that were started; the number of those before is `X-CloudTasks-TaskRetryCount`.
    pub(super) dispatches: u32,
    /// Attempts that had an answer.
    responses: u32,
    /// `X-CloudTasks-TaskExecutionCount`: answers, 5xx left out.
    pub(super) executions: u32,
    /// How the attempt that ended last failed.
    pub(super) failure: Option<Failure>,
    pub(super) first_dispatch: Option<Timestamp>,
    last: Option<Last>,
}

/// The attempt that was started last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Last {
    scheduled: Timestamp,
    dispatched: Timestamp,
    failed: Option<(Timestamp, Failure)>,
}

impl Progress {
    /// An attempt is started that was due at `scheduled`.
    pub(super) fn dispatched(&mut self, scheduled: Timestamp, now: Timestamp) {
        let dispatched = microseconds(now);
        self.dispatches = self.dispatches.saturating_add(1);
        self.first_dispatch.get_or_insert(dispatched);
        self.last = Some(Last { scheduled, dispatched, failed: None });
    }

    /// An attempt failed.
    pub(super) fn failed(&mut self, failure: Failure, now: Timestamp) {
        if let Failure::Answered(status) = failure {
            self.responses = self.responses.saturating_add(1);
            let is_execution = u32::from(!(500..600).contains(&status));
            self.executions = self.executions.saturating_add(is_execution);
        }
        self.failure = Some(failure);
        if let Some(last) = &mut self.last {
            last.failed = Some((microseconds(now), failure));
        }
    }

    /// Fills in what a task shows of it.
    pub(super) fn show(&self, task: &mut Task) {
        task.dispatch_count = self.dispatches;
        task.response_count = self.responses;
        let dispatched = |time| Attempt { dispatch_time: Some(time), ..Attempt::default() };
        task.first_attempt = self.first_dispatch.map(dispatched);
        task.last_attempt = self.last.map(|last| Attempt {
            schedule_time: Some(last.scheduled),
            dispatch_time: Some(last.dispatched),
            response_time: last.failed.map(|(time, _)| time),
            response_status: last.failed.map(|(_, failure)| failure.status()),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + seconds).unwrap()
    }

    #[test]
    fn counters_are_those_of_the_recorded_sequence() {
        let mut progress = Progress::default();
        let mut sent = Vec::new();
        for status in [503, 404, 429, 500, 302, 200] {
            let previous = progress.failure.map(Failure::previous_response);
            sent.push((progress.dispatches, progress.executions, previous));
            progress.dispatched(at(0), at(0));
            progress.failed(Failure::Answered(status), at(1));
        }
        assert_eq!(
            sent,
            [
                (0, 0, None),
                (1, 0, Some(503)),
                (2, 1, Some(404)),
                (3, 2, Some(429)),
                (4, 2, Some(500)),
                (5, 3, Some(302)),
            ]
        );
    }

    #[test]
    fn a_time_out_is_a_504_that_was_no_execution_and_no_response() {
        let mut progress = Progress::default();
        progress.dispatched(at(0), at(0));
        progress.failed(Failure::TimedOut, at(15));
        assert_eq!(progress.failure.map(Failure::previous_response), Some(504));
        assert_eq!((progress.executions, progress.responses), (0, 0));
    }

    #[test]
    fn counters_stay_at_the_most_that_they_hold() {
        let most = u32::MAX;
        let saved = json!({"dispatches": most, "responses": most, "executions": most});
        let mut progress: Progress = from_value(saved).unwrap();
        let before = progress.clone();
        progress.dispatched(at(0), at(0));
        progress.failed(Failure::Answered(404), at(1));
        let counters = |of: &Progress| (of.dispatches, of.responses, of.executions);
        assert_eq!(counters(&progress), counters(&before));
    }

    #[test]
    fn a_task_shows_its_first_and_last_attempt() {
        let mut progress = Progress::default();
        progress.dispatched(at(0), at(1));
        progress.failed(Failure::NoAnswer, at(2));
        progress.dispatched(at(3), at(4));
        let mut task = Task::default();
        progress.show(&mut task);
        assert_eq!(task.last_attempt.as_ref().unwrap().response_status, None, "it still runs");
        progress.failed(Failure::Answered(503), at(5));
        progress.show(&mut task);
        assert_eq!(
            to_value(task).unwrap(),
            json!({
                "name": "",
                "dispatchCount": 2,
                "responseCount": 1,
                "firstAttempt": {"dispatchTime": at(1)},
                "lastAttempt": {
                    "scheduleTime": at(3),
                    "dispatchTime": at(4),
                    "responseTime": at(5),
                    "responseStatus": {"code": 14, "message": "UNAVAILABLE(14): HTTP status code 503"},
                },
            })
        );
    }

    #[test]
    fn statuses_have_the_codes_that_were_seen() {
        for (failure, message) in [
            (Failure::Answered(502), "INTERNAL(13): HTTP status code 502"),
            (Failure::Answered(405), "FAILED_PRECONDITION(9): HTTP status code 405"),
            (Failure::Answered(404), "NOT_FOUND(5): HTTP status code 404"),
            (Failure::Answered(302), "UNKNOWN(2): HTTP status code 302"),
            (Failure::NoAnswer, "UNKNOWN(2): HTTP status code 0"),
            (Failure::TimedOut, "DEADLINE_EXCEEDED(4): no answer within the dispatch deadline"),
        ] {
            assert_eq!(failure.status().message, message);
        }
    }
}
