//! Eventarc: `CloudEvents` 1.0 over HTTP, in binary and in structured mode.
//!
//! Source: <https://cloud.google.com/eventarc/docs/cloudevents>, and the HTTP binding
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>. Eventarc itself
//! delivers in binary mode; structured mode is what the binding also allows.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    Delivery, Method, Sender,
    delivery::header,
    pubsub::{Push, USER_AGENT},
};

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    /// `id`: with the source, what makes the event unique.
    pub id: String,
    /// `source`: the resource, as a URI reference such as `//storage.googleapis.com/projects/_/buckets/B`.
    pub source: String,
    /// `type`, such as `google.cloud.storage.object.v1.finalized`.
    pub event_type: String,
    /// `subject`, such as `objects/a.pdf`.
    pub subject: Option<String>,
    /// `time`, RFC 3339.
    pub time: Option<String>,
    /// The media type of the data; `Content-Type` in binary mode, `datacontenttype` in structured mode.
    pub data_content_type: Option<String>,
    /// Extension attributes, such as `bucket` on storage events.
    pub extensions: BTreeMap<String, String>,
    /// The data's bytes; empty for none.
    pub data: Vec<u8>,
}

impl CloudEvent {
    /// An event of now with JSON data.
    pub fn new(id: &str, source: &str, event_type: &str, data: &Value) -> CloudEvent {
        CloudEvent {
            id: id.to_owned(),
            source: source.to_owned(),
            event_type: event_type.to_owned(),
            subject: None,
            time: Some(Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()),
            data_content_type: Some("application/json; charset=utf-8".to_owned()),
            extensions: BTreeMap::new(),
            data: data.to_string().into_bytes(),
        }
    }

    /// An object was written to a bucket. `data` is the object's metadata, `size` among it as a string:
    /// <https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/storage/v1/data.proto>.
    pub fn object_finalized(id: &str, bucket: &str, object: &str, data: &Value) -> CloudEvent {
        CloudEvent {
            subject: Some(format!("objects/{object}")),
            extensions: BTreeMap::from([("bucket".to_owned(), bucket.to_owned())]),
            ..CloudEvent::new(
                id,
                &format!("//storage.googleapis.com/projects/_/buckets/{bucket}"),
                "google.cloud.storage.object.v1.finalized",
                data,
            )
        }
    }

    /// A message was published to `topic` (`projects/PROJECT/topics/NAME`): the data is the push envelope itself.
    pub fn message_published(topic: &str, push: &Push) -> CloudEvent {
        CloudEvent {
            time: Some(push.publish_time.clone()),
            ..CloudEvent::new(
                &push.message_id,
                &format!("//pubsub.googleapis.com/{topic}"),
                "google.cloud.pubsub.topic.v1.messagePublished",
                &push.envelope(),
            )
        }
    }

    /// Binary mode, which Eventarc uses: attributes as `ce-` headers, the data as the body.
    pub fn binary(&self) -> Delivery {
        let mut headers: Vec<_> = self
            .attributes()
            .into_iter()
            .map(|(name, value)| header(&format!("ce-{name}"), percent_encoded(&value)))
            .collect();
        if let Some(media_type) = &self.data_content_type {
            headers.push(header("Content-Type", media_type));
        }
        event(headers, self.data.clone())
    }

    /// Structured mode: attributes and data in one JSON object. Data that is not JSON goes as `data_base64`.
    pub fn structured(&self) -> Delivery {
        let mut object: Map<String, Value> =
            self.attributes().into_iter().map(|(name, value)| (name, value.into())).collect();
        if let Some(media_type) = &self.data_content_type {
            object.insert("datacontenttype".to_owned(), media_type.as_str().into());
        }
        if let Ok(data) = serde_json::from_slice::<Value>(&self.data) {
            object.insert("data".to_owned(), data);
        } else if !self.data.is_empty() {
            object.insert("data_base64".to_owned(), BASE64_STANDARD.encode(&self.data).into());
        }
        let content_type = header("Content-Type", "application/cloudevents+json; charset=utf-8");
        event(vec![content_type], json!(object).to_string().into_bytes())
    }

    /// Every attribute but the media type, which the two modes treat differently.
    fn attributes(&self) -> Vec<(String, String)> {
        let mut attributes = vec![
            header("id", &self.id),
            header("source", &self.source),
            header("specversion", "1.0"),
            header("type", &self.event_type),
        ];
        attributes.extend(self.time.as_ref().map(|time| header("time", time)));
        attributes.extend(self.subject.as_ref().map(|subject| header("subject", subject)));
        attributes.extend(self.extensions.iter().map(|(name, value)| header(name, value)));
        attributes
    }
}

