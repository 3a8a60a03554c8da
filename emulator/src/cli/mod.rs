//! The command line: what can be asked for, one file per subcommand.

mod demo;
mod fire;
mod name_value;
mod serve;
mod sign;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use emulator::Error;

/// Where `emulator serve` listens unless told otherwise.
const DEFAULT_PORT: u16 = 8800;

/// The URL of [`DEFAULT_PORT`].
const DEFAULT_ISSUER_URL: &str = "http://127.0.0.1:8800";

/// Google's side on a laptop: signs ID tokens, serves the keys, delivers as Google's senders do.
#[derive(Debug, Parser)]
#[command(name = "emulator", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the keys and sign tokens until stopped.
    Serve(serve::Args),
    /// Print a token that a running emulator signs, whole or spoilt.
    Token(token::Args),
    /// Send one delivery as a sender does; exit 0 only if the sender would count it as done.
    Fire(Box<fire::Args>),
    /// Pass requests on to a receiver with a valid token added.
    Sign(sign::Args),
    /// Start a receiver, deliver everything to it, and check every record.
    Demo(demo::Args),
}

impl Cli {
    /// Does what was asked.
    pub(crate) async fn run(self) -> Result<ExitCode, Error> {
        match self.command {
            Command::Serve(args) => serve::run(args).await,
            Command::Token(args) => token::run(args).await,
            Command::Fire(args) => fire::run(*args).await,
            Command::Sign(args) => sign::run(args).await,
            Command::Demo(args) => demo::run(args).await,
        }
    }
}

/// Returns on Ctrl-C or SIGTERM.
async fn stopped() -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(DEFAULT_ISSUER_URL.ends_with(&format!(":{DEFAULT_PORT}")));
    }
}
