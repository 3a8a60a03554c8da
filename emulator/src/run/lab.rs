//! An emulator with one service, `receiver`, and an echo or a program behind it: what the tests of this module stand
//! on.

use actix_web::{HttpRequest, HttpResponse, web};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use super::knative::tests::whole;
use crate::{
    Behind, Emulator, Options, RunningIssuer,
    local_server::{LocalServer, bind_loopback},
};

/// The account that the lab's tokens name.
pub(super) const CALLER: &str = "caller@demo-project.iam.gserviceaccount.com";

/// Where services are, in the region of all tests.
pub(super) const SERVICES: &str =
    "/run/apis/serving.knative.dev/v1/namespaces/demo-project/services";

/// Where policies are.
pub(super) const SERVICE: &str =
    "/run/v1/projects/demo-project/locations/us-central1/services/receiver";

pub(super) struct Lab {
    pub(super) emulator: Emulator,
    pub(super) client: Client,
    pub(super) issuer: RunningIssuer,
    /// Of the service `receiver`.
    pub(super) url: String,
    _echo: Option<LocalServer>,
}

impl Lab {
    /// With `receiver` deployed as `whole` says, changed by `change`.
    pub(super) async fn with(change: impl FnOnce(&mut Value)) -> Lab {
        let bound = bind_loopback(0).unwrap();
        let behind = format!("http://{}", bound.address);
        let echo = LocalServer::start(bound, |config| {
            config.default_service(web::to(echo));
        })
        .await
        .unwrap();
        let emulator = Emulator::start(Options::default()).await.unwrap();
        emulator.put_behind("receiver", &behind);
        Lab::deployed(emulator, Some(echo), change).await
    }

    /// The same with this test program in the place of the echo: it runs the ignored test of that name.
    pub(super) async fn running(test: &str, change: impl FnOnce(&mut Value)) -> Lab {
        let program = std::env::current_exe().unwrap();
        let run = vec![("receiver".to_owned(), Behind::Program(program))];
        let emulator = Emulator::start(Options { run, ..Options::default() }).await.unwrap();
        Lab::deployed(emulator, None, |service| {
            let container = &mut service["spec"]["template"]["spec"]["containers"][0];
            container["args"] = json!(["--exact", test, "--ignored", "--nocapture"]);
            change(service);
        })
        .await
    }

    async fn deployed(
        emulator: Emulator,
        echo: Option<LocalServer>,
        change: impl FnOnce(&mut Value),
    ) -> Lab {
        let mut lab = Lab {
            client: Client::builder().no_proxy().build().unwrap(),
            issuer: RunningIssuer::at(&emulator.url()).unwrap(),
            url: String::new(),
            _echo: echo,
            emulator,
        };
        let mut service = whole("receiver");
        change(&mut service);
        let (status, deployed) = lab.api("POST", SERVICES, service).await;
        assert_eq!(status, 200, "{deployed}");
        lab.url = deployed["status"]["url"].as_str().unwrap().to_owned();
        lab.emulator.create_account("caller").unwrap();
        lab
    }

    pub(super) async fn start() -> Lab {
        Lab::with(|_| ()).await
    }

    /// A call of the control plane, in the region `us-central1`: the status and the answer.
    pub(super) async fn api(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = self
            .client
            .request(method, format!("{}{path}", self.emulator.url()))
            .header("host", "us-central1-run.localhost:8800");
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
    }

    /// Gives `member` the role `roles/run.invoker` on `receiver`.
    pub(super) async fn bind(&self, member: &str) {
        let policy = json!({"bindings": [{"role": "roles/run.invoker", "members": [member]}]});
        let path = format!("{SERVICE}:setIamPolicy");
        let (status, answer) = self.api("POST", &path, json!({"policy": policy})).await;
        assert_eq!(status, 200, "{answer}");
    }

    /// The caller's token for `audience`.
    pub(super) async fn token(&self, audience: &str) -> String {
        self.issuer.token(audience, CALLER).await.unwrap()
    }

    /// A request to `receiver`.
    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }
}

/// What the echo was sent.
pub(super) async fn echoed(response: Response) -> Value {
    assert_eq!(response.status().as_u16(), 207);
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// Answers 207 with the request, and never on `/silent`.
async fn echo(request: HttpRequest, body: web::Bytes) -> HttpResponse {
    if request.path() == "/silent" {
        std::future::pending::<()>().await;
    }
    let headers: serde_json::Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    HttpResponse::MultiStatus().json(json!({
        "method": request.method().as_str(),
        "uri": request.uri().to_string(),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    }))
}
