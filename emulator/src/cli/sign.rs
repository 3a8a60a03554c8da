//! `emulator sign`.

use std::{
    io::{Write as _, stdout},
    net::SocketAddr,
    process::ExitCode,
};

use emulator::{
    Error, Issuer, RunningIssuer,
    sign::{Proxy, Target},
};

use super::values;

/// What to sign and where to send it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The receiver's base URL; path and query of each request are put behind it
    #[arg(long, value_name = "URL", value_parser = values::url)]
    forward: String,
    /// `aud` of the token: the receiver's AUDIENCE, character by character
    #[arg(long)]
    audience: String,
    /// The service account that the token is of
    #[arg(long)]
    email: String,
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        value_name = "IP:PORT",
        default_value = "127.0.0.1:0",
        value_parser = values::address
    )]
    listen: SocketAddr,
    /// A running emulator, which signs [default: keys of its own, served on --port]
    #[arg(
        long,
        value_name = "URL",
        alias = "issuer-url",
        conflicts_with = "port",
        value_parser = values::url
    )]
    emulator_url: Option<String>,
    /// Port on 127.0.0.1 to serve its own keys on
    #[arg(long, default_value_t = super::DEFAULT_PORT)]
    port: u16,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let own = match &args.emulator_url {
        Some(_) => None,
        None => Some(Issuer::start(args.port).await?),
    };
    let issuer_url = match (&own, args.emulator_url) {
        (Some(own), _) => own.url(),
        (None, given) => given.unwrap_or_default(),
    };
    let target = Target { forward_url: args.forward, audience: args.audience, email: args.email };
    let forward_url = target.forward_url.clone();
    let proxy = Proxy::start(args.listen, target, RunningIssuer::at(&issuer_url)?).await?;
    writeln!(
        stdout(),
        "listening on {}, passing on to {forward_url} with tokens of {issuer_url}",
        proxy.url()
    )?;
    super::stopped().await?;
    proxy.stop().await;
    Ok(ExitCode::SUCCESS)
}
