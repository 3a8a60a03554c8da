//! Cloud Run: services as `gcloud run` deploys them, and the front end that stands before each.
//!
//! No container is run: behind a front end stands whatever address it was given, or a process of this machine for each
//! revision.

pub(crate) mod api;
mod front_end;
mod instance;
mod instances;
mod knative;
#[cfg(test)]
mod lab;
mod name;
mod operations;
mod output;
mod page;
mod region;
mod revision;
mod revisions;
mod saved;
mod service;
mod traffic;
mod v2;
mod view;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

pub(crate) use self::saved::{put, read};
use self::{
    front_end::FrontEnd,
    instances::Instances,
    name::ServiceName,
    revision::Revision,
    service::{Service, Settings},
};
use crate::{error::Error, project::Project, uuid};

/// The services, and what stands behind them.
#[derive(Debug)]
pub(crate) struct Run {
    state: Mutex<State>,
    instances: Instances,
    pass: String,
}

#[derive(Debug)]
struct State {
    services: BTreeMap<ServiceName, Deployed>,
    /// By the service's name, in whatever region; it may be set before the service is deployed.
    behind: BTreeMap<String, Behind>,
}

/// A service that is served.
#[derive(Debug)]
struct Deployed {
    service: Service,
    /// Taken from the service, for requests to share.
    settings: Arc<Settings>,
    front_end: FrontEnd,
    /// Each tag has an address of its own.
    tags: BTreeMap<String, FrontEnd>,
    /// Requests so far, by which they are shared out among revisions.
    requests: AtomicU64,
}

/// What answers a service's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// A program that somebody else has started, for all revisions: its URL.
    Url(String),
    /// A program that is started for each revision, with what the revision says in its environment.
    Program(PathBuf),
}

/// The header in which a sender of this emulator shows its pass to a front end, which takes it off.
pub(crate) const PASS: &str = "x-emulator-pass";

/// What a request goes by.
struct Route {
    settings: Arc<Settings>,
    revision: Option<Revision>,
    behind: Option<Behind>,
}

impl Run {
    /// No services yet; `behind` is each service's name and what answers its requests.
    ///
    /// # Errors
    /// [`Error::Crypto`] without a random source.
    pub(crate) fn new(behind: Vec<(String, Behind)>) -> Result<Run, Error> {
        let behind = behind.into_iter().collect();
        let state = Mutex::new(State { services: BTreeMap::new(), behind });
        Ok(Run { state, instances: Instances::default(), pass: uuid::random()? })
    }

    /// From now on the requests of the service of that name, deployed already or not, are answered by that.
    pub(crate) fn put_behind(&self, service: &str, behind: Behind) {
        self.state().behind.insert(service.to_owned(), behind);
    }

    /// Stops every front end and process, and waits until the ports are free; the services are gone then.
    pub(crate) async fn close(&self) {
        let services = std::mem::take(&mut self.state().services);
        for deployed in services.into_values() {
            deployed.stop().await;
        }
        self.instances.end().await;
    }

    /// What a request to a service, or to one of its tags, goes by; `None` if it was deleted meanwhile.
    fn route(&self, name: &ServiceName, tag: Option<&str>) -> Option<Route> {
        let state = self.state();
        let Deployed { service, settings, requests, .. } = state.services.get(name)?;
        let revision = match tag {
            Some(tag) => service.tagged(tag),
            None => service.serving(requests.fetch_add(1, Relaxed)),
        };
        Some(Route {
            settings: Arc::clone(settings),
            revision: revision.cloned(),
            behind: state.behind.get(&name.id).cloned(),
        })
    }

    /// What a sender shows at a URL of a service here, so that `internal` ingress lets it in ([`PASS`]); `None` for the
    /// URL of anything else, which is to see nothing but what Google sends.
    pub(crate) fn pass(&self, url: &str) -> Option<&str> {
        let url = reqwest::Url::parse(url).ok()?;
        let port = url.port_or_known_default()?;
        let is_here = matches!(url.host_str(), Some("127.0.0.1" | "localhost"));
        let is_known = self.state().services.values().any(|Deployed { service, .. }| {
            service.port == port || service.tag_ports.values().any(|of_tag| *of_tag == port)
        });
        (is_here && is_known).then_some(&self.pass)
    }

    /// The program that is started for each revision of that service, if there is one.
    fn program(&self, name: &ServiceName) -> Option<PathBuf> {
        match self.state().behind.get(&name.id)? {
            Behind::Program(program) => Some(program.clone()),
            Behind::Url(_) => None,
        }
    }

    /// The state, for one short look or change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deployed {
    fn new(
        service: Service,
        front_end: FrontEnd,
        tags: BTreeMap<String, FrontEnd>,
        project: &Project,
    ) -> Deployed {
        let settings = Arc::new(service.settings(project));
        Deployed { settings, service, front_end, tags, requests: AtomicU64::new(0) }
    }

    /// Ends its front ends, and waits until the ports are free.
    async fn stop(self) {
        self.front_end.stop().await;
        for tag in self.tags.into_values() {
            tag.stop().await;
        }
    }

    /// Puts another version of the service in its place, with the front ends of its new tags, and gives back those of
    /// the tags that are gone.
    fn put(
        &mut self,
        service: Service,
        started: BTreeMap<String, FrontEnd>,
        project: &Project,
    ) -> Vec<FrontEnd> {
        self.settings = Arc::new(service.settings(project));
        self.tags.extend(started);
        let gone = self.tags.extract_if(.., |tag, _| !service.tag_ports.contains_key(tag));
        let gone = gone.map(|(_, front_end)| front_end).collect();
        self.service = service;
        gone
    }
}
