//! Example, from Cloud Scheduler: a run that is told nothing but when it was due.

use crate::{invocation::Invocation, outcome::JobError};

/// Builds the report of the day that the run was due on.
pub(super) async fn run(report: Invocation<()>) -> Result<(), JobError> {
    // Not today's date: a run that was retried past midnight still reports on its own day.
    let day = report.first_due.unwrap_or(report.received).strftime("%Y-%m-%d").to_string();
    tracing::info!(day, "report built");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::senders::Sender;

    #[tokio::test]
    async fn a_report_is_built_for_the_day_that_it_was_due_on() {
        assert_eq!(run(Invocation::sample(Sender::Scheduler, ())).await, Ok(()));
    }
}
