//! `emulator token`.

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
};

use clap::ValueEnum;
use emulator::{Error, RunningIssuer, SigningKey, forgery};
use serde_json::Value;

use super::{at::At, name_value};

/// What the token says and what is wrong with it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `aud` of the token: the receiver's AUDIENCE, character by character
    #[arg(long)]
    audience: String,
    /// The service account that the token is of
    #[arg(long)]
    email: String,
    #[command(flatten)]
    at: At,
    /// Set a claim; what is not JSON is taken as a string, unless it begins with [, { or "; may be given more than once
    #[arg(long, value_name = "NAME=JSON", value_parser = name_value::json)]
    claim: Vec<(String, Value)>,
    /// Leave a claim out; may be given more than once
    #[arg(long, value_name = "CLAIM")]
    without: Vec<String>,
    /// Set a field of the token's header, as --claim does; null leaves it out; may be given more than once
    #[arg(long, value_name = "NAME=JSON", value_parser = name_value::json)]
    header: Vec<(String, Value)>,
    /// Issued two hours ago
    #[arg(long)]
    expired: bool,
    /// Spoil the signature
    #[arg(long)]
    signature: Option<Signature>,
}

/// What is wrong with the signature.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Signature {
    /// Replaced by the marker that Cloud Run leaves
    Removed,
    /// `alg: none` and an empty signature
    None,
    /// Made with a key that is not published
    WrongKey,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let issuer = RunningIssuer::at(&args.at.emulator_url)?;
    let mut token = issuer.id_token(&args.audience, &args.email).await?;
    if args.expired {
        token = token.aged(7200);
    }
    for (name, value) in args.claim {
        token = token.claim(&name, value);
    }
    for name in &args.without {
        token = token.without(name);
    }
    if matches!(args.signature, Some(Signature::None)) {
        token = token.header("alg", "none");
    }
    for (name, value) in args.header {
        token = token.header(&name, value);
    }
    let signed = issuer.sign(&token).await?;
    let printed = match args.signature {
        None => signed,
        Some(Signature::Removed) => forgery::strip_signature(&signed),
        Some(Signature::None) => forgery::empty_signature(&signed),
        Some(Signature::WrongKey) => forgery::sign_again(&signed, &SigningKey::generate()?)?,
    };
    writeln!(stdout(), "{printed}")?;
    Ok(ExitCode::SUCCESS)
}
