//! What a request pays for its token: remembered, first use, refused.
//!
//! `cargo bench -p oidc`; allocations are counted beside the times.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::{
    hint::black_box,
    io::{Read, Write},
    net::TcpListener,
    pin::pin,
    task::{Context, Poll, Waker},
};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use divan::{AllocProfiler, Bencher};
use oidc::{Callers, Limits, Policy, Profile, Reason, Verifier, now_unix_secs};
use serde_json::{Value, json};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const AUDIENCE: &str = "https://receiver-123.europe-west1.run.app";
const EMAIL: &str = "scheduler@my-project.iam.gserviceaccount.com";

fn main() {
    divan::main();
}

#[divan::bench]
fn remembered(bencher: Bencher<'_, '_>) {
    let bench = Setup::new(Limits::default());
    bencher.bench_local(|| assert!(bench.verify(black_box(&bench.token)).is_ok()));
}

#[divan::bench]
fn first_use(bencher: Bencher<'_, '_>) {
    let bench = Setup::new(Limits { verified_tokens: 0, ..Limits::default() });
    bencher.bench_local(|| assert!(bench.verify(black_box(&bench.token)).is_ok()));
}

#[divan::bench]
fn refused_garbage(bencher: Bencher<'_, '_>) {
    let bench = Setup::new(Limits::default());
    let garbage = "garbage ".repeat(100);
    bencher.bench_local(|| assert_eq!(bench.verify(black_box(&garbage)), Err(Reason::Malformed)));
}

#[divan::bench]
fn refused_issuer(bencher: Bencher<'_, '_>) {
    let bench = Setup::new(Limits::default());
    let other = bench.mint("https://issuer.example");
    bencher.bench_local(|| assert_eq!(bench.verify(black_box(&other)), Err(Reason::WrongIssuer)));
}

#[divan::bench]
fn refused_signature(bencher: Bencher<'_, '_>) {
    let bench = Setup::new(Limits::default());
    let cut = bench.token.len() - 40;
    let forged = format!("{}{}", &bench.token[..cut], "A".repeat(40));
    bencher.bench_local(|| assert_eq!(bench.verify(black_box(&forged)), Err(Reason::BadSignature)));
}

#[divan::bench]
fn building_a_verifier() -> Verifier {
    Verifier::new(Profile::google())
}

/// A verifier with its keys, a policy, and a token that passes.
struct Setup {
    verifier: Verifier,
    policy: Policy,
    key: RsaKeyPair,
    token: String,
}

impl Setup {
    fn new(limits: Limits) -> Setup {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let components = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
        let (n, e) = (b64(components.n), b64(components.e));
        let url = serve(&json!({"keys": [{"kty": "RSA", "kid": "k", "n": n, "e": e}]}));
        let callers = Callers::parse([EMAIL]).unwrap();
        let mut setup = Setup {
            verifier: Verifier::with_limits(Profile::google().with_keys_url(url), limits),
            policy: Policy::new([AUDIENCE.to_owned()], callers).unwrap(),
            key,
            token: String::new(),
        };
        setup.token = setup.mint("https://accounts.google.com");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(setup.verifier.verify(&setup.token, &setup.policy)).unwrap();
        setup
    }

    fn mint(&self, issuer: &str) -> String {
        let now = now_unix_secs();
        let signed = format!(
            "{}.{}",
            b64(json!({"alg": "RS256", "kid": "k", "typ": "JWT"}).to_string()),
            b64(json!({
                "iss": issuer, "aud": AUDIENCE, "sub": "113774264463038321964",
                "azp": "113774264463038321964", "email": EMAIL, "email_verified": true,
                "iat": now, "exp": now + 3600,
            })
            .to_string())
        );
        let mut signature = vec![0; self.key.public_modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).unwrap();
        format!("{signed}.{}", b64(signature))
    }

    /// One poll without a runtime, so that nothing but the verifier is measured.
    fn verify(&self, token: &str) -> Result<(), Reason> {
        let verify = pin!(self.verifier.verify(token, &self.policy));
        match verify.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(verified) => verified.map(|_| ()).map_err(|refusal| refusal.reason),
            Poll::Pending => panic!("the keys are here, so there is nothing to wait for"),
        }
    }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Serves a key set once.
fn serve(set: &Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/certs", listener.local_addr().unwrap());
    let (body, limit) = (set.to_string(), "Cache-Control: max-age=86400");
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\n{limit}\r\nContent-Length: {length}\r\n\r\n{body}");
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 4096]);
        connection.write_all(answer.as_bytes()).unwrap();
    });
    url
}
