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
    fan_out::add_to(&mut jobs);
    jobs.pubsub("index-upload", index_upload::run);
    jobs.events("index-upload", index_upload::run);
    jobs
}
