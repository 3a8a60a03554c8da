//! `emulator replay`.

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
};

use emulator::{Error, history::Entry};

use super::{at::At, color::Color, history::line};

/// Which delivery.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The attempt's id in the history
    id: u64,
    #[command(flatten)]
    at: At,
    /// Colours; auto means on a terminal
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let entry = args.at.emulator()?.replay(args.id).await?;
    let mut out = stdout();
    writeln!(out, "{}", line(&entry, args.color.is_on(&out)))?;
    let is_done = matches!(&entry, Entry::Attempt(attempt) if attempt.acknowledged);
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
