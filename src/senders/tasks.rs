//! Cloud Tasks HTTP targets: the task is told in headers, the body is the job's own.
//!
//! Headers: <https://cloud.google.com/tasks/docs/creating-http-target-tasks#handler>.

use std::collections::BTreeMap;

use actix_web::http::header::HeaderMap;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::{Delivery, InvocationId, Origin, header};

/// What Cloud Tasks says of a task.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// `X-CloudTasks-QueueName`, the short name.
    pub queue: Option<String>,
    /// `X-CloudTasks-TaskName`, the short name; Google's own are numeric.
    pub task: Option<String>,
    /// `X-CloudTasks-TaskRetryCount`: 0 on the first attempt, and the one that counts every attempt.
    pub retry_count: Option<u32>,
    /// `X-CloudTasks-TaskExecutionCount`: responses received; attempts that ended 5xx are left out.
    pub execution_count: Option<u32>,
    /// `X-CloudTasks-TaskETA`: when the task was due.
    pub eta: Option<Timestamp>,
    /// `X-CloudTasks-TaskPreviousResponse`: the status of the attempt before, on retries only.
    pub previous_response: Option<u16>,
    /// `X-CloudTasks-TaskRetryReason`; observed to be empty, which reads as absent.
    pub retry_reason: Option<String>,
}

/// Reads a task. Nothing in one is required: a call without these headers is a task of one attempt.
pub(super) fn read(headers: &HeaderMap, body: Bytes) -> Delivery {
    let number = |name| header(headers, name).and_then(|value| value.parse().ok());
    let task = Task {
        queue: header(headers, "x-cloudtasks-queuename").map(str::to_owned),
        task: header(headers, "x-cloudtasks-taskname").map(str::to_owned),
        retry_count: number("x-cloudtasks-taskretrycount"),
        execution_count: number("x-cloudtasks-taskexecutioncount"),
        eta: header(headers, "x-cloudtasks-tasketa").and_then(eta),
        previous_response: header(headers, "x-cloudtasks-taskpreviousresponse")
            .and_then(|value| value.parse().ok()),
        retry_reason: header(headers, "x-cloudtasks-taskretryreason").map(str::to_owned),
    };
    Delivery {
        id: InvocationId::of(task.queue.as_deref(), task.task.as_deref()),
        // Not the execution count, which stands still while attempts end 5xx.
        attempt: task.retry_count.map(|count| count.saturating_add(1)),
        first_due: task.eta,
        payload: body,
        attributes: BTreeMap::new(),
        origin: Origin::Tasks(task),
    }
}

/// Seconds since the epoch with a fraction, as Google sends it; also the milliseconds and the RFC 3339
/// that stand-ins are seen to send.
fn eta(value: &str) -> Option<Timestamp> {
    if let Ok(time) = value.parse() {
        return Some(time);
    }
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    // As seconds this would be the year 5138; as milliseconds it is the year 1973.
    if whole > 100_000_000_000 {
        return Timestamp::from_millisecond(whole).ok();
    }
    // Digit by digit, because a float of this size is off by hundreds of nanoseconds.
    let nanoseconds = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    Timestamp::from_second(whole).ok()?.checked_add(SignedDuration::from_nanos(nanoseconds)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eta_is_read_to_the_last_digit_in_every_form_that_is_sent() {
        for (value, expected) in [
            ("1721236265.266817", Some("2024-07-17T17:11:05.266817Z")),
            ("1721236265", Some("2024-07-17T17:11:05Z")),
            ("1721236265.1234567891", Some("2024-07-17T17:11:05.123456789Z")),
            ("1721236265266", Some("2024-07-17T17:11:05.266Z")),
            ("2024-07-17T10:11:05-07:00", Some("2024-07-17T17:11:05Z")),
            ("", None),
            ("soon", None),
            ("12.3x", None),
            ("99999999999999999999", None),
            ("-9223372036854775808", None),
        ] {
            assert_eq!(eta(value).map(|time| time.to_string()).as_deref(), expected, "{value:?}");
        }
    }
}
