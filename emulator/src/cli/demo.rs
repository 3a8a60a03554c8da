//! `emulator demo`.

use std::{
    io::{IsTerminal as _, stdout},
    path::PathBuf,
    process::ExitCode,
};

use clap::ValueEnum;
use emulator::Error;

/// Which receiver, and how to show it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The receiver's binary, with the bundled jobs
    #[arg(long, value_name = "PATH")]
    receiver: PathBuf,
    /// Colours; auto means on a terminal
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let mut out = stdout();
    let in_colour = match args.color {
        Color::Auto => out.is_terminal(),
        Color::Always => true,
        Color::Never => false,
    };
    // Dropping the demonstration half-way takes the receiver with it.
    let is_clean = tokio::select! {
        ended = emulator::demo::run(&args.receiver, in_colour, &mut out) => ended?,
        signalled = super::stopped() => {
            signalled?;
            false
        }
    };
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
