//! Cloud Tasks with an HTTP target.
//!
//! Source: `google/cloud/tasks/v2/target.proto`, <https://cloud.google.com/tasks/docs/creating-http-target-tasks#handler>,
//! and attempts recorded against the real service by <https://github.com/aertje/cloud-tasks-emulator>.

use jiff::Timestamp;

use super::{
    Delivery, Method, Sender,
    delivery::{allowed_user_headers, header},
};

/// One attempt at a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// `X-CloudTasks-QueueName`: the short name.
    pub queue: String,
    /// `X-CloudTasks-TaskName`: the short name; one that Cloud Tasks made up is numeric.
    pub task: String,
    /// `X-CloudTasks-TaskRetryCount`: 0 on the first attempt. This is the one to count attempts with.
    pub retry_count: u32,
    /// `X-CloudTasks-TaskExecutionCount`: answers so far, 5xx left out.
    pub execution_count: u32,
    /// `X-CloudTasks-TaskETA`: when the task was due; sent as seconds since 1970 with a fraction.
    pub eta: Timestamp,
    /// `X-CloudTasks-TaskPreviousResponse`: the status of the attempt before; on retries alone. 504 after a timeout.
    pub previous_response: Option<u16>,
    /// `X-CloudTasks-TaskRetryReason`: there on retries, and empty.
    pub retry_reason: Option<String>,
    /// The task's method.
    pub method: Method,
    /// The task's own headers; those that Google reserves are not sent. Cloud Tasks adds no `Content-Type`.
    pub headers: Vec<(String, String)>,
    /// The task's body, sent with POST, PUT and PATCH alone.
    pub body: Vec<u8>,
}

impl Attempt {
    /// The first attempt at a task that is due now: a POST without a body.
    pub fn first(queue: &str, task: &str) -> Attempt {
        Attempt {
            queue: queue.to_owned(),
            task: task.to_owned(),
            retry_count: 0,
            execution_count: 0,
            eta: Timestamp::now(),
            previous_response: None,
            retry_reason: None,
            method: Method::Post,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The attempt that follows when this one was answered with `status` (504 stands for a timeout).
    ///
    /// Its ETA is this one's: back-off moves the real one, which the caller may set.
    pub fn after(&self, status: u16) -> Attempt {
        let counted = u32::from(!(500..600).contains(&status));
        Attempt {
            retry_count: self.retry_count + 1,
            execution_count: self.execution_count + counted,
            previous_response: Some(status),
            retry_reason: Some(String::new()),
            ..self.clone()
        }
    }

    /// The request of this attempt.
    pub fn delivery(&self) -> Delivery {
        let mut headers: Vec<_> = allowed_user_headers(&self.headers).collect();
        headers.push(header("User-Agent", "Google-Cloud-Tasks"));
        headers.push(header("X-CloudTasks-QueueName", &self.queue));
        headers.push(header("X-CloudTasks-TaskName", &self.task));
        headers.push(header("X-CloudTasks-TaskRetryCount", self.retry_count.to_string()));
        headers.push(header("X-CloudTasks-TaskExecutionCount", self.execution_count.to_string()));
        headers.push(header("X-CloudTasks-TaskETA", epoch_seconds(self.eta)));
        if let Some(status) = self.previous_response {
            headers.push(header("X-CloudTasks-TaskPreviousResponse", status.to_string()));
        }
        if let Some(reason) = &self.retry_reason {
            headers.push(header("X-CloudTasks-TaskRetryReason", reason));
        }
        let body = if self.method.takes_body() { self.body.clone() } else { Vec::new() };
        Delivery { sender: Sender::Tasks, method: self.method, headers, body: body.into() }
    }
}

/// `1721236265.266817`: seconds since 1970 with six decimals, as recorded.
fn epoch_seconds(time: Timestamp) -> String {
    format!("{}.{:06}", time.as_second(), time.subsec_microsecond().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> Attempt {
        Attempt {
            eta: Timestamp::from_microsecond(1_721_236_265_266_817).unwrap(),
            ..Attempt::first("receipts", "4711")
        }
    }

    fn headers(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| header(name, *value)).collect()
    }

    #[test]
    fn a_first_attempt_has_the_documented_headers_and_no_content_type() {
        let delivery = Attempt { body: b"{}".to_vec(), ..first() }.delivery();
        let expected = headers(&[
            ("User-Agent", "Google-Cloud-Tasks"),
            ("X-CloudTasks-QueueName", "receipts"),
            ("X-CloudTasks-TaskName", "4711"),
            ("X-CloudTasks-TaskRetryCount", "0"),
            ("X-CloudTasks-TaskExecutionCount", "0"),
            ("X-CloudTasks-TaskETA", "1721236265.266817"),
        ]);
        assert_eq!(delivery.headers, expected);
        assert_eq!((delivery.method.as_str(), &*delivery.body), ("POST", &b"{}"[..]));
    }

    #[test]
    fn a_retry_adds_the_previous_response_and_an_empty_reason() {
        let delivery = first().after(500).delivery();
        assert_eq!(
            delivery.headers[3..],
            headers(&[
                ("X-CloudTasks-TaskRetryCount", "1"),
                ("X-CloudTasks-TaskExecutionCount", "0"),
                ("X-CloudTasks-TaskETA", "1721236265.266817"),
                ("X-CloudTasks-TaskPreviousResponse", "500"),
                ("X-CloudTasks-TaskRetryReason", ""),
            ])
        );
    }

    #[test]
    fn execution_counts_follow_the_recording() {
        let mut attempt = first();
        let mut counts = vec![attempt.execution_count];
        for status in [503, 404, 429, 500, 302] {
            attempt = attempt.after(status);
            counts.push(attempt.execution_count);
        }
        assert_eq!(counts, [0, 0, 1, 2, 2, 3]);
        assert_eq!(attempt.retry_count, 5);
    }
}
