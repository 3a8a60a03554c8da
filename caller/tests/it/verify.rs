//! What `oidc-caller verify` says of each token that a receiver would refuse, and of those that it would not.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use emulator::{Issuer, SigningKey, forgery};
use oidc::Reason;
use serde_json::{Value, json};

use crate::lab::{CALLER, Lab, OTHER, Ran};

pub(crate) const AUDIENCE: &str = "https://receiver-123456789012.us-central1.run.app";

/// The command with what a receiver of this audience and caller is told.
async fn verify(lab: &Lab, issuer: &Issuer, token: &str, more: &[&str]) -> Ran {
    let keys_url = issuer.keys_url();
    let mut arguments = vec!["verify", "--audience", AUDIENCE, "--caller", CALLER];
    arguments.extend(["--issuer", issuer.name(), "--keys-url", &keys_url]);
    arguments.extend(more);
    lab.run(&arguments, token).await
}

/// One token for each reason for which the guard refuses one, with what the explanation must name.
fn spoilt(issuer: &Issuer) -> Vec<(Reason, String, &'static str)> {
    let whole = || issuer.id_token(AUDIENCE, CALLER);
    let good = issuer.sign(&whole()).unwrap();
    let sign = |token| issuer.sign(&token).unwrap();
    let now = oidc::now_unix_secs();
    let (header, rest) = good.split_once('.').unwrap();
    let twice = BASE64_URL_SAFE_NO_PAD.encode(r#"{"iss":"a","iss":"b"}"#);
    let twice = format!("{header}.{twice}.{}", rest.split_once('.').unwrap().1);
    vec![
        (Reason::TooLong, "a".repeat(9000), "longer than 8 KiB"),
        (Reason::Malformed, "a.b".into(), "expected three segments"),
        (Reason::AccessToken, "ya29.a0AfB_example".into(), "OAuth access token"),
        (Reason::SignatureRemoved, forgery::strip_signature(&good), "AUTH=platform"),
        (Reason::SelfSigned, sign(whole().claim("iss", CALLER)), "target_audience"),
        (
            Reason::UnsupportedAlgorithm,
            sign(whole().header("alg", "HS256")),
            "found HS256, expected RS256",
        ),
        (
            Reason::EmbeddedKey,
            sign(whole().header("jku", "https://a.example")),
            "brings its own key",
        ),
        (Reason::CriticalHeader, sign(whole().header("crit", json!(["b64"]))), "`crit`"),
        (Reason::KeyIdMissing, sign(whole().without_header("kid")), "no `kid`"),
        (Reason::KeyIdInvalid, sign(whole().header("kid", "../a")), "short plain identifier"),
        (Reason::UnknownKey, sign(whole().header("kid", "another")), "published keys"),
        (
            Reason::BadSignature,
            forgery::sign_again(&good, &SigningKey::generate().unwrap()).unwrap(),
            "does not match",
        ),
        (Reason::ClaimMissing, sign(whole().without("sub")), "expected sub"),
        (
            Reason::ClaimInvalid,
            sign(whole().claim("aud", json!([AUDIENCE]))),
            "expected aud: a string",
        ),
        (Reason::ClaimDuplicated, twice, "expected iss once"),
        (Reason::Expired, sign(whole().aged(7200)), "expired"),
        (Reason::NotYetValid, sign(whole().aged(-7200)), "from the future"),
        (
            Reason::LifetimeTooLong,
            sign(whole().claim("exp", now + 90_000)),
            "expected at most 86400 s",
        ),
        (
            Reason::WrongIssuer,
            sign(whole().claim("iss", "https://issuer.example")),
            "found https://issuer.example",
        ),
        (
            Reason::WrongAudience,
            issuer.token("https://b.example", CALLER).unwrap(),
            "found https://b.example, expected https://receiver-123456789012",
        ),
        (Reason::EmailUnverified, sign(whole().claim("email_verified", false)), "does not vouch"),
        (
            Reason::CallerNotAllowed,
            issuer.token(AUDIENCE, OTHER).unwrap(),
            "found stranger@demo-project",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_is_explained_by_the_check_that_failed() {
    let lab = Lab::start().await;
    let issuer = Issuer::start(0).await.unwrap();
    let spoilt = spoilt(&issuer);
    for (reason, token, names) in &spoilt {
        let ran = verify(&lab, &issuer, token, &[]).await;
        let about = reason.as_str();
        assert_eq!(ran.code, Some(1), "{about}: {}", ran.said);
        assert!(ran.said.ends_with(&format!("refused: {about}")), "{about}: {}", ran.said);
        let failed: Vec<&str> =
            ran.said.lines().filter(|line| line.starts_with("FAILED")).collect();
        let first = failed.first().unwrap();
        assert!(
            first.contains(&format!(" {about}: ")) && first.contains(names),
            "{about}: {first}"
        );
        assert!(first.contains(reason.remedy()), "{about}: {first}");
        assert!(!ran.said.contains("eyJ"), "{about}: it shows a part of the token");
        // Every check has a line, those before the fault have passed, and nothing is said of what was not looked at.
        let lines: Vec<&str> = ran.said.lines().take(10).collect();
        let at = lines.iter().position(|line| line == first).unwrap();
        assert!(lines[..at].iter().all(|line| line.starts_with("passed")), "{about}: {}", ran.said);

        let ran = verify(&lab, &issuer, token, &["--json"]).await;
        let said: Value = serde_json::from_str(&ran.said).unwrap();
        assert_eq!((&said["accepted"], &said["reason"]), (&json!(false), &json!(about)));
        assert_eq!(said["checks"].as_array().unwrap().len(), 10);
    }
    // These are of a request's head, and keys are below.
    let elsewhere = [
        Reason::Missing,
        Reason::SeveralTokens,
        Reason::NotBearer,
        Reason::IdentityMissing,
        Reason::SeveralIdentities,
        Reason::KeysUnavailable,
    ];
    for reason in Reason::ALL.iter().filter(|reason| !elsewhere.contains(reason)) {
        assert!(spoilt.iter().any(|(one, ..)| one == reason), "{reason:?} is not tried");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_is_accepted_however_it_is_pasted() {
    let lab = Lab::start().await;
    let issuer = Issuer::start(0).await.unwrap();
    let token = issuer.token(AUDIENCE, CALLER).unwrap();
    for input in [
        token.clone(),
        format!("{token}\n"),
        format!("Bearer {token}"),
        format!("  Authorization: bearer {token}  "),
    ] {
        let ran = verify(&lab, &issuer, &input, &[]).await;
        assert!(ran.ok().ends_with("\naccepted"));
    }
    let ran = verify(&lab, &issuer, "", &[&token]).await.ok();
    assert_eq!(ran.matches("passed").count(), 10, "{ran}");
    assert!(
        ran.contains("issued now, ends in 59 minutes")
            || ran.contains("ago, ends in 59 minutes")
            || ran.contains("ends in 60 minutes"),
        "{ran}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_fault_is_checked_all_the_same() {
    let lab = Lab::start().await;
    let issuer = Issuer::start(0).await.unwrap();
    let token = issuer.id_token("https://b.example", OTHER).aged(7200);
    let said = verify(&lab, &issuer, &issuer.sign(&token).unwrap(), &[]).await.said;
    let failed = said.lines().filter(|line| line.starts_with("FAILED")).count();
    assert_eq!(failed, 3, "audience, times and caller: {said}");
    let stripped = forgery::strip_signature(&issuer.token(AUDIENCE, CALLER).unwrap());
    let said = verify(&lab, &issuer, &stripped, &[]).await.said;
    assert!(said.contains("audience") && said.contains(", as the token says"), "{said}");
    assert!(said.contains("-        signature       cannot be told"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_s_token_and_one_without_an_email_are_known() {
    let lab = Lab::start().await;
    let issuer = Issuer::start(0).await.unwrap();
    let person = issuer.token("32555940559.apps.googleusercontent.com", "ada@example.com").unwrap();
    let said = verify(&lab, &issuer, &person, &[]).await.said;
    assert!(
        said.contains("hint: this is a person's token, as `gcloud auth print-identity-token`"),
        "{said}"
    );
    let bare = issuer.id_token(AUDIENCE, CALLER).without("email").without("email_verified");
    let said = verify(&lab, &issuer, &issuer.sign(&bare).unwrap(), &[]).await.said;
    assert!(said.contains("hint: the token has no email"), "{said}");
    let slashed = issuer.token(&format!("{AUDIENCE}/"), CALLER).unwrap();
    let said = verify(&lab, &issuer, &slashed, &[]).await.said;
    assert!(said.contains("hint: of the token's audience: it ends in a slash"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_had_are_no_fault_of_the_token() {
    let lab = Lab::start().await;
    let issuer = Issuer::start(0).await.unwrap();
    let token = issuer.token(AUDIENCE, CALLER).unwrap();
    let arguments = [
        "verify",
        "--audience",
        AUDIENCE,
        "--caller",
        CALLER,
        "--issuer",
        issuer.name(),
        "--keys-url",
        "http://127.0.0.1:1/",
    ];
    let said = lab.run(&arguments, &token).await.said;
    assert!(said.ends_with("refused: keys_unavailable"), "{said}");
    assert!(said.contains("FAILED   key "), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_said_to_be_none() {
    let lab = Lab::start().await;
    let issuer = Issuer::start(0).await.unwrap();
    lab.file("token.txt", b"whatever");
    for (input, argument, expected) in [
        ("", "-", "there is no token; expected an ID token on standard input"),
        (" \n", "-", "there is no token"),
        (
            "",
            "token.txt",
            "token.txt is a file, not a token; give its content: oidc-caller verify … < token.txt",
        ),
    ] {
        let ran = verify(&lab, &issuer, input, &[argument]).await;
        assert_eq!(ran.code, Some(64), "{}", ran.complaint);
        assert!(ran.refused().contains(expected));
    }
    for (caller, expected) in [("serviceAccount:a@b", "serviceAccount"), ("ada", "ada")] {
        let ran = lab.run(&["verify", "--audience", "a", "--caller", caller], "a").await;
        assert!(ran.refused().contains(expected));
    }
}
