//! Cloud Scheduler: the run is told in headers, the body is the job's own.
//!
//! Headers: <https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs#HttpTarget>.

use std::collections::BTreeMap;

use actix_web::http::header::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;

use super::{Delivery, InvocationId, Origin, header};

/// What Scheduler says of a run. Runs started by hand may lack either part.
#[derive(Clone, Debug, Default)]
pub struct ScheduledRun {
    /// `X-CloudScheduler-JobName`: seen both short and as `projects/…`, so it is opaque.
    pub job_name: Option<String>,
    /// `X-CloudScheduler-ScheduleTime`, the same on every attempt of one run; any UTC offset.
    pub schedule_time: Option<String>,
}

/// Reads a run. Nothing in one is required, so nothing can be unreadable before the job's own payload.
pub(super) fn read(headers: &HeaderMap, body: Bytes) -> Delivery {
    let job_name = header(headers, "x-cloudscheduler-jobname");
    let schedule_time = header(headers, "x-cloudscheduler-scheduletime");
    Delivery {
        id: InvocationId::of(job_name, schedule_time),
        // Scheduler numbers no attempts.
        attempt: None,
        first_due: schedule_time.and_then(|time| time.parse::<Timestamp>().ok()),
        payload: body,
        attributes: BTreeMap::new(),
        origin: Origin::Scheduler(ScheduledRun {
            job_name: job_name.map(str::to_owned),
            schedule_time: schedule_time.map(str::to_owned),
        }),
    }
}
