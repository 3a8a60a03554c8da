//! What Cloud Tasks says when it refuses a call.
//!
//! Where a refusal of the real service is on record its words are used, since programs and people search for them:
//! <https://github.com/aertje/cloud-tasks-emulator/blob/main/test/conformance/golden/errors.json>.

use serde_json::json;

use crate::api::error::{ApiError, Code};

/// There is no such queue, or it was deleted.
pub(super) fn no_queue() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize.",
    )
}

/// There is no such queue to delete, or no such task.
pub(super) fn no_entity() -> ApiError {
    ApiError::new(Code::NotFound, "Requested entity was not found.")
}

/// The task has been there, but is not any more.
pub(super) fn task_is_gone() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "The task no longer exists, though a task with this name existed recently. The task either successfully completed or was deleted.",
    )
}

pub(super) fn queue_exists() -> ApiError {
    ApiError::new(Code::AlreadyExists, "Queue already exists")
}

/// The name of a task is taken, or was a short time ago.
pub(super) fn task_exists() -> ApiError {
    ApiError::new(Code::AlreadyExists, "Requested entity already exists")
}

/// The queue's name was in use less than seven days ago.
pub(super) fn queue_was_deleted() -> ApiError {
    ApiError::new(
        Code::FailedPrecondition,
        "The queue cannot be created because a queue with this name existed too recently.",
    )
}

pub(super) fn queue_name() -> ApiError {
    with_help(
        "Queue name must be formatted: \"projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>\".",
        "Definition of queue name",
        "https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#Queue.FIELDS.name",
    )
}

pub(super) fn task_name() -> ApiError {
    ApiError::invalid(
        "Task name must be formatted: \"projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>/tasks/<TASK_ID>\"",
    )
}

pub(super) fn task_id(id: &str) -> ApiError {
    with_help(
        &format!(
            "Task ID \"{id}\" can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or underscores (_). Task ID must between 1 and 500 characters."
        ),
        "Definition of task ID",
        "https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks#Task.FIELDS.name",
    )
}

/// The task's name is of another queue than the call.
pub(super) fn other_queue(asked: &str, named: &str) -> ApiError {
    ApiError::invalid(format!(
        "The queue name from request ('{asked}') must be the same as the queue name in the named task ('{named}')."
    ))
}

/// App Engine is not part of the emulator.
pub(super) fn app_engine(field: &str) -> ApiError {
    ApiError::invalid(format!(
        "{field} is for App Engine, which this emulator does not have; set Task.httpRequest with the URL of your service."
    ))
}

fn with_help(message: &str, description: &str, url: &str) -> ApiError {
    ApiError {
        details: vec![json!({
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [{"description": description, "url": url}],
        })],
        ..ApiError::invalid(message)
    }
}
