//! What is set as it should not be, without being wrong.

use std::{collections::BTreeMap, time::Duration};

use super::{
    DedupStore, SenderConfig,
    telemetry::{PROJECT, TelemetryConfig},
    values::show_duration,
};
use crate::{
    guard::{Guard, Identity},
    record::About,
    senders::Sender,
};

/// How long everybody waits for one sender's attempts.
pub(super) struct Deadlines {
    pub(super) sender: Sender,
    pub(super) job: Duration,
    pub(super) told_name: &'static str,
    pub(super) told: Duration,
}

/// What the warnings depend on.
pub(super) struct Context<'a> {
    pub(super) deadlines: &'a [Deadlines],
    pub(super) request_timeout: Duration,
    pub(super) senders: &'a BTreeMap<Sender, SenderConfig>,
    pub(super) dedup: DedupStore,
    pub(super) max_instances: Option<u32>,
    pub(super) about: &'a About,
    pub(super) telemetry: Option<&'a TelemetryConfig>,
}

impl Context<'_> {
    pub(super) fn all(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        self.deadline_chain(&mut warnings);
        self.platform_guards(&mut warnings);
        self.memory_dedup(&mut warnings);
        self.telemetry(&mut warnings);
        warnings
    }

    /// Job < sender < Cloud Run: otherwise whoever waits gives up first, and the work is repeated while it
    /// still runs.
    fn deadline_chain(&self, warnings: &mut Vec<String>) {
        let timeout = self.request_timeout;
        let timeout_text = show_duration(timeout);
        for &Deadlines { sender, job, told_name, told } in self.deadlines {
            let job_name = format!("{}_DEADLINE", sender.as_str().to_uppercase());
            let (title, job_text, told_text) =
                (sender.title(), show_duration(job), show_duration(told));
            if job >= told {
                warnings.push(format!(
                    "{job_name} is {job_text}, not below {told_name}, {told_text}: {title} gives up and repeats what \
                     still runs; lower the first, or raise the second here and at the sender"
                ));
            }
            if job >= timeout {
                warnings.push(format!(
                    "{job_name} is {job_text}, not below REQUEST_TIMEOUT, {timeout_text}: Cloud Run answers 504 while \
                     the job still runs; lower the first, or raise the second here and with --timeout"
                ));
            }
            if told >= timeout {
                warnings.push(format!(
                    "{told_name} is {told_text}, not below REQUEST_TIMEOUT, {timeout_text}: Cloud Run answers 504 \
                     before {title} gives up; lower the first here and at the sender, or raise the second here and \
                     with --timeout"
                ));
            }
        }
    }

    fn platform_guards(&self, warnings: &mut Vec<String>) {
        for (sender, settings) in self.senders {
            let Guard::Platform { identity, callers, audiences, .. } = &settings.guard else {
                continue;
            };
            let prefix = sender.as_str().to_uppercase();
            if callers.is_none() {
                warnings.push(format!(
                    "{prefix}_CALLERS is not set: every account that the front end lets through may call /{sender}; set \
                     it to the sender's service account"
                ));
            }
            if audiences.is_empty() {
                warnings.push(format!(
                    "AUDIENCE is not set for {sender}: tokens made for other services pass if the front end lets them; \
                     set it to the service's URL"
                ));
            }
            if matches!(identity, Identity::CloudRun) {
                warnings.push(format!(
                    "{sender} trusts Cloud Run's IAM check: on a service that allows unauthenticated calls anybody may \
                     forge a token; deploy with --no-allow-unauthenticated"
                ));
            }
        }
    }

    /// What is sent to Google needs a project, and what answers wait for counts against the sender's patience.
    fn telemetry(&self, warnings: &mut Vec<String>) {
        let Some(telemetry) = self.telemetry else { return };
        let mut destinations = [&telemetry.traces, &telemetry.metrics].into_iter().flatten();
        if destinations.any(|one| one.has_token) && !telemetry.resource.contains_key(PROJECT) {
            warnings.push(
                "GOOGLE_CLOUD_PROJECT is not set, and Google takes traces and metrics of a project only; set it to the \
                 project's id"
                    .to_owned(),
            );
        }
        for &Deadlines { sender, job, told_name, told } in self.deadlines {
            if !telemetry.wait.is_zero() && job < told && job + telemetry.wait >= told {
                warnings.push(format!(
                    "{}_DEADLINE and TELEMETRY_WAIT are {} together, not below {told_name}, {}: {} may give up on what is \
                     done; lower one of the first two, or raise the third here and at the sender",
                    sender.as_str().to_uppercase(),
                    show_duration(job + telemetry.wait),
                    show_duration(told),
                    sender.title(),
                ));
            }
        }
    }

    fn memory_dedup(&self, warnings: &mut Vec<String>) {
        if self.dedup == DedupStore::Off {
            return;
        }
        match self.max_instances {
            Some(1) => {}
            Some(instances) => warnings.push(format!(
                "DEDUP is memory and MAX_INSTANCES is {instances}: each instance remembers its own work alone, so \
                 repeats that reach another run again; deploy with --max-instances=1, or make the jobs idempotent"
            )),
            None if self.about.service.is_some() => warnings.push(
                "DEDUP is memory and MAX_INSTANCES is not set: with more than one instance repeats may run again; set \
                 it to what the service is deployed with"
                    .to_owned(),
            ),
            None => {}
        }
    }
}
