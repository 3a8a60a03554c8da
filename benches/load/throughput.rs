//! Servers under the same load in turn, and what a request costs each.
//!
//! The load shares the cores with the server, so the figure to compare is the server's own CPU; requests a second
//! and latencies stand beside it. Each run is of fresh processes, so that none inherits what another remembered.

use std::{process::Command, sync::Arc};

use emulator::Issuer;

use crate::{
    AUDIENCE, CALLER, Result,
    client::{Load, Report},
    options::Options,
    request::Request,
    server::{self, Server},
    table::{Limit, Table},
    tokens,
};

/// Requests before a run is measured: allocator, page cache and branch predictors settle.
pub(crate) const WARM_UP: u64 = 5_000;

/// Pieces of a run. The contenders take turns with each, since a shared machine is now faster and now slower for
/// seconds on end.
const SLICES: u64 = 10;

/// A server to compare.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    pub(crate) command: Box<dyn Fn() -> Result<Command> + 'a>,
}

/// What a request costs.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) cpu_us: f64,
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

/// One token for all requests, as senders present it for most of an hour.
pub(crate) async fn shared_token(
    options: &Options,
    issuer: &Issuer,
    table: &mut Table,
) -> Result<()> {
    let mut contenders = vec![service(options, issuer), plain(issuer)];
    if let Some(unguarded) = &options.unguarded {
        check_unguarded(options, issuer).await?;
        contenders.push(Contender {
            name: "the same without its guard",
            command: Box::new(|| Ok(server::service(unguarded, issuer))),
        });
    }
    table.section("one shared token");
    let requests = options.volume.shared;
    let costs = alternate(&contenders, options.volume.runs, requests, issuer, None, table).await?;
    let ratio = costs[0].cpu_us / costs[1].cpu_us;
    table.limit("CPU to that of the plain handler", ratio, "×", Limit::AtMost(0.6));
    match costs.get(2) {
        Some(unguarded) => {
            let ratio = costs[0].cpu_us / unguarded.cpu_us;
            table.limit("CPU to that without the guard", ratio, "×", Limit::AtMost(1.1));
        }
        None => table.figure("CPU to that without the guard", "only in scripts/bench"),
    }
    Ok(())
}

/// A token for each request: no cache helps.
pub(crate) async fn single_use_tokens(
    options: &Options,
    issuer: &Issuer,
    table: &mut Table,
) -> Result<()> {
    let requests = options.volume.single_use;
    eprintln!("signing {requests} tokens");
    let tokens = tokens::distinct(issuer, requests)?;
    let contenders = [service(options, issuer), plain(issuer)];
    table.section("tokens used once");
    let costs =
        alternate(&contenders, options.volume.runs, requests, issuer, Some(&tokens), table).await?;
    let ratio = costs[0].cpu_us / costs[1].cpu_us;
    table.limit("CPU to that of the plain handler", ratio, "×", Limit::AtMost(1.2));
    Ok(())
}

fn service<'a>(options: &'a Options, issuer: &'a Issuer) -> Contender<'a> {
    Contender {
        name: "the receiver",
        command: Box::new(|| Ok(server::service(&options.service, issuer))),
    }
}

fn plain(issuer: &Issuer) -> Contender<'_> {
    Contender { name: "the plain handler", command: Box::new(|| server::plain(issuer)) }
}

/// That each binary is what it is taken for: a mistake in the build would make the ratio 1.
async fn check_unguarded(options: &Options, issuer: &Issuer) -> Result<()> {
    let unguarded = options.unguarded.as_ref().ok_or("there is none")?;
    for (binary, status) in [(&options.service, 401), (unguarded, 204)] {
        let server = Server::start(server::service(binary, issuer))?;
        server.is_ready().await?;
        let mut load = Load::of(&Request::pubsub("garbage"), server.address(), 10);
        load.expected = status;
        let report = load.run().await?.all_as_expected();
        report.map_err(|_| format!("{} does not answer {status} to garbage", binary.display()))?;
    }
    Ok(())
}

/// Measures the contenders in alternating runs, and gives the medians of each.
pub(crate) async fn alternate(
    contenders: &[Contender<'_>],
    runs: usize,
    requests: u64,
    issuer: &Issuer,
    tokens: Option<&[String]>,
    table: &mut Table,
) -> Result<Vec<Cost>> {
    let request = Request::pubsub(&issuer.token(AUDIENCE, CALLER)?);
    let mut costs = vec![Vec::new(); contenders.len()];
    for run in 1..=runs {
        let of_run = run_once(contenders, &request, requests, tokens).await?;
        for ((contender, cost), costs) in contenders.iter().zip(of_run).zip(&mut costs) {
            eprintln!(
                "run {run}, {}: {:.1} µs of CPU a request, {:.0} requests a second",
                contender.name, cost.cpu_us, cost.per_second
            );
            costs.push(cost);
        }
    }
    let medians = costs.iter().map(|costs| Cost {
        cpu_us: median(costs, |cost| cost.cpu_us),
        per_second: median(costs, |cost| cost.per_second),
        p50_us: median(costs, |cost| cost.p50_us),
        p99_us: median(costs, |cost| cost.p99_us),
    });
    let medians: Vec<Cost> = medians.collect();
    for (contender, cost) in contenders.iter().zip(&medians) {
        let Cost { cpu_us, per_second, p50_us, p99_us } = cost;
        table.figure(
            contender.name,
            &format!(
                "{cpu_us:6.1} µs CPU {per_second:8.0} /s   p50 {:.2} ms   p99 {:.2} ms",
                p50_us / 1e3,
                p99_us / 1e3
            ),
        );
    }
    Ok(medians)
}

/// One run of each contender, all in fresh processes, a slice at a time.
async fn run_once(
    contenders: &[Contender<'_>],
    request: &Request,
    requests: u64,
    tokens: Option<&[String]>,
) -> Result<Vec<Cost>> {
    let slice = requests / SLICES;
    let mut trials = Vec::new();
    for contender in contenders {
        let server = Server::start((contender.command)()?)?;
        // Before its keys are there a receiver waits for them, which is measured elsewhere.
        Load::of(request, server.address(), WARM_UP).run().await?.all_as_expected()?;
        server.take_lines()?;
        trials.push((server.cpu()?, Report::default(), server));
    }
    for number in 0..SLICES {
        let tokens: Option<Arc<[String]>> = tokens.map(|tokens| {
            let of_slice = tokens.iter().skip((number * slice) as usize).take(slice as usize);
            of_slice.cloned().collect()
        });
        for (_, report, server) in &mut trials {
            let mut load = Load::of(request, server.address(), slice);
            load.tokens.clone_from(&tokens);
            report.add(load.run().await?.all_as_expected()?);
        }
    }
    let costs = contenders.iter().zip(trials).map(|(contender, (before, report, server))| {
        let cpu = server.cpu()? - before;
        let (lines, answered) = (server.take_lines()?, report.answered());
        if lines != answered {
            return Err(format!("{} wrote {lines} lines for {answered}", contender.name).into());
        }
        Ok(Cost {
            cpu_us: cpu.as_secs_f64() * 1e6 / answered as f64,
            per_second: report.per_second(),
            p50_us: report.percentile_us(50),
            p99_us: report.percentile_us(99),
        })
    });
    costs.collect()
}

fn median(costs: &[Cost], figure: fn(&Cost) -> f64) -> f64 {
    let mut figures: Vec<f64> = costs.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
