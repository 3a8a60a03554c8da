//! Receives Cloud Scheduler, Cloud Tasks, Pub/Sub and Eventarc deliveries, proves who sent each, runs
//! your job, answers what that sender understands, and writes one structured record per attempt.
//!
//! # Layout, in reading order
//!
//! - [`jobs`]: yours, the only folder most people edit.
//! - [`job_table`]: which job answers at which path.
//! - [`invocation`]: what a job is handed.
//! - [`outcome`]: what a job answers, and the status code that each sender makes of it.
//! - [`senders`]: what each sender puts on the wire.
//! - [`guard`]: a request's head becomes a [`guard::Caller`], or is refused.
//! - [`dispatch`]: one delivery from head to outcome; `body` reads its body, `answer` makes its response.
//! - [`dedup`]: the same invocation does not succeed twice while the store remembers.
//! - [`record`]: the one log entry of an attempt; `trace_context` reads the trace that it belongs to.
//! - [`server`]: routes, middleware, bind, run, drain.
//! - [`config`]: every setting, read once, all faults together.
//! - [`telemetry`]: log lines in Cloud Logging's format, traces and metrics; `metadata_server` knows project and tokens.
//! - [`command`]: the command line of the binary.

pub mod jobs;

pub mod job_table;

pub mod invocation;

pub mod outcome;

pub mod senders;

pub mod guard;

pub mod dispatch;

mod answer;

mod body;

pub mod dedup;

pub mod record;

mod trace_context;

mod metadata_server;

pub mod server;

pub mod config;

pub mod telemetry;

pub mod command;
