//! Cloud Run: services as `gcloud run` deploys them, and the front end that stands before each.
//!
//! No container is run: behind a front end stands whatever address it was given, or a process of this machine for each
//! revision.

pub(crate) mod api;
mod front_end;
mod instance;
mod knative;
#[cfg(test)]
mod lab;
mod name;
mod operations;
mod page;
mod revision;
mod revisions;
mod saved;
mod service;
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
    instance::Instances,
    name::ServiceName,
    revision::Revision,
    service::{Service, Settings},
};
use crate::project::Project;

/// The services, and what stands behind them.
#[derive(Debug)]
pub(crate) struct Run {
    state: Mutex<State>,
    instances: Instances,
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

/// What a request goes by.
struct Route {
    settings: Arc<Settings>,
    revision: Option<Revision>,
    behind: Option<Behind>,
}

impl Run {
    /// No services yet; `behind` is each service's name and what answers its requests.
    pub(crate) fn new(behind: Vec<(String, Behind)>) -> Run {
        let behind = behind.into_iter().collect();
        let state = Mutex::new(State { services: BTreeMap::new(), behind });
        Run { state, instances: Instances::default() }
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

    /// Puts another version of the service in its place.
    fn put(&mut self, service: Service, project: &Project) {
        self.settings = Arc::new(service.settings(project));
        self.service = service;
    }
}
