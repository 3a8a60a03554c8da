//! The whole policy, reason by reason.

use std::{
    task::{Context, Poll, Waker},
    time::Duration,
};

use serde_json::json;

use super::*;
use crate::policy::Callers;
use crate::testing::{
    AUDIENCE, Answer, EMAIL, FakeServer, KID, LIFETIME, Mint, SUBJECT, b64, ec_jwk, ec_key,
    other_rsa_key, policy, rsa_jwk, rsa_key, sign_raw,
};

fn google() -> Verifier {
    FakeServer::good().verifier(Profile::google())
}

/// Whatever is refused, the token is not in what can be shown or logged.
fn assert_no_leak(token: &str, refusal: &Refusal) {
    let shown = format!("{refusal} {refusal:?}");
    for segment in token.split('.').filter(|segment| segment.len() > 20) {
        assert!(!shown.contains(segment), "{}", refusal.reason.as_str());
    }
}

async fn refused(verifier: &Verifier, token: &str) -> Refusal {
    let refusal = verifier.verify(token, &policy()).await.unwrap_err();
    assert_no_leak(token, &refusal);
    refusal
}

#[tokio::test]
async fn a_valid_token_gives_its_claims() {
    let claims = google().verify(&Mint::google().sign(), &policy()).await.unwrap();
    assert_eq!(claims.issuer, "https://accounts.google.com");
    assert_eq!((claims.audience.as_str(), claims.subject.as_str()), (AUDIENCE, SUBJECT));
    assert_eq!((claims.email.as_deref(), claims.email_verified), (Some(EMAIL), true));
}

#[tokio::test]
async fn an_iap_assertion_passes_iaps_profile_and_no_other() {
    let server = FakeServer::new(FakeServer::keys(&[ec_jwk(KID, ec_key())]));
    let iap = server.verifier(Profile::iap());
    let token = Mint::iap().sign_es256();
    assert!(iap.verify(&token, &policy()).await.is_ok());
    assert_eq!(refused(&google(), &token).await.reason, Reason::UnsupportedAlgorithm);
    assert_eq!(refused(&iap, &Mint::google().sign()).await.reason, Reason::UnsupportedAlgorithm);
    let (signed, _) = token.rsplit_once('.').unwrap();
    let zeros = format!("{signed}.{}", b64([0; 64]));
    assert_eq!(refused(&iap, &zeros).await.reason, Reason::BadSignature);
}

