//! Everything at once, against a real receiver: each sender delivers to the bundled jobs, retries and duplicates
//! included, then come forgeries. Every delivery must leave exactly one record, and the right one.

mod child;
mod delivery;
mod forged;
mod genuine;
mod report;

use std::{io::Write, path::Path};

use self::{
    child::Receiver,
    delivery::{Expected, Step},
    report::Report,
};
use crate::{error::Error, fire::Courier, issuer::Issuer};

/// The audience that the receiver is told and the tokens are for.
const AUDIENCE: &str = "https://receiver.example.run.app";

/// Starts an issuer and the receiver at `binary`, delivers everything, writes one line per delivery to `out` (with
/// colours if `in_colour`), and stops both. `true` if every answer and every record was as expected.
///
/// # Errors
/// [`Error::Receiver`] if the receiver cannot be started, [`Error::Output`] if `out` cannot be written. Nothing is left
/// running.
pub async fn run(binary: &Path, in_colour: bool, out: &mut impl Write) -> Result<bool, Error> {
    let issuer = Issuer::start(0).await?;
    let mut receiver = Receiver::start(binary, &issuer).await?;
    writeln!(out, "issuer {}, receiver {}", issuer.url(), receiver.url())?;
    let mut report = Report::new(in_colour);
    let courier = Courier::new()?;
    report.heading(out, "what Google's senders deliver")?;
    deliver(genuine::steps(&issuer)?, &courier, &mut receiver, &mut report, out).await?;
    report.heading(out, "what must be refused")?;
    deliver(forged::steps(&issuer)?, &courier, &mut receiver, &mut report, out).await?;
    report.stopped(receiver.stop().await);
    issuer.stop().await;
    report.verdict(out)?;
    Ok(report.is_clean())
}

/// One at a time, so that a record belongs to the delivery before it.
async fn deliver(
    steps: Vec<Step>,
    courier: &Courier,
    receiver: &mut Receiver,
    report: &mut Report,
    out: &mut impl Write,
) -> Result<(), Error> {
    for step in steps {
        report.unexpected(receiver.surplus_records());
        let url = format!("{}{}", receiver.url(), step.path());
        match courier.deliver(&url, &step.delivery).await {
            Ok(answer) => {
                let record = receiver.next_record().await;
                report.delivered(out, &step, &answer, record.as_ref())?;
            }
            Err(fault) => report.undelivered(out, &step, &fault)?,
        }
    }
    Ok(())
}
