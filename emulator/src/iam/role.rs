//! What each role permits, as far as this emulator checks it.
//!
//! Source: <https://cloud.google.com/iam/docs/understanding-roles>.

/// Roles and the permissions, or their beginnings, that each grants.
const ROLES: [(&str, &[&str]); 26] = [
    (
        "roles/editor",
        &[
            "cloudscheduler.",
            "cloudtasks.",
            "iam.serviceAccounts.actAs",
            "pubsub.",
            "run.",
            "cloudbuild.",
            "artifactregistry.",
            "serviceusage.",
            "resourcemanager.projects.get",
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.list",
            "iam.serviceAccounts.create",
            "iam.serviceAccounts.delete",
        ],
    ),
    (
        "roles/viewer",
        &[
            "resourcemanager.projects.get",
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.list",
            "cloudscheduler.jobs.get",
            "cloudscheduler.jobs.list",
            "cloudtasks.queues.get",
            "cloudtasks.queues.list",
            "cloudtasks.tasks.get",
            "cloudtasks.tasks.list",
            "pubsub.topics.get",
            "pubsub.topics.list",
            "pubsub.subscriptions.get",
            "pubsub.subscriptions.list",
            "run.services.get",
            "run.services.list",
        ],
    ),
    ("roles/cloudscheduler.admin", &["cloudscheduler."]),
    ("roles/cloudscheduler.jobRunner", &["cloudscheduler.jobs.run"]),
    ("roles/cloudscheduler.viewer", &["cloudscheduler.jobs.get", "cloudscheduler.jobs.list"]),
    (
        "roles/cloudscheduler.serviceAgent",
        &["iam.serviceAccounts.getAccessToken", "iam.serviceAccounts.getOpenIdToken"],
    ),
    ("roles/cloudtasks.admin", &["cloudtasks."]),
    ("roles/cloudtasks.enqueuer", &["cloudtasks.tasks.create"]),
    ("roles/cloudtasks.taskRunner", &["cloudtasks.tasks.run"]),
    (
        "roles/cloudtasks.viewer",
        &[
            "cloudtasks.queues.get",
            "cloudtasks.queues.list",
            "cloudtasks.tasks.get",
            "cloudtasks.tasks.list",
        ],
    ),
    ("roles/cloudtasks.queueAdmin", &["cloudtasks.queues."]),
    (
        "roles/cloudtasks.serviceAgent",
        &["iam.serviceAccounts.getAccessToken", "iam.serviceAccounts.getOpenIdToken"],
    ),
    ("roles/pubsub.admin", &["pubsub."]),
    (
        "roles/pubsub.editor",
        &[
            "pubsub.topics.create",
            "pubsub.topics.delete",
            "pubsub.topics.update",
            "pubsub.topics.publish",
            "pubsub.topics.get",
            "pubsub.topics.list",
            "pubsub.topics.attachSubscription",
            "pubsub.subscriptions.create",
            "pubsub.subscriptions.delete",
            "pubsub.subscriptions.update",
            "pubsub.subscriptions.get",
            "pubsub.subscriptions.list",
            "pubsub.subscriptions.consume",
        ],
    ),
    ("roles/pubsub.publisher", &["pubsub.topics.publish"]),
    (
        "roles/pubsub.subscriber",
        &["pubsub.subscriptions.consume", "pubsub.topics.attachSubscription"],
    ),
    (
        "roles/pubsub.viewer",
        &[
            "pubsub.topics.get",
            "pubsub.topics.list",
            "pubsub.subscriptions.get",
            "pubsub.subscriptions.list",
        ],
    ),
    (
        "roles/pubsub.serviceAgent",
        &["iam.serviceAccounts.getAccessToken", "iam.serviceAccounts.getOpenIdToken"],
    ),
    ("roles/run.admin", &["run."]),
    (
        "roles/run.developer",
        &[
            "run.services.create",
            "run.services.delete",
            "run.services.get",
            "run.services.getIamPolicy",
            "run.services.list",
            "run.services.update",
            "run.routes.invoke",
        ],
    ),
    ("roles/run.invoker", &["run.routes.invoke"]),
    ("roles/run.viewer", &["run.services.get", "run.services.getIamPolicy", "run.services.list"]),
    (
        "roles/iam.serviceAccountAdmin",
        &[
            "iam.serviceAccounts.create",
            "iam.serviceAccounts.delete",
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.getIamPolicy",
            "iam.serviceAccounts.list",
            "iam.serviceAccounts.setIamPolicy",
            "iam.serviceAccounts.update",
            "resourcemanager.projects.get",
        ],
    ),
    (
        "roles/iam.serviceAccountUser",
        &[
            "iam.serviceAccounts.actAs",
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.list",
            "resourcemanager.projects.get",
        ],
    ),
    (
        "roles/iam.serviceAccountTokenCreator",
        &[
            "iam.serviceAccounts.getAccessToken",
            "iam.serviceAccounts.getOpenIdToken",
            "iam.serviceAccounts.signBlob",
            "iam.serviceAccounts.signJwt",
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.list",
        ],
    ),
    ("roles/iam.serviceAccountOpenIdTokenCreator", &["iam.serviceAccounts.getOpenIdToken"]),
];

/// What even an owner has to be granted.
const NOT_THE_OWNER_S: [&str; 4] = [
    "iam.serviceAccounts.getAccessToken",
    "iam.serviceAccounts.getOpenIdToken",
    "iam.serviceAccounts.signBlob",
    "iam.serviceAccounts.signJwt",
];

/// Whether `role` has `permission`. A role that is not in the table grants nothing.
pub(super) fn grants(role: &str, permission: &str) -> bool {
    if role == "roles/owner" {
        return !NOT_THE_OWNER_S.contains(&permission);
    }
    let matches = |granted: &&str| {
        *granted == permission || (granted.ends_with('.') && permission.starts_with(*granted))
    };
    ROLES
        .iter()
        .any(|(name, granted)| *name == role && granted.iter().any(|granted| matches(&granted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_grants_what_it_names_and_nothing_beside() {
        assert!(grants("roles/cloudtasks.enqueuer", "cloudtasks.tasks.create"));
        assert!(!grants("roles/cloudtasks.enqueuer", "cloudtasks.tasks.delete"));
        assert!(grants("roles/run.admin", "run.services.setIamPolicy"));
        assert!(!grants("roles/run.developer", "run.services.setIamPolicy"));
        assert!(!grants("roles/nobody.knows", "run.routes.invoke"));
        assert!(grants("roles/owner", "iam.serviceAccounts.actAs"));
        assert!(!grants("roles/owner", "iam.serviceAccounts.getOpenIdToken"));
    }
}
