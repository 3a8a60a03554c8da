//! A reverse proxy that adds a token: what Google's front ends and senders do for a caller that has none.
//!
//! It stands between something that sends no token (a browser, curl, the official Pub/Sub emulator) and a receiver.

use std::{net::SocketAddr, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data, Payload},
};
use jiff::Timestamp;
use reqwest::{
    Client,
    header::{AUTHORIZATION, HOST, HeaderValue},
};
use tokio::sync::Mutex;

use crate::{
    error::Error,
    issuer::RunningIssuer,
    local_server::{LocalServer, bind},
    proxy,
    token::{LIFETIME_SECONDS, RENEW_BEFORE_SECONDS},
};

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
        let client = proxy::client()?;
        let state = Data::new(State { target, issuer, client, token: Mutex::new(None) });
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
    let mut outgoing = match proxy::request(&request, payload, &state.target.forward_url) {
        Ok(outgoing) => outgoing,
        Err(status) => return HttpResponse::new(status),
    };
    let url = outgoing.url().to_string();
    outgoing.headers_mut().remove(HOST);
    let Ok(authorization) = HeaderValue::try_from(format!("Bearer {token}")) else {
        return HttpResponse::BadGateway().body("the issuer's token is none that HTTP can carry");
    };
    outgoing.headers_mut().insert(AUTHORIZATION, authorization);
    match state.client.execute(outgoing).await {
        Ok(incoming) => proxy::answer(incoming),
        Err(error) => HttpResponse::BadGateway().body(Error::no_answer(&url, &error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use actix_web::{HttpRequest, HttpResponse, web};
    use reqwest::Client;
    use serde_json::{Value, json};

    use super::{Proxy, Target};
    use crate::{
        issuer::{Issuer, RunningIssuer},
        local_server::{LocalServer, bind_loopback},
    };

    const ANY_PORT: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    /// Says what it was sent, with status 207.
    async fn echo(request: HttpRequest, body: web::Bytes) -> HttpResponse {
        let headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        HttpResponse::MultiStatus()
            .append_header(("x-echo", "one"))
            .append_header(("x-echo", "two"))
            .json(json!({
                "method": request.method().as_str(),
                "uri": request.uri().to_string(),
                "headers": headers,
                "body": String::from_utf8_lossy(&body),
            }))
    }

    struct Lab {
        issuer: Issuer,
        proxy: Proxy,
        client: Client,
        _echo: LocalServer,
    }

    async fn lab() -> Lab {
        let bound = bind_loopback(0).unwrap();
        let forward_url = format!("http://{}/", bound.address);
        let echo = LocalServer::start(bound, |config| {
            config.default_service(web::to(echo));
        })
        .await
        .unwrap();
        let issuer = Issuer::start(0).await.unwrap();
        let target = Target {
            forward_url,
            audience: "https://receiver.example.run.app".to_owned(),
            email: "a@demo.iam.gserviceaccount.com".to_owned(),
        };
        let running = RunningIssuer::at(&issuer.url()).unwrap();
        Lab {
            proxy: Proxy::start(ANY_PORT, target, running).await.unwrap(),
            issuer,
            client: Client::builder().no_proxy().build().unwrap(),
            _echo: echo,
        }
    }

    fn values<'a>(echoed: &'a Value, name: &str) -> Vec<&'a str> {
        let headers = echoed["headers"].as_array().unwrap();
        headers
            .iter()
            .filter(|pair| pair[0] == name)
            .map(|pair| pair[1].as_str().unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_request_passes_with_one_fresh_token_and_everything_else_unchanged() {
        let lab = lab().await;
        let mut tokens = Vec::new();
        for _ in 0..2 {
            let response = lab
                .client
                .post(format!("{}/pubsub/a%20b?c=d&e", lab.proxy.url()))
                .header("authorization", "Bearer mine")
                .header("x-kept", "yes")
                .header("keep-alive", "timeout=5")
                .header("connection", "keep-alive, x-hop")
                .header("x-hop", "here")
                .body("payload")
                .send()
                .await
                .unwrap();
            assert_eq!(response.status().as_u16(), 207);
            assert_eq!(response.headers().get_all("x-echo").iter().count(), 2);
            let echoed: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
            assert_eq!(echoed["method"], "POST");
            assert_eq!(echoed["uri"], "/pubsub/a%20b?c=d&e");
            assert_eq!(echoed["body"], "payload");
            assert_eq!(values(&echoed, "x-kept"), ["yes"]);
            assert_eq!(values(&echoed, "content-length"), ["7"]);
            assert!(values(&echoed, "keep-alive").is_empty());
            assert!(values(&echoed, "x-hop").is_empty());
            let token = values(&echoed, "authorization");
            assert_eq!(token.len(), 1);
            tokens.push(token[0].to_owned());
        }
        assert_eq!(tokens[0], tokens[1], "one token serves for its hour");
        assert!(tokens[0].starts_with("Bearer eyJ"));
        lab.issuer.stop().await;
        lab.proxy.stop().await;
    }

    #[tokio::test]
    async fn a_get_stays_without_a_body() {
        let lab = lab().await;
        let response = lab.client.get(lab.proxy.url()).send().await.unwrap();
        let echoed: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!((&echoed["method"], &echoed["uri"]), (&json!("GET"), &json!("/")));
        assert!(values(&echoed, "transfer-encoding").is_empty());
        assert!(values(&echoed, "content-length").is_empty());
    }

    #[tokio::test]
    async fn a_body_over_32_mib_is_refused() {
        let lab = lab().await;
        let body = vec![b'x'; (crate::proxy::MAX_BODY_BYTES + 1) as usize];
        let response = lab.client.post(lab.proxy.url()).body(body).send().await;
        // The connection may be cut while the rest is still being sent.
        assert!(response.is_err() || response.is_ok_and(|answer| answer.status() == 413));
    }

    #[tokio::test]
    async fn no_issuer_is_a_502_that_says_so() {
        let lab = lab().await;
        lab.issuer.stop().await;
        let response = lab.client.get(lab.proxy.url()).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 502);
        assert!(response.text().await.unwrap().contains("no emulator answers"));
    }
}
