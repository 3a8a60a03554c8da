//! `AUTH=verify`: each forgery is refused with its own reason. A whole token first, then one thing spoilt.

use std::sync::Arc;

use emulator::{Account, Delivery, IdToken, SigningKey, senders::tasks::Attempt};
use receiver::job_table::Jobs;
use serde_json::{Value, json};

use crate::harness::{AUDIENCE, MARKER, PUBSUB, Seen, Service, TASKS, field, jobs};

fn task() -> Delivery {
    Attempt { body: MARKER.into(), ..Attempt::first("receipts", "1") }.delivery()
}

async fn service() -> (Service, Seen) {
    let seen = Seen::default();
    (Service::with(jobs(&seen), &[("DEDUP", "off")]).await, seen)
}

/// Sends this token and expects a refusal, told apart from all others.
async fn refused(service: &mut Service, token: String, status: u16, reason: &str) -> Value {
    let delivery = task().bearer(&service.secret(token));
    let (answer, record) = service.send("/tasks/done", &delivery).await;
    assert_eq!((answer.status, field(&record, "reason")), (status, reason));
    assert_eq!(record["severity"], "WARNING");
    let problem: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(problem["reason"], reason);
    assert!(problem["detail"].as_str().unwrap().len() > 20, "{problem}");
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, (status == 401).then_some("Bearer error=\"invalid_token\""));
    // The good token still passes, on whatever connection is left.
    let (answer, _) = service.deliver("/tasks/done", &task()).await;
    assert_eq!(answer.status, 204, "after {reason}");
    record
}

#[tokio::test]
async fn a_good_token_makes_a_caller_and_the_record_says_which() {
    let (mut service, seen) = service().await;
    let (answer, record) = service.deliver("/tasks/done", &task()).await;
    assert_eq!(answer.status, 204);
    let account = Account::new(TASKS);
    assert_eq!(
        record["invocation"]["caller"],
        json!({"email": TASKS, "sub": account.unique_id, "audience": AUDIENCE, "auth": "verify"})
    );
    let caller = seen.one().caller;
    assert_eq!(
        (caller.email(), caller.subject(), caller.auth()),
        (Some(TASKS), &*account.unique_id, "verify")
    );
}

#[tokio::test]
async fn claims_that_are_missing_ill_typed_empty_or_of_another_value_are_refused() {
    let (mut service, _) = service().await;
    let whole = |service: &Service| service.issuer.id_token(AUDIENCE, TASKS);
    type Spoil = fn(IdToken) -> IdToken;
    let table: &[(Spoil, u16, &str)] = &[
        (|token| token.without("iss"), 401, "claim_missing"),
        (|token| token.without("aud"), 401, "claim_missing"),
        (|token| token.without("sub"), 401, "claim_missing"),
        (|token| token.without("exp"), 401, "claim_missing"),
        (|token| token.without("iat"), 401, "claim_missing"),
        (|token| token.without("email"), 403, "caller_not_allowed"),
        (|token| token.without("email_verified"), 403, "email_unverified"),
        (|token| token.claim("iss", json!({})), 401, "claim_invalid"),
        (|token| token.claim("iss", json!(["https://accounts.google.com"])), 401, "claim_invalid"),
        (|token| token.claim("aud", json!([AUDIENCE])), 401, "claim_invalid"),
        (|token| token.claim("aud", 7), 401, "claim_invalid"),
        (|token| token.claim("sub", 7), 401, "claim_invalid"),
        (|token| token.claim("exp", "9999999999"), 401, "claim_invalid"),
        (|token| token.claim("exp", -1), 401, "claim_invalid"),
        (|token| token.claim("iat", 1.5), 401, "claim_invalid"),
        (|token| token.claim("nbf", "now"), 401, "claim_invalid"),
        (|token| token.claim("email", 7), 401, "claim_invalid"),
        (|token| token.claim("email_verified", "true"), 401, "claim_invalid"),
        (|token| token.claim("iss", ""), 401, "claim_invalid"),
        (|token| token.claim("sub", ""), 401, "claim_invalid"),
        (|token| token.claim("aud", ""), 401, "claim_invalid"),
        (|token| token.claim("iss", "https://issuer.example"), 401, "wrong_issuer"),
        (|token| token.claim("aud", "https://receiver.example.run.app/"), 401, "wrong_audience"),
        (
            |token| token.claim("aud", "https://receiver.example.run.app/tasks/done"),
            401,
            "wrong_audience",
        ),
        (|token| token.claim("aud", "https://receiver.example.run"), 401, "wrong_audience"),
        (|token| token.claim("aud", AUDIENCE.to_uppercase()), 401, "wrong_audience"),
        (|token| token.claim("email_verified", false), 403, "email_unverified"),
        (
            |token| token.claim("email", "Tasks@example.iam.gserviceaccount.com"),
            403,
            "caller_not_allowed",
        ),
        (|token| token.claim("email", PUBSUB), 403, "caller_not_allowed"),
        (|token| token.aged(3600 + 31), 401, "expired"),
        (|token| token.aged(-33), 401, "not_yet_valid"),
        (|token| token.claim("nbf", 9_999_999_999_u64), 401, "not_yet_valid"),
        (|token| token.claim("exp", u64::MAX), 401, "lifetime_too_long"),
        (|token| token.self_signed(&Account::new(TASKS)), 401, "self_signed"),
    ];
    for (spoil, status, reason) in table {
        let token = service.issuer.sign(&spoil(whole(&service))).unwrap();
        let record = refused(&mut service, token, *status, reason).await;
        assert!(record["invocation"]["claimed"].is_object(), "{record}");
    }
}

