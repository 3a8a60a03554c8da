//! What each of Google's senders puts on the wire: pure functions from typed structs to one delivery.

pub mod eventarc;
pub mod pubsub;
pub mod scheduler;
pub mod tasks;

mod delivery;
mod method;

pub use delivery::Delivery;
pub use method::Method;

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Who delivers. In JSON and on the command line it goes by its [`name`](Sender::name).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sender {
    /// Cloud Scheduler.
    Scheduler,
    /// Cloud Tasks.
    Tasks,
    /// Pub/Sub push.
    PubSub,
    /// Eventarc, which rides on a Pub/Sub push subscription.
    Eventarc,
}

impl Sender {
    /// One word in lower case: `scheduler`, `tasks`, `pubsub` or `eventarc`.
    pub fn name(self) -> &'static str {
        match self {
            Sender::Scheduler => "scheduler",
            Sender::Tasks => "tasks",
            Sender::PubSub => "pubsub",
            Sender::Eventarc => "eventarc",
        }
    }

    /// The service's name, for people.
    pub fn title(self) -> &'static str {
        match self {
            Sender::Scheduler => "Cloud Scheduler",
            Sender::Tasks => "Cloud Tasks",
            Sender::PubSub => "Pub/Sub",
            Sender::Eventarc => "Eventarc",
        }
    }

    /// Whether this sender counts `status` as done and will not deliver again.
    ///
    /// Scheduler and Tasks take any 2xx (`target.proto` of both). Pub/Sub, and Eventarc with it, takes 102, 200, 201,
    /// 202 and 204 alone: <https://cloud.google.com/pubsub/docs/push#receive_push>.
    pub fn acknowledged_by(self, status: u16) -> bool {
        match self {
            Sender::Scheduler | Sender::Tasks => (200..300).contains(&status),
            Sender::PubSub | Sender::Eventarc => matches!(status, 102 | 200 | 201 | 202 | 204),
        }
    }

    /// How long it waits for an answer by default: `attempt_deadline` 3 min, `dispatch_deadline` 10 min,
    /// `ackDeadlineSeconds` 10 s.
    pub fn default_deadline(self) -> Duration {
        Duration::from_secs(match self {
            Sender::Scheduler => 180,
            Sender::Tasks => 600,
            Sender::PubSub | Sender::Eventarc => 10,
        })
    }

    /// Whether it goes where a redirect points and counts that answer.
    ///
    /// Scheduler does (`job.proto`: "the response returned by the redirected request is considered"). Tasks was seen
    /// to count a 302 as a failed attempt, and for Pub/Sub every 3xx is a negative acknowledgement.
    pub fn follows_redirects(self) -> bool {
        self == Sender::Scheduler
    }
}

impl FromStr for Sender {
    type Err = Error;

    fn from_str(text: &str) -> Result<Sender, Error> {
        [Sender::Scheduler, Sender::Tasks, Sender::PubSub, Sender::Eventarc]
            .into_iter()
            .find(|sender| sender.name() == text)
            .ok_or_else(|| Error::Word {
                given: text.to_owned(),
                expected: "a sender; use scheduler, tasks, pubsub or eventarc",
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_read_back_as_written() {
        for sender in [Sender::Scheduler, Sender::Tasks, Sender::PubSub, Sender::Eventarc] {
            assert_eq!(sender.name().parse::<Sender>().unwrap(), sender);
            assert_eq!(serde_json::to_value(sender).unwrap(), sender.name());
        }
        assert!("PubSub".parse::<Sender>().is_err());
    }

    #[test]
    fn each_sender_has_its_own_idea_of_success() {
        for (status, http_target, push) in [
            (102, false, true),
            (200, true, true),
            (203, true, false),
            (204, true, true),
            (206, true, false),
            (302, false, false),
            (404, false, false),
        ] {
            assert_eq!(Sender::Scheduler.acknowledged_by(status), http_target);
            assert_eq!(Sender::Tasks.acknowledged_by(status), http_target);
            assert_eq!(Sender::PubSub.acknowledged_by(status), push);
            assert_eq!(Sender::Eventarc.acknowledged_by(status), push);
        }
    }
}
