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

/// Kills a group of processes by its leader's number, gone or not.
pub(crate) async fn kill_group(leader: Option<u32>) {
    if let Some(id) = leader {
        // Where there is nobody left the shell says so, which nobody needs to hear.
        let script = format!("kill -KILL -{id} 2>&-");
        let _ = Command::new("sh").args(["-c", &script]).status().await;
    }
}
