//! What the history shows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{faults::Fault, senders::Sender};

/// How much of a body is shown, in bytes.
pub const SHOWN_BYTES: usize = 4096;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// A sender delivered, or tried to.
    Attempt(Box<Attempt>),
    /// A call of the control plane that was answered from a table, and did nothing.
    Call(Call),
}

impl Entry {
    /// Counts from 1 in each run of the emulator.
    pub fn id(&self) -> u64 {
        match self {
            Entry::Attempt(attempt) => attempt.id,
            Entry::Call(call) => call.id,
        }
    }
}

/// One attempt of a sender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The entry's id.
    pub id: u64,
    /// When it began.
    pub time: Timestamp,
    /// Who delivers.
    pub sender: Sender,
    /// The full name of the job, queue or subscription.
    pub resource: String,
    /// The run's schedule time, the task's short name, or the message's id.
    pub invocation: String,
    /// Which attempt at it, from 1.
    pub attempt: u32,
    /// What was sent, or would have been.
    pub request: Request,
    /// What came back.
    pub answer: Option<Answer>,
    /// Whether the sender counts it as done.
    pub acknowledged: bool,
    /// Whether it ran into the sender's deadline.
    pub timed_out: bool,
    /// From the first byte sent to the last one received, or until it failed.
    pub latency_ms: f64,
    /// What was done to it on purpose.
    pub faults: Vec<Fault>,
    /// Why there is no answer.
    pub error: Option<String>,
    /// When the sender tries again.
    pub next_retry: Option<Timestamp>,
    /// The entry whose delivery this repeats by hand.
    pub replay_of: Option<u64>,
}

/// A request as it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Names and values in order; of a token only its kind.
    pub headers: Vec<(String, String)>,
    /// The start of the body, [`SHOWN_BYTES`] at most; bytes that are no UTF-8 are replaced.
    pub body: String,
    /// The length of the whole body.
    pub body_bytes: usize,
}

/// What the receiver answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Those that a sender or a person acts on; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The start of the body, as in [`Request`].
    pub body: String,
}

/// A call that was only passed through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The entry's id.
    pub id: u64,
    /// When it came.
    pub time: Timestamp,
    /// The method.
    pub method: String,
    /// The path, its prefix included.
    pub url: String,
    /// What it was answered.
    pub status: u16,
}
