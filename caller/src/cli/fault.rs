//! What ends the program: one line on standard error, and an exit code.

use std::{io, io::Write as _, process::ExitCode};

use serde_json::json;

/// `EX_USAGE` of sysexits.h: what was asked for cannot be, and asking again will not help.
const EXIT_USAGE: u8 = 64;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Call(#[from] caller::Error),
    #[error(transparent)]
    Enqueue(#[from] caller::EnqueueError),
    #[error("{0}")]
    System(#[from] io::Error),
}

impl Fault {
    /// Says it where it was asked for: JSON is what the command prints, a line is what it complains of.
    pub(super) fn say(&self, json: bool) -> ExitCode {
        let line = self.to_string();
        // Nowhere is left to complain to where these are closed.
        let _ = if json {
            writeln!(io::stdout(), "{}", json!({"error": line}))
        } else {
            writeln!(io::stderr(), "oidc-caller: {line}")
        };
        match self {
            Fault::Usage(_) => ExitCode::from(EXIT_USAGE),
            _ => ExitCode::FAILURE,
        }
    }
}
