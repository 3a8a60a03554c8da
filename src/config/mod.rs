//! Every setting, read once from the environment, all faults reported together.
//!
//! `.env.example` lists them. `{SENDER}` is one of `SCHEDULER`, `TASKS`, `PUBSUB`, `EVENTS`; only the
//! senders that have a job in the table need any.
//!
//! | setting | what it is | default |
//! |---|---|---|
//! | `HOST`, `PORT` | where to listen | `0.0.0.0`, `8080` |
//! | `AUTH`, `{SENDER}_AUTH` | `verify` or `platform` | none |
//! | `AUDIENCE`, `{SENDER}_AUDIENCE` | accepted audiences, `\|`-separated | none |
//! | `{SENDER}_CALLERS` | accepted accounts, by address or numeric id, `\|`-separated | none |
//! | `PLATFORM_IDENTITY`, `{SENDER}_PLATFORM_IDENTITY` | `cloud-run`, `iap`, or a proxy's header | none |
//! | `PROXY_CALLERS`, `PROXY_AUDIENCE` | the proxy's own account and audience | none |
//! | `{SENDER}_DEADLINE` | how long an attempt may take | a little under the sender's own |
//! | `SCHEDULER_ATTEMPT_DEADLINE`, `TASKS_DISPATCH_DEADLINE`, `PUBSUB_ACK_DEADLINE`, `EVENTS_ACK_DEADLINE` | what the sender was told | Google's defaults |
//! | `REQUEST_TIMEOUT` | Cloud Run's own | `5m` |
//! | `{SENDER}_BODY_LIMIT` | largest body | `1MiB`, Pub/Sub and events `14MiB` |
//! | `BODY_MEMORY` | what all bodies may take together | `64MiB` |
//! | `MAX_IN_FLIGHT` | attempts at once | `256` |
//! | `PUBSUB_GIVE_UP` | `ack` or `nack` | `ack` |
//! | `DEDUP` | `memory` or `off` | `memory` |
//! | `MAX_INSTANCES` | what the service is deployed with, for the check alone | unknown |
//! | `WORKERS` | threads | one a core |
//! | `LOG_FORMAT`, `LOG_LEVEL` | `json` or `text`; `error` to `trace` | by terminal; `info` |
//! | `RECORD_ATTRIBUTES` | message attributes that records may show, `\|`-separated | none |
//! | `GOOGLE_CLOUD_PROJECT` | names traces in full | none |
//! | `K_SERVICE`, `K_REVISION` | set by Cloud Run | none |
//! | `OTEL_…` | OpenTelemetry's own; `.env.example` lists those that count | nothing is exported |
//! | `KEEP_FAILED_TRACES` | keep the spans of what failed, whatever the sampler says | off |
//! | `TELEMETRY_WAIT` | how long an answer waits for its spans to be handed over, in milliseconds | `0` |
//! | `OIDC_ISSUER`, `OIDC_KEYS_URL`, `IAP_KEYS_URL`, `ALLOW_TEST_ISSUER` | for an emulator | Google's |

mod faults;

mod guards;

mod reader;

pub(crate) mod telemetry;

mod values;

mod warnings;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    num::NonZero,
    time::Duration,
};

use oidc::Verifier;
use tracing::level_filters::LevelFilter;

pub use self::faults::{Fault, Faults};
use self::{guards::Guards, reader::Reader};
use crate::{guard::Guard, job_table::Jobs, outcome::GiveUp, record::About, senders::Sender};

