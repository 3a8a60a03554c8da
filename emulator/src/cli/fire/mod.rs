//! `emulator fire`.

mod eventarc;
mod pubsub;
mod scheduler;
mod tasks;

use std::{
    io::{Write, stdout},
    process::ExitCode,
};

use clap::Subcommand;
use emulator::{Answer, Courier, Delivery, Error, RunningIssuer};

use super::{at::At, values};

/// The headers of an answer that a sender or a person acts on.
const OF_INTEREST: [&str; 4] = ["content-type", "location", "retry-after", "www-authenticate"];

/// Who sends.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    sender: Sender,
}

#[derive(Debug, Subcommand)]
enum Sender {
    /// A run of a Cloud Scheduler job
    Scheduler(scheduler::Args),
    /// An attempt at a Cloud Tasks task
    Tasks(tasks::Args),
    /// A Pub/Sub push
    Pubsub(pubsub::Args),
    /// An event of Eventarc
    Events(eventarc::Args),
}

/// Where to and as whom.
#[derive(Debug, clap::Args)]
struct To {
    /// The receiver's whole URL, the job's path included
    #[arg(long, value_parser = values::url)]
    url: String,
    /// `aud` of the token: the receiver's AUDIENCE, character by character
    #[arg(long)]
    audience: String,
    /// The service account that the token is of
    #[arg(long)]
    email: String,
    #[command(flatten)]
    at: At,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Error> {
    let (to, delivery) = match args.sender {
        Sender::Scheduler(args) => args.delivery(),
        Sender::Tasks(args) => args.delivery(),
        Sender::Pubsub(args) => args.delivery(),
        Sender::Events(args) => args.delivery(),
    };
    let issuer = RunningIssuer::at(&to.at.emulator_url)?;
    let token = issuer.token(&to.audience, &to.email).await?;
    let answer = Courier::new()?.deliver(&to.url, &delivery.clone().bearer(&token)).await?;
    print(&mut stdout(), &to.url, &delivery, &answer)?;
    Ok(if answer.acknowledged { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(
    out: &mut impl Write,
    url: &str,
    delivery: &Delivery,
    answer: &Answer,
) -> Result<(), Error> {
    let sender = delivery.sender.title();
    let verdict = verdict(delivery.sender, answer.acknowledged);
    writeln!(out, "{sender}: {} {url}", delivery.method.as_str())?;
    writeln!(out, "{} in {} ms: {sender} {verdict}", answer.status, answer.took.as_millis())?;
    for name in OF_INTEREST {
        if let Some(value) = answer.header(name) {
            writeln!(out, "{name}: {value}")?;
        }
    }
    if !answer.body.is_empty() {
        writeln!(out, "\n{}", answer.text())?;
    }
    Ok(())
}

/// What the sender makes of the answer.
fn verdict(sender: emulator::Sender, is_acknowledged: bool) -> &'static str {
    match (is_acknowledged, sender) {
        (true, _) => "counts it as done",
        (false, emulator::Sender::Scheduler) => {
            "counts it as failed; it delivers again only if the job has a retry config"
        }
        (false, _) => "counts it as failed and would deliver again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheduler_retries_by_configuration_alone() {
        let scheduler = verdict(emulator::Sender::Scheduler, false);
        assert!(scheduler.ends_with("delivers again only if the job has a retry config"));
        for sender in
            [emulator::Sender::Tasks, emulator::Sender::PubSub, emulator::Sender::Eventarc]
        {
            assert!(verdict(sender, false).ends_with("would deliver again"), "{sender:?}");
        }
    }
}
