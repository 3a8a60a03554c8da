//! A build as it is answered: what was asked for, and what became of it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::asked::TIMEOUT;
use crate::project::Project;

/// What Google alone sets.
const OUTPUT_ONLY: [&str; 15] = [
    "buildTriggerId",
    "createTime",
    "failureInfo",
    "finishTime",
    "id",
    "logUrl",
    "name",
    "projectId",
    "results",
    "sourceProvenance",
    "startTime",
    "status",
    "statusDetail",
    "timing",
    "warnings",
];

/// A build, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Document {
    id: String,
    location: String,
    json: Value,
}

/// Why a build did not succeed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    /// `FAILURE` or `TIMEOUT`.
    pub(super) status: &'static str,
    /// One of `FailureType`.
    pub(super) kind: &'static str,
    /// For people.
    pub(super) detail: String,
}

impl Failure {
    /// What is given as a source is not to be had.
    pub(super) fn of_source(detail: impl Into<String>) -> Failure {
        Failure { status: "FAILURE", kind: "FETCH_SOURCE_FAILED", detail: detail.into() }
    }

    /// A step went wrong.
    pub(super) fn of_step(detail: impl Into<String>) -> Failure {
        Failure { status: "FAILURE", kind: "USER_BUILD_STEP", detail: detail.into() }
    }
}

impl Document {
    /// A build that has just begun; `asked` is what was asked for, with values in the place of names.
    pub(super) fn new(
        project: &Project,
        location: &str,
        id: &str,
        now: Timestamp,
        asked: Value,
    ) -> Document {
        let mut json = json!({"timeout": TIMEOUT, "queueTtl": "3600s"});
        if let (Value::Object(fields), Value::Object(asked)) = (&mut json, asked) {
            fields.extend(asked);
            fields.retain(|name, _| !OUTPUT_ONLY.contains(&name.as_str()));
        }
        let number = project.number;
        json["id"] = id.into();
        json["name"] = format!("projects/{number}/locations/{location}/builds/{id}").into();
        json["projectId"] = (*project.id).into();
        json["status"] = "WORKING".into();
        json["createTime"] = json!(now);
        json["startTime"] = json!(now);
        json["logUrl"] = format!(
            "https://console.cloud.google.com/cloud-build/builds;region={location}/{id}?project={number}"
        )
        .into();
        // There is no bucket of logs, in which gcloud would wait for them to come.
        let logging = json.pointer("/options/logging").and_then(Value::as_str).unwrap_or_default();
        if !matches!(logging, "CLOUD_LOGGING_ONLY" | "STACKDRIVER_ONLY") {
            json["options"]["logging"] = "NONE".into();
        }
        Document { id: id.to_owned(), location: location.to_owned(), json }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn location(&self) -> &str {
        &self.location
    }

    pub(super) fn json(&self) -> Value {
        self.json.clone()
    }

    /// A note that gcloud prints; the build goes on.
    pub(super) fn warn(&mut self, text: String) {
        self.json["warnings"] = json!([{"priority": "INFO", "text": text}]);
    }

    /// A step begins.
    pub(super) fn begin_step(&mut self, index: usize, now: Timestamp) {
        if let Some(step) = self.step(index) {
            step["status"] = "WORKING".into();
            step["timing"] = json!({"startTime": now});
        }
    }

    /// A step ends; with a code where its program ended by itself.
    pub(super) fn end_step(
        &mut self,
        index: usize,
        now: Timestamp,
        status: &str,
        code: Option<i32>,
    ) {
        if let Some(step) = self.step(index) {
            step["status"] = status.into();
            step["timing"]["endTime"] = json!(now);
            if let Some(code) = code.filter(|code| *code != 0) {
                step["exitCode"] = code.into();
            }
        }
    }

    /// The build ends.
    pub(super) fn end(&mut self, now: Timestamp, ended: Result<(), Failure>) {
        match ended {
            Ok(()) => self.finish(now, "SUCCESS"),
            Err(failure) => {
                self.finish(now, failure.status);
                self.json["statusDetail"] = (*failure.detail).into();
                self.json["failureInfo"] = json!({"type": failure.kind, "detail": failure.detail});
            }
        }
    }

    /// The build ends, for nobody runs its steps.
    pub(super) fn end_unrun(&mut self, now: Timestamp) {
        self.finish(now, "SUCCESS");
        self.json["statusDetail"] =
            "No step was run; start the emulator with --run-builds for that.".into();
    }

    /// Somebody ends the build.
    pub(super) fn cancel(&mut self, now: Timestamp) {
        self.finish(now, "CANCELLED");
    }

    fn finish(&mut self, now: Timestamp, status: &str) {
        self.json["status"] = status.into();
        self.json["finishTime"] = json!(now);
        let span = json!({"startTime": self.json["startTime"], "endTime": now});
        self.json["timing"] = json!({"BUILD": span});
        // One that was stopped in its midst.
        let steps = self.json.get_mut("steps").and_then(Value::as_array_mut);
        for step in steps.into_iter().flatten() {
            if step["status"] == "WORKING" {
                step["status"] = status.into();
                step["timing"]["endTime"] = json!(now);
            }
        }
    }

    fn step(&mut self, index: usize) -> Option<&mut Value> {
        self.json.get_mut("steps")?.get_mut(index)
    }

    /// As a long-running operation.
    pub(super) fn operation(&self) -> Value {
        let is_over = self.json.get("finishTime").is_some();
        let project = self.json.get("projectId").and_then(Value::as_str).unwrap_or_default();
        let mut operation = json!({
            "name": format!("operations/build/{project}/{}", self.id),
            "done": is_over,
            "metadata": {
                "@type": "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata",
                "build": self.json,
            },
        });
        if is_over {
            operation["response"] = self.json();
        }
        operation
    }
}
