//! `emulator fire pubsub`.

use emulator::{Delivery, senders::pubsub::Push};
use jiff::Timestamp;

use super::To;
use crate::cli::name_value;

/// A push.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    to: To,
    /// The payload
    #[arg(long, default_value = "")]
    data: String,
    #[command(flatten)]
    message: Message,
    /// The payload alone as the body, without an envelope
    #[arg(long)]
    unwrapped: bool,
    /// With --unwrapped: metadata and attributes as headers
    #[arg(long, requires = "unwrapped")]
    write_metadata: bool,
}

/// The message but for its payload; Eventarc can carry it as well.
#[derive(Debug, clap::Args)]
pub(super) struct Message {
    /// An attribute; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_value::text)]
    attribute: Vec<(String, String)>,
    /// The message's id [default: a number of now]
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// The subscription's whole name
    #[arg(long, value_name = "NAME", default_value = "projects/demo/subscriptions/by-hand")]
    subscription: String,
    /// Which delivery this is: there only with a dead-letter policy
    #[arg(long, value_name = "N")]
    delivery_attempt: Option<u32>,
    /// The ordering key
    #[arg(long, value_name = "KEY")]
    ordering_key: Option<String>,
}

impl Message {
    pub(super) fn push(self, data: String) -> Push {
        let numbered = || Timestamp::now().as_microsecond().to_string();
        let id = self.message_id.unwrap_or_else(numbered);
        let mut push = Push::new(&self.subscription, &id, data);
        push.attributes.extend(self.attribute);
        push.delivery_attempt = self.delivery_attempt;
        push.ordering_key = self.ordering_key;
        push
    }
}

impl Args {
    pub(super) fn delivery(self) -> (To, Delivery) {
        let push = self.message.push(self.data);
        let delivery = match (self.unwrapped, self.write_metadata) {
            (false, _) => push.wrapped(),
            (true, false) => push.unwrapped(),
            (true, true) => push.unwrapped_with_metadata(),
        };
        (self.to, delivery)
    }
}
