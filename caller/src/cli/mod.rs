//! The command line: what can be asked for, one file per subcommand.

mod call;
mod credentials_args;
mod enqueue;
mod fault;
mod meaning;
mod print;
mod token;
mod verify;

use std::{
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use fault::Fault;

/// Obtains Google ID tokens, explains them, calls with them, and enqueues Cloud Tasks that carry them.
#[derive(Debug, Parser)]
#[command(name = "oidc-caller", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON object, also of what went wrong.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print an ID token, or with --decode what it says.
    Token(token::Args),
    /// Say what a receiver makes of a token: every check, what was found and what to do; exit 0 only if it would accept it.
    Verify(verify::Args),
    /// Send a request with an ID token; exit 0 only if it is answered with 2xx.
    Call(call::Args),
    /// Create a Cloud Task whose deliveries carry an ID token, and print its name.
    Enqueue(enqueue::Args),
    /// Print a shell's completions: source <(oidc-caller completions bash).
    Completions {
        /// Which shell's.
        shell: Shell,
    },
}

/// Does what the command line says.
pub(crate) fn main() -> ExitCode {
    let Cli { command, json } = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(run(command, json));
            // A look-up of a name that nobody waits for any more must not hold up the end.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Fault::System(error)),
    };
    match ended {
        Ok(code) => code,
        // Whoever reads has read enough, as `head` does.
        Err(Fault::System(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(fault) => fault.say(json),
    }
}

async fn run(command: Command, json: bool) -> Result<ExitCode, Fault> {
    match command {
        Command::Token(args) => token::run(args, json).await,
        Command::Verify(args) => verify::run(args, json).await,
        Command::Call(args) => call::run(args, json).await,
        Command::Enqueue(args) => enqueue::run(args, json).await,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "oidc-caller", &mut text);
            io::stdout().write_all(&text)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
