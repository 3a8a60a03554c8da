//! `emulator fire scheduler`.

use emulator::{Delivery, Method, senders::scheduler::Run};

use super::To;
use crate::cli::{name_value, values};

/// A run of a job.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    to: To,
    /// X-CloudScheduler-JobName
    #[arg(long, default_value = "by-hand")]
    job_name: String,
    /// X-CloudScheduler-ScheduleTime, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME", value_parser = values::rfc_3339)]
    schedule_time: Option<String>,
    /// GET, POST, PUT, HEAD, DELETE, PATCH or OPTIONS
    #[arg(long, default_value = "POST")]
    method: Method,
    /// The body, with POST, PUT and PATCH
    #[arg(long, default_value = "")]
    body: String,
    /// A header that the job has; may be given more than once
    #[arg(long, value_name = "NAME: VALUE", value_parser = name_value::header)]
    header: Vec<(String, String)>,
}

impl Args {
    pub(super) fn delivery(self) -> (To, Delivery) {
        let mut run = Run::new(&self.job_name);
        run.schedule_time = self.schedule_time.or(run.schedule_time);
        run.method = self.method;
        run.headers = self.header;
        run.body = self.body.into_bytes();
        (self.to, run.delivery())
    }
}
