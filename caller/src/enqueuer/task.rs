//! A task before it is created, held to the limits that Cloud Tasks has.

use std::{fmt, str::FromStr, time::Duration};

use aws_lc_rs::{digest, rand};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::EnqueueError;

/// The quotas page says 1 MB, and the service was measured to take this, of a task's encoded form
/// (<https://cloud.google.com/tasks/docs/quotas>,
/// <https://github.com/aertje/cloud-tasks-emulator/blob/main/internal/engine/tasksize.go>).
const MOST_BYTES: usize = (1 << 20) - 7;
/// What the encoded form has beside the strings and the body, at most.
const FRAME_BYTES: usize = 200;
/// <https://github.com/googleapis/googleapis/blob/master/google/cloud/tasks/v2/target.proto>
const MOST_URL_CHARS: usize = 2083;
const MOST_HEADERS_BYTES: usize = 80 << 10;
/// <https://cloud.google.com/tasks/docs/quotas>
const FARTHEST: Duration = Duration::from_secs(30 * 24 * 3600);
const DISPATCH_DEADLINE_SECS: std::ops::RangeInclusive<u64> = 15..=30 * 60;

/// What is to be delivered, when, and as whom.
#[derive(Debug, Clone)]
pub struct Task {
    /// What it is called, within its queue.
    pub id: TaskId,
    /// Where it is delivered: http or https.
    pub url: String,
    /// How; `POST` unless it is said.
    pub method: Method,
    /// `aud` of the token; never left to the default, which is the whole URL with its query.
    pub audience: String,
    /// The account whose token it carries. Whoever creates the task needs `iam.serviceAccounts.actAs` on it.
    pub service_account: String,
    /// Names and values, such as `Content-Type`.
    pub headers: Vec<(String, String)>,
    /// The body; `GET`, `HEAD`, `DELETE` and `OPTIONS` have none.
    pub body: Bytes,
    /// When it is due, 30 days ahead at most; at once if it does not say.
    pub schedule_time: Option<Timestamp>,
    /// How long an attempt may take, 15 s to 30 min; 10 min if it does not say.
    pub dispatch_deadline: Option<Duration>,
}

/// How a task is delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// `POST`.
    #[default]
    Post,
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `PATCH`.
    Patch,
    /// `OPTIONS`.
    Options,
}

/// The last part of a task's name: letters, digits, `-` and `_`, 500 at most.
///
/// Ids should be spread evenly: those that begin alike, such as times and counters, make Cloud Tasks slow
/// (<https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks#Task.FIELDS.name>).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskId(String);

impl TaskId {
    /// One that no other task has.
    ///
    /// # Errors
    /// [`EnqueueError::Invalid`] if the system has no randomness.
    pub fn random() -> Result<TaskId, EnqueueError> {
        let mut random = [0_u8; 16];
        rand::fill(&mut random)
            .map_err(|_| EnqueueError::Invalid("the system has no randomness".to_owned()))?;
        Ok(TaskId(hex(&random)))
    }

    /// The one that belongs to a key, such as `2026-11-24/tenant-7`: whoever creates the task of a key a second time,
    /// while Cloud Tasks remembers it, hears that it exists. It is a hash, so that ids are spread evenly.
    pub fn of_key(key: &str) -> TaskId {
        let hash = digest::digest(&digest::SHA256, key.as_bytes());
        let (first, _) = hash.as_ref().split_at(16);
        TaskId(hex(first))
    }
}

impl FromStr for TaskId {
    type Err = EnqueueError;

    /// Takes an id as it is.
    fn from_str(id: &str) -> Result<TaskId, EnqueueError> {
        let is_fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if id.is_empty() || id.len() > 500 || !id.bytes().all(is_fit) {
            return Err(EnqueueError::Invalid(format!(
                "the task's name is {:?}; expected letters, digits, - and _, 500 at most",
                oidc::shown(id)
            )));
        }
        Ok(TaskId(id.to_owned()))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Method {
    /// As HTTP and Cloud Tasks spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Patch => "PATCH",
            Method::Options => "OPTIONS",
        }
    }

    fn has_body(self) -> bool {
        matches!(self, Method::Post | Method::Put | Method::Patch)
    }
}

impl FromStr for Method {
    type Err = EnqueueError;

    fn from_str(word: &str) -> Result<Method, EnqueueError> {
        use Method::{Delete, Get, Head, Options, Patch, Post, Put};
        let all = [Post, Get, Head, Put, Delete, Patch, Options];
        all.into_iter().find(|method| method.as_str().eq_ignore_ascii_case(word)).ok_or_else(|| {
            EnqueueError::Invalid(format!(
                "the method is {:?}; Cloud Tasks knows POST, GET, HEAD, PUT, DELETE, PATCH and OPTIONS",
                oidc::shown(word)
            ))
        })
    }
}

impl Task {
    /// A task that is posted at once, without headers and body.
    pub fn new(id: TaskId, url: &str, audience: &str, service_account: &str) -> Task {
        Task {
            id,
            url: url.to_owned(),
            method: Method::default(),
            audience: audience.to_owned(),
            service_account: service_account.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            schedule_time: None,
            dispatch_deadline: None,
        }
    }

    /// Adds a body, and says that it is JSON.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Task {
        self.headers.push(("Content-Type".to_owned(), "application/json".into()));
        self.body = body.to_string().into();
        self
    }

    /// What Cloud Tasks would refuse is refused here, with words that say more.
    pub(super) fn check(&self, name: &str) -> Result<(), EnqueueError> {
        let invalid = |text: String| Err(EnqueueError::Invalid(text));
        let is_url = reqwest::Url::parse(&self.url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !is_url || self.url.chars().count() > MOST_URL_CHARS {
            let shown = oidc::shown(&self.url);
            return invalid(format!(
                "the URL is {shown:?}; expected http:// or https://, {MOST_URL_CHARS} characters at most"
            ));
        }
        if self.audience.is_empty() || !self.service_account.contains('@') {
            return invalid("a task needs an audience and the email of a service account: without them its deliveries carry no ID token".to_owned());
        }
        if !self.body.is_empty() && !self.method.has_body() {
            return invalid(format!(
                "a task of {} has no body; use POST, PUT or PATCH",
                self.method.as_str()
            ));
        }
        if self.schedule_time.is_some_and(|at| at > Timestamp::now() + FARTHEST) {
            return invalid("the schedule time is more than 30 days ahead, which Cloud Tasks does not take; let a Scheduler job create the task then".to_owned());
        }
        if let Some(deadline) = self.dispatch_deadline
            && !DISPATCH_DEADLINE_SECS.contains(&deadline.as_secs())
        {
            return invalid(format!(
                "the dispatch deadline is {} s; Cloud Tasks takes 15 s to 1800 s",
                deadline.as_secs()
            ));
        }
        self.check_size(name)
    }

    fn check_size(&self, name: &str) -> Result<(), EnqueueError> {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if headers > MOST_HEADERS_BYTES {
            return Err(EnqueueError::TooLarge {
                what: "headers",
                bytes: headers,
                limit: MOST_HEADERS_BYTES,
            });
        }
        let strings = [name, &self.url, &self.audience, &self.service_account].map(str::len);
        let bytes = self.body.len() + headers + strings.iter().sum::<usize>() + FRAME_BYTES;
        if bytes > MOST_BYTES {
            return Err(EnqueueError::TooLarge { what: "task", bytes, limit: MOST_BYTES });
        }
        Ok(())
    }
}
