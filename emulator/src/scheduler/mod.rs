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
    project::Project,
    state,
};

/// The jobs, by name.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    jobs: Mutex<BTreeMap<String, Arc<Keeper>>>,
}

/// What was read of an export and can be put in place.
#[derive(Debug)]
pub(crate) struct Imported(BTreeMap<String, Kept>);

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

    /// Reads what was exported; nothing changes.
    ///
    /// # Errors
    /// 400 that names the job which cannot be.
    pub(crate) fn read(google: &Google, state: Value) -> Result<Imported, ApiError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct State {
            jobs: Vec<Saved>,
        }
        let State { jobs } = from_json(state)?;
        let now = now(google);
        let mut read = BTreeMap::new();
        for saved in jobs {
            let name = saved.name().to_owned();
            check_name(&google.project, &name)?;
            let kept = Kept::restore(saved, now).map_err(|fault| state::refused(&name, fault))?;
            if read.insert(name.clone(), kept).is_some() {
                return Err(state::twice(&name));
            }
        }
        Ok(Imported(read))
    }

    /// Replaces all jobs by those that were read, and sets them going.
    pub(crate) fn put(google: &Arc<Google>, Imported(read): Imported) {
        let mut jobs = google.scheduler.jobs();
        for old in jobs.values() {
            old.delete();
        }
        *jobs = read.into_iter().map(|(name, kept)| (name, Keeper::start(google, kept))).collect();
    }

    /// Both at once.
    #[cfg(test)]
    fn import(google: &Arc<Google>, state: Value) -> Result<(), ApiError> {
        Scheduler::read(google, state).map(|imported| Scheduler::put(google, imported))
    }
}

/// That a job of that name can be called for.
fn check_name(project: &Project, name: &str) -> Result<(), ApiError> {
    let segments: Vec<&str> = name.split('/').collect();
    match *segments.as_slice() {
        ["projects", owner, "locations", location, "jobs", id]
            if owner == project.id && !location.is_empty() && !id.is_empty() =>
        {
            Ok(())
        }
        _ => Err(ApiError::invalid(format!(
            "Job {name:?} is none of this project's; expected {}/locations/LOCATION/jobs/JOB.",
            project.name()
        ))),
    }
}

fn not_found(name: &str) -> ApiError {
    ApiError::not_found(format!("Job {name}"))
}
