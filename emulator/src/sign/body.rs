//! A request's body on its way through, never held as a whole.

use std::io;

use actix_web::{
    HttpRequest,
    http::header,
    rt,
    web::{Bytes, Payload},
};
use futures_util::{StreamExt as _, stream};
use reqwest::Body;
use tokio::sync::mpsc;

use super::MAX_BODY_BYTES;

/// The body as a stream for the outgoing request; `None` if it says itself that it is too large. One that turns out
/// to be too large on the way is cut off, which the receiver sees as an incomplete body.
///
/// actix's payload belongs to its thread and the client's body may move, so a channel of a few chunks lies between.
pub(super) fn passed_on(request: &HttpRequest, mut payload: Payload) -> Option<Body> {
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared: Option<u64> = declared.and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|bytes| bytes > MAX_BODY_BYTES) {
        return None;
    }
    let (chunks, received) = mpsc::channel::<io::Result<Bytes>>(4);
    rt::spawn(async move {
        let mut seen_bytes = 0;
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(io::Error::other).and_then(|chunk| {
                seen_bytes += chunk.len() as u64;
                if seen_bytes > MAX_BODY_BYTES {
                    return Err(io::Error::other("the body is larger than 32 MiB"));
                }
                Ok(chunk)
            });
            let failed = chunk.is_err();
            // A closed channel means that the receiver has answered or gone without reading on.
            if chunks.send(chunk).await.is_err() || failed {
                return;
            }
        }
    });
    let stream = stream::unfold(received, |mut received| async {
        received.recv().await.map(|chunk| (chunk, received))
    });
    Some(Body::wrap_stream(stream))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use actix_web::{HttpRequest, HttpResponse, web};
    use reqwest::Client;
    use serde_json::{Value, json};

    use super::super::{Proxy, Target};
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
        _receiver: LocalServer,
    }

    async fn lab() -> Lab {
        let bound = bind_loopback(0).unwrap();
        let forward_url = format!("http://{}/", bound.address);
        let receiver = LocalServer::start(bound, |config| {
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
            _receiver: receiver,
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
        let body = vec![b'x'; (super::MAX_BODY_BYTES + 1) as usize];
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
