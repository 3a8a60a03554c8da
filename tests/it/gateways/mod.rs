//! The real Envoy in front of the receiver, with the configuration in `gateways/envoy`. `scripts/peers` installs it.
//!
//! What must be of this machine is replaced: ports, and the authority that Google's keys are trusted by.

mod envoy;

use std::sync::Arc;

use emulator::{Delivery, Issuer, senders::tasks::Attempt};

use self::envoy::{Envoy, Keys};
use crate::harness::{MARKER, Seen, Service, field, jobs};

const AUDIENCE: &str = "https://receiver-123456789012.europe-west1.run.app";

fn caller(sender: &str) -> String {
    format!("{sender}-caller@my-project.iam.gserviceaccount.com")
}

/// Envoy, the receiver behind it in platform mode, and an issuer that is called as Google is.
struct Gateway {
    envoy: Envoy,
    service: Service,
}

impl Gateway {
    /// With the shipped configuration, and with what `change` makes of it.
    async fn start(keys: Keys, header: &str, change: impl Fn(String) -> String) -> Option<Gateway> {
        let issuer = Issuer::start_as(0, "https://accounts.google.com").await.unwrap();
        let (scheduler, tasks) = (caller("scheduler"), caller("tasks"));
        let (pubsub, events) = (caller("pubsub"), caller("events"));
        let settings = [
            ("AUTH", "platform"),
            ("PLATFORM_IDENTITY", header),
            ("AUDIENCE", AUDIENCE),
            ("SCHEDULER_CALLERS", &*scheduler),
            ("TASKS_CALLERS", &*tasks),
            ("PUBSUB_CALLERS", &*pubsub),
            ("EVENTS_CALLERS", &*events),
            ("DEDUP", "off"),
        ];
        let jwks = issuer.keys().jwks().to_string();
        let service = Service::of(Arc::new(issuer), jobs(&Seen::default()), &settings);
        let envoy = Envoy::start(&service.url, keys, &jwks, change).await?;
        Some(Gateway { envoy, service })
    }

    async fn shipped() -> Option<Gateway> {
        Gateway::start(Keys::Google, "x-jwt-payload", |shipped| shipped).await
    }

    /// The status of a delivery to Envoy, and the record if the receiver saw it.
    async fn status(&mut self, path: &str, delivery: &Delivery) -> u16 {
        self.envoy.send(path, delivery).await
    }

    fn token(&self, email: &str) -> String {
        self.service.secret(self.service.issuer.token(AUDIENCE, email).unwrap())
    }

    /// That Envoy lets nothing through.
    async fn refuses(&mut self, status: u16, path: &str, delivery: &Delivery) {
        assert_eq!(self.status(path, delivery).await, status, "{path}");
        self.service.no_record();
    }
}

fn task() -> Delivery {
    Attempt { body: MARKER.into(), ..Attempt::first("receipts", "1") }.delivery()
}

/// A header of claims that nobody signed.
fn forged(email: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    let claims = serde_json::json!({
        "iss": "https://accounts.google.com", "aud": AUDIENCE, "sub": "1", "email": email,
        "email_verified": true, "iat": 1, "exp": 4_000_000_000_u64,
    });
    BASE64_URL_SAFE_NO_PAD.encode(claims.to_string())
}

#[tokio::test]
async fn envoy_hands_on_who_calls_and_keeps_everybody_else_out() {
    let Some(mut gateway) = Gateway::shipped().await else { return };
    for sender in ["scheduler", "tasks", "pubsub", "events"] {
        let email = caller(sender);
        let token = gateway.token(&email);
        let path = format!("/{sender}/done");
        // The receiver reads each sender's own wire form; that the route's caller gets there is what counts here.
        let delivery = task().bearer(&token);
        let status = gateway.status(&path, &delivery).await;
        assert_ne!((status, status / 100), (403, 4), "{sender}");
        let record = gateway.service.record().await;
        if sender == "tasks" {
            assert_eq!((status, field(&record, "outcome")), (204, "done"), "{record}");
            assert_eq!(record["invocation"]["caller"]["email"], email.as_str());
            assert_eq!(record["invocation"]["caller"]["auth"], "platform");
        }
    }

    let issuer = Arc::clone(&gateway.service.issuer);
    let whole = || issuer.id_token(AUDIENCE, &caller("tasks"));
    let spoilt = [
        ("expired", 401, issuer.sign(&whole().aged(7200))),
        ("of another audience", 403, issuer.sign(&whole().claim("aud", "https://other.run.app"))),
        ("of another issuer", 401, issuer.sign(&whole().claim("iss", "https://evil.example"))),
        ("of another caller", 403, issuer.sign(&issuer.id_token(AUDIENCE, "ada@example.com"))),
        (
            "of another route's caller",
            403,
            issuer.sign(&issuer.id_token(AUDIENCE, &caller("pubsub"))),
        ),
        ("not verified", 403, issuer.sign(&whole().claim("email_verified", false))),
        ("without a signature", 401, whole().signature_removed()),
    ];
    for (what, status, token) in spoilt {
        let token = gateway.service.secret(token.unwrap());
        let sent = gateway.status("/tasks/done", &task().bearer(&token)).await;
        assert_eq!(sent, status, "{what}");
        gateway.service.no_record();
    }
    gateway.refuses(401, "/tasks/done", &task()).await;
    gateway.refuses(401, "/", &task()).await;
    // The receiver's probes answer without a token, and nothing else of that path does.
    for (path, status) in [("/health/live", 204), ("/health/livez", 401), ("/health/live/x", 401)] {
        assert_eq!(gateway.envoy.get(path).await, status, "{path}");
    }
}

