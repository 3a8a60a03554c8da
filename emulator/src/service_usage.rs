//! Service Usage: which of Google's APIs the project has enabled.
//!
//! Source: <https://cloud.google.com/service-usage/docs/reference/rest/v1/services>.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        call::{Call, from_json},
        error::{ApiError, Code},
        page,
    },
    google::Google,
    project::Project,
};

/// The APIs that this emulator has, by what stands before `.googleapis.com`, and what Google calls them.
const APIS: [(&str, &str); 16] = [
    ("artifactregistry", "Artifact Registry API"),
    ("cloudbilling", "Cloud Billing API"),
    ("cloudbuild", "Cloud Build API"),
    ("cloudfunctions", "Cloud Functions API"),
    ("cloudresourcemanager", "Cloud Resource Manager API"),
    ("cloudscheduler", "Cloud Scheduler API"),
    ("cloudtasks", "Cloud Tasks API"),
    ("iam", "Identity and Access Management (IAM) API"),
    ("iamcredentials", "IAM Service Account Credentials API"),
    ("logging", "Cloud Logging API"),
    ("monitoring", "Cloud Monitoring API"),
    ("pubsub", "Cloud Pub/Sub API"),
    ("run", "Cloud Run Admin API"),
    ("serviceusage", "Service Usage API"),
    ("storage", "Cloud Storage JSON API"),
    ("telemetry", "Telemetry API"),
];

/// Those that answer in every project, or nothing could ever be enabled.
const ALWAYS: [&str; 2] = ["cloudresourcemanager", "serviceusage"];

/// What is enabled, by what stands before `.googleapis.com`.
#[derive(Debug)]
pub(crate) struct Apis(Mutex<BTreeSet<String>>);

impl Apis {
    /// All of them, or as a fresh project has them.
    pub(crate) fn new(are_enabled: bool) -> Apis {
        let known = APIS.iter().map(|(api, _)| *api);
        let enabled = known.filter(|api| are_enabled || ALWAYS.contains(api));
        Apis(Mutex::new(enabled.map(str::to_owned).collect()))
    }

    /// That the API is enabled; `name` is what stands before `.googleapis.com`. One that is not in the table is not
    /// looked at.
    ///
    /// # Errors
    /// 403 as gcloud, client libraries and people know it
    /// (`SERVICE_DISABLED` of <https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto>).
    pub(crate) fn require(&self, name: &str, project: &Project) -> Result<(), ApiError> {
        let Some((_, title)) = APIS.iter().find(|(api, _)| *api == name) else { return Ok(()) };
        if ALWAYS.contains(&name) || self.enabled().contains(name) {
            return Ok(());
        }
        let (number, service) = (project.number, format!("{name}.googleapis.com"));
        let url = format!(
            "https://console.developers.google.com/apis/api/{service}/overview?project={number}"
        );
        let message = format!(
            "{title} has not been used in project {number} before or it is disabled. Enable it by visiting {url} then \
             retry. With gcloud: gcloud services enable {service} --project={}",
            project.id
        );
        Err(ApiError {
            details: vec![json!({
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "SERVICE_DISABLED",
                "domain": "googleapis.com",
                "metadata": {
                    "service": service,
                    "serviceTitle": title,
                    "consumer": format!("projects/{number}"),
                    "activationUrl": url,
                },
            })],
            ..ApiError::new(Code::PermissionDenied, message)
        })
    }

    pub(crate) fn export(&self) -> Value {
        json!(*self.enabled())
    }

    /// Reads what was exported; nothing changes.
    ///
    /// # Errors
    /// 400 if it is no list of names.
    pub(crate) fn read(saved: Value) -> Result<Imported, ApiError> {
        from_json(saved).map(Imported)
    }

    /// Replaces what is enabled by what was read.
    pub(crate) fn put(&self, Imported(enabled): Imported) {
        *self.enabled() = enabled;
    }

