//! Cloud Build: builds that succeed at once and do nothing or, where that is asked for, have their steps run on this
//! machine.
//!
//! Source: <https://cloud.google.com/build/docs/api/reference/rest/v1/projects.builds>.

mod expansion;
mod runner;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::task::AbortHandle;

use crate::{
    api::{
        call::{Call, from_json},
        error::{ApiError, Code},
        page,
    },
    google::Google,
    uuid,
};

/// How many builds are remembered.
const BUILDS_KEPT: usize = 100;

/// That builds' steps are run on this machine, without their images: what a step calls must be installed.
#[derive(Clone, Debug, Default)]
pub struct RunBuilds {
    /// A folder of programs that steps find before all others, in the place of what their images would have.
    pub tools: Option<PathBuf>,
}

/// The builds, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Builds {
    run: Option<RunBuilds>,
    builds: Mutex<BTreeMap<u64, Build>>,
}

/// A build and, while it is under way, what can stop it.
#[derive(Debug)]
struct Build {
    document: Value,
    running: Option<AbortHandle>,
}

/// What is asked to be built, as far as it is gone by.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    source: Source,
    #[serde(default)]
    substitutions: BTreeMap<String, String>,
    #[serde(default)]
    options: BuildOptions,
    #[serde(default)]
    timeout: Option<String>,
    #[serde(default)]
    service_account: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BuildOptions {
    env: Vec<String>,
    substitution_option: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Source {
    storage_source: Option<StorageSource>,
}

#[derive(Clone, Debug, Deserialize)]
struct StorageSource {
    bucket: String,
    object: String,
}

/// One step; its image is not used, but for what would be called in it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Step {
    id: String,
    name: String,
    entrypoint: Option<String>,
    args: Vec<String>,
    script: Option<String>,
    env: Vec<String>,
    dir: String,
}

impl Builds {
    pub(crate) fn new(run: Option<RunBuilds>) -> Builds {
        Builds { run, builds: Mutex::default() }
    }

    fn builds(&self) -> MutexGuard<'_, BTreeMap<u64, Build>> {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the document of a build.
    fn update(&self, id: &str, changes: Value) {
        let mut builds = self.builds();
        let build = builds.values_mut().find(|build| build.is(id));
        if let (Some(build), Value::Object(changes)) = (build, changes)
            && let Some(document) = build.document.as_object_mut()
        {
            document.extend(changes);
        }
    }
}

impl Build {
    fn is(&self, id: &str) -> bool {
        self.document.get("id").and_then(Value::as_str) == Some(id)
    }
}

/// Answers one call.
pub(crate) fn answer(google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    let (method, segments, verb) = call.route();
    let may = |permission| google.iam.require(&call.principal, permission, &google.project.name());
    let (location, rest) = match segments.as_slice() {
        ["v1", "projects", _, "locations", location, "builds", rest @ ..] => (*location, rest),
        ["v1", "projects", _, "builds", rest @ ..] => ("global", rest),
        ["v1", "operations", "build", _, id]
        | ["v1", "projects", _, "locations", _, "operations", id] => {
            may("cloudbuild.builds.get")?;
            return found(google, id).map(operation);
        }
        _ => return Err(call.unknown()),
    };
    match (method, rest, verb) {
        ("POST", [], "") => {
            may("cloudbuild.builds.create")?;
            create(google, location, call)
        }
        ("GET", [], "") => {
            may("cloudbuild.builds.list")?;
            let builds = google.builds.builds();
            let newest: Vec<Value> =
                builds.values().rev().map(|build| build.document.clone()).collect();
            page::list(call, "builds", newest.into_iter())
        }
        ("GET", [id], "") => {
            may("cloudbuild.builds.get")?;
            found(google, id)
        }
        ("POST", [id], "cancel") => {
            may("cloudbuild.builds.update")?;
            found(google, id)?;
            let running = {
                let mut builds = google.builds.builds();
                builds.values_mut().find(|build| build.is(id)).and_then(|one| one.running.take())
            };
            if let Some(running) = running {
                running.abort();
                google
                    .builds
                    .update(id, json!({"status": "CANCELLED", "finishTime": google.clock.now()}));
            }
            found(google, id)
        }
        _ => Err(call.unknown()),
    }
}

fn found(google: &Google, id: &str) -> Result<Value, ApiError> {
    let builds = google.builds.builds();
    let build = builds.values().find(|build| build.is(id));
    build.map(|build| build.document.clone()).ok_or_else(|| {
        ApiError::new(Code::NotFound, format!("Requested entity was not found: build {id}"))
    })
}

