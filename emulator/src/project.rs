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
