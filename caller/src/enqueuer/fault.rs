//! Why a task was not created.

use reqwest::StatusCode;

use super::{Queue, Task};
use crate::{error::Error, google_fault::ApiFault, http::Reply};

/// What went wrong, and what to do about it, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The name is taken. Where names are made of what the task is about, this is what keeps it from being done twice.
    #[error(
        "the task {name} exists, or did a short time ago; it was not created again: choose another name if it should be"
    )]
    Exists {
        /// Its full name.
        name: String,
    },
    /// Whoever creates the task may not create tasks in this queue.
    #[error("{who} lacks {permission} on the queue {queue}; whoever administers it runs: gcloud tasks queues add-iam-policy-binding {} --location={} --project={} --member={who} --role=roles/cloudtasks.enqueuer", .queue.id(), .queue.location(), .queue.project())]
    PermissionMissing {
        /// Whose permission, as IAM names them.
        who: String,
        /// Such as `cloudtasks.tasks.create`.
        permission: String,
        /// Where.
        queue: Queue,
    },
    /// Whoever creates the task may not have it carry this account's tokens.
    #[error(
        "{who} lacks iam.serviceAccounts.actAs on {account}, whose tokens the task would carry; whoever administers it runs: gcloud iam service-accounts add-iam-policy-binding {account} --member={who} --role=roles/iam.serviceAccountUser"
    )]
    ActAsMissing {
        /// Whose permission, as IAM names them.
        who: String,
        /// The account of the task.
        account: String,
    },
    /// There is no such queue.
    #[error("there is no queue {queue}; create it: gcloud tasks queues create {} --location={} --project={}", .queue.id(), .queue.location(), .queue.project())]
    QueueMissing {
        /// The one that was asked for.
        queue: Queue,
    },
    /// There is no such account.
    #[error(
        "there is no service account {account}, whose tokens the task would carry; gcloud iam service-accounts list has them"
    )]
    AccountMissing {
        /// The account of the task.
        account: String,
    },
    /// The task, or its headers, are larger than Cloud Tasks takes.
    #[error(
        "the {what} would have {bytes} bytes, and Cloud Tasks takes {limit}; put the data into a bucket, and its name into the task"
    )]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// What was asked for cannot be.
    #[error("{0}")]
    Invalid(String),
    /// There was no token to call Cloud Tasks with, or no answer from it.
    #[error(transparent)]
    Call(#[from] Error),
}

impl EnqueueError {
    /// Whether the same call may succeed a moment later, without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, EnqueueError::Call(error) if error.is_transient())
    }

    /// Reads a refusal.
    pub(super) fn of(reply: &Reply, queue: &Queue, task: &Task, member: &str) -> EnqueueError {
        let fault = ApiFault::read(&reply.body);
        let (who, queue, account) =
            (member.to_owned(), queue.clone(), task.service_account.clone());
        if fault.is_disabled() {
            let remedy = "enable it: gcloud services enable cloudtasks.googleapis.com";
            return reply.refused(&format!("{}; {remedy}", fault.message)).into();
        }
        match (reply.status, fault.missing_permission()) {
            (_, Some("iam.serviceAccounts.actAs")) => EnqueueError::ActAsMissing { who, account },
            (_, Some(permission)) => {
                EnqueueError::PermissionMissing { who, permission: permission.to_owned(), queue }
            }
            // The service was seen to say so with 404 and with 400: googleapis/python-tasks,
            // stackkit/laravel-google-cloud-tasks-queue#103, GoogleCloudPlatform/python-docs-samples#4034.
            _ if ["ueue does not exist", "ueue no longer exists"]
                .iter()
                .any(|part| fault.message.contains(part)) =>
            {
                EnqueueError::QueueMissing { queue }
            }
            (StatusCode::NOT_FOUND, _) if fault.message.contains(&account) => {
                EnqueueError::AccountMissing { account }
            }
            _ => reply.refused(&fault.message).into(),
        }
    }
}
