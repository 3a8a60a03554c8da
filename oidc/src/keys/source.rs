//! Where key sets come from: HTTP, or a test.

use std::{error::Error, pin::Pin, sync::OnceLock, time::Duration};

use reqwest::header::{AGE, CACHE_CONTROL, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};

use crate::limits::Limits;

/// Somewhere a key set can be fetched. A trait so that tests can stand in for the network.
pub(crate) trait Source: Send + Sync {
    /// Fetches once. The caller sets the limit on the whole.
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + '_>>;
}

/// A body, and how long the server says it counts.
pub(crate) struct Fetched {
    pub(crate) body: Vec<u8>,
    pub(crate) lifetime: Option<Duration>,
}

/// Why there are no new keys. For the operator; nothing in it comes from a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the HTTP client cannot be built (does the image have CA certificates?): {0}")]
    Client(String),
    #[error("the request failed: {0}")]
    Request(String),
    #[error("the server answered {0} instead of 200")]
    Status(StatusCode),
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the fetch took longer than {0:?}")]
    TimedOut(Duration),
    #[error("the body is not a JWK set")]
    NotAKeySet,
    #[error("the set has no key that can be used")]
    NoUsableKey,
    #[error("the fetch was dropped before its end")]
    Dropped,
}

/// A JWK set behind a URL.
pub(super) struct HttpSource {
    url: String,
    connect_timeout: Duration,
    body_cap_bytes: usize,
    client: OnceLock<Client>,
}

impl HttpSource {
    /// Does no I/O and builds no client.
    pub(super) fn new(url: String, limits: &Limits) -> HttpSource {
        HttpSource {
            url,
            connect_timeout: limits.connect_timeout,
            body_cap_bytes: limits.body_cap_bytes,
            client: OnceLock::new(),
        }
    }

    /// The client, built at the first fetch: it reads every CA certificate, about 8 ms that a cold
    /// start would have to wait for, and off the worker threads for the same reason.
    async fn client(&self) -> Result<&Client, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let mut builder = Client::builder()
            .connect_timeout(self.connect_timeout)
            // A key server that sends us elsewhere is not the one that was configured.
            .redirect(Policy::none())
            // Fetches are hours apart; a connection kept meanwhile would be dead by then.
            .pool_max_idle_per_host(0);
        let url = reqwest::Url::parse(&self.url);
        let host = url.as_ref().ok().and_then(reqwest::Url::host_str);
        if matches!(host, Some("localhost" | "127.0.0.1" | "[::1]")) {
            // An emulator beside the service, which no proxy reaches.
            builder = builder.no_proxy();
        }
        let built = tokio::task::spawn_blocking(move || builder.build()).await;
        let client = built
            .map_err(|error| FetchError::Client(error.to_string()))?
            .map_err(|error| FetchError::Client(with_causes(&error)))?;
        Ok(self.client.get_or_init(|| client))
    }

    async fn get(&self) -> Result<Fetched, FetchError> {
        let failed = |error: reqwest::Error| FetchError::Request(with_causes(&error));
        let mut response = self.client().await?.get(&self.url).send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let lifetime = lifetime(response.headers());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.body_cap_bytes {
                return Err(FetchError::TooLarge(self.body_cap_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched { body, lifetime })
    }
}

impl Source for HttpSource {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + '_>> {
        Box::pin(self.get())
    }
}

/// How long a response counts: `max-age` less the `Age` that it had on arrival (RFC 9111 §4.2).
/// `no-store` and `no-cache` are zero; `None` if nothing is said. Google's says
/// `public, max-age=21155, must-revalidate, no-transform` with an `Age`.
fn lifetime(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let directives = values.flat_map(|value| value.split(',')).map(str::trim);
    let mut max_age_secs: Option<u64> = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(Duration::ZERO);
        }
        if name.eq_ignore_ascii_case("max-age") {
            max_age_secs = max_age_secs.or(value.trim_matches('"').parse().ok());
        }
    }
    let age_secs = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok());
    Some(Duration::from_secs(max_age_secs?.saturating_sub(age_secs.unwrap_or(0))))
}

