//! One service: what its client sent, and what the server adds to it.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    knative::{
        CREATOR, Document, INGRESS, ObjectMeta, ServiceSpec, custom_audiences,
        is_invoker_check_disabled,
    },
    name::ServiceName,
    revision::{Made, Revision},
    traffic::TrafficTarget,
};
use crate::{
    api::error::{ApiError, Code},
    iam::{Principal, policy},
    project::Project,
    uuid,
};

/// The annotation of whoever wrote last.
const LAST_MODIFIER: &str = "serving.knative.dev/lastModifier";

/// A service as it is kept, and saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Service {
    pub(super) name: ServiceName,
    /// Where its front end listens, on `127.0.0.1`.
    pub(super) port: u16,
    /// How often it was written: the resource version.
    pub(super) writes: u64,
    /// When it was last written.
    pub(super) written_at: Timestamp,
    pub(super) metadata: ObjectMeta,
    pub(super) spec: ServiceSpec,
    /// The newest last; there is always one.
    pub(super) revisions: Vec<Revision>,
    /// The traffic that is, where `spec` has the traffic that is wanted: they differ while that cannot be.
    #[serde(default)]
    pub(super) routed: Vec<TrafficTarget>,
    /// Where the front ends of its tags listen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tag_ports: BTreeMap<String, u16>,
}

/// What the front end goes by.
#[derive(Debug, PartialEq)]
pub(super) struct Settings {
    /// `aud` of the tokens that get in.
    pub(super) audiences: Vec<String>,
    /// Whether IAM is asked at all.
    pub(super) checks_invoker: bool,
    /// Whether only what comes from inside of the project gets in: here the emulator's senders.
    pub(super) is_internal: bool,
    /// How long a request may take.
    pub(super) timeout: Duration,
}

/// Who writes, and when.
#[derive(Clone, Copy)]
pub(super) struct Write<'a> {
    pub(super) by: &'a Principal,
    pub(super) at: Timestamp,
}

impl Service {
    /// A new one, not served yet.
    ///
    /// # Errors
    /// 400 if its revision cannot be called as its client wants, 500 without a random source.
    pub(super) fn created(
        name: ServiceName,
        document: Document,
        write: Write<'_>,
    ) -> Result<Service, ApiError> {
        let Document { mut metadata, spec, .. } = document;
        metadata.generation = 0;
        metadata.uid = uuid::random()?;
        metadata.creation_timestamp = write.at.to_string();
        metadata.annotations.insert(CREATOR.to_owned(), email(write.by));
        let service = Service {
            name,
            port: 0,
            writes: 0,
            written_at: write.at,
            metadata,
            spec,
            revisions: Vec::new(),
            routed: Vec::new(),
            tag_ports: BTreeMap::new(),
        };
        service.written(true, write)
    }

    /// The same with another document; a changed template makes a revision.
    ///
    /// # Errors
    /// 409 if the document is of an older version, or names a revision that exists and is another.
    pub(super) fn replaced(
        &self,
        document: Document,
        write: Write<'_>,
    ) -> Result<Service, ApiError> {
        let Document { metadata: sent, spec, .. } = document;
        let version = policy::etag(self.writes);
        if !sent.resource_version.is_empty() && sent.resource_version != version {
            let (id, given) = (&self.name.id, &sent.resource_version);
            return Err(ApiError::new(
                Code::Aborted,
                format!(
                    "Conflict for resource '{id}': version '{given}' was specified but current version is '{version}'."
                ),
            ));
        }
        let mut service = self.clone();
        service.metadata.labels = sent.labels;
        let creator = service.metadata.annotations.remove(CREATOR);
        service.metadata.annotations = sent.annotations;
        service.metadata.annotations.extend(creator.map(|creator| (CREATOR.to_owned(), creator)));
        let is_changed = service.spec != spec;
        service.spec = spec;
        service.written(is_changed, write)
    }