fn event(mut headers: Vec<(String, String)>, body: Vec<u8>) -> Delivery {
    headers.push(header("User-Agent", USER_AGENT));
    Delivery { sender: Sender::Eventarc, method: Method::Post, headers, body: body.into() }
}

/// HTTP binding §3.1.3.2: space, quote, percent and what is not printable ASCII become `%XX` of their UTF-8 bytes.
fn percent_encoded(value: &str) -> String {
    let encode = |byte: u8| match byte {
        b'"' | b'%' => format!("%{byte:02X}"),
        b'!'..=b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finalized() -> CloudEvent {
        let data = json!({"bucket": "uploads", "name": "a.pdf", "size": "1024"});
        CloudEvent {
            time: Some("2026-10-05T08:41:00.123456Z".to_owned()),
            ..CloudEvent::object_finalized("e1", "uploads", "a.pdf", &data)
        }
    }

    #[test]
    fn binary_mode_puts_attributes_into_headers() {
        let delivery = finalized().binary();
        let expected = [
            ("ce-id", "e1"),
            ("ce-source", "//storage.googleapis.com/projects/_/buckets/uploads"),
            ("ce-specversion", "1.0"),
            ("ce-type", "google.cloud.storage.object.v1.finalized"),
            ("ce-time", "2026-10-05T08:41:00.123456Z"),
            ("ce-subject", "objects/a.pdf"),
            ("ce-bucket", "uploads"),
            ("Content-Type", "application/json; charset=utf-8"),
            ("User-Agent", "CloudPubSub-Google"),
        ];
        assert_eq!(delivery.headers, expected.map(|(name, value)| header(name, value)));
        assert_eq!(
            serde_json::from_slice::<Value>(&delivery.body).unwrap(),
            json!({"bucket": "uploads", "name": "a.pdf", "size": "1024"})
        );
    }

    #[test]
    fn structured_mode_is_one_json_object() {
        let delivery = finalized().structured();
        assert_eq!(
            delivery.headers[0],
            header("Content-Type", "application/cloudevents+json; charset=utf-8")
        );
        assert_eq!(
            serde_json::from_slice::<Value>(&delivery.body).unwrap(),
            json!({
                "specversion": "1.0",
                "id": "e1",
                "source": "//storage.googleapis.com/projects/_/buckets/uploads",
                "type": "google.cloud.storage.object.v1.finalized",
                "time": "2026-10-05T08:41:00.123456Z",
                "subject": "objects/a.pdf",
                "bucket": "uploads",
                "datacontenttype": "application/json; charset=utf-8",
                "data": {"bucket": "uploads", "name": "a.pdf", "size": "1024"}
            })
        );
    }

    #[test]
    fn data_that_is_not_json_goes_as_base64() {
        let event = CloudEvent {
            data: vec![0, 255],
            data_content_type: Some("application/octet-stream".to_owned()),
            ..finalized()
        };
        let body: Value = serde_json::from_slice(&event.structured().body).unwrap();
        assert_eq!(body["data_base64"], "AP8=");
        assert!(body.get("data").is_none());
    }

    #[test]
    fn a_published_message_carries_the_push_envelope() {
        let push = Push {
            publish_time: "2021-02-26T19:13:55.749Z".to_owned(),
            ..Push::new("projects/p/subscriptions/s", "1", "hi")
        };
        let delivery = CloudEvent::message_published("projects/p/topics/t", &push).binary();
        let expected = [
            ("ce-id", "1"),
            ("ce-source", "//pubsub.googleapis.com/projects/p/topics/t"),
            ("ce-specversion", "1.0"),
            ("ce-type", "google.cloud.pubsub.topic.v1.messagePublished"),
            ("ce-time", "2021-02-26T19:13:55.749Z"),
            ("Content-Type", "application/json; charset=utf-8"),
            ("User-Agent", "CloudPubSub-Google"),
        ];
        assert_eq!(delivery.headers, expected.map(|(name, value)| header(name, value)));
        assert_eq!(serde_json::from_slice::<Value>(&delivery.body).unwrap(), push.envelope());
    }

    #[test]
    fn header_values_are_percent_encoded_as_the_binding_says() {
        let event =
            CloudEvent { subject: Some("objects/Überweisung 50%".to_owned()), ..finalized() };
        let subject = header("ce-subject", "objects/%C3%9Cberweisung%2050%25");
        assert!(event.binary().headers.contains(&subject));
    }
}
