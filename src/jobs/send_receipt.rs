//! Example, from Cloud Tasks: retry or give up, with state that a closure captures.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Deserialize;

use crate::{invocation::Invocation, outcome::JobError};

/// The task's body: `{"order": "A-1001", "email": "ada@example.com"}`.
#[derive(Debug, Deserialize)]
pub(super) struct Receipt {
    order: String,
    email: String,
}

/// Sends the receipt. Each failure answers one question: should Google send this again?
pub(super) async fn run(receipt: Invocation<Receipt>, mailer: Arc<Mailer>) -> Result<(), JobError> {
    mailer.send(&receipt.payload).await.map_err(|error| match error {
        MailError::Unreachable => JobError::retry("the mail service cannot be reached"),
        MailError::Busy { retry_after } => {
            JobError::slow_down(retry_after, "the mail service is busy")
        }
        // The record must not hold the address, which belongs to a person.
        MailError::NoSuchAddress => JobError::give_up("the order's address is not an address"),
    })
}

/// Stands in for a mail service: it drops its connection on the order `retry-me` once, and is busy at
/// `slow-down`.
#[derive(Debug, Default)]
pub(super) struct Mailer {
    dropped: Mutex<BTreeSet<String>>,
}

#[derive(Debug)]
enum MailError {
    Unreachable,
    Busy { retry_after: Duration },
    NoSuchAddress,
}

impl Mailer {
    async fn send(&self, receipt: &Receipt) -> Result<(), MailError> {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        match receipt.order.as_str() {
            _ if !receipt.email.contains('@') => Err(MailError::NoSuchAddress),
            "slow-down" => Err(MailError::Busy { retry_after: Duration::from_secs(30) }),
            "retry-me" if dropped.insert(receipt.order.clone()) => Err(MailError::Unreachable),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::senders::Sender;

    async fn send(mailer: &Arc<Mailer>, order: &str, email: &str) -> Result<(), JobError> {
        let receipt = Receipt { order: order.to_owned(), email: email.to_owned() };
        let invocation = Invocation::sample(Sender::Tasks, receipt);
        run(invocation, Arc::clone(mailer)).await
    }

    #[tokio::test]
    async fn a_receipt_is_retried_while_that_can_help_and_given_up_when_it_cannot() {
        let mailer = Arc::default();
        assert_eq!(send(&mailer, "A-1001", "ada@example.com").await, Ok(()));
        assert!(matches!(
            send(&mailer, "retry-me", "ada@example.com").await,
            Err(JobError::Retry(_))
        ));
        assert_eq!(send(&mailer, "retry-me", "ada@example.com").await, Ok(()));
        assert!(matches!(
            send(&mailer, "slow-down", "ada@example.com").await,
            Err(JobError::SlowDown { .. })
        ));
        assert!(matches!(send(&mailer, "A-1002", "nowhere").await, Err(JobError::GiveUp(_))));
    }
}
