//! Revisions: what a service's template was, each time that it changed.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    knative::{API_VERSION, CREATOR, Container, ObjectMeta, Template, condition, failed},
    name::{ServiceName, letters},
};
use crate::{api::error::ApiError, iam::policy, project::Project};

/// A revision. It never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Revision {
    pub(super) name: String,
    pub(super) template: Template,
    made: Made,
    /// Why it does not run, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
}

/// How a revision came to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Made {
    pub(super) uid: String,
    /// The generation of the service that it is of.
    pub(super) generation: i64,
    /// The email of whoever deployed it.
    pub(super) by: String,
    pub(super) at: Timestamp,
}

/// Why a revision does not run: in Google's words, as far as they are known, and then what was seen here.
///
/// Source: <https://cloud.google.com/run/docs/troubleshooting#container-failed-to-start>.
pub(super) fn not_started(fault: &str) -> String {
    format!(
        "The user-provided container failed to start and listen on the port that the PORT environment variable names: {fault}"
    )
}

impl Revision {
    /// That of a template, called as it says or else as Google calls them: service, generation, three letters.
    ///
    /// # Errors
    /// 400 if it says a name that does not begin with the service's.
    pub(super) fn of(
        service: &ServiceName,
        template: &Template,
        made: Made,
    ) -> Result<Revision, ApiError> {
        let prefix = format!("{}-", service.id);
        let name = match &template.metadata.name {
            Some(name) if name.len() > prefix.len() && name.starts_with(&prefix) => name.clone(),
            Some(name) => {
                let fault = format!("is {name:?}; expected {prefix}SUFFIX.");
                return Err(ApiError::invalid_field("spec.template.metadata.name", fault));
            }
            None => format!("{prefix}{:05}-{}", made.generation, letters(&made.uid, 3)),
        };
        Ok(Revision { name, template: template.clone(), made, failure: None })
    }

    /// The environment variables that its container was given. Those that would make the loader run other programs
    /// are left out: whoever deploys here may run one program, and no other.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.listed("env")
            .filter_map(|variable| {
                Some((variable.get("name")?.as_str()?, variable.get("value")?.as_str()?))
            })
            .filter(|(name, _)| !name.starts_with("LD_") && !name.starts_with("DYLD_"))
    }

    /// Whether it is the page that Google's quickstarts deploy: no program of the developer's is behind that.
    ///
    /// Source: <https://cloud.google.com/run/docs/quickstarts/deploy-container>.
    pub(super) fn is_placeholder(&self) -> bool {
        self.container().is_some_and(|container| {
            let image = container.image.split([':', '@']).next().unwrap_or_default();
            image == "us-docker.pkg.dev/cloudrun/container/hello"
        })
    }

    /// The arguments that its container was given.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &str> {
        self.listed("args").filter_map(Value::as_str)
    }

    fn listed(&self, field: &str) -> impl Iterator<Item = &Value> {
        let list = self.container().and_then(|container| container.rest.get(field)?.as_array());
        list.into_iter().flatten()
    }

    /// The container that requests go to: the one with a port, if there are sidecars beside it.
    ///
    /// Source: <https://cloud.google.com/run/docs/deploying#sidecars>.
    fn container(&self) -> Option<&Container> {
        let containers = &self.template.spec.containers;
        let ingress = containers.iter().find(|container| container.rest.contains_key("ports"));
        ingress.or_else(|| containers.first())
    }

    /// How long a request to it may take.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.template.spec.timeout_seconds.unsigned_abs())
    }

    /// Why it cannot serve, as conditions say it.
    pub(super) fn unready(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        let name = &self.name;
        Some(format!("Revision '{name}' is not ready and cannot serve traffic. {failure}"))
    }

    /// Its metadata as answers have it.
    pub(super) fn metadata(&self, service: &ServiceName, project: &Project) -> ObjectMeta {
        let mut labels = self.template.metadata.labels.clone();
        for (label, value) in [
            ("serving.knative.dev/service", service.id.clone()),
            ("serving.knative.dev/configuration", service.id.clone()),
            ("serving.knative.dev/configurationGeneration", self.made.generation.to_string()),
            ("cloud.googleapis.com/location", service.region.clone()),
        ] {
            labels.insert(label.to_owned(), value);
        }
        let mut annotations = self.template.metadata.annotations.clone();
        annotations.insert(CREATOR.to_owned(), self.made.by.clone());
        let number = project.number;
        ObjectMeta {
            name: self.name.clone(),
            namespace: number.to_string(),
            uid: self.made.uid.clone(),
            generation: 1,
            resource_version: policy::etag(1),
            creation_timestamp: self.made.at.to_string(),
            self_link: format!("/apis/{API_VERSION}/namespaces/{number}/revisions/{}", self.name),
            labels,
            annotations,
        }
    }

    /// The whole document as answers have it. There is no `imageDigest`: no image is fetched.
    pub(super) fn document(
        &self,
        service: &ServiceName,
        project: &Project,
        is_active: bool,
    ) -> Value {
        let since = self.made.at.to_string();
        let mut conditions = ["Ready", "ContainerHealthy", "ResourcesAvailable"]
            .map(|kind| match &self.failure {
                Some(failure) if kind != "ResourcesAvailable" => failed(kind, &since, failure),
                _ => condition(kind, &since),
            })
            .to_vec();
        conditions.push(if is_active {
            condition("Active", &since)
        } else {
            json!({
                "type": "Active",
                "status": "False",
                "reason": "Retired",
                "severity": "Info",
                "lastTransitionTime": since,
            })
        });
        json!({
            "apiVersion": API_VERSION,
            "kind": "Revision",
            "metadata": self.metadata(service, project),
            "spec": self.template.spec,
            "status": {"observedGeneration": 1, "conditions": conditions},
        })
    }
}