/// The receiver's settings.
pub struct Config {
    /// Where to listen: `HOST`.
    pub host: IpAddr,
    /// Where to listen: `PORT`; 0 is any free one.
    pub port: u16,
    /// Threads that answer: `WORKERS`.
    pub workers: usize,
    /// Attempts at once: `MAX_IN_FLIGHT`.
    pub max_in_flight: u32,
    /// What all bodies may take together: `BODY_MEMORY`.
    pub body_memory_bytes: usize,
    /// What Pub/Sub and Eventarc are answered when a job gives up: `PUBSUB_GIVE_UP`.
    pub pubsub_give_up: GiveUp,
    /// Where finished invocations are remembered: `DEDUP`.
    pub dedup: DedupStore,
    /// How records and log lines are written: `LOG_FORMAT`; by default as the terminal suggests.
    pub log_format: Option<LogFormat>,
    /// The least severe log line that is written: `LOG_LEVEL`.
    pub log_level: LevelFilter,
    /// What every record carries.
    pub about: About,
    /// The metadata server: `host` or `host:port`.
    pub(crate) metadata_host: String,
    /// Where traces and metrics go; `None` where nowhere.
    pub(crate) telemetry: Option<telemetry::TelemetryConfig>,
    /// The settings of each sender that has a job.
    pub(crate) senders: BTreeMap<Sender, SenderConfig>,
    /// The verifiers whose keys are fetched at the start.
    pub(crate) verifiers: Vec<Verifier>,
    /// What is set as it should not be, without being wrong.
    pub warnings: Vec<String>,
    /// Each setting that was read, with its value and whether that is the default.
    pub effective: Vec<Setting>,
}

/// One setting as it took effect.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The variable.
    pub name: String,
    /// Its value, for people.
    pub value: String,
    /// Whether nobody set it.
    pub is_default: bool,
}

/// The settings of one sender.
pub(crate) struct SenderConfig {
    /// Who may call.
    pub(crate) guard: Guard,
    /// `{SENDER}_BODY_LIMIT`.
    pub(crate) body_limit_bytes: usize,
    /// `{SENDER}_DEADLINE`.
    pub(crate) deadline: Duration,
}

/// Where finished invocations are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DedupStore {
    /// Nowhere.
    Off,
    /// In this process: right for one instance.
    Memory,
}

/// How records and log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Cloud Logging's structured format.
    Json,
    /// For people.
    Text,
}

/// Google's default for Cloud Run (<https://cloud.google.com/run/docs/configuring/request-timeout>).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

impl Config {
    /// Reads the process's environment, for these jobs.
    ///
    /// # Errors
    ///
    /// Every fault there is, those of the jobs' own settings included.
    pub fn from_environment(jobs: &Jobs) -> Result<Self, Faults> {
        let read = Self::from_lookup(&jobs.senders(), environment);
        match (read, jobs.faults()) {
            (read, []) => read,
            (Ok(_), own) => Err(Faults(own.to_vec())),
            (Err(Faults(faults)), own) => Err(Faults([&faults, own].concat())),
        }
    }

    /// Whether traces are exported.
    pub(crate) fn has_traces(&self) -> bool {
        self.telemetry.as_ref().is_some_and(|telemetry| telemetry.traces.is_some())
    }

