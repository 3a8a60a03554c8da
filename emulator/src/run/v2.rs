//! Services as version 2 of the Admin API shows them, for reading.
//!
//! Source: <https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.services>.

use serde_json::{Value, json};

use super::{
    knative::{INGRESS, custom_audiences},
    operations::Operations,
    revision::Revision,
    service::Service,
};
use crate::{
    api::{error::ApiError, page},
    project::Project,
};

/// One service.
///
/// # Errors
/// 403 and 404.
pub(super) fn get(operations: &Operations<'_>, id: &str) -> Result<Value, ApiError> {
    operations.service(id).map(|service| document(&service, &operations.google.project))
}

/// The region's services.
///
/// # Errors
/// 403.
pub(super) fn list(operations: &Operations<'_>) -> Result<Value, ApiError> {
    let services = operations.services()?;
    let items = services.iter().map(|service| document(service, &operations.google.project));
    page::list(operations.call, "services", items)
}

fn document(service: &Service, project: &Project) -> Value {
    let name = service.name.resource(project);
    let metadata = service.metadata(project);
    let settings = service.settings(project);
    let template = &service.spec.template;
    let ingress = match metadata.annotations.get(INGRESS).map(String::as_str) {
        Some("internal") => "INGRESS_TRAFFIC_INTERNAL_ONLY",
        Some("internal-and-cloud-load-balancing") => "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
        _ => "INGRESS_TRAFFIC_ALL",
    };
    let revision = |id: &str| format!("{name}/revisions/{id}");
    let newest = service.revisions.last();
    let condition = match newest.and_then(Revision::unready) {
        Some(why) => json!({
            "type": "Ready",
            "state": "CONDITION_FAILED",
            "message": why,
            "revisionReason": "HEALTH_CHECK_CONTAINER_ERROR",
        }),
        None => json!({"type": "Ready", "state": "CONDITION_SUCCEEDED"}),
    };
    let containers: Vec<Value> =
        template.spec.containers.iter().map(|one| json!({"image": one.image})).collect();
    json!({
        "name": name,
        "uid": metadata.uid,
        // 64-bit numbers are strings in Google's JSON.
        "generation": metadata.generation.to_string(),
        "observedGeneration": metadata.generation.to_string(),
        "createTime": metadata.creation_timestamp,
        "etag": metadata.resource_version,
        "ingress": ingress,
        "invokerIamDisabled": !settings.checks_invoker,
        "customAudiences": custom_audiences(&metadata.annotations).unwrap_or_default(),
        "uri": service.url(),
        "urls": service.urls(project),
        "latestReadyRevision": service.latest_ready().map(|ready| revision(&ready.name)),
        "latestCreatedRevision": revision(service.latest()),
        "terminalCondition": condition,
        "template": {
            "serviceAccount": template.spec.service_account_name,
            "timeout": format!("{}s", settings.timeout.as_secs()),
            "containers": containers,
        },
    })
}
