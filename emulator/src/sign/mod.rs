//! A reverse proxy that adds a token: what Google's front ends and senders do for a caller that has none.
//!
//! It stands between something that sends no token (a browser, curl, the official Pub/Sub emulator) and a receiver.

mod body;

use std::{net::SocketAddr, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    body::SizedStream,
    http::{StatusCode, header},
    web::{self, Data, Payload},
};
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use reqwest::{Client, redirect};
use tokio::sync::Mutex;

use crate::{
    error::Error,
    issuer::RunningIssuer,
    local_server::{LocalServer, bind},
    token::LIFETIME_SECONDS,
};

/// The largest body that is passed on, in bytes: Cloud Run's limit for an HTTP/1 request.
///
/// Source: <https://cloud.google.com/run/quotas>.
pub const MAX_BODY_BYTES: u64 = 32 << 20;

/// A token is replaced when it has fewer seconds left than this.
const RENEW_BEFORE_SECONDS: i64 = 300;

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

/// What the proxy signs and where it sends it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The receiver's base URL; a request's path and query are put behind it.
    pub forward_url: String,
    /// `aud` of the token.
    pub audience: String,
    /// The account that the token names.
    pub email: String,
}

/// A running proxy. Dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    server: LocalServer,
}

impl Proxy {
    /// Listens on `listen` (port 0 takes a free one) and passes every request on to the target with a token that
    /// `issuer` has signed, one for about an hour, as Google's senders reuse theirs.
    ///
    /// # Errors
    /// [`Error::Listen`] if the address is taken, [`Error::Client`] if the HTTP client cannot be built.
    pub async fn start(
        listen: SocketAddr,
        target: Target,
        issuer: RunningIssuer,
    ) -> Result<Proxy, Error> {
        let client = Client::builder().no_proxy().redirect(redirect::Policy::none());
        let state = Data::new(State {
            target,
            issuer,
            client: client.build().map_err(Error::Client)?,
            token: Mutex::new(None),
        });
        let bound = bind(listen)?;
        let address = bound.address;
        let server = LocalServer::start(bound, move |config| {
            config.app_data(state.clone()).default_service(web::to(pass_on));
        })
        .await?;
        Ok(Proxy { address, server })
    }

    /// `http://HOST:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops, and waits until the port is free again.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

/// Without `Debug`, for it holds a token.
struct State {
    target: Target,
    issuer: RunningIssuer,
    client: Client,
    /// The token in use and when it ends, in seconds since 1970.
    token: Mutex<Option<(Arc<str>, i64)>>,
}

impl State {
    /// The token in use, or a fresh one. Requests that come meanwhile wait for the one that fetches.
    async fn token(&self) -> Result<Arc<str>, Error> {
        let now = Timestamp::now().as_second();
        let mut cached = self.token.lock().await;
        if let Some((token, expires_at)) = &*cached
            && expires_at - now > RENEW_BEFORE_SECONDS
        {
            return Ok(token.clone());
        }
        let target = &self.target;
        let token: Arc<str> = self.issuer.token(&target.audience, &target.email).await?.into();
        *cached = Some((token.clone(), now + LIFETIME_SECONDS));
        Ok(token)
    }
}

async fn pass_on(request: HttpRequest, payload: Payload, state: Data<State>) -> HttpResponse {
    let token = match state.token().await {
        Ok(token) => token,
        Err(fault) => return HttpResponse::BadGateway().body(fault.to_string()),
    };
    let target = state.target.forward_url.trim_end_matches('/');
    let url = format!("{target}{}", request.uri());
    let Ok(method) = reqwest::Method::from_bytes(request.method().as_str().as_bytes()) else {
        return HttpResponse::NotImplemented().finish();
    };
    let mut outgoing = state.client.request(method, &url);
    let named = request.headers().get_all(header::CONNECTION);
    let named: String = named.filter_map(|names| names.to_str().ok()).collect::<Vec<_>>().join(",");
    let is_named =
        |name: &str| named.split(',').any(|other| other.trim().eq_ignore_ascii_case(name));
    for (name, value) in request.headers() {
        let name = name.as_str();
        let is_replaced = name == "host" || name == "authorization";
        if !HOP_BY_HOP.contains(&name) && !is_named(name) && !is_replaced {
            outgoing = outgoing.header(name, value.as_bytes());
        }
    }
    outgoing = outgoing.header("authorization", format!("Bearer {token}"));
    if request.headers().contains_key(header::CONTENT_LENGTH)
        || request.headers().contains_key(header::TRANSFER_ENCODING)
    {
        match body::passed_on(&request, payload) {
            Some(body) => outgoing = outgoing.body(body),
            None => return HttpResponse::PayloadTooLarge().finish(),
        }
    }
    match outgoing.send().await {
        Ok(incoming) => answer(incoming),
        Err(error) => HttpResponse::BadGateway().body(Error::no_answer(&url, &error).to_string()),
    }
}

fn answer(incoming: reqwest::Response) -> HttpResponse {
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
