//! Cloud Scheduler: jobs with an HTTP target, and what makes them fire.
//!
//! Source: `google/cloud/scheduler/v1/*.proto`, <https://cloud.google.com/scheduler/docs/reference/rest>.

pub(crate) mod api;
mod invocation;
mod job;
mod keeper;
mod kept;
mod patch;
mod retry;
mod schedule;
mod status;
mod target;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use serde_json::{Value, json};

use self::{
    keeper::{Keeper, now},
    kept::{Kept, Saved},
};
use crate::{
    api::{call::from_json, error::ApiError},
    google::Google,
};

/// The jobs, by name.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    jobs: Mutex<BTreeMap<String, Arc<Keeper>>>,
}

impl Scheduler {
    fn jobs(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Keeper>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str) -> Result<Arc<Keeper>, ApiError> {
        self.jobs().get(name).cloned().ok_or_else(|| not_found(name))
    }

    /// All jobs, with the runs of each that are not over.
    pub(crate) fn export(&self) -> Value {
        let jobs = self.jobs();
        let saved: Vec<Saved> = jobs.values().filter_map(|job| job.read(Kept::save)).collect();
        json!({"jobs": saved})
    }

    /// Replaces all jobs by those that were exported, and sets them going.
    ///
    /// # Errors
    /// 400 if `state` is not what [`export`](Scheduler::export) gives; then nothing has changed.
    pub(crate) fn import(google: &Arc<Google>, state: Value) -> Result<(), ApiError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct State {
            jobs: Vec<Saved>,
        }
        let State { jobs: saved } = from_json(state)?;
        let now = now(google);
        let kept: Vec<Kept> =
            saved.into_iter().map(|saved| Kept::restore(saved, now)).collect::<Result<_, _>>()?;
        let mut jobs = google.scheduler.jobs();
        for old in jobs.values() {
            old.delete();
        }
        *jobs = kept
            .into_iter()
            .map(|kept| (kept.name().to_owned(), Keeper::start(google, kept)))
            .collect();
        Ok(())
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError::not_found(format!("Job {name}"))
}