    /// Reads settings through `lookup`, for the senders that have a job.
    ///
    /// # Errors
    ///
    /// Every fault there is.
    pub fn from_lookup(
        senders: &BTreeSet<Sender>,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Faults> {
        let mut reader = Reader::new(&lookup);
        let host = reader.parsed("HOST", IpAddr::from(Ipv4Addr::UNSPECIFIED), values::ip());
        let port = reader.parsed("PORT", 8080, values::port());
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let workers: usize = reader.parsed("WORKERS", cores, values::count());
        let max_in_flight = reader.parsed("MAX_IN_FLIGHT", 256, values::count());
        let body_memory_bytes = reader.parsed("BODY_MEMORY", 64 << 20, values::bytes());
        let pubsub_give_up = reader.parsed("PUBSUB_GIVE_UP", GiveUp::Ack, values::give_up());
        let dedup = reader.parsed("DEDUP", DedupStore::Memory, values::dedup());
        let max_instances: Option<u32> = reader.optional("MAX_INSTANCES", values::count());
        let log_format = reader.optional("LOG_FORMAT", values::log_format());
        let log_level = reader.parsed("LOG_LEVEL", LevelFilter::INFO, values::level());
        let request_timeout = reader.parsed("REQUEST_TIMEOUT", REQUEST_TIMEOUT, values::duration());
        let about = About {
            project: reader.optional("GOOGLE_CLOUD_PROJECT", values::text()).into(),
            service: reader.optional("K_SERVICE", values::text()),
            revision: reader.optional("K_REVISION", values::text()),
            attributes: reader
                .optional("RECORD_ATTRIBUTES", values::list())
                .unwrap_or_default()
                .into_iter()
                .collect(),
        };

        let metadata_host =
            reader.parsed("GCE_METADATA_HOST", METADATA_HOST.to_owned(), values::text());
        let telemetry = telemetry::read(&mut reader, &about, &metadata_host);
        let mut guards = Guards::read(&mut reader, host, about.service.is_some());
        let mut settings = BTreeMap::new();
        let mut deadlines = Vec::new();
        for &sender in senders {
            let guard = guards.of(&mut reader, sender);
            let (default_bytes, (told_name, told_default)) = defaults(sender);
            let prefix = sender.as_str().to_uppercase();
            let body_limit_bytes =
                reader.parsed(&format!("{prefix}_BODY_LIMIT"), default_bytes, values::bytes());
            if body_limit_bytes > body_memory_bytes {
                reader.fault(
                    &format!("{prefix}_BODY_LIMIT"),
                    Some(&values::show_bytes(body_limit_bytes)),
                    &format!("at most BODY_MEMORY, {}", values::show_bytes(body_memory_bytes)),
                    "raise BODY_MEMORY, or lower the limit",
                );
            }
            let told = reader.parsed(told_name, told_default, values::duration());
            let deadline = reader.parsed(
                &format!("{prefix}_DEADLINE"),
                under(told.min(request_timeout)),
                values::duration(),
            );
            deadlines.push(warnings::Deadlines { sender, job: deadline, told_name, told });
            if let Some(guard) = guard {
                settings.insert(sender, SenderConfig { guard, body_limit_bytes, deadline });
            }
        }
        let warnings = warnings::Context {
            deadlines: &deadlines,
            request_timeout,
            senders: &settings,
            dedup,
            max_instances,
            about: &about,
            telemetry: telemetry.as_ref(),
        }
        .all();
        let verifiers = guards.verifiers();
        let effective = reader.finish()?;
        Ok(Self {
            host,
            port,
            workers,
            max_in_flight,
            body_memory_bytes,
            pubsub_give_up,
            dedup,
            log_format,
            log_level,
            about,
            metadata_host,
            telemetry,
            senders: settings,
            verifiers,
            warnings,
            effective,
        })
    }
}

/// The metadata server by its address, which needs no name server
/// (<https://cloud.google.com/compute/docs/metadata/querying-metadata>).
const METADATA_HOST: &str = "169.254.169.254";

/// A variable of the process's environment.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn environment(name: &str) -> Option<String> {
    // What is not Unicode reads as replacement characters, which then fail where the value is used.
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// A sender's largest body, and how long Google waits for an answer where nobody says otherwise.
///
/// Sizes: <https://cloud.google.com/tasks/docs/quotas>, <https://cloud.google.com/scheduler/quotas>,
/// <https://cloud.google.com/pubsub/quotas#resource_limits> (10 MB, in base64 and JSON about 13.4).
/// Times: <https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs>,
/// <https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks>,
/// <https://cloud.google.com/pubsub/docs/subscription-properties#ack_deadline>.
fn defaults(sender: Sender) -> (usize, (&'static str, Duration)) {
    match sender {
        Sender::Scheduler => (1 << 20, ("SCHEDULER_ATTEMPT_DEADLINE", Duration::from_secs(180))),
        Sender::Tasks => (1 << 20, ("TASKS_DISPATCH_DEADLINE", Duration::from_secs(600))),
        Sender::Pubsub => (14 << 20, ("PUBSUB_ACK_DEADLINE", Duration::from_secs(10))),
        Sender::Events => (14 << 20, ("EVENTS_ACK_DEADLINE", Duration::from_secs(10))),
    }
}

/// A deadline that leaves time to answer before whoever waits gives up.
fn under(limit: Duration) -> Duration {
    limit - (limit / 10).min(Duration::from_secs(10))
}
