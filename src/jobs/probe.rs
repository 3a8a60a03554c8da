//! No example: what a deployment asks of a new revision before any traffic moves to it.

use crate::{invocation::Invocation, outcome::JobError};

/// Does nothing. Whoever gets 204 at `/scheduler/probe` knows that the revision listens, has keys, lets its caller
/// in, runs jobs and records them.
pub(super) async fn run(_: Invocation<()>) -> Result<(), JobError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::senders::Sender;

    #[tokio::test]
    async fn a_probe_succeeds() {
        assert_eq!(run(Invocation::sample(Sender::Scheduler, ())).await, Ok(()));
    }
}
