//! Cloud Build: every build succeeds at once, and builds nothing.

use aws_lc_rs::rand;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    api::{call::Call, error::ApiError},
    error::Error,
    project::Project,
};

/// The operation of a build that is over, with what was asked to be built.
pub(super) fn create(project: &Project, location: &str, call: &Call) -> Result<Value, ApiError> {
    let asked: Value = call.json()?;
    let id = fresh_id()?;
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

/// A UUID of version 4, as build ids are (RFC 9562 §5.4).
fn fresh_id() -> Result<String, ApiError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| Error::Crypto("make a build's id"))?;
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (4 << 76) | (2 << 62);
    let mut id = format!("{number:032x}");
    for at in [20, 16, 12, 8] {
        id.insert(at, '-');
    }
    Ok(id)
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
    use crate::iam::testing::call;

    #[test]
    fn a_build_is_over_with_what_was_asked_for() {
        let asked = json!({"images": ["i"], "steps": [{"name": "n"}], "status": "FAILURE"});
        let call = call("POST", "/v1/projects/p/locations/global/builds", asked);
        let operation = create(&Project::default(), "global", &call).unwrap();
        let build = &operation["metadata"]["build"];
        assert_eq!((&build["status"], &build["images"]), (&json!("SUCCESS"), &json!(["i"])));
        let id = build["id"].as_str().unwrap();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]));
    }
}