#[tokio::test]
async fn one_fault_gives_its_reason_and_every_reason_has_its_fault() {
    let valid = Mint::google().sign();
    let now = now_unix_secs();
    let (signed, signature) = valid.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let other_payload = b64(Mint::google().claim("sub", json!("1")).claims.to_string());
    let duplicate = sign_raw(
        &Mint::google().header.to_string(),
        r#"{"iss":"accounts.google.com","aud":"a","aud":"b"}"#,
        rsa_key(),
    );
    let times = |iat: u64, exp: u64| {
        Mint::google().claim("iat", json!(iat)).claim("exp", json!(exp)).sign()
    };
    let table = [
        ("too long", "a".repeat(9000), Reason::TooLong),
        ("one segment", "garbage".to_owned(), Reason::Malformed),
        ("a header that is no base64", format!("!.{payload}.{signature}"), Reason::Malformed),
        ("claims that are no base64", format!("{header}.!.{signature}"), Reason::Malformed),
        ("an access token", "ya29.a0AfB_byC".to_owned(), Reason::AccessToken),
        (
            "a stripped one",
            format!("{signed}.SIGNATURE_REMOVED_BY_GOOGLE"),
            Reason::SignatureRemoved,
        ),
        ("a self-signed one", Mint::google().claim("iss", json!(EMAIL)).sign(), Reason::SelfSigned),
        (
            "alg none",
            Mint::google().header("alg", json!("none")).sign(),
            Reason::UnsupportedAlgorithm,
        ),
        (
            "its own key",
            Mint::google().header("jwk", rsa_jwk("k", other_rsa_key())).sign_with(other_rsa_key()),
            Reason::EmbeddedKey,
        ),
        ("crit", Mint::google().header("crit", json!(["b64"])).sign(), Reason::CriticalHeader),
        ("no kid", Mint::google().without_header("kid").sign(), Reason::KeyIdMissing),
        ("an odd kid", Mint::google().header("kid", json!("../key")).sign(), Reason::KeyIdInvalid),
        (
            "an unknown kid",
            Mint::google().header("kid", json!("unknown")).sign(),
            Reason::UnknownKey,
        ),
        ("another key", Mint::google().sign_with(other_rsa_key()), Reason::BadSignature),
        ("other claims", format!("{header}.{other_payload}.{signature}"), Reason::BadSignature),
        ("no signature to speak of", format!("{signed}.AA"), Reason::BadSignature),
        ("a signature that is no base64", format!("{signed}.{signature}="), Reason::BadSignature),
        ("no aud", Mint::google().without_claim("aud").sign(), Reason::ClaimMissing),
        (
            "aud as a list",
            Mint::google().claim("aud", json!([AUDIENCE])).sign(),
            Reason::ClaimInvalid,
        ),
        ("aud twice", duplicate, Reason::ClaimDuplicated),
        ("expired", times(now - 3700, now - 100), Reason::Expired),
        ("from the future", times(now + 100, now + 3700), Reason::NotYetValid),
        ("valid for two days", times(now, now + 172_800), Reason::LifetimeTooLong),
        (
            "another issuer",
            Mint::google().claim("iss", json!("https://evil.example")).sign(),
            Reason::WrongIssuer,
        ),
        (
            "another audience",
            Mint::google().claim("aud", json!("https://other.example")).sign(),
            Reason::WrongAudience,
        ),
        (
            "an unverified email",
            Mint::google().claim("email_verified", json!(false)).sign(),
            Reason::EmailUnverified,
        ),
        (
            "another account",
            Mint::google().claim("email", json!("x@example.com")).sign(),
            Reason::CallerNotAllowed,
        ),
    ];
    let verifier = google();
    for (name, token, reason) in &table {
        assert_eq!(refused(&verifier, token).await.reason, *reason, "{name}");
    }
    assert_eq!(verifier.shared.verified.len(), 0, "none of them is remembered");
    assert!(verifier.verify(&valid, &policy()).await.is_ok());

    let down = FakeServer::new(Answer::Fail).verifier(Profile::google());
    assert_eq!(refused(&down, &valid).await.reason, Reason::KeysUnavailable);

    let from_the_head = [
        Reason::Missing,
        Reason::SeveralTokens,
        Reason::NotBearer,
        Reason::IdentityMissing,
        Reason::SeveralIdentities,
    ];
    for reason in Reason::ALL {
        let covered = table.iter().any(|(.., r)| r == reason)
            || from_the_head.contains(reason)
            || *reason == Reason::KeysUnavailable;
        assert!(covered, "{reason:?} has no fault in the table");
    }
}

#[tokio::test]
async fn a_refusal_says_what_the_token_claims_cut_and_clean() {
    let token = Mint::google()
        .claim("email", json!("evil\r\n@example.com"))
        .claim("aud", json!("x".repeat(1000)))
        .sign();
    let claimed = refused(&google(), &token).await.claimed.unwrap();
    assert_eq!(claimed.email.as_deref(), Some("evil\u{fffd}\u{fffd}@example.com"));
    assert_eq!(claimed.audience.unwrap().chars().count(), 256);
    assert_eq!(claimed.issuer.as_deref(), Some("https://accounts.google.com"));
    assert_eq!((claimed.subject.as_deref(), claimed.key_id.as_deref()), (Some(SUBJECT), Some(KID)));
    assert_eq!(refused(&google(), "not a token").await.claimed, None);
}

