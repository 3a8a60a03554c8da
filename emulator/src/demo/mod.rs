//! Everything at once, against a real receiver: each sender delivers to the bundled jobs, retries and duplicates
//! included, then come forgeries. Every delivery must leave exactly one record, and the right one.

mod child;
mod forged;
mod genuine;
mod report;
mod stage;
mod step;

use std::{io::Write, path::Path};

use self::{
    child::Service,
    report::Report,
    stage::Stage,
    step::{Act, Answered, Expected, Step},
};
use crate::{error::Error, senders::Sender};

/// The audience that the receiver is told and the tokens are for.
const AUDIENCE: &str = "https://receiver.example.run.app";

/// Starts an emulator and the receiver at `binary`, delivers everything, writes one line per delivery to `out` (with
/// colours if `in_colour`), and stops both. `true` if every answer and every record was as expected.
///
/// # Errors
/// [`Error::Service`] if the receiver cannot be started, [`Error::Output`] if `out` cannot be written. Nothing is left
/// running.
pub async fn run(binary: &Path, in_colour: bool, out: &mut impl Write) -> Result<bool, Error> {
    let mut stage = Stage::build().await?;
    let mut service = Service::start(binary, &stage.emulator).await?;
    stage.set_up(service.url()).await?;
    writeln!(out, "emulator {}, service {}", stage.emulator.url(), service.url())?;
    let mut report = Report::new(in_colour);

    report.heading(out, "what Google's senders deliver")?;
    let token = stage.emulator.token(AUDIENCE, genuine::caller(Sender::Eventarc)).await?;
    let steps = genuine::steps(service.url(), &token);
    play(steps, &mut stage, &mut service, &mut report, out).await?;
    let is_there = stage.has_dead_letter().await?;
    report.found(out, "what was unreadable five times is in the dead-letter topic", is_there)?;

    report.heading(out, "what must be refused")?;
    let authority = &stage.emulator.google().authority;
    let steps = forged::steps(authority.issuer(), authority.keys().await?)?;
    play(steps, &mut stage, &mut service, &mut report, out).await?;

    report.stopped(service.stop().await);
    stage.emulator.stop().await;
    report.verdict(out)?;
    Ok(report.is_clean())
}

/// One at a time, so that a record belongs to the delivery before it.
async fn play(
    steps: Vec<Step>,
    stage: &mut Stage,
    service: &mut Service,
    report: &mut Report,
    out: &mut impl Write,
) -> Result<(), Error> {
    for step in steps {
        match stage.play(&step, service.url()).await {
            Ok(answered) => {
                let record = service.next_record().await;
                report.delivered(out, &step, answered, record.as_ref())?;
            }
            Err(fault) => report.undelivered(out, &step, &fault)?,
        }
    }
    report.unexpected(service.surplus_records());
    Ok(())
}
