//! The control plane: Google's REST APIs behind one port, each under the prefix that `emulator env` gives to gcloud,
//! or without one, as client libraries with an endpoint of their own ask.

pub(crate) mod call;
pub(crate) mod error;
pub(crate) mod mask;
pub(crate) mod page;
pub(crate) mod shelf;
pub(crate) mod visitor;
pub(crate) mod wire;

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse,
    error::PayloadError,
    http::{Method, header::AUTHORIZATION},
    web::{self, Bytes, Data, PayloadConfig, ServiceConfig},
};

use self::{
    call::Call,
    error::{ApiError, Code},
};
use crate::{
    cloud_build, control, google::Google, iam, issuer, logging, monitoring, passthrough, pubsub,
    registry, run, scheduler, service_usage, storage, tasks,
};

/// Above the largest publish request (10 MB, a third more in base64).
const MAX_BODY_BYTES: usize = 16 << 20;

/// Every endpoint of the emulator.
pub(crate) fn routes(config: &mut ServiceConfig, google: Data<Google>) {
    config
        .app_data(PayloadConfig::new(MAX_BODY_BYTES))
        .app_data(Data::from(Arc::clone(&google.authority)));
    config.app_data(google);
    issuer::routes(config);
    control::routes(config);
    config.default_service(web::to(answer));
}

/// Which API a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Scheduler,
    Tasks,
    PubSub,
    Iam,
    IamCredentials,
    Project,
    Run,
    Usage,
    Registry,
    Storage,
    Builds,
    Logging,
    Monitoring,
    Other,
}

impl Service {
    /// By the prefix, which is the override's name in lower case.
    fn by_prefix(prefix: &str) -> Option<Service> {
        Some(match prefix {
            "cloudscheduler" => Service::Scheduler,
            "cloudtasks" => Service::Tasks,
            "pubsub" => Service::PubSub,
            "iam" => Service::Iam,
            "iamcredentials" => Service::IamCredentials,
            "cloudresourcemanager" => Service::Project,
            "run" => Service::Run,
            "serviceusage" => Service::Usage,
            "artifactregistry" => Service::Registry,
            "logging" => Service::Logging,
            "monitoring" => Service::Monitoring,
            "storage" | "upload" | "resumable" => Service::Storage,
            "cloudbuild" => Service::Builds,
            "cloudbilling" | "cloudfunctions" | "appengine" => Service::Other,
            _ => return None,
        })
    }

    /// What has to be enabled for it; nothing where that is not looked at.
    fn api(self) -> &'static str {
        match self {
            Service::Scheduler => "cloudscheduler",
            Service::Tasks => "cloudtasks",
            Service::PubSub => "pubsub",
            Service::Iam => "iam",
            Service::IamCredentials => "iamcredentials",
            Service::Run => "run",
            Service::Registry => "artifactregistry",
            Service::Logging => "logging",
            Service::Monitoring => "monitoring",
            Service::Storage => "storage",
            Service::Builds => "cloudbuild",
            Service::Project | Service::Usage | Service::Other => "",
        }
    }

    /// By the resource, where there is no prefix.
    fn by_resource(path: &str) -> Option<Service> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let verb = path.rsplit_once(':').map_or("", |(_, verb)| verb);
        Some(match *segments.as_slice() {
            ["apis", ..] => Service::Run,
            [version, "projects", _, "locations", _, kind, ..] => match (version, kind) {
                ("v1", "jobs") => Service::Scheduler,
                ("v2", "queues") => Service::Tasks,
                ("v1" | "v2", "services") => Service::Run,
                ("v1", "builds") => Service::Builds,
                ("v1", "repositories") => Service::Registry,
                _ => Service::Other,
            },
            ["v1", "projects", _, "topics" | "subscriptions", ..] => Service::PubSub,
            ["v1", "projects", _, "builds", ..] => Service::Builds,
            ["v1", "projects", _, "services", ..] => Service::Usage,
            ["v1", "projects", _, "serviceAccounts", ..] => match verb {
                "generateIdToken" | "generateAccessToken" => Service::IamCredentials,
                _ => Service::Iam,
            },
            // Of the locations without a resource only those of Cloud Tasks are served here.
            ["v2", "projects", _, "locations"] | ["v2", "projects", _, "locations", _] => {
                Service::Tasks
            }
            ["v2", "entries:list" | "entries:write" | "entries:tail"]
            | ["v2", "projects", _, "logs"]
            | ["v2", "projects", _, "metrics", ..] => Service::Logging,
            ["v1", "projects", _, "dashboards", ..]
            | ["v3", "projects", _, "alertPolicies", ..] => Service::Monitoring,
            ["v1", "projects", _] => Service::Project,
            _ => return None,
        })
    }
}

