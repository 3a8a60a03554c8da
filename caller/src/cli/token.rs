//! `oidc-caller token`.

use std::process::ExitCode;

use caller::{Environment, IdTokenSource, doubted, explanation::in_words};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{credentials_args::CredentialsArgs, fault::Fault, print};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// `aud` of the token: what the service takes tokens for, character by character
    #[arg(long)]
    audience: String,
    #[command(flatten)]
    credentials: CredentialsArgs,
    /// Print what the token says, with times in words, instead of the token
    #[arg(long)]
    decode: bool,
}

pub(super) async fn run(args: Args, json: bool) -> Result<ExitCode, Fault> {
    if let Some(doubt) = doubted(args.audience.clone()).doubt {
        print::warn(&format!("of the audience: {doubt}"))?;
    }
    let credentials = args.credentials.credentials(&Environment::read())?;
    let token = IdTokenSource::new(credentials).id_token(&args.audience).await?;
    match (args.decode, json) {
        (false, false) => print::line(token.as_str())?,
        (false, true) => print::object(&json!({"token": token.as_str()}))?,
        (true, true) => print::object(&Value::Object(claims(token.as_str())))?,
        (true, false) => {
            for (name, value) in claims(token.as_str()) {
                print::line(&shown(&name, &value))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All of them, also those that nobody checks.
fn claims(token: &str) -> Map<String, Value> {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let payload = token.split('.').nth(1).unwrap_or_default();
    let json = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

fn shown(name: &str, value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let at = value.as_i64().filter(|_| matches!(name, "iat" | "exp" | "nbf"));
    match at.and_then(|secs| Some((secs, Timestamp::from_second(secs).ok()?))) {
        Some((secs, time)) => {
            let words = in_words(secs.unsigned_abs(), oidc::now_unix_secs());
            format!("{name:<14}  {time}, {words}")
        }
        None => format!("{name:<14}  {text}"),
    }
}
