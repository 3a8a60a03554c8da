//! Services saved and restored. Their policies are IAM's to save, and what stands behind them is this machine's.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Deployed, Run,
    front_end::FrontEnd,
    knative::{API_VERSION, Document},
    name::ServiceName,
    service::Service,
};
use crate::{
    api::{call::from_json, error::ApiError},
    google::Google,
    state,
};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    services: Vec<Service>,
}

impl Run {
    /// All services.
    pub(crate) fn export(&self) -> Value {
        let state = self.state();
        let services = state.services.values().map(|deployed| deployed.service.clone()).collect();
        serde_json::to_value(Saved { services }).unwrap_or_default()
    }
}

/// What was read of an export and can be put in place.
#[derive(Debug)]
pub(crate) struct Imported(BTreeMap<ServiceName, Service>);

/// Reads what was exported; nothing changes.
///
/// # Errors
/// 400 that names the service which cannot be.
pub(crate) fn read(google: &Google, state: Value) -> Result<Imported, ApiError> {
    let Saved { services } = from_json(state)?;
    let mut read = BTreeMap::new();
    for service in services {
        let name = service.name.clone();
        let resource = name.resource(&google.project);
        let service = checked(service).map_err(|fault| state::refused(&resource, fault))?;
        if read.insert(name, service).is_some() {
            return Err(state::twice(&resource));
        }
    }
    Ok(Imported(read))
}

/// Replaces all services by those that were read. Each is reached at the port that it had, unless that is taken by now.
///
/// # Errors
/// 500 if a service cannot be served; then there are none.
pub(crate) async fn put(
    google: &Arc<Google>,
    Imported(services): Imported,
) -> Result<(), ApiError> {
    google.run.close().await;
    let mut restored = BTreeMap::new();
    for (name, mut service) in services {
        let front_end = FrontEnd::start(google, &name, None, service.port).await?;
        service.port = front_end.port();
        let tags = FrontEnd::of_tags(google, &mut service, &BTreeMap::new()).await?;
        restored.insert(name, Deployed::new(service, front_end, tags, &google.project));
    }
    google.run.state().services = restored;
    Ok(())
}

/// That the service could have been deployed so.
fn checked(service: Service) -> Result<Service, ApiError> {
    let Service { name, metadata, spec, revisions, .. } = &service;
    name.check()?;
    if metadata.name != name.id {
        let fault = format!("is {:?}; expected {:?}.", metadata.name, name.id);
        return Err(ApiError::invalid_field("metadata.name", fault));
    }
    if revisions.is_empty() {
        return Err(ApiError::invalid_field("revisions", "is empty; expected at least one."));
    }
    let document = Document {
        api_version: API_VERSION.to_owned(),
        kind: "Service".to_owned(),
        metadata: metadata.clone(),
        spec: spec.clone(),
    };
    let Document { metadata, spec, .. } = document.checked()?;
    let mut service = Service { metadata, spec, ..service };
    if service.routed.is_empty() {
        service.route();
    }
    Ok(service)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        run::{api, knative::tests::whole},
        testing::{self, google},
    };

    async fn deploy(google: &Arc<Google>, name: &str) -> Value {
        let path = "/v1/projects/demo-project/locations/us-central1/services";
        api::answer(google, &testing::call("POST", path, whole(name))).await.unwrap()
    }

    async fn import(google: &Arc<Google>, state: &Value) {
        put(google, read(google, state.clone()).unwrap()).await.unwrap();
    }

    async fn status(url: &Value) -> Option<u16> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(url.as_str().unwrap()).send().await.ok()?;
        Some(response.status().as_u16())
    }

    #[tokio::test]
    async fn a_restored_service_has_its_old_address_or_a_fresh_one() {
        let before = google();
        let service = deploy(&before, "receiver").await;
        let state = before.run.export();
        let beside = google();
        import(&beside, &state).await;
        let moved = beside.run.export();
        assert_ne!(moved["services"][0]["port"], state["services"][0]["port"]);

        before.run.close().await;
        let url = &service["status"]["url"];
        assert_eq!(status(url).await, None);
        let after = google();
        deploy(&after, "other").await;
        import(&after, &state).await;
        assert_eq!(after.run.export(), state, "what was there is replaced");
        assert_eq!(status(url).await, Some(403));
        // Into itself: the ports are given back first.
        import(&after, &state).await;
        assert_eq!(after.run.export(), state);
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_by_its_name() {
        let google = google();
        deploy(&google, "receiver").await;
        let whole = google.run.export();
        read(&google, whole.clone()).unwrap();
        let service = whole["services"][0].clone();
        let timeout = "/services/0/spec/template/spec/timeoutSeconds";
        for (pointer, value, said) in [
            ("/services/0/revisions", json!([]), "/services/receiver: revisions: is empty"),
            ("/services/0/name/id", json!("A"), "/services/A: metadata.name"),
            ("/services/0/metadata/name", json!("other"), "/services/receiver: metadata.name"),
            (timeout, json!(0), "/services/receiver: spec.template.spec.timeoutSeconds"),
            (timeout, json!(3601), "/services/receiver: spec.template.spec.timeoutSeconds"),
            ("/services", json!([service, service]), "/services/receiver comes twice"),
            ("/services", json!([{}]), "missing field"),
        ] {
            let mut spoilt = whole.clone();
            *spoilt.pointer_mut(pointer).unwrap() = value;
            let fault = read(&google, spoilt).unwrap_err();
            assert_eq!(fault.http_status(), 400, "{pointer}");
            assert!(fault.message.contains(said), "{}", fault.message);
        }
    }

    #[tokio::test]
    async fn counters_stay_at_the_most_that_they_hold() {
        let google = google();
        deploy(&google, "receiver").await;
        let mut state = google.run.export();
        state["services"][0]["writes"] = u64::MAX.into();
        state["services"][0]["metadata"]["generation"] = i64::MAX.into();
        import(&google, &state).await;
        let path = "/v1/projects/demo-project/locations/us-central1/services/receiver";
        let mut changed = whole("receiver");
        changed["spec"]["template"]["spec"]["timeoutSeconds"] = 60.into();
        api::answer(&google, &testing::call("PUT", path, changed)).await.unwrap();
        let after = google.run.export();
        assert_eq!(after["services"][0]["writes"], u64::MAX);
        assert_eq!(after["services"][0]["metadata"]["generation"], i64::MAX);
    }
}
