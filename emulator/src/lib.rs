//! Google's side on a laptop: Cloud Scheduler, Cloud Tasks, Pub/Sub, IAM and Cloud Run's front end behind the REST APIs
//! that `gcloud` speaks, delivering with tokens that are signed as Google signs them.
//!
//! It shares no type with the receiver and its policy crate: a shared mistake would pass on both sides. Every shape
//! here is taken from Google's documents. It never ships in the receiver's image.
//!
//! # Layout
//! - [`emulator`]: the whole on one port; what it is started with, and what a test asks it.
//! - `google`: what everything below shares, and [`project`] and [`clock`], in which and by which it goes.
//! - `api`: a request of the control plane, taken apart and given to its service.
//! - `iam`, `run`, `scheduler`, `tasks`, `pubsub`: the services that deliver, and who may call them.
//! - `cloud_build`, `registry`, `storage`, `service_usage`, `passthrough`: those that a deployment goes through.
//! - [`logging`], `monitoring`: what the services that run here write, to be read by a filter; dashboards and alerts.
//! - `tokens`, `attempts`: what a sender presents, and how it delivers.
//! - [`faults`], [`history`]: what goes wrong on purpose, and what happened.
//! - `state`, [`environment`]: everything as one document, and what a shell needs to find it.
//! - [`control`]: the emulator's own endpoints, and a client of them.
//! - [`senders`]: one delivery of each sender, as pure functions from typed structs.
//! - [`fire`]: sends one over HTTP.
//! - [`account`], [`token`], [`iap`], [`forgery`]: who calls, and tokens whole and spoilt.
//! - [`keys`]: what signs them.
//! - [`issuer`]: the HTTP side that publishes the keys and signs on request.
//! - [`sign`]: a reverse proxy that adds a token.
//! - [`demo`]: everything at once against a real receiver.
//! - [`error`]: what can go wrong here.
//! - `proxy`, `jws`, `uuid`, `local_server`: a request passed on, a token's compact form, random ids, and actix on its
//!   own thread.

pub mod emulator;

mod google;

pub mod project;

pub mod clock;

mod api;

mod iam;

mod run;

mod scheduler;

mod tasks;

mod pubsub;

mod cloud_build;

mod registry;

mod storage;

mod service_usage;

pub mod logging;

mod monitoring;

mod passthrough;

mod tokens;

mod attempts;

pub mod faults;

pub mod history;

mod state;

pub mod environment;

pub mod control;

pub mod senders;

pub mod fire;

pub mod account;

pub mod token;

pub mod iap;

pub mod forgery;

pub mod keys;

pub mod issuer;

pub mod sign;

pub mod demo;

pub mod error;

mod proxy;

mod jws;

mod uuid;

mod child_process;

mod local_server;

#[cfg(test)]
mod testing;

pub use account::Account;
pub use clock::Clock;
pub use cloud_build::RunBuilds;
pub use control::RunningEmulator;
pub use emulator::{Emulator, Options};
pub use environment::Environment;
pub use error::Error;
pub use faults::{Fault, SetFault};
pub use fire::{Answer, Courier};
pub use iap::IapAssertion;
pub use issuer::{Issuer, KeyAnswer, RunningIssuer};
pub use keys::{IapKey, KeyRing, SigningKey};
pub use project::Project;
pub use run::Behind;
pub use senders::{Delivery, Method, Sender};
pub use sign::Proxy;
pub use token::IdToken;
