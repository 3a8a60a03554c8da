//! `oidc-caller verify`.

use std::{
    io::{self, Read as _},
    path::Path,
    process::ExitCode,
};

use caller::explanation::{Check, Explanation, Finding, explain};
use oidc::{Callers, Policy, Profile, Verifier};
use serde_json::json;

use super::{fault::Fault, print};

/// More than any token has, so that what is too long is said to be.
const MOST_BYTES: u64 = 64 << 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The token; - or nothing reads it from standard input, so that it stays out of the shell's history
    #[arg(default_value = "-", hide_default_value = true)]
    token: String,
    /// An audience that the receiver accepts (its AUDIENCE); may be given more than once
    #[arg(long, required = true)]
    audience: Vec<String>,
    /// An account that may call (one of its …_CALLERS), by email or numeric id; may be given more than once
    #[arg(long = "caller", value_name = "ACCOUNT", required = true)]
    callers: Vec<String>,
    /// The issuer, where it is an emulator
    #[arg(long, env = "OIDC_ISSUER", hide_env_values = true)]
    issuer: Option<String>,
    /// Where the issuer's keys are, where it is an emulator
    #[arg(long, env = "OIDC_KEYS_URL", hide_env_values = true)]
    keys_url: Option<String>,
}

pub(super) async fn run(args: Args, json: bool) -> Result<ExitCode, Fault> {
    let usage = |error: oidc::PolicyError| Fault::Usage(error.to_string());
    let callers = Callers::parse(&args.callers).map_err(usage)?;
    let policy = Policy::new(args.audience.clone(), callers).map_err(usage)?;
    let mut profile = Profile::google();
    if let Some(issuer) = args.issuer.filter(|issuer| !issuer.is_empty()) {
        profile = profile.with_issuer(issuer);
    }
    if let Some(url) = args.keys_url.filter(|url| !url.is_empty()) {
        profile = profile.with_keys_url(url);
    }
    let token = token(&args.token)?;
    let verifier = Verifier::new(profile.clone());
    let explanation = explain(&verifier, &profile, &token, &policy).await;
    let behind_secs = match explanation.reason {
        Some("expired" | "not_yet_valid") => caller::clock::behind_secs(profile.keys_url()).await,
        _ => None,
    };
    print(&explanation, behind_secs, json)?;
    Ok(if explanation.accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The token as it was meant: people paste the whole header, too.
fn token(argument: &str) -> Result<String, Fault> {
    let text = if argument == "-" {
        let mut text = String::new();
        io::stdin().take(MOST_BYTES).read_to_string(&mut text)?;
        text
    } else {
        argument.to_owned()
    };
    let text = text.trim();
    if text.is_empty() {
        let expected = "expected an ID token on standard input: oidc-caller token --audience AUDIENCE | oidc-caller verify …";
        return Err(Fault::Usage(format!("there is no token; {expected}")));
    }
    if !text.contains("eyJ") && Path::new(text).is_file() {
        return Err(Fault::Usage(format!(
            "{text} is a file, not a token; give its content: oidc-caller verify … < {text}"
        )));
    }
    let token = text.split_once("earer ").map_or(text, |(_, token)| token);
    Ok(token.trim().to_owned())
}

fn print(explanation: &Explanation, behind_secs: Option<i64>, json: bool) -> io::Result<()> {
    let clock = behind_secs.map(|secs| {
        format!("this machine's clock is {} that of the keys' server", caller::clock::off(secs))
    });
    if json {
        let checks: Vec<_> = explanation
            .checks
            .iter()
            .map(|(check, finding)| {
                let mut object = json!(finding);
                object["check"] = json!(check);
                object
            })
            .collect();
        return print::object(&json!({
            "accepted": explanation.accepted,
            "reason": explanation.reason,
            "checks": checks,
            "hint": explanation.hint,
            "clock": clock,
        }));
    }
    for (check, finding) in &explanation.checks {
        print::line(&line(*check, finding))?;
    }
    for note in [&explanation.hint, &clock].into_iter().flatten() {
        print::line(&format!("hint: {note}"))?;
    }
    match explanation.reason {
        None => print::line("accepted"),
        Some(reason) => print::line(&format!("refused: {reason}")),
    }
}

fn line(check: Check, finding: &Finding) -> String {
    let name = name(check);
    match finding {
        Finding::Passed { found } => format!("passed   {name:<15} {found}"),
        Finding::NotReached => format!("-        {name:<15} cannot be told"),
        Finding::Failed { reason, found, expected, remedy } => {
            let found = found.as_ref().map(|found| format!("found {found}, ")).unwrap_or_default();
            let expected =
                expected.as_ref().map(|one| format!("expected {one}: ")).unwrap_or_default();
            format!("FAILED   {name:<15} {reason}: {found}{expected}{remedy}")
        }
    }
}

fn name(check: Check) -> &'static str {
    match check {
        Check::Form => "form",
        Check::SignatureLeft => "signature left",
        Check::Header => "header",
        Check::Claims => "claims",
        Check::Issuer => "issuer",
        Check::Key => "key",
        Check::Signature => "signature",
        Check::Audience => "audience",
        Check::Times => "times",
        Check::Caller => "caller",
    }
}
