//! `emulator fire tasks`.

use emulator::{Delivery, Method, senders::tasks::Attempt};
use jiff::Timestamp;

use super::To;
use crate::cli::name_value;

/// An attempt at a task.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    to: To,
    /// X-CloudTasks-QueueName
    #[arg(long, default_value = "by-hand")]
    queue: String,
    /// X-CloudTasks-TaskName [default: a number of now]
    #[arg(long)]
    task: Option<String>,
    /// X-CloudTasks-TaskRetryCount: 0 on the first attempt
    #[arg(long, default_value_t = 0)]
    retry_count: u32,
    /// X-CloudTasks-TaskExecutionCount: answers so far, 5xx left out
    #[arg(long, default_value_t = 0)]
    execution_count: u32,
    /// When the task was due, RFC 3339; sent as X-CloudTasks-TaskETA in seconds [default: now]
    #[arg(long, value_name = "TIME")]
    eta: Option<Timestamp>,
    /// X-CloudTasks-TaskPreviousResponse: the status of the attempt before
    #[arg(long, value_name = "STATUS")]
    previous_response: Option<u16>,
    /// GET, POST, PUT, HEAD, DELETE, PATCH or OPTIONS
    #[arg(long, default_value = "POST")]
    method: Method,
    /// The body, with POST, PUT and PATCH
    #[arg(long, default_value = "")]
    body: String,
    /// The task's Content-Type; without it there is none
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// A header that the task has; may be given more than once
    #[arg(long, value_name = "NAME: VALUE", value_parser = name_value::header)]
    header: Vec<(String, String)>,
}

impl Args {
    pub(super) fn delivery(self) -> (To, Delivery) {
        let numbered = || Timestamp::now().as_microsecond().to_string();
        let mut attempt = Attempt::first(&self.queue, &self.task.unwrap_or_else(numbered));
        attempt.retry_count = self.retry_count;
        attempt.execution_count = self.execution_count;
        attempt.eta = self.eta.unwrap_or(attempt.eta);
        attempt.previous_response = self.previous_response;
        attempt.retry_reason = (self.retry_count > 0).then(String::new);
        attempt.method = self.method;
        attempt.headers = self.header;
        let content_type = self.content_type.map(|value| ("Content-Type".to_owned(), value));
        attempt.headers.extend(content_type);
        attempt.body = self.body.into_bytes();
        (self.to, attempt.delivery())
    }
}
