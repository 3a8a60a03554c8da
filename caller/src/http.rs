//! One request to Google, tried again where that can help.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use aws_lc_rs::rand;
use bytes::Bytes;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::{
    Client, ClientBuilder, Method, RequestBuilder, StatusCode, Url, header::DATE, redirect,
};

use crate::error::Error;

/// A connection to Google takes a tenth of this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The metadata server is on the same machine; where there is none, nobody shall wait for it.
const METADATA_CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// Limits on one try as a whole.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
const METADATA_TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit on the question whether there is a metadata server.
const PRESENCE_TIMEOUT: Duration = Duration::from_millis(900);
/// How often a request is sent at most.
const TRIES: u32 = 3;
/// The longest pause before the second try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(400);
/// No answer that is read here is longer.
const MOST_BYTES: usize = 256 << 10;
/// A clock that is closer to Google's than this is not worth a word.
const NOTABLE_SKEW_SECS: u64 = 60;

/// The clients, built when they are first needed: reading the CA certificates takes some milliseconds. Clones share.
#[derive(Clone, Default)]
pub(crate) struct Transport(Arc<Clients>);

#[derive(Default)]
struct Clients {
    google: OnceLock<Client>,
    near: OnceLock<Client>,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whither {
    /// To one of Google's APIs, by the proxy of the environment if there is one.
    Google,
    /// To the metadata server, which no proxy reaches; whether it is there is asked once.
    Metadata,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Where the request went, without its query.
    pub(crate) url: String,
    pub(crate) status: StatusCode,
    /// Whether the answer bears the mark of a metadata server.
    pub(crate) is_metadata: bool,
    pub(crate) body: Bytes,
    /// Google's clock.
    pub(crate) date: Option<SystemTime>,
    /// Whether an earlier try may have had its effect although it was not answered so.
    pub(crate) may_have_happened: bool,
}

/// Whether trying again may help: the server was overloaded or not well.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502..=504)
}

impl Transport {
    /// Sends a request to `url` with what `complete` adds to it, up to three times while the fault is of the passing
    /// kind, with pauses that grow and are of random length, so that those who failed together do not come back
    /// together.
    ///
    /// # Errors
    /// [`Error::NoAnswer`], [`Error::Client`], [`Error::Url`].
    pub(crate) async fn send(
        &self,
        whither: Whither,
        method: Method,
        url: &str,
        complete: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Result<Reply, Error> {
        let client = self.client(whither).await?;
        let url = parsed(url)?;
        let (mut tried, mut may_have_happened) = (0, false);
        loop {
            let request = complete(client.request(method.clone(), url.clone()));
            let reply = once(whither, &url, request, may_have_happened).await;
            tried += 1;
            let (again, is_unsent) = match &reply {
                // Whoever is told to come later was not served.
                Ok(reply) => (
                    is_transient(reply.status.as_u16()),
                    reply.status == StatusCode::TOO_MANY_REQUESTS,
                ),
                Err(Fault { may_pass, is_unsent, .. }) => (*may_pass, *is_unsent),
            };
            if !again || tried == TRIES {
                return reply.map_err(|fault| fault.error);
            }
            may_have_happened |= !is_unsent;
            tokio::time::sleep(pause(tried)).await;
        }
    }

    /// Whether a metadata server is at `url`: it says so in a header.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) async fn finds_metadata_server(&self, url: &str) -> Result<(), String> {
        let client = self.client(Whither::Metadata).await.map_err(|error| error.to_string())?;
        let url = parsed(url).map_err(|error| error.to_string())?;
        let request = client.get(url.clone()).header("metadata-flavor", "Google");
        match once(Whither::Metadata, &url, request.timeout(PRESENCE_TIMEOUT), false).await {
            Ok(reply) if reply.is_metadata => Ok(()),
            // Whoever else has this address, on a strange network, is not believed.
            Ok(_) => Err("what answers there is something else".to_owned()),
            Err(Fault { error: Error::NoAnswer { reason, .. }, .. }) => Err(reason),
            Err(Fault { error, .. }) => Err(error.to_string()),
        }
    }

    async fn client(&self, whither: Whither) -> Result<&Client, Error> {
        let slot = match whither {
            Whither::Google => &self.0.google,
            Whither::Metadata => &self.0.near,
        };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        // Off the worker threads: it reads files.
        let built = tokio::task::spawn_blocking(move || builder(whither).build()).await;
        let client = built
            .map_err(|error| Error::Client(error.to_string()))?
            .map_err(|error| Error::Client(last_cause(&error)))?;
        Ok(slot.get_or_init(|| client))
    }
}

