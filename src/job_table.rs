//! Which job answers at which path. The only place where a job's type is erased.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::{
    config::{self, Fault},
    invocation::Invocation,
    outcome::JobError,
    senders::{Sender, Unreadable},
};

/// A job with its payload read and nothing of it run yet.
pub(crate) type Ready = BoxFuture<'static, Result<(), JobError>>;

/// Reads the payload as the job's type and gives the job's future, unpolled.
pub(crate) type Job = Arc<dyn Fn(Invocation<Bytes>) -> Result<Ready, Unreadable> + Send + Sync>;

/// Every job, by sender and name. Built once; what a job needs, its closure captures.
///
/// ```
/// use receiver::{invocation::Invocation, job_table::Jobs, outcome::JobError};
///
/// async fn greet(name: Invocation<String>) -> Result<(), JobError> {
///     tracing::info!(length = name.payload.len(), "hello");
///     Ok(())
/// }
///
/// let mut jobs = Jobs::default();
/// jobs.tasks("greet", greet); // answers at /tasks/greet
/// ```
#[derive(Default)]
pub struct Jobs {
    jobs: BTreeMap<(Sender, String), Job>,
    faults: Vec<Fault>,
}

impl Jobs {
    /// Adds a job that Cloud Scheduler runs at `/scheduler/{name}`.
    ///
    /// # Panics
    ///
    /// If the name is no path segment, or this sender has a job of that name already.
    pub fn scheduler<T, F, Fut>(&mut self, name: &str, job: F)
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(Invocation<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        self.add(Sender::Scheduler, name, job);
    }

    /// Adds a job that Cloud Tasks calls at `/tasks/{name}`.
    ///
    /// # Panics
    ///
    /// If the name is no path segment, or this sender has a job of that name already.
    pub fn tasks<T, F, Fut>(&mut self, name: &str, job: F)
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(Invocation<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        self.add(Sender::Tasks, name, job);
    }

    /// Adds a job that a Pub/Sub subscription pushes to at `/pubsub/{name}`.
    ///
    /// # Panics
    ///
    /// If the name is no path segment, or this sender has a job of that name already.
    pub fn pubsub<T, F, Fut>(&mut self, name: &str, job: F)
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(Invocation<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        self.add(Sender::Pubsub, name, job);
    }

    /// Adds a job that an Eventarc trigger calls at `/events/{name}`.
    ///
    /// # Panics
    ///
    /// If the name is no path segment, or this sender has a job of that name already.
    pub fn events<T, F, Fut>(&mut self, name: &str, job: F)
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(Invocation<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        self.add(Sender::Events, name, job);
    }

    /// A setting of your own jobs, from the environment. Where it is not set, that is reported with all
    /// other faults, the receiver does not start, and the empty text that is given here is never used.
    ///
    /// `expected` ends "expected …": `jobs.setting("SMTP_URL", "the mail service's URL")`.
    pub fn setting(&mut self, name: &str, expected: &str) -> String {
        config::environment(name).filter(|value| !value.is_empty()).unwrap_or_else(|| {
            self.faults.push(Fault {
                name: name.to_owned(),
                value: None,
                expected: expected.to_owned(),
                remedy: "set it: a job in src/jobs needs it".to_owned(),
            });
            String::new()
        })
    }

    /// What [`Jobs::setting`] found missing.
    pub(crate) fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// The senders that have a job: the only ones whose settings are required.
    pub fn senders(&self) -> BTreeSet<Sender> {
        self.jobs.keys().map(|(sender, _)| *sender).collect()
    }

    /// The table itself.
    pub(crate) fn take(self) -> BTreeMap<(Sender, String), Job> {
        self.jobs
    }

    fn add<T, F, Fut>(&mut self, sender: Sender, name: &str, job: F)
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(Invocation<T>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        let is_segment =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        assert!(
            !name.is_empty() && name.len() <= 100 && name.bytes().all(is_segment),
            "the job name {name:?} is no path segment: expected 1 to 100 of letters, digits, '-', '_' and '.'"
        );
        let job = Arc::new(job);
        let erased: Job = Arc::new(move |invocation: Invocation<Bytes>| {
            let invocation = invocation.read::<T>()?;
            let job = Arc::clone(&job);
            // The closure itself runs at the first poll too, where a panic in it is the job's.
            Ok(Box::pin(async move { job(invocation).await }) as Ready)
        });
        let before = self.jobs.insert((sender, name.to_owned()), erased);
        assert!(before.is_none(), "the job {name:?} of {sender} comes twice in the table");
    }
}
