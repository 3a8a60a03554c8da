//! One attempt of a sender, from the token to the answer, and its place in the history.

#[cfg(test)]
pub(crate) mod recorder;
mod retry_after;
mod send;
mod spoil;

use std::{sync::Arc, time::Duration};

use self::send::Sending;
use crate::{
    api::error::ApiError,
    error::Error,
    faults::Fault,
    fire::Courier,
    google::Google,
    history::{Entry, EntryId},
    senders::Delivery,
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
    ///
    /// Where there is no token to be had, nothing is sent: that is an attempt without an answer, and the history says
    /// why. Where a fault delivers twice, the end is that of the delivery that was acknowledged, or of the first.
    pub(crate) async fn attempt(self: &Arc<Self>, order: Order) -> End {
        self.make(Arc::new(order), None).await
    }

    /// Makes the delivery of an entry again, as a sender would make it now, and answers the new entry.
    ///
    /// # Errors
    /// 404 if there is no such entry (any more), 400 if it is no attempt.
    pub(crate) async fn replay(self: &Arc<Self>, id: EntryId) -> Result<Entry, ApiError> {
        let (google, order) = (Arc::clone(self), self.history.order(id)?);
        // What is delivered belongs into the history, whoever waits for it.
        let making = async move { google.make(order, Some(id)).await };
        let end = self.see_through("makes the delivery", making).await?;
        let entry = self.history.entry(end.entry);
        entry.ok_or_else(|| ApiError::not_found("The replay, forgotten already,"))
    }

    async fn make(&self, order: Arc<Order>, replay_of: Option<EntryId>) -> End {
        let mut sending =
            Sending { order, token: None, spoilt_body: None, faults: Vec::new(), replay_of };
        if let Err(reason) = self.prove(&mut sending).await {
            return self.not_sent(&sending, reason);
        }
        sending.faults = self.faults.take(&sending.order);
        if sending.faults.is_empty() {
            let end = self.send(&sending).await;
            self.faults.ended(sending.order.delivery.sender, &[], &self.authority);
            return end;
        }
        let end = self.make_with_faults(&mut sending).await;
        self.faults.ended(sending.order.delivery.sender, &sending.faults, &self.authority);
        end
    }

    /// Gets the token that the sender presents, if it is told to present one.
    async fn prove(&self, sending: &mut Sending) -> Result<(), String> {
        if let Some(auth) = &sending.order.auth {
            let sender = sending.order.delivery.sender;
            sending.token = Some(self.token_for(sender, auth).await?);
        }
        Ok(())
    }

    async fn make_with_faults(&self, sending: &mut Sending) -> End {
        let has = |sending: &Sending, fault| sending.faults.contains(&fault);
        if has(sending, Fault::Reorder) {
            self.faults.hold_back(sending.order.delivery.sender).wait().await;
        }
        if let Err(reason) = self.spoil(sending).await {
            return self.not_sent(sending, reason);
        }
        let mut end = if has(sending, Fault::ConcurrentDuplicate) {
            let (first, second) = tokio::join!(self.send(sending), self.send(sending));
            first.or_acknowledged(second)
        } else {
            self.send(sending).await
        };
        if has(sending, Fault::Duplicate) {
            end = end.or_acknowledged(self.send(sending).await);
        }
        end
    }
}

impl End {
    /// What a sender makes of two deliveries of the same: done, if either is.
    fn or_acknowledged(self, second: End) -> End {
        if second.acknowledged && !self.acknowledged { second } else { self }
    }
}

#[cfg(test)]
mod tests;
