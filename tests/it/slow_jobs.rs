//! A receiver whose jobs take as long as their payload says, for the tests of a whole process.

use std::{process::ExitCode, time::Duration};

use receiver::{invocation::Invocation, job_table::Jobs};

fn main() -> ExitCode {
    let mut jobs = Jobs::default();
    jobs.tasks("sleep", async |milliseconds: Invocation<u64>| {
        tracing::info!("begun");
        tokio::time::sleep(Duration::from_millis(milliseconds.payload)).await;
        Ok(())
    });
    jobs.tasks("block", async |_: Invocation<()>| {
        tracing::info!("begun");
        std::thread::sleep(Duration::from_secs(60));
        Ok(())
    });
    receiver::command::main(jobs)
}
