//! The one project of the emulator, and Google's agents in it.

use serde::{Deserialize, Serialize};

use crate::{iam::Principal, senders::Sender};

/// A project: what people call it and the number that stands in agents' names and URLs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// The project id, such as `demo-project`.
    pub id: String,
    /// The project number.
    pub number: u64,
}

impl Default for Project {
    fn default() -> Project {
        Project { id: "demo-project".to_owned(), number: 123_456_789_012 }
    }
}

impl Project {
    /// `projects/ID`.
    pub(crate) fn name(&self) -> String {
        format!("projects/{}", self.id)
    }

    /// Whether `id_or_number` is this project.
    pub(crate) fn is(&self, id_or_number: &str) -> bool {
        id_or_number == self.id || id_or_number == self.number.to_string()
    }

    /// The email of the service account that was created as `account_id`.
    pub(crate) fn account_email(&self, account_id: &str) -> String {
        format!("{account_id}@{}.iam.gserviceaccount.com", self.id)
    }

    /// The email of the account that what runs here has unless it is given another: Compute Engine's default.
    ///
    /// Source: <https://cloud.google.com/iam/docs/service-account-types#default>.
    pub(crate) fn default_account_email(&self) -> String {
        format!("{}-compute@developer.gserviceaccount.com", self.number)
    }

    /// Whether an account of that email could only be one of this project's own.
    pub(crate) fn owns(&self, email: &str) -> bool {
        let domain = email.split_once('@').map(|(_, domain)| domain);
        domain.and_then(|domain| domain.strip_suffix(".iam.gserviceaccount.com")) == Some(&*self.id)
            || email == self.default_account_email()
    }

    /// The agent that mints tokens for a sender.
    ///
    /// Source: <https://cloud.google.com/iam/docs/service-agents>.
    pub(crate) fn agent(&self, sender: Sender) -> Principal {
        let service = match sender {
            Sender::Scheduler => "cloudscheduler",
            Sender::Tasks => "cloudtasks",
            Sender::PubSub | Sender::Eventarc => "pubsub",
        };
        let number = self.number;
        Principal::Account(format!("service-{number}@gcp-sa-{service}.iam.gserviceaccount.com"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_known_by_its_id_and_its_number() {
        let project = Project::default();
        assert!(project.is("demo-project") && project.is("123456789012"));
        assert!(!project.is("demo") && !project.is("-"));
    }

    #[test]
    fn its_accounts_are_told_from_agents_and_strangers() {
        let project = Project::default();
        for (email, own) in [
            ("caller@demo-project.iam.gserviceaccount.com", true),
            ("123456789012-compute@developer.gserviceaccount.com", true),
            ("1-compute@developer.gserviceaccount.com", false),
            ("caller@other-project.iam.gserviceaccount.com", false),
            ("service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com", false),
            ("demo-project.iam.gserviceaccount.com", false),
        ] {
            assert_eq!(project.owns(email), own, "{email}");
        }
        assert_eq!(
            project.agent(Sender::Eventarc),
            Principal::Account(
                "service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com".to_owned()
            )
        );
    }
}
