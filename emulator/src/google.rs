//! Everything that Google's side knows, in one place that calls and senders share.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::Mutex};

use crate::{
    api::shelf::Shelf, attempts::Attempts, clock::Clock, cloud_build::Builds,
    environment::Environment, error::Error, faults::Faults, history::History, iam::Iam,
    issuer::Authority, logging::Logging, monitoring::Monitoring, project::Project, pubsub::PubSub,
    registry::Registry, run::Run, scheduler::Scheduler, service_usage::Apis, storage::Storage,
    tasks::Tasks, tokens::Tokens,
};

/// Google's side. One is shared by the control plane and by what it set going.
#[derive(Debug)]
pub(crate) struct Google {
    /// Where the control plane is reached, without a slash at the end.
    pub(crate) url: String,
    pub(crate) project: Project,
    pub(crate) clock: Clock,
    pub(crate) authority: Arc<Authority>,
    pub(crate) iam: Iam,
    pub(crate) tokens: Tokens,
    pub(crate) attempts: Attempts,
    pub(crate) faults: Faults,
    pub(crate) history: History,
    pub(crate) scheduler: Scheduler,
    pub(crate) tasks: Tasks,
    pub(crate) pubsub: PubSub,
    pub(crate) run: Run,
    pub(crate) builds: Builds,
    pub(crate) registry: Registry,
    pub(crate) storage: Storage,
    pub(crate) apis: Apis,
    pub(crate) logging: Arc<Logging>,
    pub(crate) log_metrics: Shelf,
    pub(crate) monitoring: Monitoring,
    /// Whether somebody pays for the project.
    pub(crate) has_billing: bool,
    /// Held while all is replaced, and by what must not fall in the midst of that.
    pub(crate) changing: Mutex<()>,
    /// What schedules, queues and subscriptions run on.
    runtime: Handle,
}

impl Google {
    pub(crate) fn new(
        options: crate::emulator::Options,
        url: String,
        authority: Arc<Authority>,
        runtime: Handle,
    ) -> Result<Google, Error> {
        Ok(Google {
            url,
            logging: Arc::new(Logging::new(options.project.clone(), options.clock.clone())),
            log_metrics: Shelf::default(),
            monitoring: Monitoring::default(),
            clock: options.clock,
            authority,
            iam: Iam::new(options.project.clone(), options.legacy_agents),
            project: options.project,
            tokens: Tokens::default(),
            attempts: Attempts::new()?,
            faults: Faults::default(),
            history: History::default(),
            scheduler: Scheduler::default(),
            tasks: Tasks::default(),
            pubsub: PubSub::default(),
            run: Run::new(options.run)?,
            storage: Storage::new(options.run_builds.is_some()),
            builds: Builds::new(options.run_builds),
            registry: Registry::default(),
            apis: Apis::new(!options.apis_disabled),
            has_billing: !options.billing_disabled,
            changing: Mutex::default(),
            runtime,
        })
    }

    /// What a shell needs to find it.
    pub(crate) fn environment(&self) -> Environment {
        Environment {
            url: self.url.clone(),
            issuer: self.authority.issuer().to_owned(),
            project: self.project.clone(),
        }
    }

    /// What lets a receiver that Cloud Run would run find Google's side here. It trusts the tokens of this emulator.
    pub(crate) fn run_environment(&self) -> Vec<(&'static str, String)> {
        let authority = self.url.trim_start_matches("http://").to_owned();
        vec![
            ("HOST", "127.0.0.1".to_owned()),
            ("OIDC_ISSUER", self.authority.issuer().to_owned()),
            ("OIDC_KEYS_URL", self.authority.keys_url()),
            ("IAP_KEYS_URL", self.authority.iap_keys_url()),
            ("ALLOW_TEST_ISSUER", "1".to_owned()),
            ("GCE_METADATA_HOST", authority),
        ]
    }

    /// Sets something going that ends with the emulator.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        self.runtime.spawn(task)
    }

    /// Does something to its end, even where whoever asked for it leaves meanwhile.
    ///
    /// # Errors
    /// [`Error::Thread`] if the emulator stops first.
    pub(crate) async fn see_through<T: Send + 'static>(
        &self,
        what: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        self.runtime.spawn(work).await.map_err(|_| Error::Thread(what))
    }
}
