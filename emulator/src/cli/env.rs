//! `emulator env`.

use std::{
    env::temp_dir,
    io::{Write as _, stdout},
    process::ExitCode,
};

use emulator::{Environment, Error, Project};

use super::at::At;

/// Of which emulator.
///
/// What clap shows below the options is said once: gcloud itself does not say which credentials it went by.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "gcloud then has a configuration of its own, and is the project's owner. To have it use a \
                        service account's key file instead: unset CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"
)]
pub(crate) struct Args {
    #[command(flatten)]
    at: At,
    /// Its project's id [default: asks it; with this it need not run yet]
    #[arg(long, value_name = "ID")]
    project: Option<String>,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let environment = match args.project {
        Some(id) => {
            let url = args.at.emulator_url.trim_end_matches('/').to_owned();
            let project = Project { id, ..Project::default() };
            Environment { issuer: url.clone(), url, project }
        }
        None => args.at.emulator()?.environment().await?,
    };
    stdout().write_all(environment.exports(&temp_dir()).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
