//! The whole emulator on one port: control plane, keys, tokens, and the senders that they set going.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::web;
use serde_json::Value;
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{
    account::Account,
    api,
    clock::Clock,
    cloud_build::RunBuilds,
    environment::Environment,
    error::Error,
    faults::{Fault, SetFault},
    google::Google,
    history::{Attempt, Call, Entry, Slot},
    issuer::Authority,
    local_server::{LocalServer, bind_loopback},
    logging::Origin,
    project::Project,
    run::Behind,
    senders::Sender,
    state,
};

/// How long a test waits for attempts that do not come.
const ATTEMPTS_WITHIN: Duration = Duration::from_secs(10);

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
    /// Where Cloud Run services' requests go: the service's name and what stands behind it.
    pub run: Vec<(String, Behind)>,
    /// Whether builds' steps are run on this machine; else every build succeeds and does nothing.
    pub run_builds: Option<RunBuilds>,
    /// Whether the project is fresh, and has none of the APIs enabled.
    pub apis_disabled: bool,
    /// Whether nobody pays for the project.
    pub billing_disabled: bool,
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
    threads: Threads,
}

/// What schedules, queues and subscriptions run on. Dropping it ends them without waiting, which asynchronous code may
/// not do, and what drops an emulator may be that.
#[derive(Debug)]
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
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
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("senders")
            .enable_all()
            .build()
            .map_err(|source| Error::System { what: "start the senders' runtime", source })?;
        let handle = runtime.handle().clone();
        let threads = Threads(Some(runtime));
        let issuer = options.issuer.clone().unwrap_or_else(|| url.clone());
        let authority = Arc::new(Authority::new(issuer, url.clone())?);
        let making = Arc::clone(&authority);
        handle.spawn(async move {
            // Whoever needs the keys tries again and hears what is wrong.
            let _ = making.keys().await;
        });
        let google = Arc::new(Google::new(options, url, authority, handle)?);
        let shared = web::Data::from(Arc::clone(&google));
        let server =
            LocalServer::start(bound, move |config| api::routes(config, shared.clone())).await?;
        Ok(Emulator { address, google, server, threads })
    }

    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `iss` of the tokens.
    pub fn issuer(&self) -> &str {
        self.google.authority.issuer()
    }

    /// Where the JWK set is served.
    pub fn keys_url(&self) -> String {
        self.google.authority.keys_url()
    }

    /// Where the X.509 certificates are served.
    pub fn certificates_url(&self) -> String {
        self.google.authority.certificates_url()
    }

    /// Where IAP's JWK set is served.
    pub fn iap_keys_url(&self) -> String {
        self.google.authority.iap_keys_url()
    }

    /// What a shell needs to find it.
    pub fn environment(&self) -> Environment {
        self.google.environment()
    }

    /// Creates a service account; `id` is what stands before the `@`.
    ///
    /// # Errors
    /// [`Error::Declined`] if it exists, or Google would not take the id.
    pub fn create_account(&self, id: &str) -> Result<Account, Error> {
        let created = self.google.iam.create_account(id)?;
        Ok(Account { email: created.email, unique_id: created.unique_id })
    }

    /// A valid token for `audience`, of the account `email`, existing or not, signed now.
    ///
    /// # Errors
    /// [`Error::Crypto`] if there are no keys.
    pub async fn token(&self, audience: &str, email: &str) -> Result<String, Error> {
        self.google.mint(email, audience, |token| token).await
    }

    /// From now on the requests of that Cloud Run service, deployed already or not, go to `url`.
    pub fn put_behind(&self, service: &str, url: &str) {
        self.google.run.put_behind(service, Behind::Url(url.to_owned()));
    }

    /// Logs a line as if that service had written it.
    pub fn log_line(&self, origin: &Origin, line: &str) {
        self.google.logging.line(origin, line);
    }

    /// Sets a fault for the next deliveries, or until [cleared](Emulator::clear_faults); of one sender, or of all.
    ///
    /// # Errors
    /// [`Error::Declined`] for no deliveries at all.
    pub fn set_fault(
        &self,
        fault: Fault,
        next: Option<u32>,
        sender: Option<Sender>,
    ) -> Result<(), Error> {
        Ok(self.google.set_fault(SetFault { fault, next, sender })?)
    }

    /// Clears all faults.
    pub fn clear_faults(&self) {
        self.google.clear_faults();
    }

    /// What happened, oldest first.
    pub fn history(&self) -> Vec<Entry> {
        self.google.history.since(0).iter().map(Slot::shown).collect()
    }

    /// The calls that were only passed through, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        let call = |entry| match entry {
            Entry::Call(call) => Some(call),
            Entry::Attempt(_) => None,
        };
        self.history().into_iter().filter_map(call).collect()
    }

    /// The attempts of a sender, oldest first, once there are so many; what there is where they do not come.
    pub async fn attempts_of(&self, sender: Sender, at_least: usize) -> Vec<Attempt> {
        let mut changes = self.google.history.changes();
        let of_sender = |entry| match entry {
            Entry::Attempt(attempt) if attempt.sender == sender => Some(*attempt),
            _ => None,
        };
        let attempts = || self.history().into_iter().filter_map(of_sender).collect::<Vec<_>>();
        let enough = async {
            while attempts().len() < at_least {
                // Either way something may have changed.
                let _ = changes.recv().await;
            }
        };
        let _ = timeout(ATTEMPTS_WITHIN, enough).await;
        attempts()
    }

    /// All resources as one JSON document.
    ///
    /// # Errors
    /// [`Error::Json`] if it cannot be written.
    pub fn export(&self) -> Result<Value, Error> {
        serde_json::to_value(state::export(&self.google))
            .map_err(|source| Error::Json { what: "the state", source })
    }

    /// Puts such a document in the place of all that is there.
    ///
    /// # Errors
    /// [`Error::Json`] if it is none, [`Error::Declined`] if it cannot be.
    pub async fn import(&self, document: Value) -> Result<(), Error> {
        let read = serde_json::from_value(document);
        let document = read.map_err(|source| Error::Json { what: "the state", source })?;
        Ok(state::import(&self.google, document).await?)
    }

    /// What everything here shares.
    pub(crate) fn google(&self) -> &Arc<Google> {
        &self.google
    }

    /// Stops, and waits until the port is free again.
    pub async fn stop(self) {
        self.google.builds.close().await;
        self.google.run.close().await;
        drop(self.threads);
        self.server.stop().await;
    }
}
