//! Cloud Run's front end: what stands between the internet and a service's container.
//!
//! Ingress that is not `all` bars whoever is not one of the emulator's senders: these are of the same project, which
//! `internal` lets in, and there is no load balancer (<https://cloud.google.com/run/docs/securing/ingress>).

mod access;
mod forwarded;
mod id_token;
mod refusal;
mod trace;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Weak},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::HeaderValue},
    web::{self, Data, Payload},
};
use reqwest::Client;

use super::{
    Behind, PASS, Route,
    name::ServiceName,
    revision::{Revision, not_started},
    service::Service,
};
use crate::{
    error::Error,
    google::Google,
    local_server::{LocalServer, bind_loopback},
    proxy,
};

/// A service's listener. Dropping it stops it.
#[derive(Debug)]
pub(super) struct FrontEnd {
    address: SocketAddr,
    server: LocalServer,
}

/// What its requests are answered from.
struct Gate {
    /// Weak, for it is Google's side that holds the front end.
    google: Weak<Google>,
    name: ServiceName,
    /// Of the revision that it leads to; `None` shares out as the service's traffic says.
    tag: Option<String>,
    client: Client,
}

impl FrontEnd {
    /// Listens on `127.0.0.1:port`, or on a free port where that is taken or 0.
    ///
    /// # Errors
    /// [`Error::Listen`] if no port is to be had, [`Error::Client`] if the HTTP client cannot be built.
    pub(super) async fn start(
        google: &Arc<Google>,
        name: &ServiceName,
        tag: Option<&str>,
        port: u16,
    ) -> Result<FrontEnd, Error> {
        let bound = bind_loopback(port).or_else(|_| bind_loopback(0))?;
        let address = bound.address;
        let gate = Data::new(Gate {
            google: Arc::downgrade(google),
            name: name.clone(),
            tag: tag.map(str::to_owned),
            client: proxy::client()?,
        });
        let server = LocalServer::start(bound, move |config| {
            config.app_data(gate.clone()).default_service(web::to(serve));
        })
        .await?;
        Ok(FrontEnd { address, server })
    }

