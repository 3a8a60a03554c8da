//! What the API does to services.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::{
    Deployed,
    front_end::FrontEnd,
    knative::Document,
    name::ServiceName,
    page::{self, Selector},
    revision::not_started,
    service::{Service, Write},
};
use crate::{
    api::{
        call::Call,
        error::{ApiError, Code},
    },
    google::Google,
};

/// One call about services, of one region or (where that is allowed) of all.
pub(super) struct Operations<'a> {
    pub(super) google: &'a Arc<Google>,
    pub(super) call: &'a Call,
    pub(super) region: Option<&'a str>,
}

impl Operations<'_> {
    /// Deploys a service that does not exist.
    ///
    /// # Errors
    /// 400 for a document that cannot be, 403 also for an account that does not exist, 409 if the service does.
    pub(super) async fn create(&self) -> Result<Value, ApiError> {
        let Google { run, iam, project, changing, .. } = self.google.as_ref();
        // An import that came while the front end starts would take the service away again.
        let _changing = changing.lock().await;
        let document = self.document()?;
        let name = self.name(&document.metadata.name)?;
        name.check()?;
        iam.require(&self.call.principal, "run.services.create", &name.resource(project))?;
        self.check_account(&document)?;
        if run.state().services.contains_key(&name) {
            let message = format!("Resource '{}' already exists.", name.id);
            return Err(ApiError::new(Code::AlreadyExists, message));
        }
        let mut service = Service::created(name.clone(), document, self.write())?;
        if self.is_dry_run() {
            service.route();
            return Ok(service.document(project));
        }
        self.start_newest(&mut service).await;
        service.route();
        let front_end = FrontEnd::start(self.google, &name, None, 0).await?;
        service.port = front_end.port();
        let tags = FrontEnd::of_tags(self.google, &mut service, &BTreeMap::new()).await?;
        let document = service.document(project);
        run.state().services.insert(name, Deployed::new(service, front_end, tags, project));
        Ok(document)
    }

    /// Starts the newest revision where a program stands behind the service: Cloud Run too looks whether it comes up
    /// before it gets requests.
    async fn start_newest(&self, service: &mut Service) {
        let google = self.google;
        let Some(program) = google.run.program(&service.name) else { return };
        let newest = service.revisions.last_mut().filter(|newest| !newest.is_placeholder());
        if let Some(newest) = newest {
            let started = google.run.instances.lease(google, &service.name, newest, &program).await;
            newest.failure = started.err().map(|fault| not_started(&fault));
        }
    }

    /// Replaces a service's document.
    ///
    /// # Errors
    /// 400 for a document that cannot be, 403 also for an account that does not exist, 404 if there is no such
    /// service, 409 for an old version.
    pub(super) async fn replace(&self, id: &str) -> Result<Value, ApiError> {
        let Google { run, iam, project, changing, .. } = self.google.as_ref();
        // Two that come at once follow each other, as the version that each is compared with demands.
        let _changing = changing.lock().await;
        let name = self.name(id)?;
        iam.require(&self.call.principal, "run.services.update", &name.resource(project))?;
        let document = self.document()?;
        if document.metadata.name != name.id {
            let fault = format!("is {:?}; expected {:?}.", document.metadata.name, name.id);
            return Err(ApiError::invalid_field("metadata.name", fault));
        }
        self.check_account(&document)?;
        let kept = {
            let state = run.state();
            let deployed = state.services.get(&name).ok_or_else(|| name.missing(project))?;
            deployed.service.clone()
        };
        let mut service = kept.replaced(document, self.write())?;
        if self.is_dry_run() {
            service.route();
            return Ok(service.document(project));
        }
        if service.revisions.len() > kept.revisions.len() {
            self.start_newest(&mut service).await;
        }
        service.route();
        let started = FrontEnd::of_tags(self.google, &mut service, &kept.tag_ports).await?;
        let (document, reachable) = (service.document(project), service.reachable());
        let gone = match run.state().services.get_mut(&name) {
            Some(deployed) => deployed.put(service, started, project),
            None => return Err(name.missing(project)),
        };
        self.retire(name, reachable, gone);
        Ok(document)
    }

    /// Ends what no request reaches any more. What is being answered there may go on to its end, and nobody waits.
    pub(super) fn retire(&self, name: ServiceName, reachable: Vec<String>, tags: Vec<FrontEnd>) {
        let google = Arc::clone(self.google);
        self.google.spawn(async move {
            google.run.instances.keep(&name, &reachable).await;
            for tag in tags {
                tag.stop().await;
            }
        });
    }

    pub(super) fn get(&self, id: &str) -> Result<Value, ApiError> {
        self.service(id).map(|service| service.document(&self.google.project))
    }

    /// A service as it is kept.
    ///
    /// # Errors
    /// 403 and 404.
    pub(super) fn service(&self, id: &str) -> Result<Service, ApiError> {
        let Google { run, iam, project, .. } = self.google.as_ref();
        let name = self.name(id)?;
        iam.require(&self.call.principal, "run.services.get", &name.resource(project))?;
        let state = run.state();
        let deployed = state.services.get(&name).ok_or_else(|| name.missing(project))?;
        Ok(deployed.service.clone())
    }

    pub(super) fn list(&self) -> Result<Value, ApiError> {
        let project = &self.google.project;
        let selector = Selector::of(self.call)?;
        let services = self.services()?;
        let selected =
            services.iter().filter(|service| selector.takes(&service.metadata(project).labels));
        let items = selected.map(|service| service.document(project)).collect();
        page::list(self.call, "ServiceList", items)
    }

    /// The region's services, or all.
    ///
    /// # Errors
    /// 403.
    pub(super) fn services(&self) -> Result<Vec<Service>, ApiError> {
        let Google { run, iam, project, .. } = self.google.as_ref();
        iam.require(&self.call.principal, "run.services.list", &project.name())?;
        Ok(self.of_region(run.state().services.values().map(|deployed| &deployed.service)))
    }

    /// Deletes a service and its policy, and ends its front end.
    ///
    /// # Errors
    /// 403 and 404.
    pub(super) async fn delete(&self, id: &str) -> Result<Value, ApiError> {
        let Google { run, iam, project, changing, .. } = self.google.as_ref();
        // An import that came before the policy is dropped and the port free would lose the one and miss the other.
        let _changing = changing.lock().await;
        let name = self.name(id)?;
        iam.require(&self.call.principal, "run.services.delete", &name.resource(project))?;
        let removed = run.state().services.remove(&name).ok_or_else(|| name.missing(project))?;
        iam.forget(&name.resource(project));
        removed.stop().await;
        run.instances.keep(&name, &[]).await;
        Ok(page::success())
    }

    /// The name of one service, which lies in one region.
    fn name(&self, id: &str) -> Result<ServiceName, ApiError> {
        let region = self.region.ok_or_else(|| {
            ApiError::invalid(
                "A service lies in one region: call the host REGION-run.localhost, or /v1/projects/PROJECT/locations/REGION/services.",
            )
        })?;
        Ok(ServiceName::new(region, id))
    }

    pub(super) fn of_region<'s>(
        &self,
        services: impl Iterator<Item = &'s Service>,
    ) -> Vec<Service> {
        services
            .filter(|service| self.region.is_none_or(|region| region == service.name.region))
            .cloned()
            .collect()
    }

    fn document(&self) -> Result<Document, ApiError> {
        let document = self.call.json::<Document>()?.checked()?;
        let (project, namespace) = (&self.google.project, &document.metadata.namespace);
        if !namespace.is_empty() && !project.is(namespace) {
            let fault = format!("is {namespace:?}; expected {:?}.", project.id);
            return Err(ApiError::invalid_field("metadata.namespace", fault));
        }
        Ok(document)
    }

    /// That the account which the container is to run as exists and may be attached by the caller. Google does not
    /// say which of the two is wrong, and gcloud takes a 404 here for a region that does not exist.
    fn check_account(&self, document: &Document) -> Result<(), ApiError> {
        let email = document.spec.template.spec.service_account_name.as_deref().unwrap_or_default();
        if email.is_empty() {
            return Ok(());
        }
        self.google.iam.require_act_as(&self.call.principal, email).map_err(|_| {
            ApiError::new(
                Code::PermissionDenied,
                format!(
                    "Permission 'iam.serviceaccounts.actAs' denied on service account {email} (or it may not exist)."
                ),
            )
        })
    }

    fn write(&self) -> Write<'_> {
        Write { by: &self.call.principal, at: self.google.clock.now() }
    }

    fn is_dry_run(&self) -> bool {
        self.call.parameter("dryRun") == Some("all")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::run::{
        knative::tests::whole,
        lab::{Lab, SERVICES},
    };

    const REVISIONS: &str = "/run/apis/serving.knative.dev/v1/namespaces/demo-project/revisions";

    #[tokio::test]
    async fn a_service_is_ready_at_once_as_gcloud_waits_for_it() {
        let lab = Lab::start().await;
        let (status, service) = lab.api("GET", &format!("{SERVICES}/receiver"), Value::Null).await;
        assert_eq!(status, 200);
        let (metadata, status) = (&service["metadata"], &service["status"]);
        assert_eq!(status["observedGeneration"], metadata["generation"]);
        for condition in status["conditions"].as_array().unwrap() {
            assert_eq!(condition["status"], "True");
        }
        assert_eq!(metadata["namespace"], "123456789012");
        assert_eq!(metadata["uid"].as_str().unwrap().len(), 36);
        assert_eq!(status["latestReadyRevisionName"], status["traffic"][0]["revisionName"]);
        assert_eq!(status["address"]["url"], status["url"]);
        let urls = metadata["annotations"]["run.googleapis.com/urls"].as_str().unwrap();
        let urls: Vec<String> = serde_json::from_str(urls).unwrap();
        assert_eq!((urls.len(), urls[0].as_str()), (3, lab.url.as_str()));
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_as_google_does() {
        let lab = Lab::start().await;
        let path = format!("{SERVICES}/receiver");
        let (_, first) = lab.api("GET", &path, Value::Null).await;
        let (_, _) = lab.api("PUT", &path, first.clone()).await;
        let mut bad_account = whole("new");
        bad_account["spec"]["template"]["spec"]["serviceAccountName"] =
            "nobody@demo-project.iam.gserviceaccount.com".into();
        let mut elsewhere = whole("new");
        elsewhere["metadata"]["namespace"] = "other".into();
        let missing = format!("{SERVICES}/missing");
        for (method, path, body, code, said) in [
            ("POST", SERVICES, whole("receiver"), 409, "Resource 'receiver' already exists."),
            ("POST", SERVICES, whole("Bad"), 400, "metadata.name"),
            ("POST", SERVICES, json!({}), 400, "missing field"),
            ("POST", SERVICES, bad_account, 403, "nobody@"),
            ("POST", SERVICES, elsewhere, 400, "metadata.namespace"),
            ("PUT", &path, first, 409, "Conflict for resource 'receiver': version"),
            ("PUT", &path, whole("other"), 400, "metadata.name"),
            ("PUT", &missing, whole("missing"), 404, "Resource 'missing' of kind 'SERVICE'"),
            ("GET", &missing, Value::Null, 404, "in region 'us-central1' in project"),
            ("GET", &format!("{REVISIONS}/x"), Value::Null, 404, "of kind 'REVISION'"),
            ("PATCH", &path, json!({}), 404, "is no method"),
        ] {
            let (status, answer) = lab.api(method, path, body).await;
            let message = answer["error"]["message"].as_str().unwrap();
            assert_eq!(status, code, "{method} {path}: {message}");
            assert!(message.contains(said), "{method} {path}: {message}");
        }
    }

    #[tokio::test]
    async fn a_dry_run_changes_nothing() {
        let lab = Lab::start().await;
        let (status, _) = lab.api("POST", &format!("{SERVICES}?dryRun=all"), whole("new")).await;
        assert_eq!(status, 200);
        assert_eq!(lab.api("GET", &format!("{SERVICES}/new"), Value::Null).await.0, 404);
    }

    #[tokio::test]
    async fn services_are_kept_by_region() {
        let lab = Lab::start().await;
        let europe = "/run/v1/projects/demo-project/locations/europe-west1/services";
        let (status, there) = lab.api("POST", europe, whole("receiver")).await;
        assert_eq!(status, 200, "{there}");
        assert_ne!(there["status"]["url"], lab.url.as_str());
        let everywhere = "/run/v1/projects/123456789012/locations/-/services";
        for (path, count) in [(SERVICES, 1), (europe, 1), (everywhere, 2)] {
            let (_, list) = lab.api("GET", path, Value::Null).await;
            assert_eq!(list["items"].as_array().unwrap().len(), count, "{path}");
        }
        let v2 = "/run/v2/projects/demo-project/locations/europe-west1/services";
        let (_, list) = lab.api("GET", v2, Value::Null).await;
        assert_eq!(list["services"][0]["uri"], there["status"]["url"]);
        let (_, one) = lab.api("GET", &format!("{v2}/receiver"), Value::Null).await;
        assert_eq!(one["template"]["timeout"], "300s");
        assert_eq!(one, list["services"][0]);
    }
}
