//! What the API shows of revisions.

use serde_json::Value;

use super::{
    name::missing,
    operations::Operations,
    page::{self, Selector},
};
use crate::{api::error::ApiError, google::Google};

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