#[tokio::test]
async fn a_claim_that_holds_another_token_does_not_show_it() {
    let inner = Mint::google().sign();
    for claim in ["iss", "aud", "email"] {
        let refusal = refused(&google(), &Mint::google().claim(claim, json!(inner)).sign()).await;
        assert_no_leak(&inner, &refusal);
    }
}

#[tokio::test]
async fn tokens_that_cannot_be_googles_cause_no_key_fetch() {
    let verifier = google();
    let other = Mint::google().claim("iss", json!("https://evil.example")).sign();
    for token in ["garbage", "ya29.a", other.as_str()] {
        refused(&verifier, token).await;
    }
    assert_eq!(verifier.fetches(), 0);
}

#[tokio::test]
async fn a_remembered_token_is_checked_against_each_routes_policy() {
    let verifier = google();
    let token = Mint::google().sign();
    let first = verifier.verify(&token, &policy()).await.unwrap();
    assert_eq!(verifier.shared.verified.len(), 1);
    let again = verifier.verify(&token, &policy()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "remembered");

    let callers = |entry| Callers::parse([entry]).unwrap();
    let elsewhere = Policy::new(["https://other.example".to_owned()], callers(EMAIL)).unwrap();
    let others = Policy::new([AUDIENCE.to_owned()], callers("other@example.com")).unwrap();
    let by_id = Policy::new([AUDIENCE.to_owned()], callers(SUBJECT)).unwrap();
    let wrong_audience = verifier.verify(&token, &elsewhere).await.unwrap_err();
    assert_eq!(wrong_audience.reason, Reason::WrongAudience);
    assert_eq!(wrong_audience.claimed.unwrap().email.as_deref(), Some(EMAIL));
    let not_allowed = verifier.verify(&token, &others).await.unwrap_err();
    assert_eq!(not_allowed.reason, Reason::CallerNotAllowed);
    assert!(verifier.verify(&token, &by_id).await.is_ok());
    assert_eq!(verifier.shared.verified.len(), 1);
}

#[tokio::test]
async fn a_remembered_token_needs_its_every_byte() {
    let verifier = google();
    let token = Mint::google().sign();
    verifier.verify(&token, &policy()).await.unwrap();
    let last = token.char_indices().last().unwrap().0;
    for end in ["A", "Q", "g", "w"] {
        let other = format!("{}{end}", &token[..last]);
        if other != token {
            assert!(verifier.verify(&other, &policy()).await.is_err());
        }
    }
}

#[tokio::test]
async fn a_remembered_token_that_expires_is_refused_and_forgotten() {
    let verifier = google();
    let now = now_unix_secs();
    let expired = Mint::google().claim("iat", json!(now - 3700)).claim("exp", json!(now - 100));
    let token = expired.sign();
    let claims = UnverifiedClaims::from_json(expired.claims.to_string().as_bytes()).unwrap();
    let key = verifier.shared.keys.find(KID, &mut Notes::default()).await.unwrap();
    let claims = Arc::new(Claims::proven(claims));
    verifier.shared.verified.insert(TokenDigest::of(&token), VerifiedToken { claims, key });
    assert_eq!(refused(&verifier, &token).await.reason, Reason::Expired);
    assert_eq!(verifier.shared.verified.len(), 0);
}