#[tokio::test]
async fn envoy_strips_forged_identities_and_reads_the_path_as_the_receiver_does() {
    let Some(mut gateway) = Gateway::shipped().await else { return };
    let tasks = caller("tasks");
    for header in [
        "X-Jwt-Payload",
        "x-endpoint-api-userinfo",
        "x-apigateway-api-userinfo",
        "x-goog-iap-jwt-assertion",
        "x-goog-authenticated-user-email",
    ] {
        let forged = task().header(header, &forged("ada@example.com"));
        gateway.refuses(401, "/tasks/done", &forged).await;
        let token = gateway.token(&tasks);
        assert_eq!(gateway.status("/tasks/done", &forged.bearer(&token)).await, 204, "{header}");
        let record = gateway.service.record().await;
        assert_eq!(record["invocation"]["caller"]["email"], tasks.as_str(), "{header}");
    }
    let underscored = task().header("x_jwt_payload", &forged("ada@example.com"));
    let token = gateway.token(&tasks);
    gateway.refuses(400, "/tasks/done", &underscored.bearer(&token)).await;

    // Another's route by a detour.
    let pubsub = gateway.token(&caller("pubsub"));
    for path in [
        "/pubsub/../tasks/done",
        "//tasks/done",
        "/pubsub/..//tasks/done",
        "/./tasks/done",
        "/tasks//done",
    ] {
        gateway.refuses(403, path, &task().bearer(&pubsub)).await;
    }
    for path in ["/pubsub/..%2ftasks/done", "/pubsub%2F..%2Ftasks/done", "/tasks%5Cdone"] {
        gateway.refuses(400, path, &task().bearer(&pubsub)).await;
    }
    // Seen as one path on both sides.
    assert_eq!(gateway.status("/pubsub/../tasks//done", &task().bearer(&token)).await, 204);
    assert_eq!(field(&gateway.service.record().await, "job"), "done");
}

#[tokio::test]
async fn keys_from_whoever_is_not_google_are_not_taken() {
    for keys in [Keys::OtherAuthority, Keys::OtherName] {
        let started = Gateway::start(keys, "x-jwt-payload", |shipped| shipped).await;
        let Some(mut gateway) = started else { return };
        let token = gateway.token(&caller("tasks"));
        gateway.refuses(401, "/tasks/done", &task().bearer(&token)).await;
    }
}

#[tokio::test]
async fn the_header_of_endpoints_is_read_padded_as_it_hands_it_over() {
    let change = |shipped: String| {
        let header = "forward_payload_header: x-jwt-payload";
        assert!(shipped.contains(header));
        let padded = "forward_payload_header: x-endpoint-api-userinfo\n                          pad_forward_payload_header: true";
        shipped.replace(header, padded)
    };
    let started = Gateway::start(Keys::Google, "x-endpoint-api-userinfo", change).await;
    let Some(mut gateway) = started else { return };
    let token = gateway.token(&caller("tasks"));
    assert_eq!(gateway.status("/tasks/done", &task().bearer(&token)).await, 204);
    let record = gateway.service.record().await;
    assert_eq!(record["invocation"]["caller"]["email"], caller("tasks").as_str());
}

/// The settings that `gateways/README.md` gives for each front end, which must start a receiver.
#[test]
fn the_settings_of_each_front_end_are_accepted() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("gateways/README.md")).unwrap();
    let known = std::fs::read_to_string(root.join(".env.example")).unwrap();
    let blocks: Vec<Vec<(&str, &str)>> = readme
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .filter(|block| block.contains("AUTH="))
        .map(|block| block.lines().map(|line| line.split_once('=').unwrap()).collect())
        .collect();
    assert_eq!(blocks.len(), 5);
    for block in blocks {
        for (name, _) in &block {
            assert!(known.contains(&format!("{name}=")), "{name} is in no .env.example");
        }
        let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_receiver"));
        let output = check.arg("check").env_clear().envs(block.iter().copied()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block:?}\n{said}");
        // The same without what makes a proxy's header trustworthy.
        let identity = block.iter().find(|(name, _)| *name == "PLATFORM_IDENTITY").unwrap().1;
        if identity.starts_with("x-") {
            let bare = block.iter().filter(|(name, _)| !["HOST", "PROXY_CALLERS"].contains(name));
            let mut check = std::process::Command::new(env!("CARGO_BIN_EXE_receiver"));
            let output = check.arg("check").env_clear().envs(bare.copied()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{block:?}\n{said}");
            assert!(said.contains("a loopback address"), "{said}");
        }
    }
}