async fn answer(
    request: HttpRequest,
    body: Result<Bytes, actix_web::Error>,
    google: Data<Google>,
) -> HttpResponse {
    let google = google.into_inner();
    if let Err(fault) = visitor::check(request.head()) {
        return fault.response();
    }
    if request.method() == Method::CONNECT {
        // gcloud's proxy setting leads here, so that nothing leaves the machine unnoticed.
        return HttpResponse::NotImplemented()
            .body("the emulator is no proxy for HTTPS: this API has no endpoint override");
    }
    let body = match body {
        Ok(body) => body,
        Err(fault) => return unread(&fault).response(),
    };
    let path = request.path();
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    match first {
        "token" => return iam::oauth::answer(&google, &request, body).await,
        // Clients ask for the root to find out whether there is a metadata server.
        "" | "computeMetadata" => return iam::metadata::answer(&google, &request).await,
        _ => {}
    }
    let (service, rest) = match Service::by_prefix(first) {
        Some(service) => (Some(service), path.trim_start_matches('/').split_at(first.len()).1),
        None => (Service::by_resource(path), path),
    };
    let bearer = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let principal = match google.principal(bearer) {
        Ok(principal) => principal,
        Err(fault) => return fault.response(),
    };
    let mut call = Call::new(&request, rest, body, principal);
    let allowed = in_project(&google, &mut call)
        .and_then(|()| google.apis.require(service.map_or("", Service::api), &google.project));
    let answered = match allowed {
        Ok(()) => match service {
            Some(Service::Scheduler) => scheduler::api::answer(&google, &call).await,
            Some(Service::Tasks) => tasks::api::answer(&google, &call).await,
            Some(Service::PubSub) => pubsub::api::answer(&google, &call).await,
            Some(Service::Iam) => iam::api::answer(&google, &call).await,
            Some(Service::IamCredentials) => iam::credentials::answer(&google, &call).await,
            Some(Service::Project) => iam::project::answer(&google, &call).await,
            Some(Service::Run) => run::api::answer(&google, &call).await,
            Some(Service::Usage) => service_usage::answer(&google, &call),
            Some(Service::Registry) => registry::answer(&google, &call),
            Some(Service::Builds) => cloud_build::api::answer(&google, &call).await,
            Some(Service::Logging) => logging::api::answer(&google, &call),
            Some(Service::Monitoring) => monitoring::answer(&google, &call),
            Some(Service::Storage) => storage::api::answer(&google, &call),
            Some(Service::Other) => {
                let answered = passthrough::answer(&google, &call).await;
                let status = answered.as_ref().map_or_else(ApiError::http_status, |_| 200);
                google.history.called(google.clock.now(), request.method().as_str(), path, status);
                answered
            }
            None => Err(call.unknown()),
        },
        Err(fault) => Err(fault),
    };
    match answered {
        Ok(value) => HttpResponse::Ok()
            .content_type("application/json; charset=UTF-8")
            .body(value.to_string()),
        Err(fault) => fault.response(),
    }
}

/// Why a body was not read.
fn unread(fault: &actix_web::Error) -> ApiError {
    match fault.as_error() {
        Some(PayloadError::Overflow) => ApiError::invalid(format!(
            "Request payload size exceeds the limit: {MAX_BODY_BYTES} bytes."
        )),
        _ => ApiError::invalid(format!("The request's body broke off ({fault}); send it again.")),
    }
}

/// Turns the project's number into its id; another project is refused as one that does not exist is.
fn in_project(google: &Google, call: &mut Call) -> Result<(), ApiError> {
    let Some(at) =
        call.path.iter().position(|segment| segment == "projects" || segment == "namespaces")
    else {
        return Ok(());
    };
    let Some(project) = call.path.get_mut(at + 1) else { return Ok(()) };
    if google.project.is(project) {
        project.clone_from(&google.project.id);
    } else if project != "-" {
        let known = &google.project.id;
        return Err(ApiError::new(
            Code::PermissionDenied,
            format!(
                "Project '{project}' not found or permission denied; this emulator has '{known}'."
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        body::to_bytes,
        test::{TestRequest, call_service, init_service},
    };
    use serde_json::Value;

    use super::*;
    use crate::testing::google;

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_in_google_s_words() {
        let google = Data::from(google());
        let app = init_service(App::new().configure(|config| routes(config, google))).await;
        let request = TestRequest::post()
            .uri("/v1/projects/demo-project/topics/t:publish")
            .insert_header(("content-length", MAX_BODY_BYTES + 1));
        let answered = call_service(&app, request.to_request()).await;
        assert_eq!(answered.status(), 400);
        let body = to_bytes(answered.into_body()).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body["error"]["message"],
            "Request payload size exceeds the limit: 16777216 bytes."
        );
        assert_eq!(body["error"]["status"], "INVALID_ARGUMENT");
    }

    #[test]
    fn a_body_that_breaks_off_is_refused_with_the_reason() {
        let fault = unread(&PayloadError::Incomplete(None).into());
        assert_eq!(fault.http_status(), 400);
        assert!(fault.message.starts_with("The request's body broke off ("), "{}", fault.message);
    }

    #[test]
    fn without_a_prefix_the_resource_says_which_api_is_called() {
        for (path, service) in [
            ("/v1/projects/p/locations/l/jobs/j", Some(Service::Scheduler)),
            ("/v2/projects/p/locations/l/queues", Some(Service::Tasks)),
            ("/v2/projects/p/locations", Some(Service::Tasks)),
            ("/v2/projects/p/locations/l", Some(Service::Tasks)),
            ("/v1/projects/p/topics/t", Some(Service::PubSub)),
            ("/v1/projects/-/serviceAccounts/a:generateIdToken", Some(Service::IamCredentials)),
            ("/v1/projects/p:getIamPolicy", Some(Service::Project)),
            ("/v1/projects/p/services/run.googleapis.com:enable", Some(Service::Usage)),
            ("/v1/projects/p/locations/l/repositories/r", Some(Service::Registry)),
            ("/v1/projects/p/locations/l/builds/b", Some(Service::Builds)),
            ("/v2/entries:list", Some(Service::Logging)),
            ("/v2/projects/p/logs", Some(Service::Logging)),
            ("/v3/projects/p", None),
        ] {
            assert_eq!(Service::by_resource(path), service, "{path}");
        }
    }
}
