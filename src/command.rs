//! The command line of the binary: `receiver` serves, `receiver check` looks at the settings.

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    config::{Config, Faults},
    job_table::Jobs,
    record::Records,
    server::Server,
    telemetry,
};

const HELP: &str = "\
Receives Cloud Scheduler, Cloud Tasks, Pub/Sub and Eventarc deliveries, and runs your jobs.

Usage: receiver [COMMAND]

Commands:
  check    Print the settings in effect and what is doubtful about them; exit 64 if any is wrong

Options:
  -h, --help       Print this
  -V, --version    Print the version

Without a command it serves until SIGTERM or SIGINT. Settings are read from the environment;
.env.example in the repository lists them.
";

/// `EX_USAGE` of sysexits.h: the command line or the settings are wrong, and starting again will not help.
const EXIT_USAGE: u8 = 64;

/// Serves `jobs`, or does what the arguments say instead.
pub fn main(jobs: Jobs) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<Option<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
    match words.as_slice() {
        [] => serve(jobs),
        [Some("check")] => check(&jobs),
        [Some("-h" | "--help" | "help")] => print(HELP),
        [Some("-V" | "--version")] => print(concat!("receiver ", env!("CARGO_PKG_VERSION"), "\n")),
        _ => {
            let arguments = arguments.join(" ".as_ref());
            complain(&format!(
                "unknown arguments {arguments:?}; expected check or nothing\n\n{HELP}"
            ));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn serve(jobs: Jobs) -> ExitCode {
    let config = match Config::from_environment(&jobs) {
        Ok(config) => config,
        Err(faults) => return wrong_settings(&faults),
    };
    let format = telemetry::format(&config);
    telemetry::start(format, config.log_level, config.has_traces());
    match run(config, jobs, format) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %error, "the receiver has failed");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config, jobs: Jobs, format: crate::record::Format) -> io::Result<()> {
    let records = Records::to_stdout(format, config.about.clone());
    let warnings = config.warnings.clone();
    let (host, port) = (config.host, config.port);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        // Before the port is open: a signal that comes right after must not kill.
        let stop = stop_signal()?;
        let server = Server::bind(config, jobs, records).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen at {host}:{port}: {error}"))
        })?;
        let address = server.address();
        tracing::info!(port = address.port(), "listening on http://{address}");
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        server.run(stop).await?;
        tracing::info!("stopped");
        Ok(())
    });
    // Dropping it would wait for whatever blocks one of its threads.
    runtime.shutdown_background();
    ended
}

/// Ends at SIGTERM, which Cloud Run sends, or SIGINT, which a terminal sends.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
            _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
        }
    })
}

fn check(jobs: &Jobs) -> ExitCode {
    let config = match Config::from_environment(jobs) {
        Ok(config) => config,
        Err(faults) => return wrong_settings(&faults),
    };
    let mut text = String::new();
    let width = config.effective.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    for setting in &config.effective {
        let note = if setting.is_default { "  (default)" } else { "" };
        text.push_str(&format!("{:width$}  {}{note}\n", setting.name, setting.value));
    }
    for warning in &config.warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    print(&text)
}

fn wrong_settings(faults: &Faults) -> ExitCode {
    for fault in &faults.0 {
        complain(&fault.to_string());
    }
    ExitCode::from(EXIT_USAGE)
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(text: &str) {
    // Nowhere is left to complain to where standard error is closed.
    let _ = writeln!(io::stderr(), "receiver: {text}");
}
