//! `emulator serve`.

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
};

use emulator::{Error, Issuer};

/// What to serve.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = super::DEFAULT_PORT)]
    port: u16,
    /// `iss` of the tokens [default: the server's own URL]
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let issuer = match &args.issuer {
        Some(name) => Issuer::start_as(args.port, name).await?,
        None => Issuer::start(args.port).await?,
    };
    writeln!(
        stdout(),
        "issuing as {} on {}, keys at {}",
        issuer.name(),
        issuer.url(),
        issuer.keys_url()
    )?;
    super::stopped().await?;
    issuer.stop().await;
    Ok(ExitCode::SUCCESS)
}
