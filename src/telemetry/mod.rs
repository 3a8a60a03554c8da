//! Log lines beside the records: the start, faults of the service, what jobs log.

mod exporter;

mod format;

pub(crate) mod handle;

mod job_spans;

pub mod metrics;

mod sampler;

pub(crate) mod spans;

use std::{io::IsTerminal, panic};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::{Config, LogFormat},
    record::Format,
};

/// The format of records and lines: as set, else for people on a terminal and for machines elsewhere.
pub fn format(config: &Config) -> Format {
    let is_terminal = std::io::stdout().is_terminal();
    match config.log_format {
        Some(LogFormat::Json) => Format::Json,
        Some(LogFormat::Text) => Format::Text { is_coloured: is_terminal },
        None if is_terminal => Format::Text { is_coloured: true },
        None => Format::Json,
    }
}

/// Libraries that handle requests: below a warning they log whole heads, tokens included.
const SILENCED: [&str; 9] = [
    "actix_http",
    "actix_server",
    "actix_web",
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "reqwest",
    "rustls",
];

/// Sends log lines to standard output, and panics with them.
///
/// Jobs' own spans are looked at where traces are exported.
pub fn start(format: Format, level: LevelFilter, has_traces: bool) {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stdout);
    let silenced = SILENCED.map(|library| (library, level.min(LevelFilter::WARN)));
    let filter = Targets::new().with_default(level).with_targets(silenced);
    // As strict as the lines: a library's spans hold what its lines do.
    let spans = has_traces.then(|| job_spans::JobSpans.with_filter(filter.clone()));
    let registry = tracing_subscriber::registry().with(spans);
    // An error says that one was set before, which then goes on.
    let _ = match format {
        Format::Json => {
            registry.with(layer.event_format(format::CloudLogging).with_filter(filter)).try_init()
        }
        Format::Text { is_coloured } => {
            let layer = layer.with_ansi(is_coloured).with_target(false).compact();
            registry.with(layer.with_filter(filter)).try_init()
        }
    };
    panic::set_hook(Box::new(|panic| {
        // The record says what the panic said; this says where.
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "a thread panicked");
    }));
}
