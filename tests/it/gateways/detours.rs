//! Ways around Envoy's rules: forged identities, and paths that two programs could read in two ways.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use emulator::Issuer;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{
    AUDIENCE, Gateway, caller, delivery,
    envoy::{Envoy, KeysOf, SHIPPED},
};
use crate::{harness::field, wire::Wire};

/// Claims that nobody signed, as the header would hold them.
fn forged_claims(email: &str) -> String {
    let claims = json!({
        "iss": "https://accounts.google.com", "aud": AUDIENCE, "sub": "1", "email": email,
        "email_verified": true, "iat": 1, "exp": 4_000_000_000_u64,
    });
    BASE64_URL_SAFE_NO_PAD.encode(claims.to_string())
}

#[tokio::test]
async fn envoy_removes_identities_that_come_from_outside() {
    let Some(mut gateway) = Gateway::shipped().await else { return };
    let token = gateway.token(&caller("tasks"));
    let forged = forged_claims(&caller("tasks"));
    for header in
        ["x-jwt-payload", "X-JWT-Payload", "x-endpoint-api-userinfo", "x-apigateway-api-userinfo"]
    {
        let alone = delivery("tasks").header(header, &forged);
        gateway.refuses(401, "/tasks/done", &alone).await;
        gateway.refuses(401, "/tasks/done", &alone.also(header, &forged)).await;
    }
    // With another caller's good token, what is handed on is that caller.
    let pubsub = gateway.token(&caller("pubsub"));
    let borrowed = delivery("tasks").header("x-jwt-payload", &forged).bearer(&pubsub);
    gateway.refuses(403, "/tasks/done", &borrowed).await;
    let forged_ada = forged_claims("ada@example.com");
    let doubled = delivery("tasks")
        .header("x-jwt-payload", &forged_ada)
        .also("x-jwt-payload", &forged)
        .bearer(&token);
    gateway.admits("tasks", &doubled).await;
    // One name to some programs, and another to others.
    let underscored = delivery("tasks").header("x_jwt_payload", &forged).bearer(&token);
    gateway.refuses(400, "/tasks/done", &underscored).await;
}

#[tokio::test]
async fn nothing_that_any_front_end_vouches_with_reaches_the_service_but_envoy_s_own_header() {
    let issuer = Issuer::start_as(0, "https://accounts.google.com").await.unwrap();
    let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", behind.local_addr().unwrap());
    let jwks = issuer.keys().jwks().to_string();
    let started = Envoy::start(&url, KeysOf::Google, &jwks, SHIPPED.to_owned()).await;
    let Some(envoy) = started else { return };

    let token = issuer.token(AUDIENCE, &caller("tasks")).unwrap();
    let forgeries = [
        "x-jwt-payload",
        "x-endpoint-api-userinfo",
        "x-apigateway-api-userinfo",
        "x-forwarded-authorization",
        "x-serverless-authorization",
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
        "x-goog-authenticated-user-id",
        "x-envoy-retry-on",
    ];
    let mut delivery = delivery("tasks").bearer(&token);
    for name in forgeries {
        delivery = delivery.also(name, "FORGED");
    }
    let service = async {
        let (mut stream, _) = behind.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        String::from_utf8(head).unwrap().to_lowercase()
    };
    let (status, head) = tokio::join!(envoy.send("/tasks/done", &delivery), service);
    assert_eq!(status, 204);
    let (_, claims) = token.split_once('.').unwrap();
    let claims = claims.split_once('.').unwrap().0.to_lowercase();
    let names: Vec<_> =
        head.lines().skip(1).filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    assert!(!head.contains("forged"), "{names:?}");
    assert!(head.contains(&format!("\r\nx-jwt-payload: {claims}\r\n")), "{names:?}");
    assert!(!names.contains(&"authorization"), "{names:?}");
    assert!(names.contains(&"x-cloudtasks-taskname"), "what the sender says does: {names:?}");
}

/// As it stands on the wire: what an HTTP client would tidy up first.
async fn raw(gateway: &Gateway, path: &str, token: &str) -> u16 {
    let mut wire = Wire::to(gateway.envoy.url(), token.to_owned()).await;
    wire.head(&format!("POST {path}"), "Content-Length: 0").await;
    wire.status().await
}

#[tokio::test]
async fn envoy_reads_a_path_as_the_service_does_or_refuses_it() {
    let Some(mut gateway) = Gateway::shipped().await else { return };
    let (tasks, pubsub) = (gateway.token(&caller("tasks")), gateway.token(&caller("pubsub")));
    for (path, status) in [
        ("/tasks/done", 403),
        ("//tasks/done", 403),
        ("/pubsub/../tasks/done", 403),
        ("/pubsub/..//tasks/done", 403),
        ("/pubsub/./../tasks/done", 403),
        ("/pubsub/%2e%2e/tasks/done", 403),
        ("/pubsub/.%2E/tasks/done", 403),
        ("/./tasks/done", 403),
        ("/tasks//done", 403),
        ("/%74asks/done", 403),
        ("/TASKS/done", 403),
        ("/health/live/../../tasks/done", 403),
        ("/tasks/done?/pubsub/done", 403),
        ("http://localhost/tasks/done", 403),
        ("/pubsub/..%2ftasks/done", 400),
        ("/pubsub%2F..%2Ftasks/done", 400),
        ("/pubsub%5C..%5Ctasks/done", 400),
        ("/pubsub/#/../../tasks/done", 400),
    ] {
        assert_eq!(raw(&gateway, path, &pubsub).await, status, "{path}");
        gateway.service.no_record();
    }
    // What Envoy's rules saw is what the receiver got.
    for (path, token, status, sender) in [
        ("/tasks/done", &tasks, 204, "tasks"),
        ("/pubsub/../tasks//done", &tasks, 204, "tasks"),
        ("/pubsub/%2E%2e/tasks/done", &tasks, 204, "tasks"),
        ("/pubsub//../tasks/done", &pubsub, 404, "pubsub"),
    ] {
        assert_eq!(raw(&gateway, path, token).await, status, "{path}");
        assert_eq!(field(&gateway.service.record().await, "sender"), sender, "{path}");
    }
}