#[tokio::test]
async fn a_token_just_within_the_skew_is_accepted() {
    let (mut service, _) = service().await;
    for seconds in [3600 + 20, -20] {
        let token =
            service.issuer.sign(&service.issuer.id_token(AUDIENCE, TASKS).aged(seconds)).unwrap();
        let (answer, _) = service.send("/tasks/done", &task().bearer(&token)).await;
        assert_eq!(answer.status, 204, "{seconds}");
    }
}

#[tokio::test]
async fn headers_and_signatures_that_google_does_not_make_are_refused() {
    let (mut service, _) = service().await;
    let issuer = Arc::clone(&service.issuer);
    let key = issuer.keys().current();
    let stranger = SigningKey::generate().unwrap();
    let whole = || issuer.id_token(AUDIENCE, TASKS);
    let signed = |token: IdToken| token.sign(&key).unwrap();
    let valid = signed(whole());
    let (input, _) = valid.rsplit_once('.').unwrap();
    let (header, _) = valid.split_once('.').unwrap();
    let other = signed(whole().claim("email", "root@example.iam.gserviceaccount.com"));
    let swapped =
        format!("{header}.{}", other.split_once('.').unwrap().1.rsplit_once('.').unwrap().0);

    let table = [
        (whole().unsigned().unwrap(), "unsupported_algorithm"),
        (whole().hs256_with_public_key(&key).unwrap(), "unsupported_algorithm"),
        (whole().rs512(&key).unwrap(), "unsupported_algorithm"),
        (signed(whole().header("alg", "ES256")), "unsupported_algorithm"),
        (signed(whole().header("alg", "none")), "unsupported_algorithm"),
        (signed(whole().header("alg", json!(["RS256"]))), "unsupported_algorithm"),
        (signed(whole().without_header("kid")), "key_id_missing"),
        (signed(whole().header("kid", "../../../../etc/passwd")), "key_id_invalid"),
        (signed(whole().header("kid", "")), "key_id_invalid"),
        (signed(whole().header("kid", "k".repeat(200))), "key_id_invalid"),
        (signed(whole().header("kid", 7)), "key_id_invalid"),
        (whole().header("kid", stranger.id()).sign(&stranger).unwrap(), "unknown_key"),
        (whole().sign(&stranger).unwrap(), "bad_signature"),
        (format!("{swapped}.{}", valid.rsplit_once('.').unwrap().1), "bad_signature"),
        (whole().embedded_key(&stranger).unwrap(), "embedded_key"),
        (signed(whole().header("jku", "https://evil.example/keys")), "embedded_key"),
        (signed(whole().header("x5u", "https://evil.example/cert")), "embedded_key"),
        (signed(whole().header("crit", json!(["b64"]))), "critical_header"),
        (whole().signature_removed().unwrap(), "signature_removed"),
        (format!("{input}."), "bad_signature"),
        (input.to_owned(), "malformed"),
        (format!("{valid}.{header}"), "malformed"),
        ("not-a-token".to_owned(), "malformed"),
        ("%%%.%%%.%%%".to_owned(), "malformed"),
        (format!("{valid}="), "bad_signature"),
        ("ya29.a0AfB_byC-example-access-token".to_owned(), "access_token"),
        (format!("{valid}{}", "A".repeat(9 * 1024)), "too_long"),
    ];
    for (token, reason) in table {
        let found = refused(&mut service, token, 401, reason).await;
        assert_eq!(found["invocation"]["outcome"], "refused");
    }
}