#[tokio::test]
async fn a_remembered_token_takes_one_poll() {
    let verifier = google();
    let (token, policy) = (Mint::google().sign(), policy());
    verifier.verify(&token, &policy).await.unwrap();
    let verify = std::pin::pin!(verifier.verify(&token, &policy));
    let polled = verify.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn remembered_tokens_refresh_the_keys_ahead_of_time_and_survive_it() {
    let verifier = google();
    let token = Mint::google().sign();
    let first = verifier.verify(&token, &policy()).await.unwrap();
    tokio::time::advance(LIFETIME / 5 * 4).await;
    verifier.verify(&token, &policy()).await.unwrap();
    assert_eq!(verifier.fetches(), 2);
    tokio::time::advance(LIFETIME).await;
    let later = verifier.verify(&token, &policy()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &later), "the same key came again");
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_dies_with_its_key() {
    let gone = [rsa_jwk("next", other_rsa_key())];
    let replaced = [rsa_jwk(KID, other_rsa_key())];
    for (keys, reason) in [(gone, Reason::UnknownKey), (replaced, Reason::BadSignature)] {
        let server = FakeServer::good();
        let verifier = server.verifier(Profile::google());
        let token = Mint::google().sign();
        verifier.verify(&token, &policy()).await.unwrap();
        server.answer(FakeServer::keys(&keys));
        tokio::time::advance(LIFETIME).await;
        assert_eq!(refused(&verifier, &token).await.reason, reason);
        assert_eq!(verifier.shared.verified.len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_remembered_token_dies_with_the_key_set() {
    let server = FakeServer::good();
    let verifier = server.verifier(Profile::google());
    let token = Mint::google().sign();
    verifier.verify(&token, &policy()).await.unwrap();
    server.answer(Answer::Fail);
    tokio::time::advance(LIFETIME).await;
    assert!(verifier.verify(&token, &policy()).await.is_ok(), "stale keys serve");
    tokio::time::advance(Duration::from_secs(6 * 60 * 60)).await;
    assert_eq!(refused(&verifier, &token).await.reason, Reason::KeysUnavailable);
    assert_eq!(verifier.shared.verified.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_server_that_never_answers_holds_nobody_up_for_long() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/certs", listener.local_addr().unwrap());
    let verifier = Verifier::new(Profile::google().with_keys_url(url));
    let started = tokio::time::Instant::now();
    assert_eq!(refused(&verifier, &Mint::google().sign()).await.reason, Reason::KeysUnavailable);
    assert!(started.elapsed() <= Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn verifying_can_move_between_threads() {
    fn send<T: Send>(_: &T) {}
    let (verifier, policy) = (google(), policy());
    send(&verifier.verify("a.b.c", &policy));
}

#[test]
fn debug_output_has_no_token() {
    let shown = format!("{:?}", google());
    assert!(shown.contains("https://accounts.google.com"), "{shown}");
}

/// Marsaglia's xorshift: the same numbers in every run.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

#[tokio::test]
async fn twenty_thousand_mutants_are_refused() {
    const BYTES: &[u8] = b"AZaz09-_.=+/ {}\"\0\x7f";
    let (verifier, policy) = (google(), policy());
    let valid = Mint::google().sign();
    let segments: Vec<&str> = valid.split('.').collect();
    let mut random = Xorshift(0x9E37_79B9_7F4A_7C15);
    for _ in 0..20_000 {
        let mut mutant = valid.clone().into_bytes();
        for _ in 0..=random.below(3) {
            let (at, byte) = (random.below(mutant.len()), BYTES[random.below(BYTES.len())]);
            match random.below(6) {
                0 => mutant[at] = byte,
                1 => mutant[at] ^= 1 << random.below(7),
                2 => mutant.insert(at, byte),
                3 if mutant.len() > 1 => drop(mutant.remove(at)),
                4 => mutant.truncate(at.max(1)),
                _ => {
                    let spliced = segments[random.below(3)];
                    mutant.splice(at..at, spliced.bytes());
                }
            }
        }
        let Ok(mutant) = String::from_utf8(mutant) else {
            continue;
        };
        if mutant != valid {
            let refusal = verifier.verify(&mutant, &policy).await.unwrap_err();
            assert_no_leak(&mutant, &refusal);
        }
    }
    assert_eq!(verifier.shared.verified.len(), 0);
    assert!(verifier.verify(&valid, &policy).await.is_ok());
    assert!(verifier.fetches() <= 3, "{}", verifier.fetches());
}
