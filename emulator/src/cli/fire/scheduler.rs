//! `emulator fire scheduler`.

use emulator::{Delivery, Error, Method, senders::scheduler::Run};

use super::To;
use crate::cli::name_value;

/// A run of a job.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    to: To,
    /// X-CloudScheduler-JobName
    #[arg(long, default_value = "by-hand")]
    job_name: String,
    /// X-CloudScheduler-ScheduleTime, RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    schedule_time: Option<String>,
    /// GET, POST, PUT, HEAD, DELETE, PATCH or OPTIONS
    #[arg(long, default_value = "POST")]
    method: String,
    /// The body, with POST, PUT and PATCH
    #[arg(long, default_value = "")]
    body: String,
    /// A header that the job has
    #[arg(long, value_name = "NAME: VALUE", value_parser = name_value::header)]
    header: Vec<(String, String)>,
}

impl Args {
    pub(super) fn delivery(self) -> Result<(To, Delivery), Error> {
        let mut run = Run::new(&self.job_name);
        run.schedule_time = self.schedule_time.or(run.schedule_time);
        run.method = self.method.parse::<Method>()?;
        run.headers = self.header;
        run.body = self.body.into_bytes();
        Ok((self.to, run.delivery()))
    }
}
