//! The whole emulator on one port: control plane, keys, tokens, and the senders that they set going.

use std::{net::SocketAddr, sync::Arc};

use actix_web::web;
use tokio::runtime::Runtime;

use crate::{
    api,
    clock::Clock,
    error::Error,
    google::Google,
    issuer::Authority,
    local_server::{LocalServer, bind_loopback},
    project::Project,
};

/// How an emulator is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Port on `127.0.0.1`; 0 takes a free one.
    pub port: u16,
    /// `iss` of the tokens; `None` is the emulator's own URL.
    pub issuer: Option<String>,
    /// The project that everything is in.
    pub project: Project,
    /// Whether Pub/Sub's agent holds no role, as in projects of before April 2021.
    pub legacy_agents: bool,
    /// Where Cloud Run services' requests go: the service's name and the URL of what stands behind it.
    pub run: Vec<(String, String)>,
    /// The time that schedules, queues and back-offs go by.
    pub clock: Clock,
}

/// A running emulator. Dropping it stops it.
///
/// It runs on its own threads, so it can be held by any `#[tokio::test]`.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    google: Arc<Google>,
    server: LocalServer,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Emulator {
    /// Starts to serve; the keys are made beside, and what needs them waits.
    ///
    /// # Errors
    /// [`Error::Listen`] if the port is taken, [`Error::System`] if no threads are to be had.
    pub async fn start(options: Options) -> Result<Emulator, Error> {
        let bound = bind_loopback(options.port)?;
        let address = bound.address;
        let url = format!("http://{address}");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("senders")
            .enable_all()
            .build()
            .map_err(|source| Error::System { what: "start the senders' runtime", source })?;
        let issuer = options.issuer.clone().unwrap_or_else(|| url.clone());
        let authority = Arc::new(Authority::new(issuer, url.clone())?);
        let making = Arc::clone(&authority);
        runtime.spawn(async move {
            // Whoever needs the keys tries again and hears what is wrong.
            let _ = making.keys().await;
        });
        let handle = runtime.handle().clone();
        let google = Arc::new(Google::new(options, url, authority, handle)?);
        let shared = web::Data::from(Arc::clone(&google));
        let server =
            LocalServer::start(bound, move |config| api::routes(config, shared.clone())).await?;
        Ok(Emulator { address, google, server, runtime: Some(runtime) })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `iss` of the tokens.
    pub fn issuer(&self) -> &str {
        self.google.authority.issuer()
    }

    /// From now on requests to the Cloud Run service of that name, deployed already or not, go to `url`.
    pub fn put_behind(&self, service: &str, url: &str) {
        self.google.run.put_behind(service, url);
    }

    /// Stops, and waits until the ports are free again.
    pub async fn stop(mut self) {
        let runtime = self.runtime.take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
        // The server is taken out by hand, since a type with a destructor cannot be taken apart.
        self.server.stop_now().await;
        self.google.run.close().await;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not by its own destructor, which waits and may not do so in asynchronous code.
            runtime.shutdown_background();
        }
    }
}
