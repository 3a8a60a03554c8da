//! Names of topics and subscriptions.
//!
//! Source: <https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names>.

use crate::{
    api::error::{ApiError, Code},
    project::Project,
};

/// What stands in the place of a topic that was deleted.
pub(super) const DELETED_TOPIC: &str = "_deleted-topic_";

/// The two kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Topic,
    Subscription,
}

impl Kind {
    fn collection(self) -> &'static str {
        match self {
            Kind::Topic => "topics",
            Kind::Subscription => "subscriptions",
        }
    }

    /// `projects/PROJECT/COLLECTION/ID`.
    pub(super) fn name(self, project: &Project, id: &str) -> String {
        format!("{}/{}/{id}", project.name(), self.collection())
    }

    /// The name of a resource that is to be made.
    ///
    /// # Errors
    /// 400 if the id cannot be one.
    pub(super) fn new_name(self, project: &Project, id: &str) -> Result<String, ApiError> {
        let name = self.name(project, id);
        if is_id(id) { Ok(name) } else { Err(bad_name(&name)) }
    }
}

/// The topic that a field names, its project's number turned into the id.
///
/// # Errors
/// 400 if it is no topic's name, 404 if it is in a project that is not here.
pub(super) fn topic(project: &Project, name: &str) -> Result<String, ApiError> {
    let segments: Vec<&str> = name.split('/').collect();
    match *segments.as_slice() {
        ["projects", of, "topics", id] if is_id(id) && project.is(of) => {
            Ok(Kind::Topic.name(project, id))
        }
        ["projects", _, "topics", id] if is_id(id) => Err(not_found(name)),
        _ => Err(bad_name(name)),
    }
}

/// The last segment of a name.
pub(super) fn id(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, id)| id)
}

/// Google's error for a resource that is not there.
pub(super) fn not_found(name: &str) -> ApiError {
    ApiError::new(Code::NotFound, format!("Resource not found (resource={}).", id(name)))
}

/// Google's error for a resource that is there already.
pub(super) fn exists(name: &str) -> ApiError {
    ApiError::new(
        Code::AlreadyExists,
        format!("Resource already exists in the project (resource={}).", id(name)),
    )
}

fn bad_name(name: &str) -> ApiError {
    ApiError::invalid(format!(
        "Invalid resource name given (name={name}). Refer to https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names for more information."
    ))
}

fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'%')
    };
    (3..=255).contains(&id.len())
        && id.starts_with(|first: char| first.is_ascii_alphabetic())
        && id.bytes().all(allowed)
        && !id.starts_with("goog")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_held_to_google_s_rules() {
        let project = Project::default();
        let longest = "a".repeat(255);
        for id in ["abc", "a-b.c_d~e+f%", "Orders2", &longest] {
            assert!(Kind::Topic.new_name(&project, id).is_ok(), "{id}");
        }
        let too_long = "a".repeat(256);
        for id in ["ab", "", "1abc", "-abc", "goog-topic", "a b c", "añb", "bad$one", &too_long] {
            let fault = Kind::Topic.new_name(&project, id).unwrap_err();
            assert_eq!(fault.http_status(), 400, "{id}");
            let name = format!("(name=projects/demo-project/topics/{id})");
            assert!(fault.message.contains(&name), "{}", fault.message);
        }
    }

    #[test]
    fn a_topic_is_named_by_project_id_or_number() {
        let project = Project::default();
        for name in ["projects/demo-project/topics/orders", "projects/123456789012/topics/orders"] {
            assert_eq!(topic(&project, name).unwrap(), "projects/demo-project/topics/orders");
        }
        for (name, status) in [
            ("projects/other/topics/orders", 404),
            ("projects/demo-project/subscriptions/orders", 400),
            ("orders", 400),
            ("", 400),
        ] {
            assert_eq!(topic(&project, name).unwrap_err().http_status(), status, "{name}");
        }
    }
}
