//! Cloud Run: services as `gcloud run` deploys them, and the front end that stands before each.
//!
//! No container is run: behind a front end stands whatever address it was given.

pub(crate) mod api;
mod front_end;
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
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(crate) use self::saved::{put, read};
use self::{
    front_end::FrontEnd,
    name::ServiceName,
    service::{Service, Settings},
};
use crate::project::Project;

/// The services, and what stands behind them.
#[derive(Debug)]
pub(crate) struct Run {
    state: Mutex<State>,
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
}

/// What answers a service's requests.
#[derive(Clone, Debug)]
enum Behind {
    /// A program that somebody else has started.
    Url(String),
}

impl Run {
    /// No services yet; `behind` is each service's name and the URL that its requests go to.
    pub(crate) fn new(behind: Vec<(String, String)>) -> Run {
        let behind = behind.into_iter().map(|(name, url)| (name, Behind::Url(url))).collect();
        Run { state: Mutex::new(State { services: BTreeMap::new(), behind }) }
    }

    /// From now on the requests of the service of that name, deployed already or not, go to `url`.
    pub(crate) fn put_behind(&self, service: &str, url: &str) {
        self.state().behind.insert(service.to_owned(), Behind::Url(url.to_owned()));
    }

    /// Stops every front end and waits until the ports are free; the services are gone then.
    pub(crate) async fn close(&self) {
        let services = std::mem::take(&mut self.state().services);
        for deployed in services.into_values() {
            deployed.front_end.stop().await;
        }
    }

    /// What a request to a service goes by; `None` if it was deleted meanwhile.
    fn route(&self, name: &ServiceName) -> Option<(Arc<Settings>, Option<Behind>)> {
        let state = self.state();
        let settings = Arc::clone(&state.services.get(name)?.settings);
        Some((settings, state.behind.get(&name.id).cloned()))
    }

    /// The state, for one short look or change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deployed {
    fn new(service: Service, front_end: FrontEnd, project: &Project) -> Deployed {
        Deployed { settings: Arc::new(service.settings(project)), service, front_end }
    }

    /// Puts another version of the service in its place.
    fn put(&mut self, service: Service, project: &Project) {
        self.settings = Arc::new(service.settings(project));
        self.service = service;
    }
}
