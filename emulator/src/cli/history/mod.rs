//! `emulator history`.

mod line;

pub(super) use line::line;

use std::{
    io::{Write, stdout},
    process::ExitCode,
};

use emulator::{
    Error, Sender,
    control::{Event, Filter},
    history::Entry,
};

use super::{at::At, color::Color};

/// Which entries, and how to show them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Go on with each that comes, until stopped
    #[arg(long)]
    follow: bool,
    /// One JSON object a line, with everything that was sent and answered
    #[arg(long)]
    json: bool,
    /// Attempts of that sender alone: scheduler, tasks, pubsub or eventarc
    #[arg(long)]
    sender: Option<Sender>,
    /// Attempts of that job, queue or subscription alone: its name, or the end of it
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// What came after that id
    #[arg(long, value_name = "ID", default_value_t = 0)]
    since: u64,
    /// Colours; auto means on a terminal
    #[arg(long, value_enum, default_value_t = Color::Auto)]
    color: Color,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let emulator = args.at.emulator()?;
    let filter = Filter {
        sender: args.sender,
        resource: args.resource,
        since: Some(args.since),
        ..Filter::default()
    };
    let out = stdout();
    let mut printer = Printer { in_colour: args.color.is_on(&out), as_json: args.json, out };
    if !args.follow {
        for entry in emulator.history(&filter).await? {
            printer.entry(&entry)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut followed = emulator.follow(&filter).await?;
    loop {
        tokio::select! {
            signalled = super::stopped() => {
                signalled?;
                return Ok(ExitCode::SUCCESS);
            }
            event = followed.next() => match event? {
                Some(event) => printer.event(&event)?,
                None => return Ok(ExitCode::SUCCESS),
            }
        }
    }
}

struct Printer<W> {
    in_colour: bool,
    as_json: bool,
    out: W,
}

impl<W: Write> Printer<W> {
    fn event(&mut self, event: &Event) -> Result<(), Error> {
        match event {
            Event::Entry(entry) => self.entry(entry),
            Event::NextRetry(retry) if self.as_json => self.json(retry),
            Event::NextRetry(retry) => {
                writeln!(self.out, "{}", line::next_retry(retry, self.in_colour))?;
                Ok(())
            }
        }
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        if self.as_json {
            return self.json(entry);
        }
        writeln!(self.out, "{}", line(entry, self.in_colour))?;
        Ok(())
    }

    fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Error> {
        let json = serde_json::to_string(value)
            .map_err(|source| Error::Json { what: "an entry", source })?;
        writeln!(self.out, "{json}")?;
        Ok(())
    }
}
