//! Pub/Sub push: the message in a JSON envelope, or unwrapped with its attributes as headers.
//!
//! Envelope: <https://cloud.google.com/pubsub/docs/push#receive_push>; unwrapped:
//! <https://cloud.google.com/pubsub/docs/payload-unwrapping>.

use std::{borrow::Cow, collections::BTreeMap};

use actix_web::http::header::HeaderMap;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use super::{Delivery, InvocationId, Origin, Unreadable, Unwrapped, header, json_fault};

/// What Pub/Sub says of a message.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// `projects/P/subscriptions/S`; absent from an unwrapped message without metadata.
    pub subscription: Option<String>,
    /// Unique within the topic; absent from an unwrapped message without metadata.
    pub message_id: Option<String>,
    /// When the message was published.
    pub publish_time: Option<Timestamp>,
    /// Which attempt this is, from 1; there only where the subscription has a dead-letter policy.
    pub delivery_attempt: Option<u32>,
    /// The publisher's ordering key.
    pub ordering_key: Option<String>,
    /// Whether it came in an envelope.
    pub wrapped: bool,
}

/// The push body. Every real push spells id and time both ways at once, which a serde `alias` refuses
/// as a duplicate field, so each spelling is a field of its own.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    message: EnvelopeMessage<'a>,
    subscription: Option<String>,
    #[serde(rename = "deliveryAttempt")]
    delivery_attempt: Option<u32>,
}

#[derive(Deserialize)]
struct EnvelopeMessage<'a> {
    #[serde(borrow)]
    data: Option<Text<'a>>,
    attributes: Option<BTreeMap<String, String>>,
    #[serde(rename = "messageId")]
    message_id: Option<String>,
    #[serde(rename = "message_id")]
    message_id_snake: Option<String>,
    #[serde(rename = "publishTime")]
    publish_time: Option<String>,
    #[serde(rename = "publish_time")]
    publish_time_snake: Option<String>,
    #[serde(rename = "orderingKey")]
    ordering_key: Option<String>,
}

/// Borrowed where nothing in it is escaped: up to 13 MB of base64 that is read once. A type of its own, since
/// serde borrows into a `Cow` that stands alone, and not into one within an `Option`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What is in an envelope, whoever sent it: Eventarc carries the same one for a published message.
pub(super) struct Opened {
    pub(super) message: Message,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) payload: Bytes,
}

/// Opens an envelope.
///
/// # Errors
///
/// [`Unreadable`] where it is not JSON, not an envelope, or its data is not base64.
pub(super) fn open(body: &[u8]) -> Result<Opened, Unreadable> {
    parse(body)?.open()
}

fn parse(body: &[u8]) -> Result<Envelope<'_>, Unreadable> {
    serde_json::from_slice(body).map_err(|error| {
        Unreadable(format!(
            "the body {}; expected a Pub/Sub push envelope: {{\"message\": {{…}}, \"subscription\": …}}",
            json_fault(&error)
        ))
    })
}

impl Envelope<'_> {
    /// Whether it names its message, as every push does. A publisher's own JSON may have a `message` too.
    fn is_named(&self) -> bool {
        let EnvelopeMessage { message_id, message_id_snake, .. } = &self.message;
        self.subscription.is_some() || message_id.is_some() || message_id_snake.is_some()
    }

    fn open(self) -> Result<Opened, Unreadable> {
        let Self { message, subscription, delivery_attempt } = self;
        let data = message.data.as_ref().map_or("", |Text(data)| data);
        let payload = STANDARD.decode(data).map_err(|error| {
            let fault = describe_base64_fault(&error);
            Unreadable(format!("message.data is not standard base64 ({fault})"))
        })?;
        let publish_time = message.publish_time.or(message.publish_time_snake);
        Ok(Opened {
            message: Message {
                subscription,
                message_id: message.message_id.or(message.message_id_snake),
                publish_time: publish_time.and_then(|time| time.parse().ok()),
                delivery_attempt: delivery_attempt.filter(|attempt| *attempt > 0),
                ordering_key: message.ordering_key,
                wrapped: true,
            },
            attributes: message.attributes.unwrap_or_default(),
            payload: payload.into(),
        })
    }
}

