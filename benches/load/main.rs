//! What the receiver costs, each figure beside its limit: CPU a request, latency, keys, start, memory, size.
//!
//! `scripts/bench` builds everything that is compared here and runs it. `cargo bench --bench load` alone measures
//! a receiver with the features of the tests, and leaves out the comparison with a server that has no guard: the
//! product has no switch that takes it out, so that one is built from a patched copy.
//!
//! # Layout, in reading order
//!
//! - `options`: the command line.
//! - `throughput`: servers under the same load in turn, and what a request costs each.
//! - `telemetry`: what traces and metrics cost, with a `collector` and without.
//! - `keys`: a cold key set, and a flood of keys that do not exist.
//! - `footprint`: start, memory, size.
//! - `stand_in`: start, calls, dispatches and memory of the emulator.
//! - `table`: the figures, their limits, and which are over.
//! - `server`: a server under test as a child process.
//! - `plain`: the handler that people write instead, as the baseline.
//! - `client`: the load: keep-alive connections that take turns with one request each.
//! - `request`: the bytes of one delivery.
//! - `tokens`: many tokens, made before they are needed.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "figures are for whoever runs this; progress is not part of them"
)]

mod options;

mod throughput;

mod telemetry;

mod collector;

mod keys;

mod footprint;

mod stand_in;

mod table;

mod server;

mod plain;

mod client;

mod request;

mod tokens;

use std::process::ExitCode;

use emulator::Issuer;

use crate::{options::Options, table::Table};

/// A measurement that cannot be made ends the run; what went wrong is for people to read.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The audience of every token here.
pub(crate) const AUDIENCE: &str = "https://receiver.example.run.app";

/// The account of every token here.
pub(crate) const CALLER: &str = "pubsub@example.iam.gserviceaccount.com";

/// Both servers answer on as many threads.
pub(crate) const WORKERS: usize = 2;

/// Connections of the load.
pub(crate) const CONNECTIONS: usize = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((first, rest)) if first == plain::COMMAND => plain::serve(rest).map(|()| true),
        _ => match Options::parse(&arguments) {
            Ok(Some(options)) => measure(&options),
            Ok(None) => Ok(true),
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs everything; false if a figure is over its limit.
fn measure(options: &Options) -> Result<bool> {
    // One thread: the load shares two cores with the server.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut table = Table::default();
        let issuer = Issuer::start(0).await?;
        throughput::shared_token(options, &issuer, &mut table).await?;
        throughput::single_use_tokens(options, &issuer, &mut table).await?;
        telemetry::cost(options, &issuer, &mut table).await?;
        keys::cold_set(options, &mut table).await?;
        keys::random_ids(options, &mut table).await?;
        footprint::start(options, &issuer, &mut table)?;
        footprint::memory(options, &issuer, &mut table).await?;
        telemetry::memory(options, &issuer, &mut table).await?;
        footprint::size(options, &mut table)?;
        stand_in::measure(options, &mut table).await?;
        println!("{table}");
        Ok(!table.is_over())
    })
}
