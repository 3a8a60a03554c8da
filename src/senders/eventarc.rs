//! Eventarc: `CloudEvents` 1.0 over HTTP, in binary and structured mode.
//!
//! Binding: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>;
//! what Eventarc sends: <https://cloud.google.com/eventarc/docs/cloudevents>.

use std::{collections::BTreeMap, fmt};

use actix_web::http::header::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use percent_encoding::percent_decode;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Delivery, InvocationId, Origin, Unreadable, header, json_fault,
    pubsub::{self, Opened},
};

/// What the event says of itself.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// `id`: unique within the source.
    pub id: String,
    /// `source`: for example `//pubsub.googleapis.com/projects/P/topics/T`.
    pub source: String,
    /// `type`: for example `google.cloud.storage.object.v1.finalized`.
    pub event_type: String,
    /// `subject`: for example `objects/a.pdf`.
    pub subject: Option<String>,
    /// `time`: when it happened.
    pub time: Option<Timestamp>,
    /// Which attempt this is, from 1: in a published message whose subscription has a dead-letter policy.
    pub delivery_attempt: Option<u32>,
    /// Whether the attributes came as headers (`binary`) or in the body (`structured`).
    pub mode: Mode,
}

/// How the event was put on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Attributes are `ce-` headers, the body is the data.
    #[default]
    Binary,
    /// One JSON object holds attributes and data.
    Structured,
}

impl Mode {
    /// The mode's name in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Binary => "binary",
            Mode::Structured => "structured",
        }
    }
}

/// A message published to a topic; its data is the same envelope that Pub/Sub pushes.
const MESSAGE_PUBLISHED: &str = "google.cloud.pubsub.topic.v1.messagePublished";

/// Reads an event in whichever mode it came.
pub(super) fn read(headers: &HeaderMap, body: Bytes) -> Result<Delivery, Unreadable> {
    let content_type = header(headers, "content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/cloudevents+json") {
        let (attributes, data) = read_structured(&body)?;
        return delivery(attributes, data, Mode::Structured);
    }
    if media_type.to_ascii_lowercase().starts_with("application/cloudevents") {
        return Err(Unreadable(
            "the content type is another CloudEvents form; expected binary mode, or structured mode as \
             application/cloudevents+json: Eventarc sends no batches"
                .to_owned(),
        ));
    }
    delivery(read_binary(headers), body, Mode::Binary)
}

/// Context attributes from `ce-` headers, whose values are percent-encoded (binding, section 3.1.3.2).
/// A value that is not keeps what can be read: an odd subject must not lose the event.
fn read_binary(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value)))
        .map(|(name, value)| {
            let text = percent_decode(value.as_bytes()).decode_utf8_lossy();
            (name.to_owned(), text.into_owned())
        })
        .collect()
}

fn read_structured(body: &[u8]) -> Result<(BTreeMap<String, String>, Bytes), Unreadable> {
    let Members(members) = serde_json::from_slice(body).map_err(|error| {
        Unreadable(format!("the body {}; expected one CloudEvent as JSON", json_fault(&error)))
    })?;
    let mut attributes = BTreeMap::new();
    let mut data = Bytes::new();
    for (name, value) in members {
        match name.as_str() {
            "data" => data = Bytes::copy_from_slice(value.get().as_bytes()),
            "data_base64" => {
                let text: String = serde_json::from_str(value.get())
                    .map_err(|_| Unreadable("data_base64 is not a string".to_owned()))?;
                data = STANDARD.decode(text).map(Bytes::from).map_err(|error| {
                    Unreadable(format!(
                        "data_base64 is not standard base64 ({})",
                        pubsub::describe_base64_fault(&error)
                    ))
                })?;
            }
            _ => {
                // Attributes are strings, numbers or booleans; all of them have one text form.
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Attribute {
                    Text(String),
                    Number(i32),
                    Flag(bool),
                }
                let value = match serde_json::from_str(value.get()) {
                    Ok(Attribute::Text(text)) => text,
                    Ok(Attribute::Number(number)) => number.to_string(),
                    Ok(Attribute::Flag(flag)) => flag.to_string(),
                    Err(_) => continue,
                };
                attributes.insert(name, value);
            }
        }
    }
    Ok((attributes, data))
}

/// The members of one JSON object, none of them twice: readers that differ on which one counts would
/// differ on which event it is.
struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = BTreeMap<String, &'de RawValue>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a member comes twice"));
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect).map(Members)
    }
}

fn delivery(
    mut attributes: BTreeMap<String, String>,
    data: Bytes,
    mode: Mode,
) -> Result<Delivery, Unreadable> {
    let mut required = |name: &str| {
        attributes.remove(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            Unreadable(format!(
                "the required CloudEvents attribute {name} is missing; expected ce-{name} as a header, or \
                 {name} in application/cloudevents+json"
            ))
        })
    };
    let version = required("specversion")?;
    if !version.starts_with("1.") {
        return Err(Unreadable("specversion is not 1.0".to_owned()));
    }
    let mut event = Event {
        id: required("id")?,
        source: required("source")?,
        event_type: required("type")?,
        subject: attributes.remove("subject"),
        time: attributes.remove("time").and_then(|time| time.parse().ok()),
        delivery_attempt: None,
        mode,
    };
    let mut payload = data;
    if event.event_type == MESSAGE_PUBLISHED {
        let Opened { message, attributes: of_message, payload: of_data } = pubsub::open(&payload)?;
        event.delivery_attempt = message.delivery_attempt;
        event.time = event.time.or(message.publish_time);
        attributes.extend(of_message);
        payload = of_data;
    }
    Ok(Delivery {
        id: InvocationId::of(Some(&event.source), Some(&event.id)),
        attempt: event.delivery_attempt,
        first_due: event.time,
        payload,
        attributes,
        origin: Origin::Events(event),
    })
}
