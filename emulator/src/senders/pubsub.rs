//! Pub/Sub push, wrapped and unwrapped.
//!
//! Source: <https://cloud.google.com/pubsub/docs/push>, <https://cloud.google.com/pubsub/docs/payload-unwrapping>.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{
    Delivery, Method, Sender,
    delivery::{frames_the_request, header},
};

/// As it appears in Cloud Run's request logs; Google documents none.
pub(super) const USER_AGENT: &str = "CloudPubSub-Google";

/// One delivery of one message to one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// `projects/PROJECT/subscriptions/NAME`.
    pub subscription: String,
    /// The message's id, the same in every delivery; numeric in practice.
    pub message_id: String,
    /// When it was published, RFC 3339 in UTC with milliseconds.
    pub publish_time: String,
    /// The payload; may be empty when there are attributes.
    pub data: Vec<u8>,
    /// The attributes.
    pub attributes: BTreeMap<String, String>,
    /// The ordering key, where the publisher set one.
    pub ordering_key: Option<String>,
    /// Which delivery this is, from 1. There only when the subscription has a dead-letter policy.
    pub delivery_attempt: Option<u32>,
}

impl Push {
    /// A message published now, without attributes, ordering key or dead-letter policy.
    pub fn new(subscription: &str, message_id: &str, data: impl Into<Vec<u8>>) -> Push {
        Push {
            subscription: subscription.to_owned(),
            message_id: message_id.to_owned(),
            publish_time: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
            data: data.into(),
            attributes: BTreeMap::new(),
            ordering_key: None,
            delivery_attempt: None,
        }
    }

