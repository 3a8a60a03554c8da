//! What traces and metrics cost: off, for one attempt in a hundred, for all, and where no collector takes them.

use std::process::Command;

use emulator::Issuer;

use crate::{
    Result,
    collector::Collector,
    footprint,
    options::Options,
    server,
    table::{Limit, Table},
    throughput::{Contender, WARM_UP, alternate},
};

/// Nobody listens there.
const DEAD: &str = "http://127.0.0.1:1";

/// Spans of one attempt: the server's, `verify`, `claim`, `job`.
const SPANS: u64 = 4;

/// CPU a request, the contenders in turn.
pub(crate) async fn cost(options: &Options, issuer: &Issuer, table: &mut Table) -> Result<()> {
    let collector = Collector::start()?;
    let traced = |name, url: &str, sampler: &'static str| {
        let url = format!("{url}/v1/traces");
        contender(
            name,
            options,
            issuer,
            vec![
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url),
                ("OTEL_TRACES_SAMPLER", sampler.to_owned()),
                ("OTEL_TRACES_SAMPLER_ARG", "0.01".to_owned()),
            ],
        )
    };
    let metrics = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", format!("{}/v1/metrics", collector.url));
    let contenders = [
        contender("off", options, issuer, Vec::new()),
        traced("1 % sampled", &collector.url, "traceidratio"),
        traced("all sampled", &collector.url, "always_on"),
        traced("all sampled, no collector", DEAD, "always_on"),
        contender("metrics alone", options, issuer, vec![metrics]),
    ];
    table.section("traces and metrics");
    let runs = options.volume.runs.max(10);
    let requests = options.volume.traced;
    collector.take_spans();
    let costs = alternate(&contenders, runs, requests, issuer, None, table).await?;
    let spans = collector.take_spans();
    let [off, few, all, dead, _] = costs.as_slice() else { return Err("not all ran".into()) };
    table.limit("CPU with 1 % sampled to off", few.cpu_us / off.cpu_us, "×", Limit::AtMost(1.05));
    table.limit("CPU with all sampled to off", all.cpu_us / off.cpu_us, "×", Limit::AtMost(2.0));
    let ratio = dead.cpu_us / all.cpu_us;
    table.limit("CPU without a collector to with", ratio, "×", Limit::AtMost(1.1));
    // At full load more are made than one thread hands over; those dropped cost what they cost.
    let attempts = requests + WARM_UP;
    let made = runs as u64 * (attempts + attempts / 100) * SPANS;
    let share = 100.0 * spans as f64 / made as f64;
    table.figure("spans that arrived of those made", &format!("{share:6.1} %"));

    // What it costs to have each answer wait: the latency, since everybody waits for the same few requests.
    let mut waiting = traced("each answer waits for its spans", &collector.url, "always_on");
    let command = waiting.command;
    waiting.command = Box::new(move || {
        let mut command = command()?;
        command.env("TELEMETRY_WAIT", "1000");
        Ok(command)
    });
    let contenders = [traced("none waits", &collector.url, "always_on"), waiting];
    table.section("TELEMETRY_WAIT");
    alternate(&contenders, options.volume.runs, requests / 10, issuer, None, table).await?;
    Ok(())
}

/// Memory while a million attempts' spans go nowhere.
pub(crate) async fn memory(options: &Options, issuer: &Issuer, table: &mut Table) -> Result<()> {
    let mut command = server::service(&options.service, issuer);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", DEAD);
    table.section("an instance whose collector is gone");
    // The queue is full: 4,096 attempts' spans.
    footprint::growth(command, 48.0, options, issuer, table).await
}

fn contender<'a>(
    name: &'static str,
    options: &'a Options,
    issuer: &'a Issuer,
    settings: Vec<(&'static str, String)>,
) -> Contender<'a> {
    let command = move || {
        let mut command: Command = server::service(&options.service, issuer);
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        Ok(command)
    };
    Contender { name, command: Box::new(command) }
}
