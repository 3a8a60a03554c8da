//! Your jobs: one file each, and one line each below.

mod daily_report;
#[cfg(feature = "fan-out")]
mod fan_out;
mod index_upload;
mod probe;
mod send_receipt;

use crate::job_table::Jobs;

/// Every job and the path it answers at: `/{sender}/{name}`. Add yours here.
///
/// To delete an example, delete its file and what names it here.
pub fn jobs() -> Jobs {
    let mut jobs = Jobs::default();
    jobs.scheduler("probe", probe::run);
    jobs.scheduler("daily-report", daily_report::run);
    let mailer = std::sync::Arc::new(send_receipt::Mailer::default());
    jobs.tasks("send-receipt", move |receipt| send_receipt::run(receipt, mailer.clone()));
    #[cfg(feature = "fan-out")]
    {
        let settings = std::sync::Arc::new(fan_out::FanOut::from_environment());
        jobs.scheduler("fan-out", move |tick| fan_out::run(tick, settings.clone()));
        jobs.tasks("tenant-report", fan_out::report);
    }
    jobs.pubsub("index-upload", index_upload::run);
    jobs.events("index-upload", index_upload::run);
    jobs
}
