//! Services that scripts only pass through on their way to the emulated ones: one table of the least replies that
//! gcloud goes on with. Nothing is kept; that each call was made is in the history.

mod build;
mod storage;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    api::{
        call::Call,
        error::{ApiError, Code},
        page,
    },
    google::Google,
    project::Project,
};

/// What is enabled: the services that this emulator has.
const SERVICES: [&str; 11] = [
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "cloudtasks.googleapis.com",
    "iam.googleapis.com",
    "iamcredentials.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "serviceusage.googleapis.com",
];

/// Answers one call.
pub(crate) async fn answer(google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    let (project, name) = (&google.project, google.project.name());
    let may = |permission| google.iam.require(&call.principal, permission, &name);
    let (method, segments, verb) = call.route();
    match (method, segments.as_slice(), verb) {
        // Service Usage.
        ("POST", ["v1", "projects", _, "services", _], "enable")
        | ("POST", ["v1", "projects", _, "services"], "batchEnable") => {
            may("serviceusage.services.enable")?;
            Ok(json!({"name": "operations/noop.DONE_OPERATION", "done": true, "response": {}}))
        }
        ("GET", ["v1", "projects", _, "services"], "") => {
            may("serviceusage.services.list")?;
            page::list(call, "services", SERVICES.iter().map(|one| service(project, one)))
        }
        ("GET", ["v1", "projects", _, "services", one], "") => {
            may("serviceusage.services.get")?;
            Ok(service(project, one))
        }
        // Every service's long-running operations, which are over before they are asked about.
        ("GET", ["v1", "operations", operation], "") => Ok(done(operation)),
        ("GET", ["v1", "projects", _, "locations", _, "operations", operation], "") => {
            Ok(done(operation))
        }
        // Artifact Registry.
        ("POST", ["v1", "projects", _, "locations", location, "repositories"], "") => {
            may("artifactregistry.repositories.create")?;
            let id = call.parameter("repositoryId").unwrap_or_default();
            let repository = repository(project, location, id);
            let name = format!("projects/{}/locations/{location}/operations/create", project.id);
            Ok(json!({"name": name, "done": true, "response": repository}))
        }
        ("GET", ["v1", "projects", _, "locations", _, "repositories"], "") => {
            may("artifactregistry.repositories.list")?;
            Ok(json!({}))
        }
        ("GET", ["v1", "projects", _, "locations", location, "repositories", id], "") => {
            may("artifactregistry.repositories.get")?;
            Ok(repository(project, location, id))
        }
        // Cloud Build.
        ("POST", ["v1", "projects", _, "locations", location, "builds"], "") => {
            may("cloudbuild.builds.create")?;
            build::create(project, location, call)
        }
        ("GET", ["v1", "projects", _, "locations", location, "builds", id], "") => {
            may("cloudbuild.builds.get")?;
            Ok(build::build(project, location, id))
        }
        // Cloud Functions, whose second generation are Cloud Run services of the same name.
        ("GET", ["v2", "projects", _, "locations", location, "functions", id], "") => {
            may("cloudfunctions.functions.get")?;
            let place = format!("{name}/locations/{location}");
            Ok(json!({
                "name": format!("{place}/functions/{id}"),
                "environment": "GEN_2",
                "state": "ACTIVE",
                "serviceConfig": {"service": format!("{place}/services/{id}")},
            }))
        }
        // Cloud Storage, to which `gcloud builds submit` uploads the source.
        ("GET", ["b"], "") => {
            may("storage.buckets.list")?;
            let prefix = call.parameter("prefix").unwrap_or_default();
            Ok(json!({"kind": "storage#buckets", "items": [storage::bucket(project, prefix)]}))
        }
        ("GET", ["b", bucket], "") => {
            may("storage.buckets.get")?;
            Ok(storage::bucket(project, bucket))
        }
        ("POST", ["storage", "v1", "b", bucket, "o"], "") => {
            may("storage.objects.create")?;
            storage::upload(bucket, call)
        }
        ("POST", ["upload", "storage", "v1", "b", _, "o"], "") => Err(ApiError::invalid(
            "The source is larger than 5 MiB compressed, which gcloud uploads in pieces, and this emulator takes it \
             whole; leave out what the build does not need with .gcloudignore.",
        )),
        // App Engine, whose location Cloud Scheduler once had.
        ("GET", ["v1", "apps", app], "") => {
            let message = format!("Could not find Application \"{app}\".");
            Err(ApiError::new(Code::NotFound, message))
        }
        _ => Err(call.unknown()),
    }
}

