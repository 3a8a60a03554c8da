//! The documents of Knative's serving API, `serving.knative.dev/v1`, as far as the emulator goes by them; what else a
//! client sends in `spec` is kept as it came.
//!
//! Source: <https://cloud.google.com/run/docs/reference/rest/v1/namespaces.services>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::traffic::{self, TrafficTarget};
use crate::api::error::ApiError;

/// `apiVersion` of all of them.
pub(super) const API_VERSION: &str = "serving.knative.dev/v1";

/// How long a request may take where nothing is said, in seconds, and at most.
///
/// Source: <https://cloud.google.com/run/docs/configuring/request-timeout>.
const TIMEOUT_SECONDS: i64 = 300;
const LONGEST_TIMEOUT_SECONDS: i64 = 3600;

/// The annotations of a service that say who gets in.
pub(super) const INGRESS: &str = "run.googleapis.com/ingress";
const CUSTOM_AUDIENCES: &str = "run.googleapis.com/custom-audiences";
const INVOKER_IAM_DISABLED: &str = "run.googleapis.com/invoker-iam-disabled";

/// The annotation of whoever made a resource.
pub(super) const CREATOR: &str = "serving.knative.dev/creator";

/// A service as a client sends it; its `status` is the server's and not read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) metadata: ObjectMeta,
    pub(super) spec: ServiceSpec,
}

