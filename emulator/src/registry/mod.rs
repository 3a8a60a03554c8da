//! Artifact Registry: repositories, without what is in them. Images are pushed elsewhere.
//!
//! Source: <https://cloud.google.com/artifact-registry/docs/reference/rest/v1/projects.locations.repositories>.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::{
        call::{Call, from_json},
        error::{ApiError, Code},
        mask, page,
    },
    google::Google,
    state,
};

/// The fields that an update may replace.
const UPDATABLE: [&str; 3] = ["description", "labels", "cleanupPolicies"];

/// The repositories, by full name.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<BTreeMap<String, Repository>>);

/// A repository as it is kept, saved and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Repository {
    #[serde(default)]
    name: String,
    format: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    mode: String,
    /// Kept as it came; nothing is there to be cleaned up.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    cleanup_policies: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    create_time: Option<Timestamp>,
}

impl Registry {
    pub(crate) fn export(&self) -> Value {
        json!(self.repositories().values().collect::<Vec<_>>())
    }

    /// Reads what was exported; nothing changes.
    ///
    /// # Errors
    /// 400 that names the repository.
    pub(crate) fn read(saved: Value) -> Result<Imported, ApiError> {
        let mut read = BTreeMap::new();
        for repository in from_json::<Vec<Repository>>(saved)? {
            let name = repository.name.clone();
            if read.insert(name.clone(), repository).is_some() {
                return Err(state::twice(&name));
            }
        }
        Ok(Imported(read))
    }

    /// Replaces all by what was read.
    pub(crate) fn put(&self, Imported(repositories): Imported) {
        *self.repositories() = repositories;
    }

    fn repositories(&self) -> MutexGuard<'_, BTreeMap<String, Repository>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was read of an export and can be put in place.
#[derive(Debug)]
pub(crate) struct Imported(BTreeMap<String, Repository>);

/// Answers one call.
pub(crate) fn answer(google: &Google, call: &Call) -> Result<Value, ApiError> {
    let (method, segments, verb) = call.route();
    match (method, segments.as_slice(), verb) {
        (_, ["v1", "projects", _, "locations", location, "repositories"], "") => {
            let parent = format!("{}/locations/{location}", google.project.name());
            match method {
                "POST" => create(google, call, &parent),
                "GET" => list(google, call, &parent),
                _ => Err(call.unknown()),
            }
        }
        (_, ["v1", "projects", _, "locations", location, "repositories", id], verb) => {
            let name = format!("{}/locations/{location}/repositories/{id}", google.project.name());
            of_one(google, call, method, verb, &name)
        }
        // Every long-running operation is over before it is asked about.
        ("GET", ["v1", "projects", _, "locations", _, "operations", id], "") => {
            Ok(done(google, id, json!({})))
        }
        _ => Err(call.unknown()),
    }
}

fn create(google: &Google, call: &Call, parent: &str) -> Result<Value, ApiError> {
    google.iam.require(&call.principal, "artifactregistry.repositories.create", parent)?;
    let id = call.parameter("repositoryId").unwrap_or_default();
    let is_id = |id: &str| {
        id.len() <= 63
            && id.starts_with(|first: char| first.is_ascii_lowercase())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !id.ends_with('-')
    };
    if !is_id(id) {
        let fault =
            format!("is {id:?}; expected lower-case letters, digits and dashes, at most 63.");
        return Err(ApiError::invalid_field("repository_id", fault));
    }
    let name = format!("{parent}/repositories/{id}");
    let asked: Repository = call.json()?;
    let mut repositories = google.registry.repositories();
    if repositories.contains_key(&name) {
        return Err(ApiError::new(Code::AlreadyExists, "the repository already exists"));
    }
    let repository = Repository {
        name: name.clone(),
        mode: "STANDARD_REPOSITORY".to_owned(),
        create_time: Some(google.clock.now()),
        ..asked
    };
    let shown = shown(&repository);
    repositories.insert(name, repository);
    Ok(done(google, "create", shown))
}

fn list(google: &Google, call: &Call, parent: &str) -> Result<Value, ApiError> {
    google.iam.require(&call.principal, "artifactregistry.repositories.list", parent)?;
    let below = format!("{parent}/");
    let repositories = google.registry.repositories();
    let all: Vec<Value> =
        repositories.values().filter(|one| one.name.starts_with(&below)).map(shown).collect();
    page::list(call, "repositories", all.into_iter())
}

fn of_one(
    google: &Google,
    call: &Call,
    method: &str,
    verb: &str,
    name: &str,
) -> Result<Value, ApiError> {
    let permission = |verb| format!("artifactregistry.repositories.{verb}");
    let may = |verb| google.iam.require(&call.principal, &permission(verb), name);
    match (method, verb) {
        ("GET", "") => may("get")?,
        ("PATCH", "") => may("update")?,
        ("DELETE", "") => may("delete")?,
        _ => {}
    }
    let mut repositories = google.registry.repositories();
    let Some(repository) = repositories.get_mut(name) else {
        let message = format!("Requested entity was not found: {name}");
        return Err(ApiError::new(Code::NotFound, message));
    };
    match (method, verb) {
        ("GET", "") => Ok(shown(repository)),
        ("PATCH", "") => {
            let paths = mask::paths(call.parameter("updateMask").unwrap_or_default());
            let updated = mask::apply(
                json!(repository),
                &call.json()?,
                &paths,
                &UPDATABLE,
                &["name", "format"],
            )?;
            *repository = from_json(updated)?;
            Ok(shown(repository))
        }
        ("DELETE", "") => {
            repositories.remove(name);
            google.iam.forget(name);
            Ok(done(google, "delete", json!({})))
        }
        ("GET" | "POST", "getIamPolicy") => {
            google.iam.get_policy(call, &permission("getIamPolicy"), name)
        }
        ("POST", "setIamPolicy") => google.iam.set_policy(call, &permission("setIamPolicy"), name),
        ("POST", "testIamPermissions") => google.iam.test_permissions(call, name),
        _ => Err(call.unknown()),
    }
}

fn shown(repository: &Repository) -> Value {
    let mut shown = json!(repository);
    shown["@type"] = "type.googleapis.com/google.devtools.artifactregistry.v1.Repository".into();
    shown
}

fn done(google: &Google, id: &str, response: Value) -> Value {
    // gcloud takes the name apart.
    let name = format!("{}/locations/-/operations/{id}", google.project.name());
    json!({"name": name, "done": true, "response": response})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, google};