fn create(google: &Arc<Google>, location: &str, call: &Call) -> Result<Value, ApiError> {
    let document: Map<String, Value> = call.json()?;
    let asked: Asked = from_json(Value::Object(document.clone()))?;
    let account =
        asked.service_account.as_deref().map(|name| name.rsplit('/').next().unwrap_or(name));
    if let Some(account) = account {
        google.iam.require_act_as(&call.principal, account)?;
    }
    let id = uuid::random()?;
    let values = expansion::values(google, location, &id, account, &asked);
    expansion::check(&asked, &values)?;
    let now = google.clock.now();
    let project = &google.project;
    let mut build = json!({
        "name": format!("projects/{}/locations/{location}/builds/{id}", project.number),
        "id": id,
        "projectId": project.id,
        "createTime": now,
        "startTime": now,
        "logUrl": format!(
            "https://console.cloud.google.com/cloud-build/builds;region={location}/{id}?project={}",
            project.number
        ),
    });
    for (field, value) in document {
        if !matches!(field.as_str(), "status" | "id" | "name" | "projectId") {
            build[field] = value;
        }
    }
    // Where a build has logs elsewhere, gcloud waits to stream them.
    build["options"]["logging"] = "NONE".into();
    let is_run = google.builds.run.is_some();
    build["status"] = if is_run { "WORKING" } else { "SUCCESS" }.into();
    if !is_run {
        build["finishTime"] = json!(now);
        build["statusDetail"] =
            "No step was run; start the emulator with --run-builds for that.".into();
    }
    let mut builds = google.builds.builds();
    let number = builds.last_key_value().map_or(0, |(number, _)| number + 1);
    builds.insert(number, Build { document: build.clone(), running: None });
    while builds.len() > BUILDS_KEPT {
        builds.pop_first();
    }
    if let Some(run) = google.builds.run.clone() {
        let running =
            runner::start(Arc::clone(google), run, id, account.map(str::to_owned), asked, values);
        if let Some(build) = builds.get_mut(&number) {
            build.running = Some(running);
        }
    }
    Ok(operation(build))
}

fn operation(build: Value) -> Value {
    let id = build.get("id").and_then(Value::as_str).unwrap_or_default();
    let project = build.get("projectId").and_then(Value::as_str).unwrap_or_default();
    let is_over = build.get("finishTime").is_some();
    let mut operation = json!({
        "name": format!("operations/build/{project}/{id}"),
        "done": is_over,
        "metadata": {
            "@type": "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata",
            "build": build,
        },
    });
    if is_over {
        operation["response"] = build;
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, google};

    const BUILDS: &str = "/v1/projects/demo-project/locations/us-central1/builds";

    #[tokio::test]
    async fn a_build_is_over_with_what_was_asked_for() {
        let google = google();
        let asked = json!({"images": ["i"], "steps": [{"name": "n"}], "status": "FAILURE"});
        let operation = answer(&google, &call("POST", BUILDS, asked)).unwrap();
        let build = &operation["metadata"]["build"];
        assert_eq!((&build["status"], &build["images"]), (&json!("SUCCESS"), &json!(["i"])));
        let id = build["id"].as_str().unwrap();
        let got = answer(&google, &call("GET", &format!("{BUILDS}/{id}"), Value::Null)).unwrap();
        assert_eq!(&got, build);
        let listed = answer(&google, &call("GET", BUILDS, Value::Null)).unwrap();
        assert_eq!(&listed["builds"][0], build);
        let missing = answer(&google, &call("GET", &format!("{BUILDS}/x"), Value::Null));
        assert_eq!(missing.unwrap_err().http_status(), 404);
    }

    #[tokio::test]
    async fn a_substitution_that_is_not_there_or_not_used_is_refused() {
        let google = google();
        let whole = json!({
            "steps": [{"name": "n", "args": ["$_A ${_B} $PROJECT_ID $$x"]}],
            "substitutions": {"_A": "1", "_B": "2"},
        });
        assert!(answer(&google, &call("POST", BUILDS, whole.clone())).is_ok());
        for (pointer, value) in
            [("/steps/0/args", json!(["$_A"])), ("/steps/0/args", json!(["$_A $_B $_C"]))]
        {
            let mut spoilt = whole.clone();
            *spoilt.pointer_mut(pointer).unwrap() = value;
            let fault = answer(&google, &call("POST", BUILDS, spoilt.clone())).unwrap_err();
            assert_eq!(fault.http_status(), 400);
            spoilt["options"] = json!({"substitutionOption": "ALLOW_LOOSE"});
            assert!(answer(&google, &call("POST", BUILDS, spoilt)).is_ok());
        }
    }
}