/// `metadata` of any resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ObjectMeta {
    pub(super) name: String,
    /// The project, by number in answers and by either name in requests.
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) generation: i64,
    /// Changes with every write; whoever sends one back has it compared.
    pub(super) resource_version: String,
    pub(super) creation_timestamp: String,
    pub(super) self_link: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceSpec {
    pub(super) template: Template,
    /// All to the latest revision if empty.
    #[serde(default)]
    pub(super) traffic: Vec<TrafficTarget>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What revisions are made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Template {
    #[serde(default)]
    pub(super) metadata: TemplateMeta,
    pub(super) spec: RevisionSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TemplateMeta {
    /// The name of the next revision; `None` leaves it to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RevisionSpec {
    pub(super) containers: Vec<Container>,
    /// The account that the container runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) service_account_name: Option<String>,
    #[serde(default = "timeout_seconds")]
    pub(super) timeout_seconds: i64,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Container {
    #[serde(default)]
    pub(super) image: String,
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

impl Document {
    /// That the emulator can go by it. Without `traffic` all of it goes to the latest revision, as Google fills in.
    ///
    /// # Errors
    /// 400 that names the field.
    pub(super) fn checked(mut self) -> Result<Document, ApiError> {
        for (field, found, expected) in
            [("apiVersion", &self.api_version, API_VERSION), ("kind", &self.kind, "Service")]
        {
            if found != expected {
                let fault = format!("is {found:?}; expected {expected:?}.");
                return Err(ApiError::invalid_field(field, fault));
            }
        }
        let spec = &self.spec.template.spec;
        if spec.containers.is_empty() || spec.containers.iter().any(|one| one.image.is_empty()) {
            return Err(ApiError::invalid_field(
                "spec.template.spec.containers",
                "expected at least one container, each with an image.",
            ));
        }
        if !(1..=LONGEST_TIMEOUT_SECONDS).contains(&spec.timeout_seconds) {
            let fault = format!(
                "is {}; expected between 1 and {LONGEST_TIMEOUT_SECONDS}.",
                spec.timeout_seconds
            );
            return Err(ApiError::invalid_field("spec.template.spec.timeoutSeconds", fault));
        }
        check_annotations(&self.metadata.annotations)?;
        for container in &spec.containers {
            let is_alone = spec.containers.len() == 1;
            check_settings(container, is_alone || container.rest.contains_key("ports"))?;
        }
        traffic::check(&self.spec.traffic)?;
        if self.spec.traffic.is_empty() {
            self.spec.traffic.push(TrafficTarget {
                latest_revision: Some(true),
                percent: Some(100),
                ..TrafficTarget::default()
            });
        }
        Ok(self)
    }
}

/// Whether everybody may invoke the service, without asking IAM.
///
/// Source: <https://cloud.google.com/run/docs/securing/managing-access#invoker_check>.
pub(super) fn is_invoker_check_disabled(annotations: &BTreeMap<String, String>) -> bool {
    annotations.get(INVOKER_IAM_DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// The custom audiences of a service: a JSON list in an annotation.
///
/// Source: <https://cloud.google.com/run/docs/configuring/custom-audiences>.
pub(super) fn custom_audiences(annotations: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let Some(list) = annotations.get(CUSTOM_AUDIENCES) else { return Some(Vec::new()) };
    serde_json::from_str(list).ok()
}

fn check_annotations(annotations: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if custom_audiences(annotations).is_none() {
        return Err(ApiError::invalid_field(
            CUSTOM_AUDIENCES,
            "expected a JSON list of strings, such as [\"https://example.com\"].",
        ));
    }
    for (name, known) in [
        (INVOKER_IAM_DISABLED, &["true", "false"][..]),
        (INGRESS, &["all", "internal", "internal-and-cloud-load-balancing"]),
    ] {
        // gcloud writes `True` and `False`.
        if let Some(value) = annotations.get(name)
            && !known.iter().any(|known| known.eq_ignore_ascii_case(value))
        {
            let fault = format!("is {value:?}; expected one of {known:?}.");
            return Err(ApiError::invalid_field(name, fault));
        }
    }
    Ok(())
}

/// Google sets some variables itself and takes them from nobody.
///
/// Source: <https://cloud.google.com/run/docs/configuring/services/environment-variables#reserved>.
fn check_settings(container: &Container, gets_requests: bool) -> Result<(), ApiError> {
    const RESERVED: [&str; 4] = ["K_SERVICE", "K_REVISION", "K_CONFIGURATION", "PORT"];
    // Beside the one that gets requests, a container listens where its author says: Google's own example sets PORT
    // (<https://cloud.google.com/run/docs/internet-proxy-nginx-sidecar>).
    let reserved = if gets_requests { &RESERVED[..] } else { &RESERVED[..3] };
    let list = container.rest.get("env").and_then(Value::as_array);
    let mut names = list.into_iter().flatten().filter_map(|one| one.get("name")?.as_str());
    names.find(|name| reserved.contains(name)).map_or(Ok(()), |name| {
        let fault = format!("{name} is reserved: its value is set by the system.");
        Err(ApiError::invalid_field("spec.template.spec.containers.env", fault))
    })
}

/// The condition `kind` of a resource that is as it should be, since `since`.
pub(super) fn condition(kind: &str, since: &str) -> Value {
    json!({"type": kind, "status": "True", "lastTransitionTime": since})
}

/// The condition `kind` of a resource that is not as it should be, since `since`, and why.
pub(super) fn failed(kind: &str, since: &str, why: &str) -> Value {
    json!({
        "type": kind,
        "status": "False",
        "reason": "HealthCheckContainerError",
        "message": why,
        "lastTransitionTime": since,
    })
}

fn timeout_seconds() -> i64 {
    TIMEOUT_SECONDS
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::call::from_json;

    /// A service as gcloud sends it.
    pub(in crate::run) fn whole(name: &str) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": "Service",
            "metadata": {
                "name": name,
                "namespace": "demo-project",
                "annotations": {"run.googleapis.com/client-name": "gcloud"},
                "labels": {},
            },
            "spec": {"template": {
                "metadata": {"labels": {"client.knative.dev/nonce": "n1"}},
                "spec": {
                    "containers": [{"image": "img", "env": [{"name": "A", "value": "b"}]}],
                    "containerConcurrency": 80,
                },
            }},
        })
    }

    #[test]
    fn what_the_emulator_does_not_go_by_is_kept() {
        let document: Document = from_json(whole("s")).unwrap();
        let spec = serde_json::to_value(&document.checked().unwrap().spec).unwrap();
        assert_eq!(spec["template"]["spec"]["containers"][0]["env"][0]["value"], "b");
        assert_eq!(spec["template"]["spec"]["containerConcurrency"], 80);
        assert_eq!(spec["template"]["spec"]["timeoutSeconds"], 300);
        assert_eq!(spec["traffic"], json!([{"latestRevision": true, "percent": 100}]));
    }

    #[test]
    fn a_fault_is_named_by_its_field() {
        for (pointer, value, field) in [
            ("/kind", json!("Job"), "kind"),
            ("/apiVersion", json!("v1"), "apiVersion"),
            ("/spec/template/spec/containers", json!([]), "spec.template.spec.containers"),
            ("/spec/template/spec/containers/0", json!({}), "spec.template.spec.containers"),
            ("/metadata/annotations", json!({CUSTOM_AUDIENCES: "a"}), CUSTOM_AUDIENCES),
            ("/metadata/annotations", json!({INVOKER_IAM_DISABLED: "yes"}), INVOKER_IAM_DISABLED),
            ("/metadata/annotations", json!({INGRESS: "none"}), INGRESS),
            (
                "/spec/template/spec/containers/0/env/0/name",
                json!("PORT"),
                "spec.template.spec.containers.env",
            ),
        ] {
            let mut document = whole("s");
            *document.pointer_mut(pointer).unwrap() = value;
            let fault = from_json::<Document>(document).unwrap().checked().unwrap_err();
            assert_eq!(fault.http_status(), 400);
            assert!(fault.message.starts_with(&format!("{field}: ")), "{}", fault.message);
        }
        for seconds in [0, 3601] {
            let mut document = whole("s");
            document["spec"]["template"]["spec"]["timeoutSeconds"] = seconds.into();
            let fault = from_json::<Document>(document).unwrap().checked().unwrap_err();
            assert!(fault.message.contains("timeoutSeconds"), "{}", fault.message);
        }
    }
}