    fn enabled(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was read of an export and can be put in place.
#[derive(Debug)]
pub(crate) struct Imported(BTreeSet<String>);

/// Body of a `batchEnable`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Batch {
    service_ids: Vec<String>,
}

/// Answers one call.
pub(crate) fn answer(google: &Google, call: &Call) -> Result<Value, ApiError> {
    let (project, name) = (&google.project, google.project.name());
    let may = |permission| google.iam.require(&call.principal, permission, &name);
    let (method, segments, verb) = call.route();
    match (method, segments.as_slice(), verb) {
        ("POST", ["v1", "projects", _, "services", service], "enable") => {
            may("serviceusage.services.enable")?;
            enable(google, &[(*service).to_owned()])
        }
        ("POST", ["v1", "projects", _, "services"], "batchEnable") => {
            may("serviceusage.services.enable")?;
            enable(google, &call.json::<Batch>()?.service_ids)
        }
        ("POST", ["v1", "projects", _, "services", service], "disable") => {
            may("serviceusage.services.disable")?;
            google.apis.enabled().remove(&id(service)?);
            Ok(done())
        }
        ("GET", ["v1", "projects", _, "services"], "") => {
            may("serviceusage.services.list")?;
            let only_enabled = call.parameter("filter") == Some("state:ENABLED");
            let enabled = google.apis.enabled();
            // Also those that were enabled and are not here.
            let known = APIS.iter().map(|(api, _)| *api);
            let all: BTreeSet<&str> = known.chain(enabled.iter().map(String::as_str)).collect();
            let listed: Vec<Value> = all
                .into_iter()
                .filter(|api| !only_enabled || enabled.contains(*api))
                .map(|api| service(project, api, enabled.contains(api)))
                .collect();
            page::list(call, "services", listed.into_iter())
        }
        ("GET", ["v1", "projects", _, "services", one], "") => {
            may("serviceusage.services.get")?;
            let id = id(one)?;
            Ok(service(project, &id, google.apis.enabled().contains(&id)))
        }
        // Over before it is asked about.
        ("GET", ["v1", "operations", _], "") => Ok(done()),
        _ => Err(call.unknown()),
    }
}

fn enable(google: &Google, services: &[String]) -> Result<Value, ApiError> {
    let ids = services.iter().map(|service| id(service)).collect::<Result<Vec<_>, _>>()?;
    google.apis.enabled().extend(ids);
    Ok(done())
}

/// What stands before `.googleapis.com`. An API that this emulator has not is taken all the same: scripts enable more
/// than they call.
fn id(service: &str) -> Result<String, ApiError> {
    service.strip_suffix(".googleapis.com").map(str::to_owned).ok_or_else(|| {
        let message = format!(
            "Service '{service}' not found or permission denied; expected NAME.googleapis.com."
        );
        ApiError::new(Code::NotFound, message)
    })
}

fn service(project: &Project, id: &str, is_enabled: bool) -> Value {
    let parent = format!("projects/{}", project.number);
    let title = APIS.iter().find(|(api, _)| *api == id).map(|(_, title)| *title);
    json!({
        "name": format!("{parent}/services/{id}.googleapis.com"),
        "config": {"name": format!("{id}.googleapis.com"), "title": title},
        "state": if is_enabled { "ENABLED" } else { "DISABLED" },
        "parent": parent,
    })
}

fn done() -> Value {
    json!({"name": "operations/noop.DONE_OPERATION", "done": true, "response": {}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, google};

    const SERVICES: &str = "/v1/projects/demo-project/services";

    #[tokio::test]
    async fn what_is_disabled_answers_403_until_it_is_enabled() {
        let google = google();
        let ask = |method: &str, uri: String, body| answer(&google, &call(method, &uri, body));
        let enabled = || {
            let listed = ask("GET", format!("{SERVICES}?filter=state:ENABLED"), Value::Null);
            listed.unwrap()["services"].as_array().unwrap().len()
        };
        assert_eq!(enabled(), APIS.len());
        ask("POST", format!("{SERVICES}/run.googleapis.com:disable"), json!({})).unwrap();
        assert_eq!(enabled(), APIS.len() - 1);
        let fault = google.apis.require("run", &google.project).unwrap_err();
        assert_eq!(fault.http_status(), 403);
        let said = "Cloud Run Admin API has not been used in project 123456789012 before or it is disabled.";
        assert!(fault.message.starts_with(said), "{}", fault.message);
        assert_eq!(fault.details[0]["reason"], "SERVICE_DISABLED");
        assert_eq!(fault.details[0]["metadata"]["service"], "run.googleapis.com");
        let batch = json!({"serviceIds": ["run.googleapis.com", "compute.googleapis.com"]});
        assert_eq!(ask("POST", format!("{SERVICES}:batchEnable"), batch).unwrap()["done"], true);
        google.apis.require("run", &google.project).unwrap();
        assert_eq!(enabled(), APIS.len() + 1, "also what is not here");
        let saved = google.apis.export();
        ask("POST", format!("{SERVICES}/run.googleapis.com:disable"), json!({})).unwrap();
        google.apis.put(Apis::read(saved).unwrap());
        google.apis.require("run", &google.project).unwrap();
        assert_eq!(
            ask("POST", format!("{SERVICES}/run:enable"), json!({})).unwrap_err().http_status(),
            404
        );
    }

    #[test]
    fn a_fresh_project_has_none_but_those_that_enable_others() {
        let (apis, project) = (Apis::new(false), Project::default());
        for (api, _) in APIS {
            assert_eq!(apis.require(api, &project).is_ok(), ALWAYS.contains(&api), "{api}");
        }
    }
}