    /// One for each tag of the service that has none at the ports of the `listening`; the service learns all ports.
    ///
    /// # Errors
    /// As [`start`](FrontEnd::start).
    pub(super) async fn of_tags(
        google: &Arc<Google>,
        service: &mut Service,
        listening: &BTreeMap<String, u16>,
    ) -> Result<BTreeMap<String, FrontEnd>, Error> {
        let (mut started, mut ports) = (BTreeMap::new(), BTreeMap::new());
        for tag in service.routed.iter().filter_map(|target| target.tag.as_ref()) {
            let port = match listening.get(tag) {
                Some(port) => *port,
                None => {
                    let before = service.tag_ports.get(tag).copied().unwrap_or_default();
                    let front_end =
                        FrontEnd::start(google, &service.name, Some(tag), before).await?;
                    let port = front_end.port();
                    started.insert(tag.clone(), front_end);
                    port
                }
            };
            ports.insert(tag.clone(), port);
        }
        service.tag_ports = ports;
        Ok(started)
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Stops, and waits until the port is free again.
    pub(super) async fn stop(self) {
        self.server.stop().await;
    }
}

async fn serve(request: HttpRequest, payload: Payload, gate: Data<Gate>) -> HttpResponse {
    if is_reserved(request.path()) {
        return refusal::not_found(request.path());
    }
    let Some(google) = gate.google.upgrade() else {
        return refusal::unavailable("the emulator stops");
    };
    let tag = gate.tag.as_deref();
    let Some(Route { settings, revision, behind }) = google.run.route(&gate.name, tag) else {
        return refusal::not_found(request.path());
    };
    let pass = request.headers().get(PASS).map(HeaderValue::as_bytes);
    if settings.is_internal && pass != Some(google.run.pass.as_bytes()) {
        return refusal::not_found(request.path());
    }
    if let Err(refused) = access::check(&google, &settings, &gate.name, request.headers()).await {
        return refusal::refused(&refused, request.path());
    }
    let timeout = revision.as_ref().map_or(settings.timeout, Revision::timeout);
    // The process stays until its answer has begun; then it knows itself what it has yet to end.
    let lease;
    let url = match (&behind, &revision) {
        (Some(Behind::Url(url)), _) => url.as_str(),
        (Some(Behind::Program(_)), Some(revision)) if revision.is_placeholder() => {
            return HttpResponse::Ok()
                .body("It's running: Google's placeholder would answer this.\n");
        }
        (Some(Behind::Program(program)), Some(revision)) => {
            match google.run.instances.lease(&google, &gate.name, revision, program).await {
                Ok(leased) => lease = leased,
                Err(fault) => return refusal::unavailable(&not_started(&fault)),
            }
            lease.url.as_str()
        }
        (Some(Behind::Program(_)), None) => return refusal::unavailable("no revision is ready"),
        (None, _) => {
            let id = &gate.name.id;
            return refusal::unavailable(&format!(
                "nothing stands behind {id}; pass --run {id}=URL with the address of your program, or --run {id}=PROGRAM"
            ));
        }
    };
    // What goes on in the container is no longer Google's side.
    drop(google);
    let mut outgoing = match proxy::request(&request, payload, url) {
        Ok(outgoing) => outgoing,
        Err(status) => return refusal::of_status(status),
    };
    outgoing.headers_mut().remove(PASS);
    forwarded::rewrite(outgoing.headers_mut(), request.peer_addr());
    *outgoing.timeout_mut() = Some(timeout);
    match gate.client.execute(outgoing).await {
        Ok(incoming) => proxy::answer(incoming),
        Err(error) if error.is_timeout() => refusal::timed_out(),
        Err(error) if proxy::is_too_large(&error) => {
            refusal::of_status(StatusCode::PAYLOAD_TOO_LARGE)
        }
        Err(error) => refusal::unavailable(&Error::no_answer(url, &error).to_string()),
    }
}

/// Whether Google keeps a path for itself.
///
/// Source: <https://cloud.google.com/run/docs/issues>; it warns of all paths that end in `z`, and of these only
/// `/healthz` is known to be taken.
fn is_reserved(path: &str) -> bool {
    matches!(path, "/healthz" | "/eventlog") || path.starts_with("/_ah/")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use crate::{
        attempts::Order,
        run::{
            knative::tests::whole,
            lab::{Lab, SERVICES, echoed},
        },
        senders::tasks,
    };

    #[tokio::test]
    async fn a_request_passes_whole_with_what_the_front_end_adds() {
        let lab = Lab::start().await;
        lab.bind("allUsers").await;
        let request = lab.client.post(format!("{}/tasks/a%20b?c=d", lab.url)).body("payload");
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = request.header("traceparent", traceparent).header("connection", "x-hop");
        let echo = echoed(request.header("x-hop", "1").send().await.unwrap()).await;
        assert_eq!((&echo["method"], &echo["body"]), (&json!("POST"), &json!("payload")));
        assert_eq!(echo["uri"], "/tasks/a%20b?c=d");
        let headers = &echo["headers"];
        assert_eq!(headers["host"], lab.url.trim_start_matches("http://"));
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["x-hop"], Value::Null);
        let trace = headers["traceparent"].as_str().unwrap();
        assert!(trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"), "{trace}");
        let trace = headers["x-cloud-trace-context"].as_str().unwrap();
        assert!(trace.starts_with("4bf92f3577b34da6a3ce929d0e0e4736/"), "{trace}");
    }

    #[tokio::test]
    async fn reserved_paths_do_not_reach_the_container() {
        let lab = Lab::start().await;
        lab.bind("allUsers").await;
        for (path, status) in [
            ("/healthz", 404),
            ("/eventlog", 404),
            ("/_ah/start", 404),
            ("/healthz/live", 207),
            ("/readyz", 207),
            ("/_ahead", 207),
        ] {
            let response = lab.get(path).send().await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{path}");
        }
    }

    #[tokio::test]
    async fn internal_ingress_lets_the_senders_in_and_nobody_else() {
        let lab = Lab::with(|service| {
            service["metadata"]["annotations"]["run.googleapis.com/ingress"] = "internal".into();
        })
        .await;
        lab.bind("allUsers").await;
        for pass in ["", "guessed"] {
            let response = lab.get("/").header("x-emulator-pass", pass).send().await.unwrap();
            assert_eq!(response.status().as_u16(), 404, "{pass:?}");
        }
        let deliver = async |url: String| {
            let order = Order {
                delivery: tasks::Attempt::first("queue", "4711").delivery(),
                url,
                resource: "queue".to_owned(),
                invocation: "4711".to_owned(),
                attempt: 1,
                auth: None,
                deadline: Duration::from_secs(10),
            };
            lab.emulator.google().attempt(order).await.status
        };
        assert_eq!(deliver(format!("{}/tasks/a", lab.url)).await, Some(207));
        let google = lab.emulator.google();
        assert_eq!(google.run.pass("http://127.0.0.1:9/"), None, "of no service");
        assert_eq!(google.run.pass("https://receiver.example/"), None);
        let answer = serde_json::to_string(&lab.emulator.history()).unwrap();
        assert!(!answer.contains("x-emulator-pass"), "the container does not see it: {answer}");
    }

    #[tokio::test]
    async fn a_container_that_takes_too_long_is_a_504() {
        let lab = Lab::with(|service| {
            service["spec"]["template"]["spec"]["timeoutSeconds"] = 1.into();
        })
        .await;
        lab.bind("allUsers").await;
        let response = lab.get("/silent").send().await.unwrap();
        assert_eq!(response.status().as_u16(), 504);
        assert_eq!(response.text().await.unwrap(), "upstream request timeout");
    }

    #[tokio::test]
    async fn a_body_over_32_mib_is_a_413_however_it_is_sent() {
        let lab = Lab::start().await;
        lab.bind("allUsers").await;
        let megabyte = actix_web::web::Bytes::from(vec![b'x'; 1 << 20]);
        let chunks = (0..33).map(move |_| Ok::<_, std::io::Error>(megabyte.clone()));
        let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
        for body in [vec![b'x'; (32 << 20) + 1].into(), chunked] {
            let response = lab.client.post(&lab.url).body(body).send().await;
            // The connection may be cut while the rest is still being sent.
            assert!(response.is_err() || response.is_ok_and(|answer| answer.status() == 413));
        }
    }

    #[tokio::test]
    async fn without_a_container_the_answer_says_how_to_give_one() {
        let lab = Lab::start().await;
        lab.bind("allUsers").await;
        let (status, other) = lab.api("POST", SERVICES, whole("other")).await;
        assert_eq!(status, 200, "{other}");
        let path =
            "/run/v1/projects/demo-project/locations/us-central1/services/other:setIamPolicy";
        let binding = json!({"role": "roles/run.invoker", "members": ["allUsers"]});
        lab.api("POST", path, json!({"policy": {"bindings": [binding]}})).await;
        let url = other["status"]["url"].as_str().unwrap();
        let response = lab.client.get(url).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 503);
        assert!(response.text().await.unwrap().contains("--run other=URL"));
        // A port that was free a moment ago.
        let gone = crate::local_server::bind_loopback(0).unwrap().address;
        lab.emulator.put_behind("receiver", &format!("http://{gone}"));
        let response = lab.get("/").send().await.unwrap();
        assert_eq!(response.status().as_u16(), 503);
        assert!(response.text().await.unwrap().contains(&gone.to_string()));
    }

    #[tokio::test]
    async fn a_deleted_service_listens_no_more() {
        let lab = Lab::start().await;
        lab.bind("allUsers").await;
        assert_eq!(lab.get("/").send().await.unwrap().status().as_u16(), 207);
        let path = format!("{SERVICES}/receiver");
        assert_eq!(lab.api("DELETE", &path, Value::Null).await.0, 200);
        assert!(is_gone(lab.get("/").send().await));
        assert_eq!(lab.api("DELETE", &path, Value::Null).await.0, 404);
        let url = lab.url.clone();
        let again = lab.api("POST", SERVICES, whole("receiver")).await;
        let url = again.1["status"]["url"].as_str().map_or(url, str::to_owned);
        let response = lab.client.get(url).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 403, "its policy went with it");
    }

    #[tokio::test]
    async fn no_front_end_outlives_the_emulator() {
        let Lab { emulator, client, url, .. } = Lab::start().await;
        emulator.stop().await;
        assert!(is_gone(client.get(url).send().await));
    }

    /// Nobody is there, or another test's server by now.
    fn is_gone(answer: reqwest::Result<reqwest::Response>) -> bool {
        answer.map_or_else(|error| error.is_connect(), |answer| answer.status().as_u16() != 207)
    }
}
