//! A receiver whose jobs take as long as their payload says, for the tests of a whole process.

use std::{process::ExitCode, time::Duration};

use receiver::{invocation::Invocation, job_table::Jobs};
use tracing::Instrument as _;

fn main() -> ExitCode {
    let mut jobs = Jobs::default();
    jobs.tasks("sleep", async |milliseconds: Invocation<u64>| {
        tracing::info!("begun");
        let asleep = tracing::info_span!("asleep", milliseconds = milliseconds.payload, round = 0);
        for round in 1..=2 {
            asleep.record("round", round);
        }
        let sleep = tokio::time::sleep(Duration::from_millis(milliseconds.payload));
        // Below LOG_LEVEL, so that it is no span.
        sleep.instrument(tracing::debug_span!("detail")).instrument(asleep).await;
        tracing::info!(long = "x".repeat(100_000), timestamp = 1, httpRequest = 2, "slept");
        Ok(())
    });
    jobs.tasks("block", async |_: Invocation<()>| {
        tracing::info!("begun");
        std::thread::sleep(Duration::from_secs(60));
        Ok(())
    });
    receiver::command::main(jobs)
}
