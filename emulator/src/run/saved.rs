//! Services saved and restored. Their policies are IAM's to save, and what stands behind them is this machine's.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Deployed, Run, front_end::FrontEnd, service::Service};
use crate::{
    api::{call::from_json, error::ApiError},
    google::Google,
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

/// Replaces all services. Each is reached at the port that it had, unless that is taken by now.
///
/// # Errors
/// 400 if `state` is none that was exported; nothing is changed then. 500 if a service cannot be served.
pub(crate) async fn import(google: &Arc<Google>, state: Value) -> Result<(), ApiError> {
    let Saved { services } = from_json(state)?;
    google.run.close().await;
    let mut restored = BTreeMap::new();
    for mut service in services {
        let name = service.name.clone();
        let front_end = FrontEnd::start(google, &name, service.port).await?;
        service.port = front_end.port();
        restored.insert(name, Deployed::new(service, front_end, &google.project));
    }
    google.run.state().services = restored;
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_web::{test::TestRequest, web::Bytes};
    use serde_json::json;
    use tokio::runtime::Handle;

    use super::*;
    use crate::{
        Options,
        api::call::Call,
        iam::Principal,
        issuer::Authority,
        run::{api, knative::tests::whole},
    };

    fn google() -> Arc<Google> {
        let url = "http://127.0.0.1:1".to_owned();
        let authority = Arc::new(Authority::new(url.clone(), url.clone()).unwrap());
        Arc::new(Google::new(Options::default(), url, authority, Handle::current()).unwrap())
    }

    async fn deploy(google: &Arc<Google>, name: &str) -> Value {
        let path = "/v1/projects/demo-project/locations/us-central1/services";
        let request = TestRequest::post().uri(path).to_http_request();
        let body = Bytes::from(whole(name).to_string());
        let call = Call::new(&request, path, body, Principal::Developer);
        api::answer(google, &call).await.unwrap()
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
        import(&beside, state.clone()).await.unwrap();
        let moved = beside.run.export();
        assert_ne!(moved["services"][0]["port"], state["services"][0]["port"]);

        before.run.close().await;
        let url = &service["status"]["url"];
        assert_eq!(status(url).await, None);
        let after = google();
        deploy(&after, "other").await;
        import(&after, state.clone()).await.unwrap();
        assert_eq!(after.run.export(), state, "what was there is replaced");
        assert_eq!(status(url).await, Some(403));
        // Into itself: the ports are given back first.
        import(&after, state.clone()).await.unwrap();
        assert_eq!(after.run.export(), state);
    }

    #[tokio::test]
    async fn what_was_never_exported_is_refused_and_changes_nothing() {
        let google = google();
        deploy(&google, "receiver").await;
        let before = google.run.export();
        let fault = import(&google, json!({"services": [{}]})).await.unwrap_err();
        assert_eq!(fault.http_status(), 400);
        assert_eq!(google.run.export(), before);
    }
}
