//! Ending processes as Cloud Run ends instances.

use std::{io, time::Duration};

use tokio::process::{Child, Command};

/// Cloud Run kills ten seconds after SIGTERM
/// (<https://cloud.google.com/run/docs/container-contract#instance-shutdown>).
pub(crate) const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Sends SIGTERM to a process that still runs.
///
/// # Errors
/// If there is no shell to send it.
pub(crate) async fn terminate(child: &mut Child) -> io::Result<()> {
    if let Some(id) = child.id() {
        // The shell's own: a bare machine has no program of that name.
        Command::new("sh").args(["-c", &format!("kill -TERM {id}")]).status().await?;
    }
    Ok(())
}
