//! Beside Google's own client for Python, which `scripts/peers` installs: the same tokens from the same key file, and a
//! second opinion on forty others.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use caller::{Credentials, IdTokenSource};
use emulator::{Account, IdToken, Issuer, SigningKey, forgery};
use serde_json::{Map, Value, json};

use crate::{
    lab::{CALLER, Lab, OTHER, Ran},
    verify::AUDIENCE,
};

/// The Python that has google-auth, if it is installed.
#[expect(clippy::print_stderr, reason = "whoever runs the suite must see that this was skipped")]
fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/python/bin/python");
    if !python.exists() {
        eprintln!("skipped: Google's client for Python is not installed (scripts/peers)");
        return None;
    }
    Some(python)
}

async fn run(python: &Path, program: &str, arguments: &[&str], input: String) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/google_auth");
    let mut command = Command::new(python);
    command.arg(folder.join(program)).args(arguments);
    Ran::of(command, input).await.ok()
}

fn claims(token: &str) -> Map<String, Value> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_gives_google_auth_and_this_the_same_token_claim_for_claim() {
    let Some(python) = python() else { return };
    let lab = Lab::start().await;
    let key_file = lab.key_file(CALLER).await;
    let arguments = [key_file.to_str().unwrap(), AUDIENCE];
    let theirs = run(&python, "fetch.py", &arguments, String::new());
    let mut theirs = claims(&theirs.await);
    let tokens = IdTokenSource::new(Credentials::key_file(&key_file).unwrap());
    let mut ours = claims(tokens.id_token(AUDIENCE).await.unwrap().as_str());
    for times in [&mut theirs, &mut ours] {
        let time = |name: &str| times[name].as_i64().unwrap();
        assert_eq!(time("exp") - time("iat"), 3600);
        times.retain(|name, _| !["iat", "exp"].contains(&name.as_str()));
    }
    assert_eq!(ours, theirs);
    assert_eq!(ours["email"], CALLER);
}

/// The tokens that the two judge differently, and why: google-auth has no such check, or has it otherwise.
const DIFFERENCES: [(&str, &str); 17] = [
    ("of another caller", "google-auth leaves the account to whoever calls it"),
    ("with an email that nobody vouches for", "google-auth leaves the account to whoever calls it"),
    ("without email_verified", "google-auth leaves the account to whoever calls it"),
    ("without an email", "google-auth leaves the account to whoever calls it"),
    ("of another issuer", "verify_token does not look at iss; verify_oauth2_token does"),
    ("without an issuer", "verify_token does not look at iss"),
    ("signed as by its own account", "verify_token does not look at iss"),
    ("without a subject", "google-auth asks for iat and exp alone"),
    ("with a subject that is a number", "google-auth asks for iat and exp alone"),
    ("valid for two days", "google-auth has no longest lifetime"),
    ("not before tomorrow", "google-auth does not look at nbf"),
    ("with a key of its own", "google-auth passes the header's jwk over"),
    ("with a key's URL", "google-auth passes the header's jku over"),
    ("with crit", "google-auth passes crit over, which RFC 7515 has refused"),
    ("without a key id", "google-auth then tries each key"),
    ("expired twenty seconds ago", "google-auth has no leeway; here clocks may be 30 s apart"),
    ("issued in twenty seconds", "google-auth has no leeway; here clocks may be 30 s apart"),
];

