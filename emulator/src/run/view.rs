//! Services as answers show them: ready at once with whatever was asked for.

use serde_json::{Value, json};

use super::{
    knative::{API_VERSION, INGRESS, ObjectMeta, TrafficTarget, condition},
    revision::Revision,
    service::Service,
};
use crate::{iam::policy, project::Project};

impl Service {
    /// Its metadata as answers have it.
    pub(super) fn metadata(&self, project: &Project) -> ObjectMeta {
        let mut metadata = self.metadata.clone();
        let (id, region) = (&self.name.id, &self.name.region);
        metadata.namespace = project.number.to_string();
        metadata.self_link =
            format!("/apis/{API_VERSION}/namespaces/{}/services/{id}", project.number);
        metadata.resource_version = policy::etag(self.writes);
        metadata.labels.insert("cloud.googleapis.com/location".to_owned(), region.clone());
        let annotations = &mut metadata.annotations;
        let ingress = annotations.entry(INGRESS.to_owned()).or_insert("all".to_owned()).clone();
        annotations.insert(format!("{INGRESS}-status"), ingress);
        annotations
            .insert("run.googleapis.com/urls".to_owned(), json!(self.urls(project)).to_string());
        metadata
    }

    /// The whole document as answers have it: whatever was asked for is so at once.
    pub(super) fn document(&self, project: &Project) -> Value {
        let since = self.written_at.to_string();
        let latest = self.latest();
        let conditions =
            ["Ready", "ConfigurationsReady", "RoutesReady"].map(|kind| condition(kind, &since));
        let traffic: Vec<Value> =
            self.spec.traffic.iter().map(|target| self.traffic_status(target, project)).collect();
        json!({
            "apiVersion": API_VERSION,
            "kind": "Service",
            "metadata": self.metadata(project),
            "spec": self.spec,
            "status": {
                "observedGeneration": self.metadata.generation,
                "conditions": conditions,
                "latestReadyRevisionName": latest,
                "latestCreatedRevisionName": latest,
                "traffic": traffic,
                "url": self.url(),
                "address": {"url": self.url()},
            },
        })
    }

    /// A revision's document as answers have it.
    pub(super) fn revision(&self, revision: &Revision, project: &Project) -> Value {
        let is_active = self.spec.traffic.iter().any(|target| {
            let named = target.revision_name.as_deref();
            let latest = Some(self.latest()).filter(|_| target.latest_revision == Some(true));
            latest.or(named) == Some(revision.name.as_str())
        });
        revision.document(&self.name, project, is_active)
    }

    fn traffic_status(&self, target: &TrafficTarget, project: &Project) -> Value {
        let mut status = json!(target);
        if target.latest_revision == Some(true) {
            status["revisionName"] = self.latest().into();
        }
        if let (Some(tag), Some(url)) = (&target.tag, self.name.public_urls(project).first()) {
            // Nothing listens there: a tag has no address of its own here.
            status["url"] = url.replacen("https://", &format!("https://{tag}---"), 1).into();
        }
        status
    }
}
