//! The calls of Cloud Scheduler v1.
//!
//! Source: `google/cloud/scheduler/v1/cloudscheduler.proto`.

use std::{collections::btree_map::Entry, sync::Arc};

use aws_lc_rs::rand;
use serde_json::{Value, json};

use super::{
    job::{Job, State},
    keeper::{Keeper, now},
    kept::Kept,
    not_found,
    patch::patched,
};
use crate::{
    api::{call::Call, error::ApiError, page},
    error::Error,
    google::Google,
};

const MOST_ID_CHARACTERS: usize = 500;

/// Answers one call.
pub(crate) async fn answer(google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    let (method, segments, verb) = call.route();
    let ["v1", "projects", _, "locations", location, "jobs", id @ ..] = segments.as_slice() else {
        return Err(call.unknown());
    };
    let is_location = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !location.bytes().all(is_location) {
        return Err(ApiError::invalid(format!(
            "Location {location:?} is not valid; expected a region such as \"europe-west1\"."
        )));
    }
    let location = format!("{}/locations/{location}", google.project.name());
    let name = || format!("{location}/jobs/{}", id.join("/"));
    match (method, id, verb) {
        ("POST", [], "") => create(google, call, &location),
        ("GET", [], "") => list(google, call, &location),
        ("GET", [_], "") => look(google, call, &name()),
        ("PATCH", [_], "") => update(google, call, &name()),
        ("DELETE", [_], "") => delete(google, call, &name()),
        ("POST", [_], "run") => run(google, call, &name()),
        ("POST", [_], "pause") => pause(google, call, &name()),
        ("POST", [_], "resume") => resume(google, call, &name()),
        _ => Err(call.unknown()),
    }
}

fn create(google: &Arc<Google>, call: &Call, location: &str) -> Result<Value, ApiError> {
    google.iam.require(&call.principal, "cloudscheduler.jobs.create", location)?;
    let job: Job = call.json()?;
    let now = now(google);
    let mut job = Job {
        name: full_name(google, location, &job.name)?,
        state: State::Enabled,
        user_update_time: Some(now),
        last_attempt_time: None,
        status: None,
        ..job
    };
    let schedule = job.check()?;
    require_account(google, call, &job)?;
    let name = job.name.clone();
    match google.scheduler.jobs().entry(name) {
        Entry::Occupied(taken) => Err(ApiError::exists(format!("Job {}", taken.key()))),
        Entry::Vacant(place) => {
            let kept = Kept::new(job, schedule, now);
            let shown = shown(&kept);
            place.insert(Keeper::start(google, kept));
            Ok(shown)
        }
    }
}

fn list(google: &Arc<Google>, call: &Call, location: &str) -> Result<Value, ApiError> {
    google.iam.require(&call.principal, "cloudscheduler.jobs.list", location)?;
    let beginning = format!("{location}/jobs/");
    let jobs: Vec<Value> = google
        .scheduler
        .jobs()
        .iter()
        .filter(|(name, _)| name.starts_with(&beginning))
        .filter_map(|(_, keeper)| keeper.read(shown))
        .collect();
    page::list(call, "jobs", jobs.into_iter())
}

fn look(google: &Arc<Google>, call: &Call, name: &str) -> Result<Value, ApiError> {
    let keeper = permitted(google, call, "cloudscheduler.jobs.get", name)?;
    keeper.read(shown).ok_or_else(|| not_found(name))
}

fn update(google: &Arc<Google>, call: &Call, name: &str) -> Result<Value, ApiError> {
    let keeper = permitted(google, call, "cloudscheduler.jobs.update", name)?;
    let body: Value = call.json()?;
    changed(&keeper, name, |kept| {
        let mut job = patched(&kept.shown(), &body, call.update_mask())?;
        let schedule = job.check()?;
        require_account(google, call, &job)?;
        let now = now(google);
        job.user_update_time = Some(now);
        kept.replace(job, schedule, now);
        Ok(())
    })
}

fn delete(google: &Arc<Google>, call: &Call, name: &str) -> Result<Value, ApiError> {
    permitted(google, call, "cloudscheduler.jobs.delete", name)?;
    let keeper = google.scheduler.jobs().remove(name).ok_or_else(|| not_found(name))?;
    keeper.delete();
    Ok(json!({}))
}

