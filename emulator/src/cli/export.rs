//! `emulator export`.

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
};

use emulator::Error;

use super::at::At;

/// From which emulator.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let document = args.at.emulator()?.export().await?;
    writeln!(stdout(), "{document:#}")?;
    Ok(ExitCode::SUCCESS)
}
