//! Services as answers show them.

use serde_json::{Value, json};

use super::{
    knative::{API_VERSION, INGRESS, ObjectMeta, condition, failed},
    revision::Revision,
    service::Service,
    traffic::TrafficTarget,
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

    /// The whole document as answers have it.
    pub(super) fn document(&self, project: &Project) -> Value {
        let since = self.written_at.to_string();
        let newest = self.revisions.last();
        let configuration = newest.and_then(Revision::unready);
        let mut targets = self.spec.traffic.iter();
        let route = targets.find_map(|target| match self.target(target) {
            Some(revision) => revision.unready(),
            // Not even one before it was ready.
            None => configuration.clone(),
        });
        let ready = configuration.as_ref().or(route.as_ref());
        let conditions = [
            ("Ready", ready),
            ("ConfigurationsReady", configuration.as_ref()),
            ("RoutesReady", route.as_ref()),
        ]
        .map(|(kind, why)| match why {
            Some(why) => failed(kind, &since, why),
            None => condition(kind, &since),
        });
        let traffic: Vec<Value> =
            self.routed.iter().map(|target| self.traffic_status(target)).collect();
        json!({
            "apiVersion": API_VERSION,
            "kind": "Service",
            "metadata": self.metadata(project),
            "spec": self.spec,
            "status": {
                "observedGeneration": self.metadata.generation,
                "conditions": conditions,
                "latestReadyRevisionName": self.latest_ready().map(|revision| &revision.name),
                "latestCreatedRevisionName": self.latest(),
                "traffic": traffic,
                "url": self.url(),
                "address": {"url": self.url()},
            },
        })
    }

    /// A revision's document as answers have it.
    pub(super) fn revision(&self, revision: &Revision, project: &Project) -> Value {
        let is_active = revision.failure.is_none() && self.reachable().contains(&revision.name);
        revision.document(&self.name, project, is_active)
    }

    fn traffic_status(&self, target: &TrafficTarget) -> Value {
        let mut status = json!(target);
        if target.latest_revision == Some(true) {
            status["revisionName"] = json!(self.latest_ready().map(|revision| &revision.name));
        }
        if let Some(port) = target.tag.as_ref().and_then(|tag| self.tag_ports.get(tag)) {
            status["url"] = format!("http://127.0.0.1:{port}").into();
        }
        status
    }
}