/// Each with what it is, whether this verifier lets it in, and the token.
fn tokens(issuer: &Issuer) -> Vec<(&'static str, bool, String)> {
    let whole = || issuer.id_token(AUDIENCE, CALLER);
    let sign = |token: IdToken| issuer.sign(&token).unwrap();
    let good = sign(whole());
    let now = i64::try_from(oidc::now_unix_secs()).unwrap();
    let stranger = SigningKey::generate().unwrap();
    let foreign = |token: IdToken| forgery::sign_again(&sign(token), &stranger).unwrap();
    let account = Account::new(CALLER);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let spoilt_payload = format!("{}x.{signature}", head);
    let claim = |name: &str, value: Value| sign(whole().claim(name, value));
    let header = |name: &str, value: Value| sign(whole().header(name, value));
    vec![
        ("whole", true, good.clone()),
        ("whole, of the issuer's other spelling", true, claim("iss", json!("accounts.google.com"))),
        ("whole, with a claim more", true, claim("google", json!({"a": 1}))),
        ("whole, issued half an hour ago", true, sign(whole().aged(1800))),
        ("whole, with typ and x5t in its header", true, header("x5t", json!("dGh1bWI"))),
        ("whole, without azp", true, sign(whole().without("azp"))),
        ("of another caller", false, issuer.token(AUDIENCE, OTHER).unwrap()),
        ("with an email that nobody vouches for", false, claim("email_verified", json!(false))),
        ("without email_verified", false, sign(whole().without("email_verified"))),
        ("without an email", false, sign(whole().without("email"))),
        ("of another issuer", false, claim("iss", json!("https://issuer.example"))),
        ("without an issuer", false, sign(whole().without("iss"))),
        ("signed as by its own account", false, sign(whole().self_signed(&account))),
        ("without a subject", false, sign(whole().without("sub"))),
        ("with a subject that is a number", false, claim("sub", json!(7))),
        ("valid for two days", false, claim("exp", json!(now + 172_800))),
        ("not before tomorrow", false, claim("nbf", json!(now + 86_400))),
        ("with a key of its own", false, header("jwk", json!({"kty": "RSA"}))),
        ("with a key's URL", false, header("jku", json!("https://a.example/keys"))),
        ("with crit", false, header("crit", json!(["exp"]))),
        ("without a key id", false, sign(whole().without_header("kid"))),
        ("for a list of audiences with ours", false, claim("aud", json!([AUDIENCE, "b"]))),
        ("expired twenty seconds ago", true, sign(whole().aged(3620))),
        ("issued in twenty seconds", true, sign(whole().aged(-20))),
        ("expired", false, sign(whole().aged(7200))),
        ("from tomorrow", false, sign(whole().aged(-86_400))),
        ("without an end", false, sign(whole().without("exp"))),
        ("without a beginning", false, sign(whole().without("iat"))),
        ("for another audience", false, issuer.token("https://b.example", CALLER).unwrap()),
        ("for ours with a slash", false, issuer.token(&format!("{AUDIENCE}/"), CALLER).unwrap()),
        ("without an audience", false, sign(whole().without("aud"))),
        ("for a list of others", false, claim("aud", json!(["a", "b"]))),
        ("signed by a stranger", false, foreign(whole())),
        ("of a key that is not published", false, header("kid", json!("another"))),
        ("stripped of its signature", false, forgery::strip_signature(&good)),
        ("with an empty signature", false, forgery::empty_signature(&good)),
        ("unsigned, as alg none", false, whole().unsigned().unwrap()),
        ("with one letter more in its payload", false, spoilt_payload),
        ("an access token", false, "ya29.a0AfB_example".to_owned()),
        ("two segments", false, head.to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[expect(
    clippy::print_stderr,
    reason = "the table of differences is what whoever runs it wants to see"
)]
async fn google_auth_agrees_on_forty_tokens_wherever_it_checks_the_thing_at_all() {
    let Some(python) = python() else { return };
    let lab = Lab::start().await;
    let issuer = Issuer::start_as(0, "https://accounts.google.com").await.unwrap();
    let tokens = tokens(&issuer);
    assert_eq!(tokens.len(), 40);
    let lines: String = tokens.iter().map(|(_, _, token)| format!("{token}\n")).collect();
    let arguments = [&*issuer.certificates_url(), AUDIENCE];
    let theirs = run(&python, "verify.py", &arguments, lines).await;
    let theirs: Vec<bool> = theirs.lines().map(|line| line == "accepted").collect();
    assert_eq!(theirs.len(), 40);

    let keys_url = issuer.keys_url();
    let mut differences = Vec::new();
    for ((about, is_good, token), theirs) in tokens.iter().zip(theirs) {
        let arguments =
            ["verify", "--audience", AUDIENCE, "--caller", CALLER, "--keys-url", &keys_url];
        let changes = [("OIDC_ISSUER", ""), ("OIDC_KEYS_URL", "")];
        let ours = lab.run_with(&changes, &arguments, token).await.code == Some(0);
        assert_eq!(ours, *is_good, "{about}");
        if ours != theirs {
            differences.push(*about);
        }
    }
    let explained: Vec<&str> = DIFFERENCES.iter().map(|(about, _)| *about).collect();
    for (about, why) in DIFFERENCES.iter().filter(|(about, _)| differences.contains(about)) {
        eprintln!("{about:<40} {why}");
    }
    assert_eq!(differences, explained);
}
