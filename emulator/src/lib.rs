//! Google's side on a laptop: signs ID tokens as Google does, serves the keys, and delivers as Cloud Scheduler, Cloud
//! Tasks, Pub/Sub and Eventarc do.
//!
//! It shares no type with the receiver and its policy crate: a shared mistake would pass on both sides. Every shape
//! here is taken from Google's documents. It never ships in the receiver's image.
//!
//! # Layout
//! - [`senders`]: one delivery of each sender, as pure functions from typed structs.
//! - [`fire`]: sends one over HTTP.
//! - [`account`], [`token`], [`iap`], [`forgery`]: who calls, and tokens whole and spoilt.
//! - [`keys`]: what signs them.
//! - [`faults`], [`history`]: what goes wrong on purpose, and what happened.
//! - [`environment`]: what a shell needs to find the emulator.
//! - [`control`]: the emulator's own endpoints, and a client of them.
//! - [`issuer`]: the HTTP side that publishes the keys and signs on request.
//! - [`sign`]: a reverse proxy that adds a token.
//! - [`demo`]: everything at once against a real receiver.
//! - [`error`]: what can go wrong here.
//! - `jws`, `local_server`: a token's compact form, and actix on its own thread.

pub mod emulator;

pub mod clock;

pub mod project;

pub mod senders;

pub mod fire;

pub mod account;

pub mod token;

pub mod iap;

pub mod forgery;

pub mod keys;

pub mod faults;

pub mod history;

pub mod environment;

pub mod control;

pub mod issuer;

pub mod sign;

pub mod demo;

pub mod error;

mod api;

mod attempts;

mod google;

mod iam;

mod passthrough;

mod proxy;

mod pubsub;

mod run;

mod scheduler;

mod state;

mod tasks;

mod tokens;

mod jws;

mod local_server;

pub use account::Account;
pub use clock::Clock;
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
pub use senders::{Delivery, Method, Sender};
pub use sign::Proxy;
pub use token::IdToken;
