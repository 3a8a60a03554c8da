//! Cloud Build: builds that succeed at once and do nothing or, where that is asked for, have their steps run on this
//! machine.
//!
//! Source: <https://cloud.google.com/build/docs/api/reference/rest/v1/projects.locations.builds>.

pub(crate) mod api;
mod asked;
mod builder;
mod document;
mod order;
mod source;
mod step;
mod substitution;
mod template;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use tokio::task::JoinHandle;

use self::document::Document;

/// How many builds are remembered.
const BUILDS_KEPT: usize = 100;

/// That builds' steps are run on this machine, without their images: what a step calls must be installed.
#[derive(Clone, Debug, Default)]
pub struct RunBuilds {
    /// A folder of programs that steps find before all others, in the place of what their images would have.
    pub tools: Option<PathBuf>,
}

/// The builds, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Builds {
    run: Option<RunBuilds>,
    builds: Mutex<BTreeMap<u64, Build>>,
}

/// A build and, while it is under way, what runs it.
#[derive(Debug)]
struct Build {
    document: Document,
    running: Option<JoinHandle<()>>,
}

impl Builds {
    pub(crate) fn new(run: Option<RunBuilds>) -> Builds {
        Builds { run, builds: Mutex::default() }
    }

    /// Remembers a build, and forgets the oldest.
    fn add(&self, document: Document) {
        let mut builds = self.builds();
        let number = builds.last_key_value().map_or(0, |(number, _)| number + 1);
        builds.insert(number, Build { document, running: None });
        while builds.len() > BUILDS_KEPT {
            builds.pop_first();
        }
    }

    /// Does something with a build, if it is remembered.
    fn with<T>(&self, id: &str, work: impl FnOnce(&mut Build) -> T) -> Option<T> {
        self.builds().values_mut().find(|build| build.document.id() == id).map(work)
    }

    /// The builds of a location, newest first.
    fn list(&self, location: &str) -> Vec<Value> {
        let builds = self.builds();
        let documents = builds.values().rev().map(|build| &build.document);
        documents
            .filter(|document| location == "-" || document.location() == location)
            .map(Document::json)
            .collect()
    }

    /// Kills what a build runs, and waits until it is gone; whether anything ran.
    async fn stop(&self, id: &str) -> bool {
        let running = self.with(id, |build| build.running.take()).flatten();
        let Some(running) = running else { return false };
        running.abort();
        // It ends with a fault, for it was aborted; or it had ended.
        running.await.is_err()
    }

    /// Kills what all of them run.
    pub(crate) async fn close(&self) {
        let ids: Vec<String> =
            self.builds().values().map(|build| build.document.id().to_owned()).collect();
        for id in ids {
            self.stop(&id).await;
        }
    }

    fn builds(&self) -> MutexGuard<'_, BTreeMap<u64, Build>> {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
