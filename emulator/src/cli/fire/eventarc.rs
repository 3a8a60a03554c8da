//! `emulator fire events`.

use clap::{Arg, ValueEnum};
use emulator::{Delivery, senders::eventarc::CloudEvent};
use jiff::Timestamp;
use serde_json::Value;

use super::{To, pubsub::Message};

/// Above the options that need `--pubsub`.
const WITH_PUBSUB: &str = "With --pubsub";

/// An event.
#[derive(Debug, clap::Args)]
#[command(mut_args(refused_without_pubsub))]
pub(super) struct Args {
    #[command(flatten)]
    to: To,
    /// Eventarc itself uses binary
    #[arg(long, value_enum, default_value_t = Mode::Binary)]
    mode: Mode,
    /// The event's id [default: a number of now]
    #[arg(long, conflicts_with = "pubsub")]
    id: Option<String>,
    /// The event's source
    #[arg(
        long,
        conflicts_with = "pubsub",
        default_value = "//storage.googleapis.com/projects/_/buckets/demo"
    )]
    source: String,
    /// The event's type
    #[arg(
        long = "type",
        value_name = "TYPE",
        conflicts_with = "pubsub",
        default_value = "google.cloud.storage.object.v1.finalized"
    )]
    event_type: String,
    /// The event's subject
    #[arg(long, conflicts_with = "pubsub")]
    subject: Option<String>,
    /// The event's data, or with --pubsub the message's payload
    #[arg(long, default_value = "")]
    data: String,
    /// Carry a Pub/Sub message instead of an event of one's own
    #[arg(long)]
    pubsub: bool,
    /// The topic's whole name
    #[arg(
        long,
        value_name = "NAME",
        help_heading = WITH_PUBSUB,
        default_value = "projects/demo/topics/by-hand"
    )]
    topic: String,
    #[command(flatten, next_help_heading = WITH_PUBSUB)]
    message: Message,
}

/// Without `--pubsub` there is no message that these options could say anything of.
fn refused_without_pubsub(option: Arg) -> Arg {
    match option.get_help_heading() {
        Some(WITH_PUBSUB) => option.requires("pubsub"),
        _ => option,
    }
}

/// How the event travels.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// Attributes as headers
    Binary,
    /// Attributes and data in one JSON object
    Structured,
}

impl Args {
    pub(super) fn delivery(self) -> (To, Delivery) {
        let push = self.message.push(self.data);
        let event = if self.pubsub {
            CloudEvent::message_published(&self.topic, &push)
        } else {
            let id = self.id.unwrap_or_else(|| Timestamp::now().as_microsecond().to_string());
            CloudEvent {
                subject: self.subject,
                data: push.data,
                ..CloudEvent::new(&id, &self.source, &self.event_type, &Value::Null)
            }
        };
        let delivery = match self.mode {
            Mode::Binary => event.binary(),
            Mode::Structured => event.structured(),
        };
        (self.to, delivery)
    }
}
