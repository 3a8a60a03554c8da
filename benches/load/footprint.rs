//! What an instance takes before and beside its work: start, memory, size.

use std::{fs, process::Command, time::Duration};

use emulator::Issuer;

use crate::{
    AUDIENCE, CALLER, Result,
    client::Load,
    options::Options,
    request::Request,
    server::{self, Server},
    table::{Limit, Table},
};

const MIB: f64 = 1024.0 * 1024.0;

/// Starts of which the best counts: the rest of the machine only ever adds.
const STARTS: usize = 20;

/// Requests after which the records written so far are thrown away.
const RECORDS_KEPT: u64 = 100_000;

/// From the start of the process to the line that says that it listens.
pub(crate) fn start(options: &Options, issuer: &Issuer, table: &mut Table) -> Result<()> {
    eprintln!("{STARTS} starts");
    let mut taken = Vec::new();
    for _ in 0..STARTS {
        let command = server::service(&options.service, issuer);
        taken.push(Server::time_to_listen(command)?.as_secs_f64() * 1e3);
    }
    taken.sort_by(f64::total_cmp);
    table.section("an instance");
    table.limit("exec to listening, best of 20", taken[0], "ms", Limit::Under(10.0));
    table.figure("exec to listening, median", &format!("{:.2} ms", taken[STARTS / 2]));
    Ok(())
}

/// Resident memory: idle, after many requests, and after half as many more.
pub(crate) async fn memory(options: &Options, issuer: &Issuer, table: &mut Table) -> Result<()> {
    let server = Server::start(server::service(&options.service, issuer))?;
    server.is_ready().await?;
    // What the start has set going comes to rest.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = server.resident_mib()?;
    table.limit("resident, idle", idle, "MiB", Limit::Under(12.0));

    drop(server);
    growth(server::service(&options.service, issuer), 24.0, options, issuer, table).await
}

/// Resident memory after many requests, which has a limit, and how much it grows in half as many more.
pub(crate) async fn growth(
    command: Command,
    most_mib: f64,
    options: &Options,
    issuer: &Issuer,
    table: &mut Table,
) -> Result<()> {
    let server = Server::start(command)?;
    let request = Request::pubsub(&issuer.token(AUDIENCE, CALLER)?);
    let requests = options.volume.memory;
    let mut resident = Vec::new();
    for requests in [requests, requests / 2] {
        eprintln!("{requests} requests for their memory");
        let mut left = requests;
        while left > 0 {
            let now = left.min(RECORDS_KEPT);
            let load = Load::of(&request, server.address(), now);
            load.run().await?.all_as_expected()?;
            server.take_lines()?;
            left -= now;
        }
        resident.push(server.resident_mib()?);
    }
    let name = format!("resident, after {requests} requests");
    table.limit(&name, resident[0], "MiB", Limit::Under(most_mib));
    let name = format!("growth in {} more", requests / 2);
    let growth = resident[1] - resident[0];
    table.limit(&name, growth, "MiB", Limit::Under(1.0));
    Ok(())
}

/// The binary as it ships.
pub(crate) fn size(options: &Options, table: &mut Table) -> Result<()> {
    let bytes = fs::metadata(&options.service)?.len();
    let mib = bytes as f64 / MIB;
    table.limit("the stripped binary", mib, "MiB", Limit::AtMost(14.0));
    Ok(())
}