/// An error with its causes; reqwest's own text leaves them out, and they are what helps.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    /// Answers one connection with these bytes, then closes it. Gives the URL.
    fn serve(answer: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/certs", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let _ = connection.read(&mut [0; 4096]);
            // The client may have had enough before the end.
            let _ = connection.write_all(&answer);
        });
        url
    }

    fn source(url: String) -> HttpSource {
        HttpSource::new(url, &Limits { body_cap_bytes: 1000, ..Limits::default() })
    }

    async fn fetch(answer: impl Into<Vec<u8>>) -> Result<Fetched, FetchError> {
        source(serve(answer.into())).fetch().await
    }

    #[tokio::test]
    async fn a_body_comes_with_its_lifetime() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAge: 12\r\n\
            Cache-Control: public, max-age=21155, must-revalidate, no-transform\r\n\r\n{}";
        let fetched = fetch(answer).await.unwrap();
        assert_eq!(fetched.body, b"{}");
        assert_eq!(fetched.lifetime, Some(Duration::from_secs(21_143)));
    }

    #[tokio::test]
    async fn another_status_is_an_error_and_redirects_are_not_followed() {
        let elsewhere = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec());
        let moved = format!("Found\r\nLocation: {elsewhere}");
        let table = [
            (500, "Oops"),
            (404, "Not Found"),
            (302, &moved),
            (204, "No Content"),
            (201, "Created"),
        ];
        for (status, rest) in table {
            let answer = format!("HTTP/1.1 {status} {rest}\r\nContent-Length: 0\r\n\r\n");
            let error = fetch(answer).await.map(|_| ()).unwrap_err();
            assert!(matches!(&error, FetchError::Status(s) if *s == status), "{status}: {error}");
        }
    }

    #[tokio::test]
    async fn a_body_over_the_cap_is_an_error_whether_announced_or_not() {
        let table = [
            ("Content-Length: 1000", 1000, true),
            ("Content-Length: 1001", 1001, false),
            ("Connection: close", 100_000, false),
        ];
        for (header, bytes, fits) in table {
            let answer = format!("HTTP/1.1 200 OK\r\n{header}\r\n\r\n{}", "a".repeat(bytes));
            let fetched = fetch(answer).await;
            assert_eq!(fetched.is_ok(), fits, "{header}");
            assert!(matches!(fetched, Ok(_) | Err(FetchError::TooLarge(1000))), "{header}");
        }
    }

    #[tokio::test]
    async fn a_broken_answer_is_an_error_with_its_causes() {
        let broken = ["", "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"];
        for answer in broken {
            let error = fetch(answer).await.map(|_| ()).unwrap_err();
            assert!(matches!(error, FetchError::Request(_)), "{answer:?}: {error}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let error = source(url).fetch().await.map(|_| ()).unwrap_err().to_string();
        assert!(error.to_lowercase().contains("connection refused"), "{error}");
        assert!(source("not a url".into()).fetch().await.is_err());
    }

    #[test]
    fn a_lifetime_is_max_age_less_age() {
        type Fields = &'static [(&'static str, &'static str)];
        let table: [(Fields, Option<u64>); 14] = [
            (&[], None),
            (&[("cache-control", "public")], None),
            (&[("cache-control", "max-age=100")], Some(100)),
            (&[("cache-control", "PUBLIC,MAX-AGE=100")], Some(100)),
            (&[("cache-control", "max-age=\"100\"")], Some(100)),
            (&[("cache-control", "public"), ("cache-control", "max-age=100")], Some(100)),
            (&[("cache-control", "s-maxage=7, max-age=100")], Some(100)),
            (&[("cache-control", "max-age=100"), ("age", "40")], Some(60)),
            (&[("cache-control", "max-age=100"), ("age", "101")], Some(0)),
            (&[("cache-control", "max-age=100"), ("age", "soon")], Some(100)),
            (&[("cache-control", "max-age=100, no-cache")], Some(0)),
            (&[("cache-control", "no-store")], Some(0)),
            (&[("cache-control", "max-age=-1")], None),
            (&[("cache-control", "max-age=99999999999999999999999")], None),
        ];
        for (fields, expected_secs) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers
                    .append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(lifetime(&headers).map(|l| l.as_secs()), expected_secs, "{fields:?}");
        }
    }
}
