//! Messages (`google.pubsub.v1.PubsubMessage`).

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::api::{
    error::ApiError,
    wire::{WireBytes, is_default},
};

/// In one publish request: <https://cloud.google.com/pubsub/quotas#resource_limits>.
const MOST_MESSAGES: usize = 1000;
const MOST_BYTES: usize = 10_000_000;
/// In one message.
const MOST_ATTRIBUTES: usize = 100;
const MOST_KEY_BYTES: usize = 256;
const MOST_VALUE_BYTES: usize = 1024;
const MOST_ORDERING_KEY_BYTES: usize = 1024;

/// One message, as it is published, pulled and saved. Its `Debug` shows no payload.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Message {
    /// Shared by all subscriptions.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) data: WireBytes,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) attributes: BTreeMap<String, String>,
    /// Of Pub/Sub's making, like the time: what a publisher writes there is replaced.
    #[serde(default)]
    pub(super) message_id: String,
    /// In whole milliseconds.
    #[serde(default, serialize_with = "milliseconds")]
    pub(super) publish_time: Timestamp,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) ordering_key: String,
}

impl Message {
    /// `2021-02-26T19:13:55.749Z`, as pushes and pulls show it.
    pub(super) fn publish_time_text(&self) -> String {
        self.publish_time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
    }

    fn bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|(key, value)| key.len() + value.len());
        self.data.0.len() + self.ordering_key.len() + attributes.sum::<usize>()
    }

    fn check(&self) -> Result<(), ApiError> {
        if self.data.0.is_empty() && self.attributes.is_empty() {
            return Err(ApiError::invalid(
                "One or more messages in the publish request is empty. Each message must contain either non-empty data, or at least one attribute.",
            ));
        }
        if self.attributes.len() > MOST_ATTRIBUTES {
            return Err(too_large("attribute_count", self.attributes.len(), MOST_ATTRIBUTES));
        }
        for (key, value) in &self.attributes {
            // Google's own client libraries carry trace contexts so:
            // https://github.com/googleapis/nodejs-pubsub/blob/main/src/telemetry-tracing.ts
            let is_reserved = key.starts_with("goog") && !key.starts_with("googclient_");
            if key.is_empty() || is_reserved {
                return Err(ApiError::invalid(format!(
                    "Invalid attribute key given (key={key}). It must not be empty or begin with \"goog\"."
                )));
            }
            for (what, bytes, most) in [
                ("attribute_key_size", key.len(), MOST_KEY_BYTES),
                ("attribute_value_size", value.len(), MOST_VALUE_BYTES),
            ] {
                if bytes > most {
                    return Err(too_large(what, bytes, most));
                }
            }
        }
        if self.ordering_key.len() > MOST_ORDERING_KEY_BYTES {
            let bytes = self.ordering_key.len();
            return Err(too_large("ordering_key_size", bytes, MOST_ORDERING_KEY_BYTES));
        }
        Ok(())
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Message")
            .field("message_id", &self.message_id)
            .field("bytes", &self.bytes())
            .finish()
    }
}

/// That Google takes `messages` in one request.
///
/// # Errors
/// 400 that says which limit is passed.
pub(super) fn check(messages: &[Message]) -> Result<(), ApiError> {
    match messages.len() {
        0 => {
            return Err(ApiError::invalid(
                "The value for message_count is too small. You passed 0 in the request, but the minimum value is 1.",
            ));
        }
        count if count > MOST_MESSAGES => {
            return Err(too_large("message_count", count, MOST_MESSAGES));
        }
        _ => {}
    }
    messages.iter().try_for_each(Message::check)?;
    let bytes: usize = messages.iter().map(Message::bytes).sum();
    if bytes > MOST_BYTES {
        return Err(too_large("request_size", bytes, MOST_BYTES));
    }
    Ok(())
}

fn too_large(what: &str, given: usize, most: usize) -> ApiError {
    ApiError::invalid(format!(
        "The value for {what} is too large. You passed {given} in the request, but the maximum value is {most}."
    ))
}

fn milliseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    fn message() -> Message {
        Message { data: WireBytes("Hello".into()), ..Message::default() }
    }

    #[test]
    fn a_message_is_written_as_google_writes_it() {
        let wire = json!({
            "data": "SGVsbG8=",
            "attributes": {"key": "value"},
            "messageId": "2070443601311540",
            "publishTime": "2021-02-26T19:13:55.700Z",
            "orderingKey": "key",
        });
        let message: Message = from_value(wire.clone()).unwrap();
        assert_eq!(to_value(&message).unwrap(), wire);
        assert!(!format!("{message:?}").contains("Hello"));
        let fault = from_value::<Message>(json!({"data": "SGVsbG8=", "body": ""})).unwrap_err();
        assert!(fault.to_string().contains("unknown field `body`"));
    }

    #[test]
    fn each_limit_is_kept_to_the_byte() {
        let attribute = |key: usize, value: usize| Message {
            attributes: BTreeMap::from([("k".repeat(key), "v".repeat(value))]),
            ..Message::default()
        };
        let attributes = |count: usize| Message {
            attributes: (0..count).map(|n| (n.to_string(), String::new())).collect(),
            ..Message::default()
        };
        let sized = |bytes: usize| Message { data: WireBytes(vec![0; bytes].into()), ..message() };
        let keyed = |bytes: usize| Message { ordering_key: "k".repeat(bytes), ..message() };
        for (largest, too_large) in [
            (vec![attribute(256, 1024)], vec![attribute(257, 0)]),
            (vec![attribute(1, 1024)], vec![attribute(1, 1025)]),
            (vec![attributes(100)], vec![attributes(101)]),
            (vec![keyed(1024)], vec![keyed(1025)]),
            (vec![message(); 1000], vec![message(); 1001]),
            (vec![sized(5_000_000); 2], vec![sized(5_000_000), sized(5_000_001)]),
        ] {
            check(&largest).unwrap();
            let fault = check(&too_large).unwrap_err();
            assert!(fault.message.contains("is too large"), "{}", fault.message);
        }
    }

    #[test]
    fn a_message_without_data_and_attributes_is_refused() {
        let keyed = Message { ordering_key: "key".to_owned(), ..Message::default() };
        assert!(check(&[message(), keyed]).unwrap_err().message.contains("is empty"));
        assert!(check(&[]).unwrap_err().message.contains("too small"));
        let with = |key: &str| Message {
            attributes: BTreeMap::from([(key.to_owned(), String::new())]),
            ..message()
        };
        check(&[with("googclient_traceparent")]).unwrap();
        assert!(check(&[with("google")]).unwrap_err().message.contains("begin with \"goog\""));
    }
}
