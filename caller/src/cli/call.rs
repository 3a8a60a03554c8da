//! `oidc-caller call`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use caller::{Audience, Client, Environment, IdTokenSource, audience_of, doubted};
use reqwest::{
    Method,
    header::{HeaderName, HeaderValue},
};
use serde_json::json;

use super::{
    credentials_args::CredentialsArgs,
    fault::Fault,
    meaning::{Asked, meaning},
    print,
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to call
    url: String,
    /// `aud` of the token; worked out from the URL unless it is given
    #[arg(long)]
    audience: Option<String>,
    #[command(flatten)]
    credentials: CredentialsArgs,
    /// The method; POST where there is a body, else GET
    #[arg(long, short = 'X', value_name = "METHOD")]
    request: Option<Method>,
    /// The body; @FILE reads it from a file, @- from standard input
    #[arg(long, short)]
    data: Option<String>,
    /// A header; may be given more than once
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// How long to wait for the whole answer, in seconds
    #[arg(long, default_value_t = 300)]
    timeout: u64,
}

pub(super) fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let expected = || "expected NAME: VALUE, such as Content-Type: application/json".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(expected)?;
    let name: HeaderName = name.trim().parse().map_err(|_| expected())?;
    let value = value.trim().parse().map_err(|_| expected())?;
    if name == reqwest::header::AUTHORIZATION {
        return Err("the token is put there; leave it out".to_owned());
    }
    Ok((name, value))
}

/// A body as the command line says it.
pub(super) fn body(data: Option<String>) -> Result<Option<Vec<u8>>, Fault> {
    let Some(data) = data else { return Ok(None) };
    let read = match data.strip_prefix('@') {
        None => return Ok(Some(data.into_bytes())),
        Some("-") => {
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::stdin(), &mut bytes).map(|_| bytes)
        }
        Some(path) => std::fs::read(path),
    };
    read.map(Some).map_err(|error| Fault::Usage(format!("the body {data} cannot be read: {error}")))
}

pub(super) async fn run(args: Args, json: bool) -> Result<ExitCode, Fault> {
    // Also where an audience is given: what is no URL is said to be none.
    let worked_out = audience_of(&args.url)?;
    let Audience { value: audience, doubt } = args.audience.map_or(worked_out, doubted);
    if let Some(doubt) = doubt {
        print::warn(&format!("of the audience {audience}: {doubt}"))?;
    }
    let body = body(args.data)?;
    let usual = if body.is_some() { Method::POST } else { Method::GET };
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(args.timeout))
        .build()
        .map_err(|error| caller::Error::Client(error.to_string()))?;
    let credentials = args.credentials.credentials(&Environment::read())?;
    let tokens = IdTokenSource::new(credentials);
    let client = Client::new(http, tokens.clone());
    let mut request = client.http().request(args.request.unwrap_or(usual), &args.url);
    request = request.headers(args.header.into_iter().collect());
    if let Some(body) = body {
        request = request.body(body);
    }
    let response = client.send(request, &audience).await?;
    let status = response.status();
    let url = response.url().to_string();
    let headers = response.headers().clone();
    let shown = args.url.split('?').next().unwrap_or_default().to_owned();
    let unread =
        |_| caller::Error::NoAnswer { url: shown, reason: "the answer broke off".to_owned() };
    let bytes = response.bytes().await.map_err(unread)?;
    let text = String::from_utf8_lossy(&bytes);
    let meaning = if status.is_success() {
        None
    } else {
        // The same one: it is remembered.
        let token = tokens.id_token(&audience).await?;
        let account =
            oidc::decode_unverified(token.as_str()).ok().and_then(|claims| claims.email.clone());
        let asked = Asked { url: &url, audience: &audience, account: account.as_deref() };
        meaning(&asked, status, &headers, &text)
    };
    if json {
        print::object(&json!({"status": status.as_u16(), "meaning": meaning, "body": text}))?;
    } else {
        io::stdout().write_all(&bytes)?;
        if !status.is_success() {
            let meaning = meaning.map(|meaning| format!(": {meaning}")).unwrap_or_default();
            writeln!(io::stderr(), "oidc-caller: the answer is {status}{meaning}")?;
        }
    }
    Ok(if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