#[tokio::test]
async fn a_claim_or_a_header_that_stands_twice_is_refused() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
    let (mut service, _) = service().await;
    let token = service.issuer.id_token(AUDIENCE, TASKS);
    let valid = service.issuer.sign(&token).unwrap();
    let segments: Vec<&str> = valid.split('.').collect();
    let twice = |segment: &str, member: &str| {
        let json = String::from_utf8(BASE64URL.decode(segment).unwrap()).unwrap();
        BASE64URL.encode(json.replacen('{', &format!("{{{member},"), 1))
    };
    let claims = twice(segments[1], &format!("\"aud\":\"{AUDIENCE}\""));
    let forged = format!("{}.{claims}.{}", segments[0], segments[2]);
    refused(&mut service, forged, 401, "claim_duplicated").await;
    let header = twice(segments[0], "\"alg\":\"RS256\"");
    let forged = format!("{header}.{}.{}", segments[1], segments[2]);
    refused(&mut service, forged, 401, "malformed").await;
}

#[tokio::test]
async fn exactly_one_bearer_token_is_read_and_from_authorization_alone() {
    let (mut service, _) = service().await;
    let token = service.token(TASKS);
    let bearer = format!("Bearer {token}");
    for (delivery, reason, challenge) in [
        (task(), "missing", "Bearer"),
        (task().header("X-Serverless-Authorization", &bearer), "missing", "Bearer"),
        (
            task().bearer(&token).also("Authorization", &bearer),
            "several_tokens",
            "Bearer error=\"invalid_token\"",
        ),
        (
            task().header("Authorization", "Basic cm9vdDpyb290"),
            "not_bearer",
            "Bearer error=\"invalid_token\"",
        ),
    ] {
        let (answer, record) = service.send("/tasks/done", &delivery).await;
        assert_eq!((answer.status, field(&record, "reason")), (401, reason));
        assert_eq!(answer.header("www-authenticate"), Some(challenge));
        assert_eq!(record["invocation"]["caller"], Value::Null);
    }
    let delivery = task().header("Authorization", &format!("bearer {token}"));
    assert_eq!(service.send("/tasks/done", &delivery).await.0.status, 204);
}

#[tokio::test]
async fn a_token_that_one_route_accepts_is_forbidden_on_another_even_once_it_is_cached() {
    let (mut service, _) = service().await;
    let delivery = task().bearer(&service.token(TASKS));
    for _ in 0..2 {
        assert_eq!(service.send("/tasks/done", &delivery).await.0.status, 204);
        let (answer, record) = service.send("/scheduler/done", &delivery).await;
        assert_eq!((answer.status, field(&record, "reason")), (403, "caller_not_allowed"));
        assert_eq!(record["invocation"]["claimed"]["email"], TASKS);
        assert!(field(&record, "expected").contains("scheduler@"), "{record}");
    }
    assert_eq!(service.issuer.key_fetches(), 1);
}

#[tokio::test]
async fn callers_may_be_listed_by_numeric_id_which_needs_no_address() {
    let id = Account::new(TASKS).unique_id;
    let mut service = Service::with(jobs(&Seen::default()), &[("TASKS_CALLERS", &id)]).await;
    let token =
        service.issuer.sign(&service.issuer.id_token(AUDIENCE, TASKS).without("email")).unwrap();
    assert_eq!(service.send("/tasks/done", &task().bearer(&token)).await.0.status, 204);
    let stranger = service.issuer.token(AUDIENCE, PUBSUB).unwrap();
    assert_eq!(service.send("/tasks/done", &task().bearer(&stranger)).await.0.status, 403);
}

#[tokio::test]
async fn each_audience_of_the_list_is_accepted_whole() {
    let audiences = format!("{AUDIENCE}|https://own.example");
    let mut service = Service::with(jobs(&Seen::default()), &[("AUDIENCE", &audiences)]).await;
    for (audience, status) in [(AUDIENCE, 204), ("https://own.example", 204), (&*audiences, 401)] {
        let token = service.issuer.token(audience, TASKS).unwrap();
        let named = Attempt::first("receipts", audience).delivery().bearer(&token);
        assert_eq!(service.send("/tasks/done", &named).await.0.status, status, "{audience}");
    }
}

#[tokio::test]
async fn a_sender_without_a_job_is_answered_404_whatever_its_token() {
    let mut table = Jobs::default();
    table.tasks("done", async |_: receiver::invocation::Invocation<()>| Ok(()));
    let service = Service::start(table).await;
    let token = service.token(PUBSUB);
    assert_eq!(service.post("/pubsub/done", task().bearer(&token)).await.status, 404);
    assert_eq!(service.post("/", task().bearer(&token)).await.status, 404);
}