fn run(google: &Arc<Google>, call: &Call, name: &str) -> Result<Value, ApiError> {
    let keeper = permitted(google, call, "cloudscheduler.jobs.run", name)?;
    keeper.run_now(google);
    keeper.read(shown).ok_or_else(|| not_found(name))
}

fn pause(google: &Arc<Google>, call: &Call, name: &str) -> Result<Value, ApiError> {
    let keeper = permitted(google, call, "cloudscheduler.jobs.pause", name)?;
    changed(&keeper, name, |kept| kept.pause(now(google)))
}

fn resume(google: &Arc<Google>, call: &Call, name: &str) -> Result<Value, ApiError> {
    let keeper = permitted(google, call, "cloudscheduler.jobs.enable", name)?;
    changed(&keeper, name, |kept| kept.resume(now(google)))
}

/// The job, if the caller may do that with it.
fn permitted(
    google: &Google,
    call: &Call,
    permission: &str,
    name: &str,
) -> Result<Arc<Keeper>, ApiError> {
    google.iam.require(&call.principal, permission, name)?;
    google.scheduler.find(name)
}

/// The job after a change, as one step.
fn changed(
    keeper: &Keeper,
    name: &str,
    change: impl FnOnce(&mut Kept) -> Result<(), ApiError>,
) -> Result<Value, ApiError> {
    let outcome = keeper.change(|kept| change(kept).map(|()| shown(kept)));
    outcome.unwrap_or_else(|| Err(not_found(name)))
}

/// That the account that the job goes as exists, and that the caller may act as it.
fn require_account(google: &Google, call: &Call, job: &Job) -> Result<(), ApiError> {
    let account = job.http_target.as_ref().and_then(|target| target.account());
    account.map_or(Ok(()), |email| google.iam.require_act_as(&call.principal, email))
}

