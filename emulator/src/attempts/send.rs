//! One request of an attempt, and its entry in the history.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::Timestamp;

use super::{End, Order, retry_after};
use crate::{
    error::Error,
    faults::Fault,
    fire::{Answer, Pace, Parcel},
    google::Google,
    history::{self, EntryId, Made, Start},
};

/// What goes out.
pub(super) struct Sending {
    pub(super) order: Arc<Order>,
    pub(super) token: Option<Arc<str>>,
    /// What goes out in the place of the order's body.
    pub(super) spoilt_body: Option<Bytes>,
    pub(super) faults: Vec<Fault>,
    /// The entry that is repeated by hand.
    pub(super) replay_of: Option<EntryId>,
}

/// Why there is no answer.
struct NoAnswer {
    reason: String,
    timed_out: bool,
}

impl Google {
    /// Sends it, waits for the answer, and keeps both.
    pub(super) async fn send(&self, sending: &Sending) -> End {
        let at = self.clock.now();
        let began = Instant::now();
        let answered = self.answer_to(sending).await;
        self.ended(sending, at, began.elapsed(), answered)
    }

    /// The end of what was not even sent.
    pub(super) fn not_sent(&self, sending: &Sending, reason: String) -> End {
        let answered = Err(NoAnswer { reason: format!("not sent: {reason}"), timed_out: false });
        self.ended(sending, self.clock.now(), Duration::ZERO, answered)
    }

    async fn answer_to(&self, sending: &Sending) -> Result<Answer, NoAnswer> {
        let Sending { order, token, spoilt_body, faults, .. } = sending;
        let is_slow = faults.contains(&Fault::SlowBody);
        let parcel = Parcel {
            url: &order.url,
            delivery: &order.delivery,
            token: token.as_deref(),
            pass: self.run.pass(&order.url),
            body: spoilt_body.as_ref().unwrap_or(&order.delivery.body).clone(),
            pace: if is_slow { Pace::Trickled } else { Pace::AtOnce },
            deadline: order.deadline,
        };
        let courier = &self.attempts.courier;
        let failed = |fault| NoAnswer::of(fault, order.deadline);
        if faults.contains(&Fault::HangUp) {
            courier.send_and_hang_up(parcel).await.map_err(failed)?;
            let reason = "hung up before the answer, as the fault says".to_owned();
            return Err(NoAnswer { reason, timed_out: false });
        }
        courier.send(parcel).await.map_err(failed)
    }

    fn ended(
        &self,
        sending: &Sending,
        at: Timestamp,
        took: Duration,
        answered: Result<Answer, NoAnswer>,
    ) -> End {
        let token = sending.token.as_deref();
        let (answer, failure) = match answered {
            Ok(answer) => (Some(answer), None),
            Err(failure) => (None, Some(failure)),
        };
        let status = answer.as_ref().map(|answer| answer.status);
        let acknowledged = answer.as_ref().is_some_and(|answer| answer.acknowledged);
        let asked = answer.as_ref().and_then(|answer| answer.header("retry-after"));
        let retry_after = asked.and_then(|value| retry_after::parse(value, Timestamp::now()));
        let timed_out = failure.as_ref().is_some_and(|failure| failure.timed_out);
        let entry = self.history.made(Made {
            at,
            order: Arc::clone(&sending.order),
            token: token.map(history::redacted),
            spoilt_body: sending.spoilt_body.as_deref().map(Start::of),
            answer: answer.map(|answer| history::answer(answer, token)),
            acknowledged,
            timed_out,
            took,
            faults: sending.faults.clone(),
            error: failure.map(|failure| failure.reason),
            replay_of: sending.replay_of,
        });
        End { status, timed_out, acknowledged, retry_after, took, entry }
    }
}

impl NoAnswer {
    fn of(fault: Error, deadline: Duration) -> NoAnswer {
        match fault {
            Error::NoAnswer { timed_out: true, .. } => NoAnswer {
                reason: format!("no answer within {} s", deadline.as_secs_f64()),
                timed_out: true,
            },
            fault => NoAnswer { reason: fault.to_string(), timed_out: false },
        }
    }
}