    fn written(mut self, is_changed: bool, write: Write<'_>) -> Result<Service, ApiError> {
        self.writes = self.writes.saturating_add(1);
        self.written_at = write.at;
        let generation = &mut self.metadata.generation;
        *generation = generation.saturating_add(i64::from(is_changed));
        self.metadata.annotations.insert(LAST_MODIFIER.to_owned(), email(write.by));
        let template = &self.spec.template;
        if self.revisions.last().is_none_or(|newest| newest.template != *template) {
            let made = Made {
                uid: uuid::random()?,
                generation: self.metadata.generation,
                by: email(write.by),
                at: write.at,
            };
            let revision = Revision::of(&self.name, template, made)?;
            if self.revisions.iter().any(|older| older.name == revision.name) {
                return Err(ApiError::exists(format!(
                    "Revision named '{}' with different configuration",
                    revision.name
                )));
            }
            self.revisions.push(revision);
        }
        for target in &self.spec.traffic {
            if let Some(name) = &target.revision_name
                && self.revision_of(name).is_none()
            {
                let fault = format!("names the revision {name:?}, which does not exist.");
                return Err(ApiError::invalid_field("spec.traffic", fault));
            }
        }
        Ok(self)
    }

    /// The newest revision's name.
    pub(super) fn latest(&self) -> &str {
        self.revisions.last().map_or("", |newest| newest.name.as_str())
    }

    /// The newest that runs: it is what "the latest" in traffic means.
    pub(super) fn latest_ready(&self) -> Option<&Revision> {
        self.revisions.iter().rfind(|revision| revision.failure.is_none())
    }

    pub(super) fn revision_of(&self, name: &str) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.name == name)
    }

    /// Routes as `spec` wants, if every line of it leads to a revision that runs; else all stays as it is.
    ///
    /// Source: users' reports (<https://github.com/Lore-Hex/quill-router/pull/782>).
    pub(super) fn route(&mut self) {
        let runs = |target| self.target(target).is_some_and(|one| one.failure.is_none());
        if self.spec.traffic.iter().all(runs) {
            self.routed.clone_from(&self.spec.traffic);
        }
    }

    /// The revision that a line of its traffic leads to.
    pub(super) fn target(&self, target: &TrafficTarget) -> Option<&Revision> {
        match &target.revision_name {
            Some(name) if target.latest_revision != Some(true) => self.revision_of(name),
            _ => self.latest_ready(),
        }
    }

    /// The revision that the request of that number goes to: shares of a hundred, spread evenly.
    pub(super) fn serving(&self, request: u64) -> Option<&Revision> {
        // 61 and 100 have no common factor, so that each number below 100 comes once in a hundred requests.
        let lot = request.wrapping_mul(61) % 100;
        let mut sum = 0;
        self.routed
            .iter()
            .find(|target| {
                sum += target.percent.unwrap_or_default().unsigned_abs();
                lot < sum
            })
            .and_then(|target| self.target(target))
    }

    /// The revision that a tag leads to.
    pub(super) fn tagged(&self, tag: &str) -> Option<&Revision> {
        let mut traffic = self.routed.iter();
        self.target(traffic.find(|target| target.tag.as_deref() == Some(tag))?)
    }

    /// The names of the revisions that requests can reach.
    pub(super) fn reachable(&self) -> Vec<String> {
        let targets = self.routed.iter();
        let reached =
            targets.filter(|one| one.tag.is_some() || one.percent.unwrap_or_default() > 0);
        reached.filter_map(|one| Some(self.target(one)?.name.clone())).collect()
    }

    /// Where it is reached here.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All its URLs, the one that leads here first: gcloud shows that one.
    pub(super) fn urls(&self, project: &Project) -> Vec<String> {
        let mut urls = self.name.public_urls(project);
        urls.insert(0, self.url());
        urls
    }

    /// What the front end goes by.
    pub(super) fn settings(&self, project: &Project) -> Settings {
        let annotations = &self.metadata.annotations;
        let mut audiences = self.urls(project);
        audiences.extend(custom_audiences(annotations).unwrap_or_default());
        let timeout_seconds = self.spec.template.spec.timeout_seconds;
        Settings {
            audiences,
            checks_invoker: !is_invoker_check_disabled(annotations),
            is_internal: annotations.get(INGRESS).is_some_and(|ingress| ingress != "all"),
            timeout: Duration::from_secs(timeout_seconds.unsigned_abs()),
        }
    }
}

fn email(principal: &Principal) -> String {
    let member = principal.member();
    member.split_once(':').map_or(member.as_str(), |(_, email)| email).to_owned()
}
