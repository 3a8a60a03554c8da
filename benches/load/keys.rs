//! What becomes of requests while keys are missing: a cold key set, and a flood of keys that do not exist.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use emulator::{Issuer, KeyAnswer};

use crate::{
    AUDIENCE, CALLER, Result,
    client::Load,
    options::Options,
    request::Request,
    server::{self, Server},
    table::{Limit, Table},
    tokens,
};

/// How long the key server takes.
const KEY_SERVER_TAKES: Duration = Duration::from_millis(200);

/// Requests with a key that does not exist.
const FLOOD: u64 = 10_000;

/// No more than one fetch for an unknown key in this time.
const COOLDOWN: Duration = Duration::from_secs(30);

/// Connections of the valid traffic beside the flood.
const BESIDE: usize = 8;

/// The first requests of a fresh instance, all at once.
pub(crate) async fn cold_set(options: &Options, table: &mut Table) -> Result<()> {
    eprintln!("a cold key set");
    let issuer = Issuer::start(0).await?;
    issuer.answer_keys_with(KeyAnswer::Hold);
    let server = Server::start(server::service(&options.service, &issuer))?;
    let request = Request::pubsub(&issuer.token(AUDIENCE, CALLER)?);
    let connections = crate::CONNECTIONS as u64;
    let load = Load::of(&request, server.address(), connections);
    let (report, ()) = tokio::join!(load.run(), async {
        tokio::time::sleep(KEY_SERVER_TAKES).await;
        issuer.answer_keys_with(KeyAnswer::Keys);
    });
    let report = report?;
    table.section("64 first requests at once, the key server takes 200 ms");
    let fetches = issuer.key_fetches() as f64;
    table.limit("key fetches", fetches, "", Limit::Exactly(1.0));
    let answered = (report.answered() - report.unexpected) as f64;
    table.limit("answered 204", answered, "", Limit::Exactly(connections as f64));
    let slowest = report.percentile_us(100) / 1e3;
    table.figure("the slowest", &format!("{slowest:.0} ms"));
    Ok(())
}

/// A stranger who makes keys up, beside valid traffic.
pub(crate) async fn random_ids(options: &Options, table: &mut Table) -> Result<()> {
    eprintln!("a flood of random key ids");
    let issuer = Issuer::start(0).await?;
    let server = Server::start(server::service(&options.service, &issuer))?;
    server.is_ready().await?;
    let request = Request::pubsub(&issuer.token(AUDIENCE, CALLER)?);
    let tokens = tokens::with_random_key_ids(&issuer, FLOOD)?;
    let valid =
        |requests| Load { connections: BESIDE, ..Load::of(&request, server.address(), requests) };
    let alone = valid(FLOOD).run().await?.all_as_expected()?;

    let flood = Load {
        tokens: Some(Arc::clone(&tokens)),
        request: Request::pubsub(&tokens[0]),
        expected: 401,
        ..Load::of(&request, server.address(), FLOOD)
    };
    let valid = valid(u64::MAX);
    let stop = Arc::clone(&valid.stop);
    let started = Instant::now();
    let (flood, beside) = tokio::join!(
        async {
            let report = flood.run().await;
            stop.store(true, Ordering::Relaxed);
            report
        },
        valid.run()
    );
    let (flood, beside) = (flood?, beside?);

    table.section("10,000 requests with random key ids");
    // One at the start, one for the first unknown key, and one for each cooldown that has passed.
    let cooldowns = started.elapsed().as_secs() / COOLDOWN.as_secs();
    let allowed = (2 + cooldowns) as f64;
    let fetches = issuer.key_fetches() as f64;
    table.limit("key fetches", fetches, "", Limit::AtMost(allowed));
    let refused = (flood.answered() - flood.unexpected) as f64;
    table.limit("answered 401", refused, "", Limit::Exactly(FLOOD as f64));
    let harmed = beside.unexpected as f64;
    table.limit("valid requests beside, harmed", harmed, "", Limit::Exactly(0.0));
    for (name, report) in
        [("p99 of valid ones, alone", alone), ("p99 of valid ones, beside", beside)]
    {
        let p99_ms = report.percentile_us(99) / 1e3;
        table.figure(name, &format!("{p99_ms:.2} ms of {} requests", report.answered()));
    }
    Ok(())
}
