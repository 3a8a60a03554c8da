//! `emulator fault`.

use std::{
    io::{Write as _, stdout},
    process::ExitCode,
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use emulator::{Error, Fault, Sender, SetFault};

use super::at::At;

/// What goes wrong, and with how many.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What goes wrong
    #[arg(conflicts_with = "clear", value_parser = fault())]
    name: Option<Fault>,
    /// With so many deliveries [default: until cleared]
    #[arg(long, value_name = "N", requires = "name", value_parser = clap::value_parser!(u32).range(1..))]
    next: Option<u32>,
    /// With deliveries of that sender alone: scheduler, tasks, pubsub or eventarc
    #[arg(long, requires = "name")]
    sender: Option<Sender>,
    /// Clear all
    #[arg(long)]
    clear: bool,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let emulator = args.at.emulator()?;
    let set = match args.name {
        _ if args.clear => {
            emulator.clear_faults().await?;
            Vec::new()
        }
        Some(fault) => {
            let fault = SetFault { fault, next: args.next, sender: args.sender };
            emulator.set_fault(fault).await?
        }
        None => emulator.faults().await?,
    };
    let mut out = stdout();
    for fault in &set {
        writeln!(out, "{}", line(fault))?;
    }
    if set.is_empty() {
        writeln!(out, "no faults")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// One of the names.
fn fault() -> impl TypedValueParser<Value = Fault> {
    PossibleValuesParser::new(Fault::ALL.map(Fault::name)).try_map(|name| name.parse::<Fault>())
}

/// `expired: the next 3 deliveries of Pub/Sub`.
fn line(fault: &SetFault) -> String {
    let name = fault.fault.name();
    let whose = fault.sender.map(|sender| format!(" of {}", sender.title())).unwrap_or_default();
    match fault.next {
        Some(1) => format!("{name}: the next delivery{whose}"),
        Some(next) => format!("{name}: the next {next} deliveries{whose}"),
        None => format!("{name}: every delivery{whose} until cleared"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_said_in_words() {
        let fault = SetFault { fault: Fault::HangUp, next: None, sender: None };
        assert_eq!(line(&fault), "hang-up: every delivery until cleared");
        let fault = SetFault { next: Some(3), sender: Some(Sender::PubSub), ..fault };
        assert_eq!(line(&fault), "hang-up: the next 3 deliveries of Pub/Sub");
        assert_eq!(
            line(&SetFault { next: Some(1), ..fault }),
            "hang-up: the next delivery of Pub/Sub"
        );
    }
}
