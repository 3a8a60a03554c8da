//! Test keys, minted tokens, and a key server that does as it is told.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::{
    checks::now_unix_secs,
    keys::{FetchError, Fetched, Keys, Source},
    limits::Limits,
    policy::{Callers, Policy},
    profile::Profile,
    verifier::Verifier,
};

pub(crate) const AUDIENCE: &str = "https://receiver-123.europe-west1.run.app";
pub(crate) const EMAIL: &str = "scheduler@my-project.iam.gserviceaccount.com";
pub(crate) const SUBJECT: &str = "113774264463038321964";
pub(crate) const KID: &str = "9b0f6c1d";

/// The issuer's key; generated once per process, since that takes a while.
pub(crate) fn rsa_key() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

/// Somebody else's key.
pub(crate) fn other_rsa_key() -> &'static RsaKeyPair {
    static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
}

/// IAP's key.
pub(crate) fn ec_key() -> &'static EcdsaKeyPair {
    static KEY: OnceLock<EcdsaKeyPair> = OnceLock::new();
    KEY.get_or_init(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
}

pub(crate) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key as Google publishes it.
pub(crate) fn rsa_jwk(kid: &str, key: &RsaKeyPair) -> Value {
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(key.public_key());
    json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": b64(n), "e": b64(e)})
}

/// A key as IAP publishes it.
pub(crate) fn ec_jwk(kid: &str, key: &EcdsaKeyPair) -> Value {
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    json!({"kty": "EC", "alg": "ES256", "use": "sig", "crv": "P-256", "kid": kid, "x": b64(x), "y": b64(y)})
}

pub(crate) fn jwks(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}

/// A token in the making: valid until something is spoiled.
pub(crate) struct Mint {
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Mint {
    /// As Google mints them for service accounts.
    pub(crate) fn google() -> Mint {
        let now = now_unix_secs();
        Mint {
            header: json!({"alg": "RS256", "kid": KID, "typ": "JWT"}),
            claims: json!({
                "iss": "https://accounts.google.com", "aud": AUDIENCE, "sub": SUBJECT,
                "azp": SUBJECT, "email": EMAIL, "email_verified": true,
                "iat": now - 10, "exp": now + 3590,
            }),
        }
    }

    /// As IAP mints them for users.
    pub(crate) fn iap() -> Mint {
        let now = now_unix_secs();
        Mint {
            header: json!({"alg": "ES256", "kid": KID, "typ": "JWT"}),
            claims: json!({
                "iss": "https://cloud.google.com/iap", "aud": AUDIENCE,
                "sub": "accounts.google.com:117034270464061213049", "email": EMAIL,
                "iat": now - 10, "exp": now + 590,
            }),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: Value) -> Mint {
        self.header[name] = value;
        self
    }

    pub(crate) fn claim(mut self, name: &str, value: Value) -> Mint {
        self.claims[name] = value;
        self
    }

    pub(crate) fn without_header(mut self, name: &str) -> Mint {
        self.header.as_object_mut().unwrap().remove(name);
        self
    }

    pub(crate) fn without_claim(mut self, name: &str) -> Mint {
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }

    pub(crate) fn sign(&self) -> String {
        self.sign_with(rsa_key())
    }

    pub(crate) fn sign_with(&self, key: &RsaKeyPair) -> String {
        sign_raw(&self.header.to_string(), &self.claims.to_string(), key)
    }

    pub(crate) fn sign_es256(&self) -> String {
        let signed = signed_part(&self.header.to_string(), &self.claims.to_string());
        let signature = ec_key().sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", b64(signature))
    }
}

fn signed_part(header: &str, claims: &str) -> String {
    format!("{}.{}", b64(header), b64(claims))
}

/// Signs any two texts, for what no JSON library would write.
pub(crate) fn sign_raw(header: &str, claims: &str, key: &RsaKeyPair) -> String {
    let signed = signed_part(header, claims);
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", b64(signature))
}

/// The policy that [`Mint::google`] and [`Mint::iap`] pass.
pub(crate) fn policy() -> Policy {
    Policy::new([AUDIENCE.to_owned()], Callers::parse([EMAIL]).unwrap()).unwrap()
}

/// What the key server does.
#[derive(Clone)]
pub(crate) enum Answer {
    /// This body, with this lifetime.
    Body(Vec<u8>, Option<Duration>),
    Fail,
    Hang,
    Panic,
}

/// A key server that does as it is told, after a delay.
#[derive(Clone)]
pub(crate) struct FakeServer {
    state: Arc<Mutex<(Duration, Answer)>>,
}

/// The lifetime of key sets here, unless a test says otherwise.
pub(crate) const LIFETIME: Duration = Duration::from_secs(100);

impl FakeServer {
    pub(crate) fn new(answer: Answer) -> FakeServer {
        FakeServer { state: Arc::new(Mutex::new((Duration::ZERO, answer))) }
    }

    /// Serves [`rsa_key`] as [`KID`].
    pub(crate) fn good() -> FakeServer {
        FakeServer::new(FakeServer::keys(&[rsa_jwk(KID, rsa_key())]))
    }

    pub(crate) fn keys(keys: &[Value]) -> Answer {
        Answer::Body(jwks(keys), Some(LIFETIME))
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.state.lock().unwrap().1 = answer;
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.state.lock().unwrap().0 = delay;
    }

    pub(crate) fn into_keys(self, profile: Profile) -> Keys {
        Keys::with_source(profile, Limits::default(), Box::new(self))
    }

    /// A verifier that asks this server.
    pub(crate) fn verifier(&self, profile: Profile) -> Verifier {
        Verifier::with_keys(profile.clone(), self.clone().into_keys(profile), 100)
    }
}

impl Source for FakeServer {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + '_>> {
        let (delay, answer) = self.state.lock().unwrap().clone();
        Box::pin(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            match answer {
                Answer::Body(body, lifetime) => Ok(Fetched { body, lifetime }),
                Answer::Fail => Err(FetchError::Request("connection refused".into())),
                Answer::Hang => std::future::pending().await,
                Answer::Panic => panic!("the test asked for this panic"),
            }
        })
    }
}
