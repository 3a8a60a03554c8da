//! A process together with all that it started.

use std::process::{Command, Stdio};

use tokio::process::Child;

/// The group that a process was made the leader of. All in it is killed when dropped, as what ends a container ends all
/// that is in it.
#[derive(Debug)]
pub(super) struct Group(Option<u32>);

impl Group {
    /// Of a process that was started in a group of its own.
    pub(super) fn of(leader: &Child) -> Group {
        Group(leader.id())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(leader) = self.0 else { return };
        // The shell's own: a bare machine has no program of that name. Where nobody is left there is nothing to do.
        let mut kill = Command::new("sh");
        kill.args(["-c", &format!("kill -KILL -{leader}")]).stderr(Stdio::null());
        let _ = kill.status();
    }
}
