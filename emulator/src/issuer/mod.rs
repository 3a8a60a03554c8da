//! The side of Google that publishes keys and hands out tokens, over HTTP on loopback.
//!
//! | endpoint | what it is |
//! |---|---|
//! | `GET /.well-known/openid-configuration` | the discovery document of `https://accounts.google.com` |
//! | `GET /oauth2/v3/certs` | the keys as a JWK set, as `https://www.googleapis.com/oauth2/v3/certs` |
//! | `GET /oauth2/v1/certs` | the same keys as X.509 certificates, as `https://www.googleapis.com/oauth2/v1/certs` |
//! | `GET /iap/verify/public_key-jwk` | IAP's key, as `https://www.gstatic.com/iap/verify/public_key-jwk` |
//! | `POST /emulator/rotate` | the emulator's own: a fresh key signs, the oldest leaves; answers the new JWK set |
//! | `POST /emulator/token` | the emulator's own: `{"header": {…}?, "claims": {…}}` → `{"token": "…"}` |

mod client;
mod discovery;
mod endpoints;
mod key_page;

pub use client::RunningIssuer;
pub(crate) use endpoints::routes;
pub use key_page::KeyAnswer;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use actix_web::web;
use tokio::sync::OnceCell;

use self::key_page::KeyPage;
use crate::{
    account::Account,
    error::Error,
    iap::IapAssertion,
    keys::{IapKey, KeyRing},
    local_server::{Bound, LocalServer, bind_loopback},
    token::IdToken,
};

/// A running issuer with keys of its own. Dropping it stops it.
///
/// It runs on its own thread, so it can be held by any `#[tokio::test]`.
#[derive(Debug)]
pub struct Issuer {
    address: SocketAddr,
    authority: Arc<Authority>,
    keys: Arc<KeyRing>,
    server: LocalServer,
}

/// The issuer's name and keys: what the endpoints answer from.
#[derive(Debug)]
pub(crate) struct Authority {
    /// `iss` of the tokens.
    issuer: String,
    /// Where the keys are served.
    url: String,
    /// Made when they are first needed: that takes a while, and a server should not wait for it.
    keys: OnceCell<Arc<KeyRing>>,
    iap_key: IapKey,
    pub(crate) key_page: KeyPage,
}

impl Authority {
    /// One that issues as `issuer` and serves its keys at `url`.
    ///
    /// # Errors
    /// [`Error::Crypto`] if IAP's key cannot be made.
    pub(crate) fn new(issuer: String, url: String) -> Result<Authority, Error> {
        let (keys, key_page) = (OnceCell::new(), KeyPage::default());
        Ok(Authority { issuer, url, keys, iap_key: IapKey::generate()?, key_page })
    }

    /// `iss` of the tokens.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where the JWK set is served.
    pub(crate) fn keys_url(&self) -> String {
        format!("{}/oauth2/v3/certs", self.url)
    }

    /// Where the X.509 certificates are served.
    pub(crate) fn certificates_url(&self) -> String {
        format!("{}/oauth2/v1/certs", self.url)
    }

    /// Where IAP's JWK set is served.
    pub(crate) fn iap_keys_url(&self) -> String {
        format!("{}/iap/verify/public_key-jwk", self.url)
    }

    /// The keys, once they are made.
    ///
    /// # Errors
    /// [`Error::Crypto`] if they cannot be made.
    pub(crate) async fn keys(&self) -> Result<&Arc<KeyRing>, Error> {
        let generate = async || {
            let made = tokio::task::spawn_blocking(KeyRing::generate).await;
            made.map_err(|_| Error::Thread("generates the keys"))?.map(Arc::new)
        };
        self.keys.get_or_try_init(generate).await
    }
}

