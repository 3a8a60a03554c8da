//! Ending processes as Cloud Run ends instances: the one, then all that it started.

use std::{io, process::Stdio, time::Duration};

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

/// The group that a process was made the leader of. All in it is killed when dropped, as what ends a container ends all
/// that is in it.
#[derive(Debug)]
pub(crate) struct Group(Option<u32>);

impl Group {
    /// Of a process that was started in a group of its own.
    pub(crate) fn of(leader: &Child) -> Group {
        Group(leader.id())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(leader) = self.0 else { return };
        // The shell's own, as above. Where nobody is left there is nothing to do.
        let mut kill = std::process::Command::new("sh");
        kill.args(["-c", &format!("kill -KILL -{leader}")]).stderr(Stdio::null());
        let _ = kill.status();
    }
}