/// Where decoding stopped, without the byte itself: it is part of a payload.
pub(super) fn describe_base64_fault(error: &base64::DecodeError) -> String {
    use base64::DecodeError;
    match error {
        DecodeError::InvalidByte(offset, _) | DecodeError::InvalidLastSymbol { offset, .. } => {
            format!("at offset {offset}")
        }
        DecodeError::InvalidLength(length) => {
            format!("{length} characters are not a whole number of groups")
        }
        DecodeError::InvalidPadding => "its padding is wrong".to_owned(),
    }
}

/// Reads a push in whichever form it came.
pub(super) fn read(
    headers: &HeaderMap,
    body: Bytes,
    unwrapped: Unwrapped,
) -> Result<Delivery, Unreadable> {
    if !headers.contains_key("x-goog-pubsub-message-id") {
        match parse(&body) {
            Ok(envelope) if envelope.is_named() => {
                let Opened { message, attributes, payload } = envelope.open()?;
                return Ok(delivery(message, attributes, payload));
            }
            Err(fault) if was_meant_as_envelope(&body) => return Err(fault),
            _ => {}
        }
    }
    match unwrapped {
        Unwrapped::Accepted => Ok(read_unwrapped(headers, body)),
        Unwrapped::Refused => Err(Unreadable(
            "the message is unwrapped; this route takes its identity from a header, which an unwrapped \
             message's attributes could forge: remove --push-no-wrapper from the subscription"
                .to_owned(),
        )),
    }
}

/// Without metadata nothing marks an unwrapped message, so a body that is no envelope is somebody's own
/// data, unless it has an envelope's two members: then it was spoilt on the way.
fn was_meant_as_envelope(body: &[u8]) -> bool {
    // The members stand at either end of the data, in either order.
    let ends = [
        body.get(..1024).unwrap_or(body),
        body.get(body.len().saturating_sub(1024)..).unwrap_or(body),
    ];
    let has =
        |key: &[u8]| ends.iter().any(|end| end.windows(key.len()).any(|window| window == key));
    body.trim_ascii_start().starts_with(b"{") && has(b"\"message\"") && has(b"\"subscription\"")
}

fn read_unwrapped(headers: &HeaderMap, body: Bytes) -> Delivery {
    let message = Message {
        subscription: header(headers, "x-goog-pubsub-subscription-name").map(str::to_owned),
        message_id: header(headers, "x-goog-pubsub-message-id").map(str::to_owned),
        publish_time: header(headers, "x-goog-pubsub-publish-time")
            .and_then(|time| time.parse().ok()),
        // No header for it is documented.
        delivery_attempt: None,
        // The documentation has the first spelling, Google's own emulator sends the second.
        ordering_key: header(headers, "x-goog-pubsub-ordering-key")
            .or_else(|| header(headers, "x-goog-ordering-key"))
            .map(str::to_owned),
        wrapped: false,
    };
    let attributes = headers
        .iter()
        .filter(|(name, _)| !is_transport_header(name.as_str()))
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect();
    delivery(message, attributes, body)
}

/// Headers that the sender or the platform adds. Nothing tells an attribute from another header, so an
/// attribute of one of these names is lost, and a header that somebody else adds counts as one.
fn is_transport_header(name: &str) -> bool {
    const PREFIXES: [&str; 5] = ["x-goog-", "x-forwarded-", "x-cloud-", "x-serverless-", "sec-"];
    const NAMES: [&str; 14] = [
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "forwarded",
        "from",
        "host",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "user-agent",
        "via",
        "x-request-id",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn delivery(message: Message, attributes: BTreeMap<String, String>, payload: Bytes) -> Delivery {
    Delivery {
        id: InvocationId::of(message.subscription.as_deref(), message.message_id.as_deref()),
        attempt: message.delivery_attempt,
        first_due: message.publish_time,
        payload,
        attributes,
        origin: Origin::Pubsub(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_borrowed_from_the_body_unless_it_is_escaped() {
        for (body, is_borrowed) in [
            (&br#"{"message":{"data":"aGVsbG8="}}"#[..], true),
            (br#"{"message":{"data":"aGVsbG8\u003d"}}"#, false),
        ] {
            let envelope = parse(body).unwrap();
            let Some(Text(data)) = &envelope.message.data else { panic!("no data") };
            assert_eq!(matches!(data, Cow::Borrowed(_)), is_borrowed);
            assert_eq!(envelope.open().unwrap().payload, "hello");
        }
    }
}
