//! What the API shows of revisions.

use serde_json::Value;

use super::{
    Deployed,
    name::missing,
    operations::Operations,
    page::{self, Selector},
};
use crate::{
    api::error::{ApiError, Code},
    google::Google,
};

impl Operations<'_> {
    /// One revision.
    ///
    /// # Errors
    /// 403 and 404.
    pub(super) fn revision(&self, id: &str) -> Result<Value, ApiError> {
        let Google { run, iam, project, .. } = self.google.as_ref();
        let may = |resource: &str| iam.require(&self.call.principal, "run.revisions.get", resource);
        let services = self.of_region(run.state().services.values().map(|one| &one.service));
        let found = services.iter().find_map(|service| Some((service, service.revision_of(id)?)));
        let Some((service, revision)) = found else {
            may(&project.name())?;
            return Err(missing("REVISION", id, self.region, project));
        };
        // A role on a service holds for its revisions.
        may(&service.name.resource(project))?;
        Ok(service.revision(revision, project))
    }

    /// Deletes a revision that neither serves nor has a tag and is not the newest.
    ///
    /// # Errors
    /// 400 if it may not be, 403 and 404.
    pub(super) async fn delete_revision(&self, id: &str) -> Result<Value, ApiError> {
        let Google { run, iam, project, changing, .. } = self.google.as_ref();
        // A deployment that stands between its two halves would bring it back.
        let _changing = changing.lock().await;
        let may =
            |resource: &str| iam.require(&self.call.principal, "run.revisions.delete", resource);
        let mut state = run.state();
        let found = state.services.iter_mut().find(|(name, deployed)| {
            self.region.is_none_or(|region| region == name.region)
                && deployed.service.revision_of(id).is_some()
        });
        let Some((name, Deployed { service, .. })) = found else {
            may(&project.name())?;
            return Err(missing("REVISION", id, self.region, project));
        };
        may(&name.resource(project))?;
        let mut targets = service.spec.traffic.iter().chain(&service.routed);
        let why = if targets.any(|target| service.target(target).is_some_and(|one| one.name == id))
        {
            "it serves traffic or has a tag"
        } else if service.latest() == id {
            "it is the newest of its service"
        } else {
            service.revisions.retain(|revision| revision.name != id);
            return Ok(page::success());
        };
        let message = format!("Revision '{id}' cannot be deleted: {why}.");
        Err(ApiError::new(Code::FailedPrecondition, message))
    }

    pub(super) fn revisions(&self) -> Result<Value, ApiError> {
        let Google { run, iam, project, .. } = self.google.as_ref();
        iam.require(&self.call.principal, "run.revisions.list", &project.name())?;
        let selector = Selector::of(self.call)?;
        let services = self.of_region(run.state().services.values().map(|one| &one.service));
        // The newest come first.
        let items = services.iter().flat_map(|service| {
            let revisions = service.revisions.iter().rev();
            let selected = revisions
                .filter(|one| selector.takes(&one.metadata(&service.name, project).labels));
            selected.map(|revision| service.revision(revision, project))
        });
        page::list(self.call, "RevisionList", items.collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::run::lab::{Lab, SERVICES};

    const REVISIONS: &str = "/run/apis/serving.knative.dev/v1/namespaces/demo-project/revisions";

    #[tokio::test]
    async fn a_revision_is_deleted_once_nothing_leads_to_it() {
        let lab = Lab::start().await;
        let path = format!("{SERVICES}/receiver");
        let (_, mut service) = lab.api("GET", &path, Value::Null).await;
        let old = service["status"]["latestReadyRevisionName"].as_str().unwrap().to_owned();
        let delete = async |id: &str| {
            let (status, answer) =
                lab.api("DELETE", &format!("{REVISIONS}/{id}"), Value::Null).await;
            (status, answer["error"]["message"].as_str().unwrap_or_default().to_owned())
        };
        assert!(delete(&old).await.1.ends_with("it serves traffic or has a tag."));
        service["spec"]["template"]["metadata"]["name"] = "receiver-blue".into();
        for (traffic, said) in [
            (json!([{"revisionName": old, "percent": 100}]), "it serves traffic or has a tag."),
            (
                json!([{"latestRevision": true, "percent": 100}, {"revisionName": old, "tag": "t"}]),
                "it serves traffic or has a tag.",
            ),
            (json!([{"latestRevision": true, "percent": 100}]), ""),
        ] {
            service["spec"]["traffic"] = traffic;
            let (status, answer) = lab.api("PUT", &path, service).await;
            assert_eq!(status, 200, "{answer}");
            service = answer;
            let (status, fault) = delete(&old).await;
            assert_eq!(status, if said.is_empty() { 200 } else { 400 }, "{fault}");
            assert!(fault.ends_with(said), "{fault}");
        }
        assert_eq!(delete(&old).await.0, 404);
        // Nothing leads to the newest, and it is what the service is.
        service["spec"]["template"]["metadata"]["name"] = "receiver-green".into();
        service["spec"]["traffic"] = json!([{"revisionName": "receiver-blue", "percent": 100}]);
        assert_eq!(lab.api("PUT", &path, service).await.0, 200);
        assert!(delete("receiver-green").await.1.ends_with("it is the newest of its service."));
        let (_, all) = lab.api("GET", REVISIONS, Value::Null).await;
        assert_eq!(all["items"].as_array().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn only_a_changed_template_makes_a_revision() {
        let lab = Lab::start().await;
        let path = format!("{SERVICES}/receiver");
        let (_, first) = lab.api("GET", &path, Value::Null).await;
        let (status, same) = lab.api("PUT", &path, first.clone()).await;
        assert_eq!(status, 200, "{same}");
        assert_eq!(same["metadata"]["generation"], 1);
        assert_eq!(
            same["status"]["latestReadyRevisionName"],
            first["status"]["latestReadyRevisionName"]
        );

        let mut changed = same.clone();
        changed["spec"]["template"]["metadata"]["name"] = "receiver-blue".into();
        changed["spec"]["template"]["metadata"]["labels"]["client.knative.dev/nonce"] = "n2".into();
        let (_, changed) = lab.api("PUT", &path, changed).await;
        assert_eq!(changed["metadata"]["generation"], 2);
        assert_eq!(changed["status"]["latestReadyRevisionName"], "receiver-blue");

        let (_, all) = lab.api("GET", REVISIONS, Value::Null).await;
        assert_eq!(all["items"].as_array().unwrap().len(), 2);
        let selected = format!("{REVISIONS}?labelSelector=client.knative.dev%2Fnonce+%3D+n2");
        let (_, one) = lab.api("GET", &selected, Value::Null).await;
        assert_eq!(one["items"][0]["metadata"]["name"], "receiver-blue");
        assert_eq!(one["items"].as_array().unwrap().len(), 1);
        let (status, _) = lab.api("GET", &format!("{REVISIONS}/receiver-blue"), Value::Null).await;
        assert_eq!(status, 200);

        let mut taken = changed.clone();
        taken["spec"]["template"]["spec"]["containers"][0]["image"] = "other".into();
        let (status, fault) = lab.api("PUT", &path, taken).await;
        assert_eq!((status, &fault["error"]["status"]), (409, &json!("ALREADY_EXISTS")));
    }
}
