//! The bytes of one delivery, built once; each request only overwrites what differs.

use std::{io::Write, ops::Range};

use emulator::senders::pubsub::Push;

/// Where the deliveries go.
pub(crate) const PATH: &str = "/pubsub/index-upload";

/// The size of the envelope.
const BODY_BYTES: usize = 1024;

/// Digits of a message's id, and of the half of its trace's that differs.
const ID_DIGITS: usize = 16;

/// What spreads trace ids over all that there can be: samplers go by them.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// One HTTP request, with places for a message's id, its trace and a token.
#[derive(Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    ids: Vec<usize>,
    trace: usize,
    token: Range<usize>,
}

impl Request {
    /// A Pub/Sub push of exactly 1 KiB: what Cloud Storage publishes when an object is deleted. The bundled job reads
    /// it and has nothing more to do, so that the record is the only line written.
    pub(crate) fn pubsub(token: &str) -> Request {
        let placeholder = "#".repeat(ID_DIGITS);
        let object = r#"{"kind":"storage#object","bucket":"uploads","name":"2026/11/report.pdf","contentType":"application/pdf","timeCreated":"2026-11-22T10:00:00.000Z","size":"48213"}"#;
        let push = |padding: usize| {
            Push::new("projects/example/subscriptions/uploads", &placeholder, object)
                .attribute("bucketId", "uploads")
                .attribute("objectId", "2026/11/report.pdf")
                .attribute("eventType", "OBJECT_DELETE")
                .attribute("payloadFormat", "JSON_API_V1")
                .attribute("padding", &"x".repeat(padding))
                .wrapped()
        };
        let padding = BODY_BYTES.saturating_sub(push(0).body.len());
        let delivery = push(padding).bearer(token);
        let mut head = format!("POST {PATH} HTTP/1.1\r\nHost: receiver.example.run.app\r\n");
        // As Cloud Run's front end begins a trace, sampled or not.
        let trace = "~".repeat(ID_DIGITS);
        head.push_str(&format!("traceparent: 00-4bf92f3577b34da6{trace}-00f067aa0ba902b7-00\r\n"));
        for (name, value) in &delivery.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", delivery.body.len()));
        let token_at = head.find(token).unwrap_or_default();
        let trace = head.find(&trace).unwrap_or_default();
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&delivery.body);
        Request {
            ids: positions(&bytes, placeholder.as_bytes()),
            trace,
            token: token_at..token_at + token.len(),
            bytes,
        }
    }

    /// Gives the message another id, and another trace.
    pub(crate) fn set_id(&mut self, id: u64) {
        let trace = id.wrapping_mul(SPREAD);
        let _ = write!(&mut self.bytes[self.trace..][..ID_DIGITS], "{trace:0ID_DIGITS$x}");
        for &at in &self.ids {
            // Sixteen digits last for longer than anything here.
            let _ = write!(&mut self.bytes[at..at + ID_DIGITS], "{id:0ID_DIGITS$}");
        }
    }

    /// Presents another token of the same length.
    pub(crate) fn set_token(&mut self, token: &str) {
        self.bytes[self.token.clone()].copy_from_slice(token.as_bytes());
    }

    /// What goes over the wire.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn positions(text: &[u8], wanted: &[u8]) -> Vec<usize> {
    let windows = text.windows(wanted.len()).enumerate();
    windows.filter_map(|(at, window)| (window == wanted).then_some(at)).collect()
}
