//! The methods of `cloudtasks.googleapis.com/v2`.
//!
//! Source: `google/cloud/tasks/v2/cloudtasks.proto`.

mod buffer;
mod locations;
mod queues;
mod tasks;

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::names;
use crate::{
    api::{call::Call, error::ApiError},
    google::Google,
};

/// Answers one call.
pub(crate) async fn answer(google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    let (method, segments, verb) = call.route();
    let ["v2", "projects", _, "locations", path @ ..] = segments.as_slice() else {
        return Err(call.unknown());
    };
    let ask = Ask { google, call };
    let queue = |location: &str, id: &str| names::queue(&google.project, location, id);
    match (method, path, verb) {
        ("GET", [], "") => ask.list_locations(),
        ("GET", [location], "") => ask.get_location(location),
        ("GET", [location, "queues"], "") => ask.list_queues(location),
        ("POST", [location, "queues"], "") => ask.create_queue(location),
        ("GET", [location, "queues", id], "") => ask.get_queue(&queue(location, id)),
        ("PATCH", [location, "queues", id], "") => ask.update_queue(&queue(location, id)),
        ("DELETE", [location, "queues", id], "") => ask.delete_queue(&queue(location, id)),
        ("POST", [location, "queues", id], "pause") => ask.pause_queue(&queue(location, id)),
        ("POST", [location, "queues", id], "resume") => ask.resume_queue(&queue(location, id)),
        ("POST", [location, "queues", id], "purge") => ask.purge_queue(&queue(location, id)),
        ("POST", [location, "queues", id], "getIamPolicy") => ask.get_policy(&queue(location, id)),
        ("POST", [location, "queues", id], "setIamPolicy") => ask.set_policy(&queue(location, id)),
        ("POST", [location, "queues", id], "testIamPermissions") => {
            ask.test_permissions(&queue(location, id))
        }
        ("GET", [location, "queues", id, "tasks"], "") => ask.list_tasks(&queue(location, id)),
        ("POST", [location, "queues", id, "tasks"], "") => ask.create_task(&queue(location, id)),
        (_, [location, "queues", id, "tasks"], "buffer") => {
            ask.buffer_task(&queue(location, id), "")
        }
        ("GET", [location, "queues", id, "tasks", task], "") => {
            ask.get_task(&queue(location, id), task)
        }
        ("DELETE", [location, "queues", id, "tasks", task], "") => {
            ask.delete_task(&queue(location, id), task)
        }
        ("POST", [location, "queues", id, "tasks", task], "run") => {
            ask.run_task(&queue(location, id), task)
        }
        (_, [location, "queues", id, "tasks", task], "buffer") => {
            ask.buffer_task(&queue(location, id), task)
        }
        _ => Err(call.unknown()),
    }
}

/// One call, and whom it asks.
#[derive(Clone, Copy)]
struct Ask<'a> {
    google: &'a Arc<Google>,
    call: &'a Call,
}

impl Ask<'_> {
    /// That the caller may do that to the queue, or to the project where the policy of the queue says nothing.
    fn require(&self, permission: &str, resource: &str) -> Result<(), ApiError> {
        self.google.iam.require(&self.call.principal, permission, resource)
    }
}

/// A resource as an answer.
fn shown(resource: &impl Serialize) -> Value {
    serde_json::to_value(resource).unwrap_or_default()
}
