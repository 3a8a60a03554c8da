//! What every reverse proxy does: a request passed on and its answer passed back, bodies as streams.

mod body;

use actix_web::{
    HttpRequest, HttpResponse,
    body::SizedStream,
    http::{StatusCode, header},
    web::Payload,
};
use futures_util::TryStreamExt as _;
use reqwest::{Client, Request, Url, redirect};

use crate::error::Error;

pub(crate) use body::is_too_large;

/// The largest body that is passed on, in bytes: Cloud Run's limit for an HTTP/1 request.
///
/// Source: <https://cloud.google.com/run/quotas>.
pub(crate) const MAX_BODY_BYTES: u64 = 32 << 20;

/// Headers of one connection, which a proxy never passes on (RFC 9110 §7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers by which a caller was admitted: of the whole way, even where `Connection` names them
/// (RFC 9110 §7.6.1 forbids that).
const END_TO_END: [&str; 2] = ["authorization", "x-serverless-authorization"];

/// A client that follows no redirects and asks no other proxy.
///
/// # Errors
/// [`Error::Client`] if it cannot be built.
pub(crate) fn client() -> Result<Client, Error> {
    let client = Client::builder().no_proxy().redirect(redirect::Policy::none());
    client.build().map_err(Error::Client)
}

/// The request as it goes on to `target`, its path and query put behind, with all its headers but those of the
/// connection. Which of them are replaced, `Host` too, is the caller's business.
///
/// # Errors
/// The status to answer: 413 if the body says itself that it is too large, 501 or 502 if there is no such method or
/// URL.
pub(crate) fn request(
    request: &HttpRequest,
    payload: Payload,
    target: &str,
) -> Result<Request, StatusCode> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let url = Url::parse(&format!("{}{path}", target.trim_end_matches('/')))
        .map_err(|_| StatusCode::BAD_GATEWAY)?;
    let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes())
        .map_err(|_| StatusCode::NOT_IMPLEMENTED)?;
    let mut outgoing = Request::new(method, url);
    let named = request.headers().get_all(header::CONNECTION);
    let named: String = named.filter_map(|names| names.to_str().ok()).collect::<Vec<_>>().join(",");
    let is_named = |name: &str| {
        !END_TO_END.contains(&name)
            && named.split(',').any(|other| other.trim().eq_ignore_ascii_case(name))
    };
    for (name, value) in request.headers() {
        let name = name.as_str();
        if HOP_BY_HOP.contains(&name) || is_named(name) {
            continue;
        }
        // Both sides hold headers to the same grammar, in types of their own.
        if let (Ok(name), Ok(value)) = (
            reqwest::header::HeaderName::from_bytes(name.as_bytes()),
            reqwest::header::HeaderValue::from_bytes(value.as_bytes()),
        ) {
            outgoing.headers_mut().append(name, value);
        }
    }
    if request.headers().contains_key(header::CONTENT_LENGTH)
        || request.headers().contains_key(header::TRANSFER_ENCODING)
    {
        let body = body::passed_on(request, payload).ok_or(StatusCode::PAYLOAD_TOO_LARGE)?;
        *outgoing.body_mut() = Some(body);
    }
    Ok(outgoing)
}

/// The answer as it goes back.
pub(crate) fn answer(incoming: reqwest::Response) -> HttpResponse {
    let status = StatusCode::from_u16(incoming.status().as_u16());
    let mut response = HttpResponse::build(status.unwrap_or(StatusCode::BAD_GATEWAY));
    for (name, value) in incoming.headers() {
        let name = name.as_str();
        if !HOP_BY_HOP.contains(&name) && name != "content-length" {
            response.append_header((name, value.as_bytes()));
        }
    }
    let length_bytes = incoming.content_length();
    let stream = incoming.bytes_stream();
    match length_bytes {
        Some(0) => response.finish(),
        Some(length_bytes) => response.body(SizedStream::new(length_bytes, stream)),
        None => response.streaming(stream.map_err(std::io::Error::other)),
    }
}
