//! `AUTH=platform`: identities that a front end verified, and what keeps others from forging them.

use std::sync::Arc;

use base64::{
    Engine,
    engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD},
};
use emulator::{
    Account, Delivery, IapAssertion, IapKey, IdToken,
    senders::{pubsub::Push, tasks::Attempt},
};
use serde_json::{Value, json};

use crate::harness::{AUDIENCE, MARKER, PUBSUB, Seen, Service, TASKS, field, jobs};

const USERINFO: &str = "x-endpoint-api-userinfo";

fn task() -> Delivery {
    Attempt { body: MARKER.into(), ..Attempt::first("receipts", "1") }.delivery()
}

async fn service(changes: &[(&str, &str)]) -> Service {
    let platform = [("AUTH", "platform"), ("DEDUP", "off")];
    Service::with(jobs(&Seen::default()), &[&platform, changes].concat()).await
}

async fn check(service: &mut Service, delivery: &Delivery, expected: Result<(), &str>) -> Value {
    let (answer, record) = service.send("/tasks/done", delivery).await;
    match expected {
        Ok(()) => {
            assert_eq!(answer.status, 204, "{record}");
            assert_eq!(record["invocation"]["caller"]["auth"], "platform");
            assert_eq!(record["invocation"]["caller"]["email"], TASKS);
        }
        Err(reason) => assert_eq!(field(&record, "reason"), reason, "{record}"),
    }
    record
}

/// The claims of a good token as a proxy passes them on.
fn userinfo(token: &IdToken) -> String {
    URL_SAFE_NO_PAD.encode(Value::Object(token.claims.clone()).to_string())
}

#[tokio::test]
async fn cloud_runs_check_is_trusted_with_and_without_the_signature() {
    let mut service = service(&[("PLATFORM_IDENTITY", "cloud-run")]).await;
    let whole = service.issuer.id_token(AUDIENCE, TASKS);
    let signed = service.secret(service.issuer.sign(&whole).unwrap());
    let removed = service.secret(whole.signature_removed().unwrap());
    let serverless =
        |token: &str| task().header("X-Serverless-Authorization", &format!("Bearer {token}"));
    check(&mut service, &task().bearer(&signed), Ok(())).await;
    check(&mut service, &task().bearer(&removed), Ok(())).await;
    check(&mut service, &serverless(&removed), Ok(())).await;
    // Where both are there, Cloud Run looked at the first alone.
    check(&mut service, &serverless(&removed).bearer("ya29.own"), Ok(())).await;
    check(&mut service, &serverless("ya29.stranger").bearer(&signed), Err("access_token")).await;
    check(&mut service, &task(), Err("missing")).await;
    check(
        &mut service,
        &task().bearer(&signed).also("Authorization", "Bearer x"),
        Err("several_tokens"),
    )
    .await;
    assert_eq!(service.issuer.key_fetches(), 0);
}

#[tokio::test]
async fn every_claim_but_the_signature_is_checked_behind_cloud_run() {
    let mut service = service(&[("PLATFORM_IDENTITY", "cloud-run")]).await;
    let whole = service.issuer.id_token(AUDIENCE, TASKS);
    for (token, reason) in [
        (whole.clone().aged(3600 + 31), "expired"),
        (whole.clone().aged(-40), "not_yet_valid"),
        (whole.clone().claim("aud", "https://other.example"), "wrong_audience"),
        (whole.clone().claim("iss", "https://issuer.example"), "wrong_issuer"),
        (whole.clone().claim("email", PUBSUB), "caller_not_allowed"),
        (whole.clone().claim("email_verified", false), "email_unverified"),
        (whole.clone().without("sub"), "claim_missing"),
        (whole.clone().claim("aud", json!([AUDIENCE])), "claim_invalid"),
    ] {
        let removed = service.secret(token.signature_removed().unwrap());
        check(&mut service, &task().bearer(&removed), Err(reason)).await;
    }
}

