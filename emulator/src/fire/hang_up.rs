//! A request whose sender does not wait for the answer.
//!
//! By hand, because an HTTP client does not say when a request is out and closes no connection on demand.

use std::io::{self, Write as _};

use reqwest::{Url, header::HeaderMap};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::senders::Method;

/// Writes the request to a connection of its own and closes that.
pub(super) async fn send(
    url: &str,
    method: Method,
    headers: &HeaderMap,
    body: &[u8],
) -> io::Result<()> {
    let invalid = |reason: &str| io::Error::new(io::ErrorKind::InvalidInput, reason.to_owned());
    let url = Url::parse(url).map_err(|fault| invalid(&fault.to_string()))?;
    if url.scheme() != "http" {
        return Err(invalid("only a request over plain http can be hung up on"));
    }
    let host = url.host_str().ok_or_else(|| invalid("the URL has no host"))?;
    let port = url.port_or_known_default().unwrap_or(80);
    let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    stream.write_all(&head(&url, host, port, method, headers, body.len())?).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

/// Request line and headers.
fn head(
    url: &Url,
    host: &str,
    port: u16,
    method: Method,
    headers: &HeaderMap,
    body_bytes: usize,
) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    write!(head, "{} {}{query} HTTP/1.1\r\nHost: {host}:{port}\r\n", method.as_str(), url.path())?;
    for (name, value) in headers {
        write!(head, "{name}: ")?;
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    if body_bytes > 0 && !headers.contains_key("content-length") {
        write!(head, "content-length: {body_bytes}\r\n")?;
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}
