//! `emulator demo`.

use std::{io::stdout, path::PathBuf, process::ExitCode};

use emulator::Error;

use super::color::Color;

/// Which binary, and how to show it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The receiver's binary, with the bundled jobs
    #[arg(long, value_name = "PATH")]
    service: PathBuf,
    /// Colours; auto means on a terminal
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let mut out = stdout();
    let in_colour = args.color.is_on(&out);
    // Dropping the demonstration half-way takes the receiver with it.
    let is_clean = tokio::select! {
        ended = emulator::demo::run(&args.service, in_colour, &mut out) => ended?,
        signalled = super::stopped() => {
            signalled?;
            false
        }
    };
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