fn builder(whither: Whither) -> ClientBuilder {
    // Whoever sends us elsewhere is not who the secret was meant for.
    let builder = Client::builder().redirect(redirect::Policy::none());
    match whither {
        Whither::Google => builder.connect_timeout(CONNECT_TIMEOUT).timeout(TRY_TIMEOUT),
        Whither::Metadata => builder
            .connect_timeout(METADATA_CONNECT_TIMEOUT)
            .timeout(METADATA_TRY_TIMEOUT)
            .no_proxy(),
    }
}

struct Fault {
    /// Whether the same request may be answered a moment later.
    may_pass: bool,
    /// Whether it reached nobody.
    is_unsent: bool,
    error: Error,
}

async fn once(
    whither: Whither,
    url: &Url,
    request: RequestBuilder,
    may_have_happened: bool,
) -> Result<Reply, Fault> {
    let url = without_query(url);
    let failed = |error: &reqwest::Error| Fault {
        // A metadata server that takes no connection, or does not answer, is none.
        may_pass: whither == Whither::Google || !(error.is_connect() || error.is_timeout()),
        is_unsent: error.is_connect(),
        error: Error::NoAnswer { url: url.clone(), reason: last_cause(error) },
    };
    let mut response = request.send().await.map_err(|error| failed(&error))?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(&error))? {
        if body.len() + chunk.len() > MOST_BYTES {
            let error = Error::Unexpected { url, expected: "answer of at most 256 KiB" };
            return Err(Fault { may_pass: false, is_unsent: false, error });
        }
        body.extend_from_slice(&chunk);
    }
    let headers = response.headers();
    Ok(Reply {
        status: response.status(),
        is_metadata: headers.get("metadata-flavor").is_some_and(|flavor| flavor == "Google"),
        date: headers.get(DATE).and_then(|date| date.to_str().ok()).and_then(http_date),
        body: body.into(),
        url,
        may_have_happened,
    })
}

impl Reply {
    /// How far this machine's clock is behind Google's, if that is worth a word; negative if it is ahead.
    pub(crate) fn behind_secs(&self) -> Option<i64> {
        let date = self.date?;
        let (behind, secs) = match date.duration_since(SystemTime::now()) {
            Ok(behind) => (true, behind.as_secs()),
            Err(ahead) => (false, ahead.duration().as_secs()),
        };
        let signed = i64::try_from(secs).unwrap_or(i64::MAX);
        (secs >= NOTABLE_SKEW_SECS).then_some(if behind { signed } else { -signed })
    }

    /// The fault that an answer is which nothing more is known of.
    pub(crate) fn refused(&self, said: &str) -> Error {
        Error::Refused {
            url: self.url.clone(),
            status: self.status.as_u16(),
            said: oidc::shown(said),
            behind_secs: self.behind_secs(),
        }
    }
}

/// An address from the environment or a file.
fn parsed(url: &str) -> Result<Url, Error> {
    let fault = || Error::Url { given: oidc::shown(url) };
    Url::parse(url).ok().filter(|url| url.has_host()).ok_or_else(fault)
}

/// A URL as it may be shown: queries can have what nobody should read.
fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

/// RFC 9110 §5.6.7; Google sends the preferred form alone.
fn http_date(text: &str) -> Option<SystemTime> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text).ok().map(SystemTime::from)
}

/// Between nothing and the longest that this try may wait.
fn pause(tried: u32) -> Duration {
    let longest = FIRST_PAUSE * (1 << tried.saturating_sub(1));
    let mut random = [0_u8; 4];
    // Where there is no chance the pause is whole.
    if rand::fill(&mut random).is_err() {
        return longest;
    }
    longest.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
}

/// What the system said, without the wrapping of libraries.
pub(crate) fn last_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut last: &dyn std::error::Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_google_sends_it() {
        let date = http_date("Tue, 24 Nov 2026 12:00:00 GMT").unwrap();
        let since = date.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 1_795_521_600);
        assert_eq!(http_date("yesterday"), None);
    }

    #[test]
    fn pauses_grow_and_stay_within_their_bound() {
        for (tried, most_ms) in [(1, 400), (2, 800)] {
            for _ in 0..100 {
                assert!(pause(tried) <= Duration::from_millis(most_ms));
            }
        }
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(is_transient(status), "{status}");
        }
        for status in [200, 400, 401, 403, 404, 409, 501] {
            assert!(!is_transient(status), "{status}");
        }
    }
}
