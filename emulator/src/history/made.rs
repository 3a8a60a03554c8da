//! An attempt as it is kept: nothing is rendered before somebody looks, and no token is kept at all.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;

use super::{EntryId, entry, redaction};
use crate::{attempts::Order, faults::Fault, fire, senders::Delivery};

/// The headers of an answer that a sender or a person acts on.
const OF_INTEREST: [&str; 4] = ["content-type", "location", "retry-after", "www-authenticate"];

/// One attempt.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) at: Timestamp,
    /// What was to be delivered, whole, to make it again.
    pub(crate) order: Arc<Order>,
    /// The token's kind, where there was one.
    pub(crate) token: Option<String>,
    /// What was sent in the place of the order's body.
    pub(crate) spoilt_body: Option<Start>,
    pub(crate) answer: Option<entry::Answer>,
    pub(crate) acknowledged: bool,
    pub(crate) timed_out: bool,
    pub(crate) took: Duration,
    pub(crate) faults: Vec<Fault>,
    /// Why there is no answer.
    pub(crate) error: Option<String>,
    pub(crate) replay_of: Option<EntryId>,
}

/// The start of a body that is not kept.
#[derive(Debug)]
pub(crate) struct Start {
    bytes: Bytes,
    whole_bytes: usize,
}

impl Start {
    pub(crate) fn of(body: &[u8]) -> Start {
        let shown = body.get(..entry::SHOWN_BYTES).unwrap_or(body);
        Start { bytes: Bytes::copy_from_slice(shown), whole_bytes: body.len() }
    }
}

impl Made {
    /// How much memory it takes beside itself.
    pub(super) fn bytes(&self) -> usize {
        let Order { delivery, url, .. } = &*self.order;
        let headers = delivery.headers.iter().map(|(name, value)| name.len() + value.len());
        let spoilt = self.spoilt_body.as_ref().map_or(0, |start| start.bytes.len());
        let answer = self.answer.as_ref().map_or(0, |answer| answer.body.len());
        delivery.body.len() + url.len() + headers.sum::<usize>() + spoilt + answer
    }

    /// As it is shown.
    pub(super) fn shown(&self, id: EntryId, next_retry: Option<Timestamp>) -> entry::Attempt {
        let Order { delivery, url, resource, invocation, attempt, .. } = &*self.order;
        let (body, body_bytes) = match &self.spoilt_body {
            Some(start) => (&start.bytes, start.whole_bytes),
            None => (&delivery.body, delivery.body.len()),
        };
        entry::Attempt {
            id: id.0,
            time: self.at,
            sender: delivery.sender,
            resource: resource.clone(),
            invocation: invocation.clone(),
            attempt: *attempt,
            request: entry::Request {
                method: delivery.method.as_str().to_owned(),
                url: url.clone(),
                headers: headers(delivery, self.token.as_deref()),
                body: start(body, entry::SHOWN_BYTES),
                body_bytes,
            },
            answer: self.answer.clone(),
            acknowledged: self.acknowledged,
            timed_out: self.timed_out,
            latency_ms: (self.took.as_secs_f64() * 1e6).round() / 1e3,
            faults: self.faults.clone(),
            error: self.error.clone(),
            next_retry,
            replay_of: self.replay_of.map(|id| id.0),
        }
    }
}

fn headers(delivery: &Delivery, token: Option<&str>) -> Vec<(String, String)> {
    let own = delivery.headers.iter().filter(|(name, _)| {
        // The token takes its place.
        token.is_none() || !name.eq_ignore_ascii_case("authorization")
    });
    let mut shown: Vec<_> =
        own.map(|(name, value)| (name.clone(), redaction::header(name, value))).collect();
    shown.extend(token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}"))));
    shown
}

/// What is kept of an answer. A receiver may say back the token that it was sent.
pub(crate) fn answer(answer: fire::Answer, token: Option<&str>) -> entry::Answer {
    let without_token = |text: String| match token {
        Some(token) if text.contains(token) => text.replace(token, &redaction::token(token)),
        _ => text,
    };
    // Far enough that no token is cut in two by the end.
    let window = entry::SHOWN_BYTES + token.map_or(0, str::len);
    let body = without_token(start(&answer.body, window));
    let headers = answer.headers.into_iter().filter(|(name, _)| OF_INTEREST.contains(&&**name));
    entry::Answer {
        status: answer.status,
        headers: headers.map(|(name, value)| (name, without_token(value))).collect(),
        body: start(body.as_bytes(), entry::SHOWN_BYTES),
    }
}

/// The first bytes as text.
fn start(body: &[u8], bytes: usize) -> String {
    String::from_utf8_lossy(body.get(..bytes).unwrap_or(body)).into_owned()
}