impl Issuer {
    /// Starts on `127.0.0.1:port` (0 takes a free port); `iss` is its own URL.
    ///
    /// # Errors
    /// [`Error::Listen`] if the port is taken, [`Error::Crypto`] if no keys can be made.
    pub async fn start(port: u16) -> Result<Issuer, Error> {
        let bound = bind_loopback(port)?;
        let issuer = url_of(bound.address);
        Issuer::serve(bound, issuer).await
    }

    /// The same with an `iss` of choice, for instance Google's own `https://accounts.google.com`.
    ///
    /// # Errors
    /// As [`start`](Issuer::start).
    pub async fn start_as(port: u16, issuer: &str) -> Result<Issuer, Error> {
        Issuer::serve(bind_loopback(port)?, issuer.to_owned()).await
    }

    async fn serve(bound: Bound, issuer: String) -> Result<Issuer, Error> {
        let address = bound.address;
        let authority = Arc::new(Authority::new(issuer, url_of(address))?);
        let keys = Arc::clone(authority.keys().await?);
        let shared = web::Data::from(Arc::clone(&authority));
        let server = LocalServer::start(bound, move |config| {
            config.app_data(shared.clone());
            endpoints::routes(config);
        })
        .await?;
        Ok(Issuer { address, authority, keys, server })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        url_of(self.address)
    }

    /// `iss` of the tokens: the URL, unless another was chosen.
    pub fn name(&self) -> &str {
        &self.authority.issuer
    }

    /// Where the JWK set is served.
    pub fn keys_url(&self) -> String {
        self.authority.keys_url()
    }

    /// Where the X.509 certificates are served.
    pub fn certificates_url(&self) -> String {
        self.authority.certificates_url()
    }

    /// Where IAP's JWK set is served.
    pub fn iap_keys_url(&self) -> String {
        self.authority.iap_keys_url()
    }

    /// The keys, to sign with or to rotate.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// IAP's key.
    pub fn iap_key(&self) -> &IapKey {
        &self.authority.iap_key
    }

    /// A valid token for `audience`, of the account `email`, signed now.
    ///
    /// # Errors
    /// [`Error::Crypto`] if signing fails.
    pub fn token(&self, audience: &str, email: &str) -> Result<String, Error> {
        self.sign(&self.id_token(audience, email))
    }

    /// The same before it is signed, so that a test can spoil one field.
    pub fn id_token(&self, audience: &str, email: &str) -> IdToken {
        let key = self.keys.current();
        IdToken::new(&self.authority.issuer, audience, &Account::new(email), key.id())
    }

    /// Signs with the current key.
    ///
    /// # Errors
    /// [`Error::Crypto`] if signing fails.
    pub fn sign(&self, token: &IdToken) -> Result<String, Error> {
        token.sign(&self.keys.current())
    }

    /// A valid IAP assertion before it is signed.
    pub fn iap_assertion(&self, audience: &str, email: &str) -> IapAssertion {
        IapAssertion::new(audience, &Account::new(email), self.authority.iap_key.id())
    }

    /// How many requests for keys (JWK sets and certificates, IAP's too) have arrived, answered or not.
    pub fn key_fetches(&self) -> u64 {
        self.authority.key_page.fetches.load(Ordering::SeqCst)
    }

    /// What requests for keys get from now on: the keys, or an outage.
    pub fn answer_keys_with(&self, answer: KeyAnswer) {
        self.authority.key_page.answer.send_replace(answer);
    }

    /// Sets `max-age` of the keys, in seconds. Google's is about six hours.
    pub fn set_keys_max_age_seconds(&self, seconds: u64) {
        self.authority.key_page.max_age_seconds.store(seconds, Ordering::SeqCst);
    }

    /// Sets `Age` of the keys, in seconds: how much of `max-age` a cache on the way has used up.
    pub fn set_keys_age_seconds(&self, seconds: u64) {
        self.authority.key_page.age_seconds.store(seconds, Ordering::SeqCst);
    }

    /// Stops, and waits until the port is free again. Dropping it stops without waiting.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

fn url_of(address: SocketAddr) -> String {
    format!("http://{address}")
}
