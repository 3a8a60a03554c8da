//! Who gets through Envoy, and who does not.

use std::sync::Arc;

use emulator::{IdToken, SigningKey, senders::pubsub::Push};

use super::{AUDIENCE, Gateway, SENDERS, caller, delivery};
use crate::harness::MARKER;

#[tokio::test]
async fn envoy_lets_each_sender_s_own_caller_in_and_hands_on_who_it_is() {
    let Some(mut gateway) = Gateway::shipped().await else { return };
    for sender in SENDERS {
        let token = gateway.token(&caller(sender));
        gateway.admits(sender, &delivery(sender).bearer(&token)).await;
    }
    // As large as Pub/Sub's messages are: base64 makes a third more of ten megabytes.
    let token = gateway.token(&caller("pubsub"));
    let large = Push::new("projects/example/subscriptions/s", "1", vec![b'x'; 10_000_000]);
    gateway.admits("pubsub", &large.wrapped().bearer(&token)).await;
    // What is larger is the receiver's to refuse, on record.
    let token = gateway.token(&caller("tasks"));
    let large = delivery("tasks").body(vec![b'x'; 2 << 20]).bearer(&token);
    assert_eq!(gateway.envoy.send("/tasks/done", &large).await, 413);
    assert_eq!(gateway.service.record().await["invocation"]["outcome"], "too_large");

    let log = gateway.envoy.stopped();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 6, "{log}");
    assert_eq!(lines[1]["caller"], caller("tasks"));
    assert_eq!(lines[1]["message"], "POST /tasks/done 204 via_upstream");
}

#[tokio::test]
async fn envoy_keeps_everybody_else_out_and_its_log_says_why_but_shows_no_token() {
    let Some(mut gateway) = Gateway::shipped().await else { return };
    gateway.refuses(401, "/tasks/done", &delivery("tasks")).await;
    gateway.refuses(401, "/", &delivery("tasks")).await;

    let issuer = Arc::clone(&gateway.service.issuer);
    let stranger = SigningKey::generate().unwrap();
    let whole = || issuer.id_token(AUDIENCE, &caller("tasks"));
    let signed = |token: IdToken| issuer.sign(&token).unwrap();
    let spoilt = [
        ("expired", 401, signed(whole().aged(3600 + 31))),
        ("not yet valid", 401, signed(whole().claim("nbf", 4_000_000_000_u64))),
        ("without an end", 401, signed(whole().without("exp"))),
        ("of another audience", 403, signed(whole().claim("aud", "https://other.run.app"))),
        ("of another issuer", 401, signed(whole().claim("iss", "https://evil.example"))),
        ("of another caller", 403, signed(issuer.id_token(AUDIENCE, "ada@example.com"))),
        ("of another route's", 403, signed(issuer.id_token(AUDIENCE, &caller("pubsub")))),
        ("not verified", 403, signed(whole().claim("email_verified", false))),
        ("verified in words", 403, signed(whole().claim("email_verified", "true"))),
        ("without an address", 403, signed(whole().without("email"))),
        ("of a key of nobody's", 401, whole().sign(&stranger).unwrap()),
        ("with a key in it", 401, whole().embedded_key(&stranger).unwrap()),
        ("without a signature", 401, whole().signature_removed().unwrap()),
        ("of no algorithm", 401, whole().unsigned().unwrap()),
    ];
    let good = gateway.token(&caller("tasks"));
    for (what, status, token) in &spoilt {
        let token = gateway.service.secret(token.clone());
        let sent = gateway.envoy.send("/tasks/done", &delivery("tasks").bearer(&token)).await;
        assert_eq!(sent, *status, "{what}");
        gateway.service.no_record();
    }
    // One that is in its time still passes, and so does one that ended within the skew.
    gateway.admits("tasks", &delivery("tasks").bearer(&good)).await;
    let late = gateway.service.secret(signed(whole().aged(3600 + 20)));
    gateway.admits("tasks", &delivery("tasks").bearer(&late)).await;

    // A token where logs would show it is none, and two are one too many.
    let in_query = format!("/tasks/done?access_token={good}");
    gateway.refuses(401, &in_query, &delivery("tasks")).await;
    for other in [&*good, "x"] {
        let twice =
            delivery("tasks").bearer(&good).also("Authorization", &format!("Bearer {other}"));
        gateway.refuses(401, "/tasks/done", &twice).await;
    }

    let log = gateway.envoy.stopped();
    assert!(log.contains("jwt_authn_access_denied{Jwt_is_expired}"), "{log}");
    assert!(log.contains("rbac_access_denied"), "{log}");
    assert!(!log.contains("eyJ") && !log.contains(MARKER), "a token or a payload shows");
}

#[tokio::test]
async fn probes_pass_without_a_token_and_nothing_else_of_their_path_does() {
    let Some(gateway) = Gateway::shipped().await else { return };
    for (path, status) in [
        ("/health/live", 204),
        ("/health/ready", 204),
        ("/health/live?x=1", 204),
        ("/health/livez", 401),
        ("/health/live/x", 401),
        ("/health", 401),
    ] {
        assert_eq!(gateway.envoy.get(path).await, status, "{path}");
    }
}
