//! Which running emulator a subcommand speaks to.

use emulator::{Error, RunningEmulator};

use super::{DEFAULT_URL, values};

/// Where it is.
#[derive(Debug, clap::Args)]
pub(super) struct At {
    /// The running emulator
    #[arg(
        long,
        value_name = "URL",
        alias = "issuer-url",
        default_value = DEFAULT_URL,
        value_parser = values::url
    )]
    pub(super) emulator_url: String,
}

impl At {
    /// A client of it.
    pub(super) fn emulator(&self) -> Result<RunningEmulator, Error> {
        RunningEmulator::at(&self.emulator_url)
    }
}
