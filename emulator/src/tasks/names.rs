//! Names of queues and tasks: `projects/P/locations/L/queues/Q` and `…/tasks/T`.
//!
//! Source: `google/cloud/tasks/v2/{queue,task}.proto`, the field `name`.

use super::fault;
use crate::{api::error::ApiError, project::Project};

/// The longest id of a queue, in characters.
const LONGEST_QUEUE_ID: usize = 100;
/// The longest id of a task, in characters.
const LONGEST_TASK_ID: usize = 500;

/// The full name of a queue.
pub(super) fn queue(project: &Project, location: &str, id: &str) -> String {
    format!("{}/locations/{location}/queues/{id}", project.name())
}

/// What follows the last slash.
pub(super) fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A queue's name as a caller wrote it, with the project's number made its id.
///
/// # Errors
/// 400 if it is no queue's name.
pub(super) fn checked_queue(project: &Project, name: &str) -> Result<String, ApiError> {
    let segments: Vec<&str> = name.split('/').collect();
    match *segments.as_slice() {
        ["projects", owner, "locations", location, "queues", id]
            if project.is(owner)
                && consists_of(location, "-", LONGEST_QUEUE_ID)
                && consists_of(id, "-", LONGEST_QUEUE_ID) =>
        {
            Ok(queue(project, location, id))
        }
        _ => Err(fault::queue_name()),
    }
}

/// The id in a task's name as a caller wrote it; the task must be of `queue`.
///
/// # Errors
/// 400 if it is no task's name, or of another queue.
pub(super) fn checked_task<'a>(
    project: &Project,
    queue: &str,
    name: &'a str,
) -> Result<&'a str, ApiError> {
    let (of, id) = name.split_once("/tasks/").ok_or_else(fault::task_name)?;
    if checked_queue(project, of).ok().as_deref() != Some(queue) {
        return Err(fault::other_queue(queue, of));
    }
    checked_task_id(id)
}

/// A task's id as a caller wrote it.
///
/// # Errors
/// 400 if it has other characters than it may, or too many.
pub(super) fn checked_task_id(id: &str) -> Result<&str, ApiError> {
    if consists_of(id, "-_", LONGEST_TASK_ID) { Ok(id) } else { Err(fault::task_id(id)) }
}

/// Whether `text` is not empty, not too long, and has nothing but ASCII letters, digits and `others`.
fn consists_of(text: &str, others: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.chars().all(|one| one.is_ascii_alphanumeric() || others.contains(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "projects/demo-project/locations/us-central1/queues/receipts";

    #[test]
    fn a_queue_may_be_named_by_the_project_s_number() {
        let project = Project::default();
        let numbered = QUEUE.replace("demo-project", &project.number.to_string());
        for name in [QUEUE, &numbered] {
            assert_eq!(checked_queue(&project, name).unwrap(), QUEUE);
        }
    }

    #[test]
    fn what_is_no_queue_s_name_is_refused() {
        let project = Project::default();
        for name in [
            "receipts",
            "projects/other/locations/us-central1/queues/receipts",
            "projects/demo-project/locations/us-central1/queues/",
            "projects/demo-project/locations/us-central1/queues/a_b",
            "projects/demo-project/locations/us central1/queues/a",
            &format!("{QUEUE}/x"),
            &QUEUE.replace("receipts", &"q".repeat(101)),
        ] {
            let fault = checked_queue(&project, name).unwrap_err();
            assert!(fault.message.starts_with("Queue name must be formatted"), "{name}");
        }
    }

    #[test]
    fn a_task_s_name_is_of_its_queue_and_has_an_id_of_letters() {
        let project = Project::default();
        let of = |name: &str| checked_task(&project, QUEUE, name).map(str::to_owned);
        assert_eq!(of(&format!("{QUEUE}/tasks/order_47-11")).unwrap(), "order_47-11");
        for (name, said) in [
            (format!("{QUEUE}-other/tasks/a"), "must be the same as the queue name"),
            (format!("{QUEUE}/tasks/a b"), "Task ID \"a b\" can contain only"),
            (format!("{QUEUE}/tasks/{}", "t".repeat(501)), "between 1 and 500"),
            (QUEUE.to_owned(), "Task name must be formatted"),
        ] {
            let fault = of(&name).unwrap_err();
            assert!(fault.message.contains(said), "{}", fault.message);
        }
    }
}
