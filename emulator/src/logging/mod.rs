//! Cloud Logging: what the services that run here write, and a project's own entries, for `gcloud logging read`.
//!
//! Entries are kept in memory and no longer than the emulator runs: they are no resources, and stand in no export.
//!
//! Source: <https://cloud.google.com/logging/docs/reference/v2/rest>.

pub(crate) mod api;
mod entry;
mod filter;
mod lift;
pub(crate) mod metrics;
mod severity;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde_json::Value;

use self::{
    entry::{LogEntry, Resource},
    filter::Filter,
};
use crate::{clock::Clock, project::Project};

/// How many entries are kept; the oldest go first.
const KEPT_ENTRIES: usize = 10_000;

/// How long they are together at most, as JSON.
const KEPT_BYTES: usize = 32 << 20;

/// What wrote a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The Cloud Run service.
    pub service: String,
    /// Its revision.
    pub revision: String,
    /// Where it runs, such as `us-central1`.
    pub region: String,
    /// Where the line was written to.
    pub stream: Stream,
}

/// A program's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The entries, in the order in which they came.
pub(crate) struct Logging {
    project: Project,
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<KeptEntry>,
    bytes: usize,
    /// How many ids were given out.
    last_id: u64,
}

/// As text: its length is what it takes of memory, which a tree's is not.
struct KeptEntry {
    timestamp: Timestamp,
    insert_id: String,
    json: String,
}

/// An entry's place in every list: its time, and among those of one time its id.
type Place = (Timestamp, String);

/// Without entries: they are programs' own.
impl fmt::Debug for Logging {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = self.kept();
        formatter
            .debug_struct("Logging")
            .field("entries", &kept.entries.len())
            .field("bytes", &kept.bytes)
            .finish_non_exhaustive()
    }
}

impl Logging {
    pub(crate) fn new(project: Project, clock: Clock) -> Logging {
        Logging { project, clock, kept: Mutex::default() }
    }

    /// Keeps a line that a service wrote, given without its end; an empty one is no entry.
    ///
    /// The resource is what Cloud Run names: <https://cloud.google.com/monitoring/api/resources#tag_cloud_run_revision>.
    pub(crate) fn line(&self, origin: &Origin, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        let stream = match origin.stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        };
        let labels = [
            ("project_id", &self.project.id),
            ("location", &origin.region),
            ("service_name", &origin.service),
            ("configuration_name", &origin.service),
            ("revision_name", &origin.revision),
        ];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.clone()));
        self.keep(LogEntry {
            log_name: format!("{}/logs/run.googleapis.com%2F{stream}", self.project.name()),
            resource: Resource {
                kind: "cloud_run_revision".to_owned(),
                labels: BTreeMap::from(labels),
            },
            ..lift::entry(line)
        });
    }

    /// Keeps an entry; time and id are given to one that has none.
    fn keep(&self, mut entry: LogEntry) {
        let now = self.clock.now();
        let mut kept = self.kept();
        kept.last_id += 1;
        if entry.insert_id.is_empty() {
            // Of one length, so that they are in order.
            entry.insert_id = format!("{:016x}", kept.last_id);
        }
        entry.receive_timestamp = Some(now);
        let timestamp = *entry.timestamp.get_or_insert(now);
        // What was read as JSON can be written as JSON.
        let Ok(json) = serde_json::to_string(&entry) else { return };
        kept.push(KeptEntry { timestamp, insert_id: entry.insert_id, json });
    }

    /// The entries that `filter` matches, oldest first, with their places. Of those with one time and one id, which
    /// are one entry that came twice, the first.
    fn matching(&self, filter: &Filter) -> BTreeMap<Place, Value> {
        let mut found = BTreeMap::new();
        for kept in &self.kept().entries {
            let Ok(entry) = serde_json::from_str(&kept.json) else { continue };
            if filter.matches(&entry) {
                found.entry((kept.timestamp, kept.insert_id.clone())).or_insert(entry);
            }
        }
        found
    }

    /// The names of the logs that have entries.
    fn log_names(&self) -> BTreeSet<String> {
        let all = self.matching(&Filter::default());
        all.values().filter_map(|entry| Some(entry.get("logName")?.as_str()?.to_owned())).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn push(&mut self, entry: KeptEntry) {
        self.bytes += entry.json.len();
        self.entries.push_back(entry);
        while self.entries.len() > KEPT_ENTRIES || self.bytes > KEPT_BYTES {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.json.len();
        }
    }
}

#[cfg(test)]
mod tests;
