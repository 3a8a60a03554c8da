//! Cloud Build: every build succeeds at once, and builds nothing.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    api::{call::Call, error::ApiError},
    project::Project,
    uuid,
};

/// The operation of a build that is over, with what was asked to be built.
pub(super) fn create(project: &Project, location: &str, call: &Call) -> Result<Value, ApiError> {
    let asked: Value = call.json()?;
    let id = uuid::random()?;
    let mut build = build(project, location, &id);
    for field in ["source", "steps", "images", "artifacts", "substitutions", "timeout"] {
        if let Some(value) = asked.get(field) {
            build[field] = value.clone();
        }
    }
    Ok(json!({
        "name": format!("operations/build/{}/{id}", project.id),
        "done": true,
        "metadata": {
            "@type": "type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata",
            "build": build,
        },
        "response": build,
    }))
}

/// The build of that id, which succeeded.
pub(super) fn build(project: &Project, location: &str, id: &str) -> Value {
    let now = Timestamp::now();
    json!({
        "name": format!("projects/{}/locations/{location}/builds/{id}", project.number),
        "id": id,
        "projectId": project.id,
        "status": "SUCCESS",
        // Where a build has logs, gcloud waits to stream them.
        "options": {"logging": "NONE"},
        "createTime": now,
        "startTime": now,
        "finishTime": now,
        "logUrl": format!(
            "https://console.cloud.google.com/cloud-build/builds;region={location}/{id}?project={}",
            project.number
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::call;

    #[test]
    fn a_build_is_over_with_what_was_asked_for() {
        let asked = json!({"images": ["i"], "steps": [{"name": "n"}], "status": "FAILURE"});
        let call = call("POST", "/v1/projects/p/locations/global/builds", asked);
        let operation = create(&Project::default(), "global", &call).unwrap();
        let build = &operation["metadata"]["build"];
        assert_eq!((&build["status"], &build["images"]), (&json!("SUCCESS"), &json!(["i"])));
        assert!(build["id"].is_string());
    }
}
