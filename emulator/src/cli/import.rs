//! `emulator import`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use emulator::Error;

use super::at::At;

/// What to import, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What `emulator export` printed
    file: PathBuf,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    args.at.emulator()?.import(read(&args.file)?).await?;
    Ok(ExitCode::SUCCESS)
}

/// The document in a file.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path)
        .map_err(|source| Error::File { path: path.display().to_string(), source })
}