#[tokio::test]
async fn without_audience_and_callers_whoever_the_front_end_admits_may_call() {
    let mut service =
        service(&[("PLATFORM_IDENTITY", "cloud-run"), ("AUDIENCE", ""), ("TASKS_CALLERS", "")])
            .await;
    let token =
        service.issuer.id_token("https://other.example", PUBSUB).signature_removed().unwrap();
    let (answer, record) = service.send("/tasks/done", &task().bearer(&token)).await;
    assert_eq!(
        (answer.status, record["invocation"]["caller"]["email"].as_str()),
        (204, Some(PUBSUB))
    );
}

#[tokio::test]
async fn a_proxys_header_is_read_padded_or_not_and_only_once() {
    let mut service = service(&[("PLATFORM_IDENTITY", USERINFO)]).await;
    let whole = service.issuer.id_token(AUDIENCE, TASKS);
    let good = userinfo(&whole);
    // White space after the object changes nothing but the length.
    let padded = (0..3)
        .map(|spaces| Value::Object(whole.claims.clone()).to_string() + &" ".repeat(spaces))
        .map(|json| URL_SAFE.encode(json))
        .find(|encoded| encoded.ends_with('='))
        .unwrap();
    check(&mut service, &task().header(USERINFO, &good), Ok(())).await;
    check(&mut service, &task().header(USERINFO, &padded), Ok(())).await;
    check(&mut service, &task(), Err("identity_missing")).await;
    check(
        &mut service,
        &task().header(USERINFO, &good).also(USERINFO, &good),
        Err("several_identities"),
    )
    .await;
    check(&mut service, &task().header(USERINFO, "%%%"), Err("malformed")).await;
    check(&mut service, &task().header(USERINFO, &URL_SAFE_NO_PAD.encode("[]")), Err("malformed"))
        .await;
    check(
        &mut service,
        &task().header(USERINFO, &userinfo(&whole.clone().aged(4000))),
        Err("expired"),
    )
    .await;
    let other = userinfo(&whole.claim("email", PUBSUB));
    check(&mut service, &task().header(USERINFO, &other), Err("caller_not_allowed")).await;
}

#[tokio::test]
async fn a_proxy_that_is_not_beside_the_service_proves_itself_with_its_own_token() {
    let gateway = "gateway@example.iam.gserviceaccount.com";
    let mut service = service(&[
        ("HOST", "0.0.0.0"),
        ("PLATFORM_IDENTITY", "x-apigateway-api-userinfo"),
        ("PROXY_CALLERS", gateway),
        ("PROXY_AUDIENCE", "https://backend.example"),
    ])
    .await;
    service.url = service.url.replace("0.0.0.0", "127.0.0.1");
    let identity = userinfo(&service.issuer.id_token(AUDIENCE, TASKS));
    let with = |token: &str| task().header("x-apigateway-api-userinfo", &identity).bearer(token);
    let proof = service.issuer.token("https://backend.example", gateway).unwrap();
    let of_another = service.issuer.token("https://backend.example", TASKS).unwrap();
    let for_another = service.issuer.token(AUDIENCE, gateway).unwrap();
    for token in [&proof, &of_another, &for_another] {
        service.secret(token.clone());
    }
    check(&mut service, &with(&proof), Ok(())).await;
    check(&mut service, &with(&of_another), Err("caller_not_allowed")).await;
    check(&mut service, &with(&for_another), Err("wrong_audience")).await;
    check(&mut service, &task().header("x-apigateway-api-userinfo", &identity), Err("missing"))
        .await;
    check(&mut service, &task().bearer(&proof), Err("identity_missing")).await;
}