/// The job's name with the project's id in it; one that was not given is made up, as Google does.
fn full_name(google: &Google, location: &str, given: &str) -> Result<String, ApiError> {
    if given.is_empty() {
        let mut bytes = [0; 8];
        rand::fill(&mut bytes).map_err(|_| Error::Crypto("name a job"))?;
        return Ok(format!("{location}/jobs/{}", u64::from_be_bytes(bytes)));
    }
    let named = match given.split('/').collect::<Vec<_>>().as_slice() {
        ["projects", project, "locations", place, "jobs", id] if google.project.is(project) => {
            Some((format!("{}/locations/{place}", google.project.name()), *id))
        }
        _ => None,
    };
    let is_id = |id: &str| {
        (1..=MOST_ID_CHARACTERS).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    match named {
        Some((parent, id)) if parent == location && is_id(id) => {
            Ok(format!("{location}/jobs/{id}"))
        }
        _ => Err(ApiError::invalid(format!(
            "Job name must be formatted: \"projects/<PROJECT_ID>/locations/<LOCATION_ID>/jobs/<JOB_ID>\". \
             It is {given:?}; expected {location}/jobs/ and up to {MOST_ID_CHARACTERS} letters, digits, hyphens or underscores."
        ))),
    }
}

fn shown(kept: &Kept) -> Value {
    serde_json::to_value(kept.shown()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use actix_web::{http::Method, web::Bytes};

    use super::*;
    use crate::{Clock, Options, api::error::Code, iam::Principal, testing};

    const JOBS: &str = "v1/projects/demo-project/locations/europe-west1/jobs";

    fn google() -> Arc<Google> {
        let clock = Clock::standing_at("2026-03-01T12:00:30Z".parse().unwrap());
        testing::google_with(Options { clock, ..Options::default() })
    }

    fn job(name: &str) -> Value {
        let name = if name.is_empty() { String::new() } else { format!("{}/{name}", &JOBS[3..]) };
        let target = json!({"uri": "https://a.example/x"});
        json!({"name": name, "schedule": "* * * * *", "httpTarget": target})
    }

    async fn call_as(
        google: &Arc<Google>,
        principal: Principal,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (path, verb) =
            path.split_once(':').map_or((path, None), |(path, verb)| (path, Some(verb)));
        let parameters = query.split('&').filter_map(|pair| pair.split_once('='));
        let call = Call {
            method,
            path: path.split('/').map(str::to_owned).collect(),
            verb: verb.map(str::to_owned),
            query: parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: Bytes::from(body.to_string()),
            principal,
            host: String::new(),
        };
        answer(google, &call).await
    }

    async fn call(
        google: &Arc<Google>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        call_as(google, Principal::Developer, method, path, body).await
    }

    #[tokio::test]
    async fn a_job_is_created_shown_listed_and_deleted() {
        let google = google();
        let created = call(&google, Method::POST, JOBS, &job("j")).await.unwrap();
        assert_eq!(
            created,
            json!({
                "name": "projects/demo-project/locations/europe-west1/jobs/j",
                "schedule": "* * * * *",
                "timeZone": "Etc/UTC",
                "httpTarget": {"uri": "https://a.example/x", "httpMethod": "POST"},
                "retryConfig": {
                    "maxRetryDuration": "0s",
                    "minBackoffDuration": "5s",
                    "maxBackoffDuration": "3600s",
                    "maxDoublings": 5,
                },
                "attemptDeadline": "180s",
                "state": "ENABLED",
                "userUpdateTime": "2026-03-01T12:00:30Z",
                "scheduleTime": "2026-03-01T12:01:00Z",
            })
        );
        let path = format!("{JOBS}/j");
        assert_eq!(call(&google, Method::GET, &path, &json!({})).await.unwrap(), created);
        let listed = call(&google, Method::GET, JOBS, &json!({})).await.unwrap();
        assert_eq!(listed, json!({"jobs": [created]}));
        let elsewhere = "v1/projects/demo-project/locations/europe-west2/jobs";
        assert_eq!(call(&google, Method::GET, elsewhere, &json!({})).await.unwrap(), json!({}));
        assert_eq!(call(&google, Method::DELETE, &path, &json!({})).await.unwrap(), json!({}));
        let missing = call(&google, Method::GET, &path, &json!({})).await.unwrap_err();
        assert_eq!(missing.code, Code::NotFound);
    }

    #[tokio::test]
    async fn what_is_read_only_is_not_taken_from_who_creates() {
        let mut body = job("j");
        body["state"] = json!("PAUSED");
        body["status"] = json!({"code": 5});
        body["lastAttemptTime"] = json!("2020-01-01T00:00:00Z");
        let created = call(&google(), Method::POST, JOBS, &body).await.unwrap();
        assert_eq!(created["state"], "ENABLED");
        assert_eq!((created.get("status"), created.get("lastAttemptTime")), (None, None));
    }

    #[tokio::test]
    async fn a_job_without_a_name_is_given_one_and_the_number_names_the_project() {
        let google = google();
        let created = call(&google, Method::POST, JOBS, &job("")).await.unwrap();
        let (place, id) = created["name"].as_str().unwrap().rsplit_once('/').unwrap();
        assert_eq!(place, &JOBS[3..]);
        assert!(id.parse::<u64>().is_ok(), "{id}");
        let mut body = job("");
        body["name"] = json!("projects/123456789012/locations/europe-west1/jobs/by-number");
        let created = call(&google, Method::POST, JOBS, &body).await.unwrap();
        assert_eq!(created["name"], format!("{}/by-number", &JOBS[3..]));
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_or_is_taken_is_refused() {
        let google = google();
        call(&google, Method::POST, JOBS, &job("j")).await.unwrap();
        let taken = call(&google, Method::POST, JOBS, &job("j")).await.unwrap_err();
        assert_eq!(taken.http_status(), 409);
        assert_eq!(taken.message, format!("Job {}/j already exists.", &JOBS[3..]));
        let long = "x".repeat(501);
        for name in ["a b", "ä", "a/b", "", long.as_str()] {
            let mut body = job("");
            body["name"] = json!(format!("{}/{name}", &JOBS[3..]));
            let fault = call(&google, Method::POST, JOBS, &body).await.unwrap_err();
            assert!(fault.message.starts_with("Job name must be formatted: "), "{}", fault.message);
        }
        let mut body = job("");
        body["name"] = json!("projects/demo-project/locations/europe-west2/jobs/j");
        assert_eq!(call(&google, Method::POST, JOBS, &body).await.unwrap_err().http_status(), 400);
        let nowhere = "v1/projects/demo-project/locations/Europe West/jobs";
        let fault = call(&google, Method::GET, nowhere, &json!({})).await.unwrap_err();
        assert!(fault.message.starts_with("Location \"Europe West\" is not valid"));
    }

    #[tokio::test]
    async fn the_account_must_exist_and_be_one_that_the_caller_may_act_as() {
        let google = google();
        let account = google.iam.create_account("caller").unwrap();
        let editor = google.iam.create_account("editor").unwrap();
        let mut body = job("j");
        body["httpTarget"]["oidcToken"] = json!({"serviceAccountEmail": "nobody@x"});
        let fault = call(&google, Method::POST, JOBS, &body).await.unwrap_err();
        assert_eq!(fault.http_status(), 404);
        body["httpTarget"]["oidcToken"] = json!({"serviceAccountEmail": account.email});
        let editor = Principal::Account(editor.email);
        google.iam.grant("roles/cloudscheduler.admin", &editor);
        let fault = call_as(&google, editor.clone(), Method::POST, JOBS, &body).await.unwrap_err();
        assert_eq!(fault.http_status(), 403);
        assert!(fault.message.contains("iam.serviceAccounts.actAs"), "{}", fault.message);
        let created = call_as(&google, editor.clone(), Method::POST, JOBS, &job("j")).await;
        assert!(created.is_ok());
        let path = format!("{JOBS}/j?updateMask=httpTarget.oidcToken.serviceAccountEmail");
        let fault = call_as(&google, editor, Method::PATCH, &path, &body).await.unwrap_err();
        assert_eq!(fault.http_status(), 403);
        assert!(call(&google, Method::PATCH, &path, &body).await.is_ok());
    }

    #[tokio::test]
    async fn each_method_asks_for_its_permission() {
        let google = google();
        call(&google, Method::POST, JOBS, &job("j")).await.unwrap();
        let path = format!("{JOBS}/j");
        for (method, path, permission) in [
            (Method::POST, JOBS.to_owned(), "create"),
            (Method::GET, JOBS.to_owned(), "list"),
            (Method::GET, path.clone(), "get"),
            (Method::PATCH, path.clone(), "update"),
            (Method::DELETE, path.clone(), "delete"),
            (Method::POST, format!("{path}:run"), "run"),
            (Method::POST, format!("{path}:pause"), "pause"),
            (Method::POST, format!("{path}:resume"), "enable"),
        ] {
            let nobody = Principal::Account("nobody@x".to_owned());
            let fault = call_as(&google, nobody, method, &path, &json!({})).await.unwrap_err();
            assert_eq!(fault.http_status(), 403);
            assert!(fault.message.contains(&format!("'cloudscheduler.jobs.{permission}'")));
        }
    }

    #[tokio::test]
    async fn a_job_that_is_not_there_is_404_to_every_method() {
        let google = google();
        let path = format!("{JOBS}/j");
        for (method, path) in [
            (Method::GET, path.clone()),
            (Method::PATCH, path.clone()),
            (Method::DELETE, path.clone()),
            (Method::POST, format!("{path}:run")),
            (Method::POST, format!("{path}:pause")),
            (Method::POST, format!("{path}:resume")),
            (Method::POST, format!("{path}:fly")),
            (Method::GET, format!("{path}/k")),
        ] {
            let fault = call(&google, method, &path, &json!({})).await.unwrap_err();
            assert_eq!(fault.code, Code::NotFound, "{path}");
        }
    }

    #[tokio::test]
    async fn a_refused_patch_changes_nothing() {
        let google = google();
        let created = call(&google, Method::POST, JOBS, &job("j")).await.unwrap();
        let path = format!("{JOBS}/j?updateMask=schedule,description");
        let body = json!({"schedule": "never", "description": "new"});
        let fault = call(&google, Method::PATCH, &path, &body).await.unwrap_err();
        assert_eq!(fault.code, Code::InvalidArgument);
        let path = format!("{JOBS}/j");
        assert_eq!(call(&google, Method::GET, &path, &json!({})).await.unwrap(), created);
    }

    #[tokio::test]
    async fn what_was_exported_is_imported_in_place_of_all_else() {
        let (from, to) = (google(), google());
        let created = call(&from, Method::POST, JOBS, &job("j")).await.unwrap();
        call(&to, Method::POST, JOBS, &job("old")).await.unwrap();
        let state = from.scheduler.export();
        crate::scheduler::Scheduler::import(&to, state.clone()).unwrap();
        assert_eq!(to.scheduler.export(), state);
        let listed = call(&to, Method::GET, JOBS, &json!({})).await.unwrap();
        assert_eq!(listed, json!({"jobs": [created]}));
        let fault = crate::scheduler::Scheduler::import(&to, json!({"jobs": [{}]})).unwrap_err();
        assert_eq!(fault.http_status(), 400);
        assert_eq!(to.scheduler.export(), state);
    }
}
