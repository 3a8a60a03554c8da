//! The metadata server of a machine of Google's, of which the receiver asks two things: its project, and access tokens
//! where telemetry goes to Google without a collector
//! (<https://cloud.google.com/run/docs/container-contract#metadata-server>).

use std::time::{Duration, Instant};

use reqwest::{
    Client,
    header::{HeaderMap, HeaderValue},
    redirect,
};
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};

/// It is on the same machine; where there is none, nobody shall wait for it.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long before its end a token is no longer used. The server hands out tokens that count for five minutes at least.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);

/// The metadata server, and the access token that it gave last.
#[derive(Debug)]
pub(crate) struct MetadataServer {
    host: String,
    client: OnceCell<Client>,
    token: Mutex<Option<AccessToken>>,
}

/// One of the account that the machine runs as.
#[derive(Debug)]
struct AccessToken {
    header: HeaderValue,
    usable_until: Instant,
}

#[derive(Deserialize)]
struct TokenReply {
    access_token: String,
    expires_in: u64,
}

impl MetadataServer {
    /// At `host` or `host:port`. Nothing is asked yet.
    pub(crate) fn at(host: &str) -> MetadataServer {
        MetadataServer { host: host.to_owned(), client: OnceCell::new(), token: Mutex::default() }
    }

    /// The project's id.
    ///
    /// # Errors
    /// Why it is not known, in one line.
    pub(crate) async fn project(&self) -> Result<String, String> {
        let id = self.get("project/project-id").await?;
        let id = id.trim();
        match id.is_empty() || !id.is_ascii() {
            true => Err(format!("the metadata server at {} answered with no project", self.host)),
            false => Ok(id.to_owned()),
        }
    }

    /// `Authorization` with an access token that counts for a minute at least.
    ///
    /// # Errors
    /// Why there is none, in one line, without any part of it.
    pub(crate) async fn authorization(&self) -> Result<HeaderValue, String> {
        let mut held = self.token.lock().await;
        if let Some(token) = held.as_ref().filter(|token| Instant::now() < token.usable_until) {
            return Ok(token.header.clone());
        }
        let asked = Instant::now();
        let reply = self.get("instance/service-accounts/default/token").await?;
        let token = serde_json::from_str(&reply).ok().and_then(|token| read(&token, asked));
        let token = token.ok_or(format!("{} answered with no access token", self.host))?;
        let header = token.header.clone();
        *held = Some(token);
        Ok(header)
    }

    /// Forgets the token, which was refused.
    pub(crate) async fn forget(&self) {
        *self.token.lock().await = None;
    }

    async fn get(&self, path: &str) -> Result<String, String> {
        let client = self.client.get_or_try_init(async || client()).await?;
        let url = format!("http://{}/computeMetadata/v1/{path}", self.host);
        let failed = |error: reqwest::Error| {
            format!("the metadata server at {} does not answer: {}", self.host, error.without_url())
        };
        let answer = client.get(url).send().await.map_err(failed)?;
        match answer.status().as_u16() {
            200 if is_metadata(answer.headers()) => answer.text().await.map_err(failed),
            // Whoever else has this address, on a strange network, is not believed.
            200 => Err(format!("what answers at {} is no metadata server", self.host)),
            status => Err(format!("the metadata server at {} answered {status}", self.host)),
        }
    }
}

fn client() -> Result<Client, String> {
    Client::builder()
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .default_headers(HeaderMap::from_iter([(
            reqwest::header::HeaderName::from_static("metadata-flavor"),
            HeaderValue::from_static("Google"),
        )]))
        .build()
        .map_err(|error| error.to_string())
}

fn is_metadata(headers: &HeaderMap) -> bool {
    headers.get("metadata-flavor").is_some_and(|flavor| flavor == "Google")
}

fn read(reply: &TokenReply, asked: Instant) -> Option<AccessToken> {
    let mut header = HeaderValue::try_from(format!("Bearer {}", reply.access_token)).ok()?;
    header.set_sensitive(true);
    let lifetime = Duration::from_secs(reply.expires_in).saturating_sub(RENEWED_BEFORE);
    Some(AccessToken { header, usable_until: asked.checked_add(lifetime)? })
}