#[tokio::test]
async fn behind_a_proxys_header_unwrapped_messages_are_not_read() {
    let mut service = service(&[("PLATFORM_IDENTITY", USERINFO)]).await;
    let identity = userinfo(&service.issuer.id_token(AUDIENCE, PUBSUB));
    let push = Push::new("projects/example/subscriptions/s", "1", MARKER);
    let (answer, _) =
        service.send("/pubsub/done", &push.wrapped().header(USERINFO, &identity)).await;
    assert_eq!(answer.status, 204);
    // A publisher who names an attribute after the header gives it a second value, or the only one.
    let forged = push.clone().attribute(USERINFO, &identity).unwrapped_with_metadata();
    let (answer, record) =
        service.send("/pubsub/done", &forged.clone().also(USERINFO, &identity)).await;
    assert_eq!((answer.status, field(&record, "reason")), (401, "several_identities"));
    for delivery in [forged, push.unwrapped().header(USERINFO, &identity)] {
        let (answer, record) = service.send("/pubsub/done", &delivery).await;
        assert_eq!((answer.status, field(&record, "outcome")), (200, "unreadable"));
        assert!(field(&record, "reason").contains("--push-no-wrapper"), "{record}");
    }
}

#[tokio::test]
async fn iaps_assertion_is_verified_with_its_own_keys_algorithm_audience_and_lifetime() {
    let audience = "/projects/123456789012/locations/europe-west1/services/receiver";
    let mut service = service(&[
        ("PLATFORM_IDENTITY", "iap"),
        ("AUDIENCE", audience),
        ("TASKS_CALLERS", "ada@example.com"),
    ])
    .await;
    let key = Arc::clone(&service.issuer);
    let whole = || key.iap_assertion(audience, "ada@example.com");
    let stranger = IapKey::generate().unwrap();
    let with = |token: &str| task().header("x-goog-iap-jwt-assertion", token);
    let signed = |assertion: IapAssertion| assertion.sign(key.iap_key()).unwrap();

    let (answer, record) =
        service.send("/tasks/done", &with(&service.secret(signed(whole())))).await;
    assert_eq!(answer.status, 204, "{record}");
    assert_eq!(record["invocation"]["caller"]["email"], "ada@example.com");
    let google = key.id_token(audience, "ada@example.com").sign(&key.keys().current()).unwrap();
    for (assertion, reason) in [
        (whole().sign(&stranger).unwrap(), "bad_signature"),
        (signed(whole().claim("aud", AUDIENCE)), "wrong_audience"),
        (signed(whole().claim("iss", "https://accounts.google.com")), "wrong_issuer"),
        (signed(whole().claim("exp", 9_999_999_999_u64)), "lifetime_too_long"),
        (signed(whole().claim("email", "eve@example.com")), "caller_not_allowed"),
        (signed(whole().without("email")), "caller_not_allowed"),
        (google, "unsupported_algorithm"),
    ] {
        let delivery = with(&service.secret(assertion));
        let (_, record) = service.send("/tasks/done", &delivery).await;
        assert_eq!(field(&record, "reason"), reason);
    }
    // IAP's subject says where its number is from.
    let id = Account::new("ada@example.com").unique_id;
    let numbered = [("PLATFORM_IDENTITY", "iap"), ("AUDIENCE", audience), ("TASKS_CALLERS", &*id)];
    let mut by_number = Service::of(
        Arc::clone(&key),
        jobs(&Seen::default()),
        &[&[("AUTH", "platform")], &numbered[..]].concat(),
    );
    assert_eq!(by_number.send("/tasks/done", &with(&signed(whole()))).await.0.status, 204);
    let twice = with(&signed(whole())).also("x-goog-iap-jwt-assertion", &signed(whole()));
    let (_, record) = service.send("/tasks/done", &twice).await;
    assert_eq!(field(&record, "reason"), "several_identities");
    // Its unsigned twin proves nothing.
    let id = format!("accounts.google.com:{}", Account::new("ada@example.com").unique_id);
    let (_, record) =
        service.send("/tasks/done", &task().header("x-goog-authenticated-user-id", &id)).await;
    assert_eq!(field(&record, "reason"), "identity_missing");
}