    const REPOSITORIES: &str = "/v1/projects/demo-project/locations/us-central1/repositories";

    #[tokio::test]
    async fn a_repository_is_made_once_changed_and_deleted() {
        let google = google();
        let ask = |method: &str, uri: String, body| answer(&google, &call(method, &uri, body));
        let one = format!("{REPOSITORIES}/images");
        assert_eq!(ask("GET", one.clone(), Value::Null).unwrap_err().http_status(), 404);
        let asked = json!({"format": "DOCKER", "labels": {"made-for": "receiver"}});
        let create = format!("{REPOSITORIES}?repositoryId=images");
        let created = ask("POST", create.clone(), asked.clone()).unwrap();
        assert_eq!(created["done"], true);
        assert_eq!(ask("POST", create, asked.clone()).unwrap_err().http_status(), 409);
        assert_eq!(ask("GET", one.clone(), Value::Null).unwrap(), created["response"]);
        let patch = format!("{one}?updateMask=labels");
        let changed = ask("PATCH", patch, json!({"labels": {"a": "b"}})).unwrap();
        assert_eq!(changed["labels"], json!({"a": "b"}));
        let listed = ask("GET", REPOSITORIES.to_owned(), Value::Null).unwrap();
        assert_eq!(listed["repositories"].as_array().unwrap().len(), 1);
        let saved = google.registry.export();
        ask("DELETE", one.clone(), Value::Null).unwrap();
        assert_eq!(ask("DELETE", one.clone(), Value::Null).unwrap_err().http_status(), 404);
        google.registry.put(Registry::read(saved).unwrap());
        assert!(ask("GET", one, Value::Null).is_ok());
        for id in ["", "Images", "a_b", "a-"] {
            let fault = ask("POST", format!("{REPOSITORIES}?repositoryId={id}"), asked.clone());
            assert_eq!(fault.unwrap_err().http_status(), 400, "{id}");
        }
    }
}
