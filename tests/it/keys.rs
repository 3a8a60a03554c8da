//! A key server that is down, slow or broken is told from a bad token, and harms no valid traffic.

use std::sync::Arc;

use emulator::{Delivery, Issuer, KeyAnswer, SigningKey, senders::tasks::Attempt};

use crate::harness::{AUDIENCE, MARKER, Seen, Service, TASKS, field, jobs};

fn task(name: usize) -> Delivery {
    Attempt { body: MARKER.into(), ..Attempt::first("receipts", &name.to_string()) }.delivery()
}

/// An issuer whose keys are answered so from the first request on.
async fn issuer(answer: KeyAnswer) -> Arc<Issuer> {
    let issuer = Issuer::start(0).await.unwrap();
    issuer.answer_keys_with(answer);
    Arc::new(issuer)
}

#[tokio::test]
async fn without_keys_a_good_token_is_503_and_the_instance_lives_on_but_is_not_ready() {
    let ec = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"","y":""}]}"#;
    for answer in [
        KeyAnswer::Status(500),
        KeyAnswer::Status(404),
        KeyAnswer::Body("<html>Sign in</html>".to_owned()),
        KeyAnswer::Body("{}".to_owned()),
        KeyAnswer::Body(r#"{"keys":[]}"#.to_owned()),
        KeyAnswer::Body(ec.to_owned()),
        KeyAnswer::Body(format!(r#"{{"keys":[],"pad":"{}"}}"#, "x".repeat(1 << 20))),
    ] {
        let mut service = Service::of(issuer(answer.clone()).await, jobs(&Seen::default()), &[]);
        let (response, record) = service.deliver("/tasks/done", &task(1)).await;
        assert_eq!(
            (response.status, field(&record, "reason")),
            (503, "keys_unavailable"),
            "{answer:?}"
        );
        assert_eq!(response.header("retry-after"), Some("5"));
        assert_eq!(response.header("www-authenticate"), None);
        for (path, status) in [("/health/live", 204), ("/health/ready", 503)] {
            let mut probe = task(1);
            probe.method = emulator::Method::Get;
            probe.body.clear();
            assert_eq!(service.post(path, probe).await.status, status, "{path}");
        }
    }
}

#[tokio::test]
async fn a_key_server_that_is_not_there_is_503() {
    let mut service =
        Service::with(jobs(&Seen::default()), &[("OIDC_KEYS_URL", "http://127.0.0.1:1/certs")])
            .await;
    let (answer, record) = service.deliver("/tasks/done", &task(1)).await;
    assert_eq!((answer.status, field(&record, "reason")), (503, "keys_unavailable"));
}

#[tokio::test]
async fn sixty_four_first_requests_on_a_slow_key_server_cost_one_fetch_and_are_all_answered_204() {
    let issuer = issuer(KeyAnswer::Hold).await;
    let mut service = Service::of(Arc::clone(&issuer), jobs(&Seen::default()), &[]);
    let token = service.token(TASKS);
    let waiting: Vec<_> = (0..64)
        .map(|number| tokio::spawn(service.post("/tasks/done", task(number).bearer(&token))))
        .collect();
    // Answered once the fetch has begun; the probe is proof that nothing else waits.
    while issuer.key_fetches() == 0 {
        tokio::task::yield_now().await;
    }
    issuer.answer_keys_with(KeyAnswer::Keys);
    for delivery in waiting {
        assert_eq!(delivery.await.unwrap().status, 204);
    }
    assert_eq!(issuer.key_fetches(), 1);
    service.records(64).await;
    let mut probe = task(1);
    probe.method = emulator::Method::Get;
    assert_eq!(service.post("/health/ready", probe).await.status, 204);
}

#[tokio::test]
async fn a_key_server_that_hangs_holds_a_request_for_two_seconds_at_most() {
    let mut service = Service::of(issuer(KeyAnswer::Hold).await, jobs(&Seen::default()), &[]);
    let (answer, record) = service.deliver("/tasks/done", &task(1)).await;
    assert_eq!((answer.status, field(&record, "reason")), (503, "keys_unavailable"));
    let waited_ms = record["invocation"]["duration_ms"].as_f64().unwrap();
    assert!((1500.0..4500.0).contains(&waited_ms), "{waited_ms}");
}

#[tokio::test]
async fn one_unreadable_key_does_not_spoil_the_set() {
    let issuer = Issuer::start(0).await.unwrap();
    let mut keys = issuer.keys().jwks();
    let good = keys["keys"].as_array_mut().unwrap();
    for odd in [
        serde_json::json!({"kty": "AKP", "kid": "pq", "alg": "ML-DSA-44", "pub": "AAAA"}),
        serde_json::json!({"kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB"}),
        serde_json::json!({"kty": "RSA", "use": "enc", "kid": good[0]["kid"], "n": good[1]["n"], "e": "AQAB"}),
        serde_json::json!(7),
    ] {
        good.insert(0, odd);
    }
    issuer.answer_keys_with(KeyAnswer::Body(keys.to_string()));
    let mut service = Service::of(Arc::new(issuer), jobs(&Seen::default()), &[]);
    assert_eq!(service.deliver("/tasks/done", &task(1)).await.0.status, 204);
}

#[tokio::test]
async fn a_key_that_was_rotated_in_is_fetched_and_the_one_that_left_is_no_good_any_more() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    let old = service.token(TASKS);
    assert_eq!(service.send("/tasks/done", &task(1).bearer(&old)).await.0.status, 204);
    service.issuer.keys().rotate().unwrap();
    service.issuer.keys().rotate().unwrap();
    let new = service.token(TASKS);
    assert_eq!(service.send("/tasks/done", &task(2).bearer(&new)).await.0.status, 204);
    assert_eq!(service.issuer.key_fetches(), 2);
    let (answer, record) = service.send("/tasks/done", &task(3).bearer(&old)).await;
    assert_eq!((answer.status, field(&record, "reason")), (401, "unknown_key"));
}

#[tokio::test]
async fn a_flood_of_unknown_kids_costs_no_more_fetches_than_the_cooldown_allows() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    let stranger = SigningKey::generate().unwrap();
    let whole = service.issuer.id_token(AUDIENCE, TASKS);
    assert_eq!(service.deliver("/tasks/done", &task(0)).await.0.status, 204);
    for number in 1..300 {
        let forged = whole.clone().header("kid", format!("kid-{number}")).sign(&stranger).unwrap();
        let (answer, record) = service.send("/tasks/done", &task(number).bearer(&forged)).await;
        assert_eq!((answer.status, field(&record, "reason")), (401, "unknown_key"));
        assert_eq!(service.deliver("/tasks/done", &task(number)).await.0.status, 204);
    }
    // One at the start and one for the first unknown; another only if this took longer than a cooldown.
    assert!(service.issuer.key_fetches() <= 3, "{}", service.issuer.key_fetches());
}