    /// The same with one more attribute.
    pub fn attribute(mut self, name: &str, value: &str) -> Push {
        self.attributes.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The wrapped form: the message in a JSON envelope.
    pub fn wrapped(&self) -> Delivery {
        push(
            vec![header("Content-Type", "application/json")],
            self.envelope().to_string().into_bytes(),
        )
    }

    /// The unwrapped form without metadata (`--push-no-wrapper`): the payload alone; nothing identifies the message.
    pub fn unwrapped(&self) -> Delivery {
        push(Vec::new(), self.data.clone())
    }

    /// The unwrapped form with metadata (`--push-no-wrapper-write-metadata`): the payload, with the message's metadata
    /// and **each attribute under its own name** as headers.
    ///
    /// Left out are attributes that can be no header, or would say where the request ends: what Google does with them
    /// is documented nowhere.
    pub fn unwrapped_with_metadata(&self) -> Delivery {
        let can_be_sent = |name: &str, value: &str| {
            !frames_the_request(name)
                && HeaderName::try_from(name).is_ok()
                && HeaderValue::try_from(value).is_ok()
        };
        let mut headers: Vec<_> = self
            .attributes
            .iter()
            .filter(|(name, value)| can_be_sent(name, value))
            .map(|(name, value)| header(name, value))
            .collect();
        headers.push(header("x-goog-pubsub-subscription-name", &self.subscription));
        headers.push(header("x-goog-pubsub-message-id", &self.message_id));
        headers.push(header("x-goog-pubsub-publish-time", &self.publish_time));
        if let Some(key) = &self.ordering_key {
            headers.push(header("x-goog-pubsub-ordering-key", key));
        }
        push(headers, self.data.clone())
    }

    /// The JSON envelope. Id and time come in both spellings; what is empty is left out.
    pub fn envelope(&self) -> Value {
        let mut message = json!({
            "messageId": self.message_id,
            "message_id": self.message_id,
            "publishTime": self.publish_time,
            "publish_time": self.publish_time,
        });
        if !self.data.is_empty() {
            message["data"] = BASE64_STANDARD.encode(&self.data).into();
        }
        if !self.attributes.is_empty() {
            message["attributes"] = json!(self.attributes);
        }
        if let Some(key) = &self.ordering_key {
            message["orderingKey"] = key.as_str().into();
        }
        let mut envelope = json!({"message": message, "subscription": self.subscription});
        if let Some(attempt) = self.delivery_attempt {
            envelope["deliveryAttempt"] = attempt.into();
        }
        envelope
    }
}

fn push(mut headers: Vec<(String, String)>, body: Vec<u8>) -> Delivery {
    headers.push(header("User-Agent", USER_AGENT));
    Delivery { sender: Sender::PubSub, method: Method::Post, headers, body: body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least() -> Push {
        Push {
            publish_time: "2021-02-26T19:13:55.749Z".to_owned(),
            ..Push::new(
                "projects/myproject/subscriptions/mysubscription",
                "2070443601311540",
                "Hello",
            )
        }
    }

    fn most() -> Push {
        Push {
            ordering_key: Some("key".to_owned()),
            delivery_attempt: Some(5),
            ..least().attribute("key", "value")
        }
    }

    fn body(delivery: &Delivery) -> Value {
        serde_json::from_slice(&delivery.body).unwrap()
    }

    #[test]
    fn an_attribute_that_can_be_no_header_stays_behind() {
        let push = least().attribute("kind", "order");
        let odd = push
            .clone()
            .attribute("my key", "x")
            .attribute("Content-Length", "1")
            .attribute("lines", "a\nb");
        assert_eq!(odd.unwrapped_with_metadata(), push.unwrapped_with_metadata());
    }

    #[test]
    fn the_smallest_wrapped_push_is_the_documented_minimum() {
        let delivery = least().wrapped();
        assert_eq!(
            body(&delivery),
            json!({
                "message": {
                    "data": "SGVsbG8=",
                    "messageId": "2070443601311540",
                    "message_id": "2070443601311540",
                    "publishTime": "2021-02-26T19:13:55.749Z",
                    "publish_time": "2021-02-26T19:13:55.749Z"
                },
                "subscription": "projects/myproject/subscriptions/mysubscription"
            })
        );
        assert_eq!(
            delivery.headers,
            [
                header("Content-Type", "application/json"),
                header("User-Agent", "CloudPubSub-Google")
            ]
        );
        assert_eq!(delivery.method.as_str(), "POST");
    }

    #[test]
    fn the_largest_wrapped_push_is_the_documented_maximum() {
        assert_eq!(
            body(&most().wrapped()),
            json!({
                "deliveryAttempt": 5,
                "message": {
                    "attributes": {"key": "value"},
                    "data": "SGVsbG8=",
                    "messageId": "2070443601311540",
                    "message_id": "2070443601311540",
                    "orderingKey": "key",
                    "publishTime": "2021-02-26T19:13:55.749Z",
                    "publish_time": "2021-02-26T19:13:55.749Z"
                },
                "subscription": "projects/myproject/subscriptions/mysubscription"
            })
        );
    }

    #[test]
    fn a_message_of_attributes_alone_has_no_data() {
        let push = Push { data: Vec::new(), ..least().attribute("key", "value") };
        assert!(body(&push.wrapped())["message"].get("data").is_none());
    }

    #[test]
    fn unwrapped_is_the_payload_and_nothing_else() {
        let delivery = most().unwrapped();
        assert_eq!(delivery.headers, [header("User-Agent", "CloudPubSub-Google")]);
        assert_eq!(delivery.body, "Hello");
    }

    #[test]
    fn unwrapped_with_metadata_turns_attributes_into_headers() {
        let delivery = most().attribute("Content-Type", "text/plain").unwrapped_with_metadata();
        let expected = [
            ("Content-Type", "text/plain"),
            ("key", "value"),
            ("x-goog-pubsub-subscription-name", "projects/myproject/subscriptions/mysubscription"),
            ("x-goog-pubsub-message-id", "2070443601311540"),
            ("x-goog-pubsub-publish-time", "2021-02-26T19:13:55.749Z"),
            ("x-goog-pubsub-ordering-key", "key"),
            ("User-Agent", "CloudPubSub-Google"),
        ];
        assert_eq!(delivery.headers, expected.map(|(name, value)| header(name, value)));
        assert_eq!(delivery.body, "Hello");
    }
}