fn service(project: &Project, service: &str) -> Value {
    let parent = format!("projects/{}", project.number);
    json!({
        "name": format!("{parent}/services/{service}"),
        "config": {"name": service},
        "state": "ENABLED",
        "parent": parent,
    })
}

fn repository(project: &Project, location: &str, id: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/google.devtools.artifactregistry.v1.Repository",
        "name": format!("{}/locations/{location}/repositories/{id}", project.name()),
        "format": "DOCKER",
        "mode": "STANDARD_REPOSITORY",
    })
}

fn done(operation: &str) -> Value {
    json!({"name": format!("operations/{operation}"), "done": true, "response": {}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        iam::Principal,
        testing::{call, call_as, google},
    };

    async fn ask(method: &str, uri: &str, body: Value) -> Result<Value, ApiError> {
        answer(&google(), &call(method, uri, body)).await
    }

    #[tokio::test]
    async fn services_are_enabled_at_once() {
        for (uri, body) in [
            ("/v1/projects/demo-project/services/run.googleapis.com:enable", json!({})),
            ("/v1/projects/demo-project/services:batchEnable", json!({"serviceIds": ["a", "b"]})),
        ] {
            assert_eq!(ask("POST", uri, body).await.unwrap()["done"], true);
        }
        let uri = "/v1/projects/demo-project/services?filter=state:ENABLED&pageSize=200";
        let listed = ask("GET", uri, Value::Null).await.unwrap();
        assert_eq!(listed["services"].as_array().unwrap().len(), SERVICES.len());
        let polled = ask("GET", "/v1/operations/noop.DONE_OPERATION", Value::Null).await.unwrap();
        assert_eq!(polled["done"], true);
    }

    #[tokio::test]
    async fn a_function_is_the_service_of_its_name() {
        let uri = "/v2/projects/demo-project/locations/us-central1/functions/fn";
        let function = ask("GET", uri, Value::Null).await.unwrap();
        assert_eq!(function["environment"], "GEN_2");
        assert_eq!(
            function["serviceConfig"]["service"],
            "projects/demo-project/locations/us-central1/services/fn"
        );
    }

    #[tokio::test]
    async fn a_repository_is_there_when_it_was_created() {
        let uri = "/v1/projects/demo-project/locations/us-central1/repositories";
        let created = ask("POST", &format!("{uri}?repositoryId=images"), json!({})).await.unwrap();
        assert_eq!(created["done"], true);
        let got = ask("GET", &format!("{uri}/images"), Value::Null).await.unwrap();
        assert_eq!(got, created["response"]);
    }

    #[tokio::test]
    async fn an_upload_in_pieces_is_refused_with_what_to_do() {
        let uri = "/upload/storage/v1/b/demo-project_cloudbuild/o?uploadType=resumable";
        let fault = ask("POST", uri, json!({})).await.unwrap_err();
        assert!(fault.message.contains(".gcloudignore"), "{}", fault.message);
    }

    #[tokio::test]
    async fn there_is_no_app_engine_and_nothing_else() {
        let app = ask("GET", "/v1/apps/demo-project", Value::Null).await.unwrap_err();
        assert_eq!(app.http_status(), 404);
        let other = ask("DELETE", "/b/bucket", Value::Null).await.unwrap_err();
        assert!(other.message.contains("is no method"), "{}", other.message);
    }

    #[tokio::test]
    async fn who_may_not_pass_is_told_so() {
        let google = google();
        let uri = "/v1/projects/demo-project/services/run.googleapis.com:enable";
        let stranger = Principal::Account("stranger@example.com".to_owned());
        let fault = answer(&google, &call_as(stranger, "POST", uri, json!({}))).await.unwrap_err();
        assert_eq!(fault.http_status(), 403);
    }
}
