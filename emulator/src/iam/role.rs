//! What each role permits, as far as this emulator checks it.
//!
//! Source: <https://cloud.google.com/iam/docs/understanding-roles>.

/// What a sender's agent mints with.
const MINTING: [&str; 2] =
    ["iam.serviceAccounts.getAccessToken", "iam.serviceAccounts.getOpenIdToken"];

/// Roles and the permissions, or their beginnings, that each grants.
const ROLES: &[(&str, &[&str])] = &[
    (
        "roles/editor",
        &[
            "artifactregistry.",
            "cloudbuild.",
            "cloudfunctions.",
            "cloudscheduler.",
            "cloudtasks.",
            "iam.serviceAccountKeys.",
            "iam.serviceAccounts.",
            "logging.logEntries.",
            "logging.logMetrics.",
            "logging.logs.",
            "monitoring.",
            "pubsub.",
            "resourcemanager.projects.get",
            "run.",
            "serviceusage.",
            "storage.",
        ],
    ),
    (
        "roles/viewer",
        &[
            "artifactregistry.repositories.get",
            "artifactregistry.repositories.list",
            "cloudbuild.builds.get",
            "cloudbuild.builds.list",
            "cloudfunctions.functions.get",
            "cloudscheduler.jobs.get",
            "cloudscheduler.jobs.list",
            "cloudtasks.queues.get",
            "cloudtasks.queues.list",
            "cloudtasks.tasks.get",
            "cloudtasks.tasks.list",
            "iam.serviceAccountKeys.get",
            "iam.serviceAccountKeys.list",
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.getIamPolicy",
            "iam.serviceAccounts.list",
            "logging.logEntries.list",
            "logging.logMetrics.get",
            "logging.logMetrics.list",
            "logging.logs.list",
            "monitoring.alertPolicies.get",
            "monitoring.alertPolicies.list",
            "monitoring.dashboards.get",
            "monitoring.dashboards.list",
            "pubsub.subscriptions.get",
            "pubsub.subscriptions.list",
            "pubsub.topics.get",
            "pubsub.topics.list",
            "resourcemanager.projects.get",
            "resourcemanager.projects.getIamPolicy",
            "run.configurations.",
            "run.locations.list",
            "run.operations.get",
            "run.operations.list",
            "run.revisions.get",
            "run.revisions.list",
            "run.routes.get",
            "run.routes.list",
            "run.services.get",
            "run.services.getIamPolicy",
            "run.services.list",
            "serviceusage.services.get",
            "serviceusage.services.list",
        ],
    ),
    ("roles/artifactregistry.admin", &["artifactregistry."]),
    (
        "roles/artifactregistry.reader",
        &[
            "artifactregistry.repositories.downloadArtifacts",
            "artifactregistry.repositories.get",
            "artifactregistry.repositories.list",
        ],
    ),
    (
        "roles/artifactregistry.repoAdmin",
        &[
            "artifactregistry.repositories.deleteArtifacts",
            "artifactregistry.repositories.downloadArtifacts",
            "artifactregistry.repositories.get",
            "artifactregistry.repositories.list",
            "artifactregistry.repositories.uploadArtifacts",
        ],
    ),
    (
        "roles/artifactregistry.writer",
        &[
            "artifactregistry.repositories.downloadArtifacts",
            "artifactregistry.repositories.get",
            "artifactregistry.repositories.list",
            "artifactregistry.repositories.uploadArtifacts",
        ],
    ),
    ("roles/billing.viewer", &["billing.accounts.get", "billing.accounts.list"]),
    (
        "roles/cloudbuild.builds.builder",
        &[
            "artifactregistry.repositories.downloadArtifacts",
            "artifactregistry.repositories.get",
            "artifactregistry.repositories.list",
            "artifactregistry.repositories.uploadArtifacts",
            "cloudbuild.builds.create",
            "cloudbuild.builds.get",
            "cloudbuild.builds.list",
            "cloudbuild.builds.update",
            "logging.logEntries.create",
            "pubsub.topics.create",
            "pubsub.topics.publish",
            "resourcemanager.projects.get",
            "storage.buckets.create",
            "storage.buckets.get",
            "storage.buckets.list",
            "storage.objects.create",
            "storage.objects.delete",
            "storage.objects.get",
            "storage.objects.list",
            "storage.objects.update",
        ],
    ),
    (
        "roles/cloudbuild.builds.editor",
        &[
            "cloudbuild.builds.create",
            "cloudbuild.builds.get",
            "cloudbuild.builds.list",
            "cloudbuild.builds.update",
            "resourcemanager.projects.get",
        ],
    ),
    (
        "roles/cloudbuild.builds.viewer",
        &["cloudbuild.builds.get", "cloudbuild.builds.list", "resourcemanager.projects.get"],
    ),
    ("roles/cloudscheduler.admin", &["cloudscheduler."]),
    ("roles/cloudscheduler.jobRunner", &["cloudscheduler.jobs.run"]),
    ("roles/cloudscheduler.viewer", &["cloudscheduler.jobs.get", "cloudscheduler.jobs.list"]),
    ("roles/cloudscheduler.serviceAgent", &MINTING),
    ("roles/cloudtasks.admin", &["cloudtasks."]),
    ("roles/cloudtasks.enqueuer", &["cloudtasks.tasks.create"]),
    ("roles/cloudtasks.queueAdmin", &["cloudtasks.queues."]),
    ("roles/cloudtasks.taskDeleter", &["cloudtasks.tasks.delete"]),
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
    ("roles/cloudtasks.serviceAgent", &MINTING),
    ("roles/iam.securityAdmin", &[".getIamPolicy", ".setIamPolicy"]),
    (
        "roles/iam.serviceAccountAdmin",
        &[
            "iam.serviceAccounts.create",
            "iam.serviceAccounts.delete",
            "iam.serviceAccounts.disable",
            "iam.serviceAccounts.enable",
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.getIamPolicy",
            "iam.serviceAccounts.list",
            "iam.serviceAccounts.setIamPolicy",
            "iam.serviceAccounts.update",
            "resourcemanager.projects.get",
        ],
    ),
    (
        "roles/iam.serviceAccountCreator",
        &[
            "iam.serviceAccounts.create",
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.list",
            "resourcemanager.projects.get",
        ],
    ),
    (
        "roles/iam.serviceAccountKeyAdmin",
        &["iam.serviceAccountKeys.", "iam.serviceAccounts.get", "iam.serviceAccounts.list"],
    ),
    ("roles/iam.serviceAccountOpenIdTokenCreator", &["iam.serviceAccounts.getOpenIdToken"]),
    (
        "roles/iam.serviceAccountTokenCreator",
        &[
            "iam.serviceAccounts.get",
            "iam.serviceAccounts.getAccessToken",
            "iam.serviceAccounts.getOpenIdToken",
            "iam.serviceAccounts.implicitDelegation",
            "iam.serviceAccounts.list",
            "iam.serviceAccounts.signBlob",
            "iam.serviceAccounts.signJwt",
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
    ("roles/logging.admin", &["logging."]),
    ("roles/logging.configWriter", &["logging.logMetrics."]),
    ("roles/logging.logWriter", &["logging.logEntries.create"]),
    ("roles/logging.viewer", &["logging.logEntries.list", "logging.logs.list"]),
    ("roles/monitoring.editor", &["monitoring."]),
    ("roles/pubsub.admin", &["pubsub."]),
    (
        "roles/pubsub.editor",
        &[
            "pubsub.subscriptions.consume",
            "pubsub.subscriptions.create",
            "pubsub.subscriptions.delete",
            "pubsub.subscriptions.get",
            "pubsub.subscriptions.list",
            "pubsub.subscriptions.update",
            "pubsub.topics.attachSubscription",
            "pubsub.topics.create",
            "pubsub.topics.delete",
            "pubsub.topics.detachSubscription",
            "pubsub.topics.get",
            "pubsub.topics.list",
            "pubsub.topics.publish",
            "pubsub.topics.update",
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
            "pubsub.subscriptions.get",
            "pubsub.subscriptions.list",
            "pubsub.topics.get",
            "pubsub.topics.list",
        ],
    ),
    ("roles/pubsub.serviceAgent", &MINTING),
    (
        "roles/resourcemanager.projectIamAdmin",
        &[
            "resourcemanager.projects.get",
            "resourcemanager.projects.getIamPolicy",
            "resourcemanager.projects.setIamPolicy",
        ],
    ),
    ("roles/run.admin", &["resourcemanager.projects.get", "run."]),
    (
        "roles/run.developer",
        &[
            "resourcemanager.projects.get",
            "run.configurations.",
            "run.locations.list",
            "run.operations.",
            "run.revisions.",
            "run.routes.",
            "run.services.create",
            "run.services.delete",
            "run.services.get",
            "run.services.getIamPolicy",
            "run.services.list",
            "run.services.update",
        ],
    ),
    ("roles/run.invoker", &["run.routes.invoke"]),
    ("roles/run.servicesInvoker", &["run.routes.invoke"]),
    (
        "roles/run.sourceDeveloper",
        &[
            "artifactregistry.repositories.get",
            "cloudbuild.builds.create",
            "cloudbuild.builds.get",
            "resourcemanager.projects.get",
            "run.configurations.",
            "run.locations.list",
            "run.operations.",
            "run.revisions.",
            "run.routes.",
            "run.services.create",
            "run.services.delete",
            "run.services.get",
            "run.services.getIamPolicy",
            "run.services.list",
            "run.services.update",
            "storage.buckets.get",
            "storage.buckets.list",
            "storage.objects.create",
        ],
    ),
    (
        "roles/run.viewer",
        &[
            "resourcemanager.projects.get",
            "run.configurations.",
            "run.locations.list",
            "run.operations.get",
            "run.operations.list",
            "run.revisions.get",
            "run.revisions.list",
            "run.routes.get",
            "run.routes.list",
            "run.services.get",
            "run.services.getIamPolicy",
            "run.services.list",
        ],
    ),
    ("roles/serviceusage.serviceUsageAdmin", &["serviceusage.services."]),
    (
        "roles/serviceusage.serviceUsageConsumer",
        &["serviceusage.services.get", "serviceusage.services.list", "serviceusage.services.use"],
    ),
    ("roles/storage.admin", &["resourcemanager.projects.get", "storage."]),
    ("roles/storage.objectAdmin", &["resourcemanager.projects.get", "storage.objects."]),
    ("roles/storage.objectCreator", &["resourcemanager.projects.get", "storage.objects.create"]),
    (
        "roles/storage.objectViewer",
        &["resourcemanager.projects.get", "storage.objects.get", "storage.objects.list"],
    ),
    ("roles/telemetry.writer", &["telemetry.metrics.write", "telemetry.traces.write"]),
];

/// What even an owner has to be granted.
const NOT_THE_OWNER_S: [&str; 5] = [
    "iam.serviceAccounts.getAccessToken",
    "iam.serviceAccounts.getOpenIdToken",
    "iam.serviceAccounts.implicitDelegation",
    "iam.serviceAccounts.signBlob",
    "iam.serviceAccounts.signJwt",
];

/// Whether `role` has `permission`. A role that is not in the table grants nothing.
pub(super) fn grants(role: &str, permission: &str) -> bool {
    match role {
        "roles/owner" => return !NOT_THE_OWNER_S.contains(&permission),
        // An editor changes resources and not who may.
        "roles/editor"
            if NOT_THE_OWNER_S.contains(&permission) || permission.ends_with(".setIamPolicy") =>
        {
            return false;
        }
        _ => {}
    }
    let matches = |granted: &str| {
        granted == permission
            || (granted.ends_with('.') && permission.starts_with(granted))
            || (granted.starts_with('.') && permission.ends_with(granted))
    };
    let role = ROLES.iter().find(|(name, _)| *name == role);
    role.is_some_and(|(_, granted)| granted.iter().any(|granted| matches(granted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_grants_what_it_names_and_nothing_beside() {
        for (role, permission, granted) in [
            ("roles/cloudtasks.enqueuer", "cloudtasks.tasks.create", true),
            ("roles/cloudtasks.enqueuer", "cloudtasks.tasks.delete", false),
            ("roles/run.admin", "run.services.setIamPolicy", true),
            ("roles/run.admin", "iam.serviceAccounts.actAs", false),
            ("roles/run.developer", "run.services.setIamPolicy", false),
            ("roles/run.developer", "run.services.create", true),
            ("roles/run.developer", "run.services.getIamPolicy", true),
            ("roles/run.developer", "run.revisions.delete", true),
            ("roles/run.developer", "run.operations.get", true),
            ("roles/run.developer", "run.locations.list", true),
            ("roles/run.developer", "iam.serviceAccounts.actAs", false),
            ("roles/run.invoker", "run.routes.invoke", true),
            ("roles/run.invoker", "run.services.get", false),
            ("roles/run.viewer", "run.revisions.delete", false),
            ("roles/run.viewer", "run.routes.invoke", false),
            ("roles/run.viewer", "run.revisions.list", true),
            ("roles/viewer", "run.revisions.get", true),
            ("roles/run.sourceDeveloper", "cloudbuild.builds.create", true),
            ("roles/run.sourceDeveloper", "run.services.setIamPolicy", false),
            ("roles/iam.securityAdmin", "pubsub.topics.setIamPolicy", true),
            ("roles/iam.securityAdmin", "pubsub.topics.get", false),
            (
                "roles/artifactregistry.writer",
                "artifactregistry.repositories.uploadArtifacts",
                true,
            ),
            (
                "roles/artifactregistry.writer",
                "artifactregistry.repositories.deleteArtifacts",
                false,
            ),
            ("roles/artifactregistry.writer", "artifactregistry.repositories.setIamPolicy", false),
            ("roles/artifactregistry.repoAdmin", "artifactregistry.repositories.create", false),
            ("roles/cloudbuild.builds.editor", "cloudbuild.builds.create", true),
            ("roles/cloudbuild.builds.editor", "storage.objects.get", false),
            ("roles/cloudbuild.builds.builder", "storage.objects.get", true),
            ("roles/cloudbuild.builds.builder", "run.services.update", false),
            ("roles/storage.objectViewer", "storage.objects.create", false),
            ("roles/serviceusage.serviceUsageConsumer", "serviceusage.services.enable", false),
            ("roles/serviceusage.serviceUsageAdmin", "serviceusage.services.enable", true),
            ("roles/logging.logWriter", "logging.logEntries.create", true),
            ("roles/logging.logWriter", "logging.logEntries.list", false),
            ("roles/logging.viewer", "logging.logEntries.list", true),
            ("roles/viewer", "logging.logEntries.list", true),
            ("roles/viewer", "logging.logEntries.create", false),
            ("roles/editor", "logging.logEntries.create", true),
            ("roles/nobody.knows", "run.routes.invoke", false),
            ("roles/owner", "iam.serviceAccounts.actAs", true),
            ("roles/owner", "iam.serviceAccounts.getOpenIdToken", false),
            ("roles/editor", "iam.serviceAccounts.actAs", true),
            ("roles/editor", "iam.serviceAccounts.getAccessToken", false),
            ("roles/editor", "run.services.setIamPolicy", false),
        ] {
            assert_eq!(grants(role, permission), granted, "{role} {permission}");
        }
    }

    #[test]
    fn each_role_stands_in_the_table_once() {
        let mut names: Vec<&str> = ROLES.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROLES.len());
    }
}
