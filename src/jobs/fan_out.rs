//! Example, from Cloud Scheduler to Cloud Tasks: a tick enqueues one task a tenant, and each task is a job of its own,
//! with its own retries and its own record. Built with the feature `fan-out`; whoever deletes it deletes that in the
//! `Cargo.toml` of the root and of `caller/`, and `caller/tests/it/fan_out.rs` with its line in `main.rs`.

use std::sync::Arc;

use caller::{Credentials, EnqueueError, Enqueuer, Environment, Queue, Task, TaskId, audience_of};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{invocation::Invocation, job_table::Jobs, outcome::JobError};

/// How many tasks are created at once.
const AT_ONCE: usize = 16;

/// Where tasks go, and for whom: `FAN_OUT_QUEUE`, `FAN_OUT_URL`, `FAN_OUT_ACCOUNT`, `FAN_OUT_TENANTS`, which are separated by
/// commas.
struct FanOut {
    enqueuer: Enqueuer,
    url: String,
    audience: String,
    account: String,
    tenants: Vec<String>,
}

/// A task's body.
#[derive(Debug, Serialize, Deserialize)]
struct Tenant {
    tenant: String,
}

/// A tick at `/scheduler/fan-out`, and what it enqueues at `/tasks/tenant-report`.
pub(super) fn add_to(jobs: &mut Jobs) {
    let fan_out = Arc::new(FanOut::from_environment());
    jobs.scheduler("fan-out", move |tick| run(tick, fan_out.clone()));
    jobs.tasks("tenant-report", report);
}

/// Enqueues a task for each tenant. A tick that comes again creates only what is missing: the name of a task is made of
/// when the tick was due and of the tenant, and Cloud Tasks remembers names for an hour after the task is done.
async fn run(tick: Invocation<()>, fan_out: Arc<Result<FanOut, String>>) -> Result<(), JobError> {
    let fan_out = fan_out.as_ref().as_ref().map_err(JobError::retry)?;
    // Scheduler always says; whoever does not could not be told from himself when he comes again.
    let due =
        tick.first_due.ok_or_else(|| JobError::give_up("the tick does not say when it was due"))?;
    let tasks: Vec<_> = fan_out.tenants.iter().map(|tenant| fan_out.enqueue(due, tenant)).collect();
    // All of them, whatever becomes of one.
    let ended: Vec<_> = stream::iter(tasks).buffer_unordered(AT_ONCE).collect().await;
    ended.into_iter().collect()
}

/// The work that is done for one tenant.
async fn report(report: Invocation<Tenant>) -> Result<(), JobError> {
    tracing::info!(tenant_length = report.payload.tenant.len(), "report built");
    Ok(())
}

impl FanOut {
    /// Reads its settings; a job's own are not among the receiver's.
    ///
    /// # Errors
    /// A sentence that names the setting; it stands in the record of each tick until it is mended.
    #[expect(clippy::disallowed_methods, reason = "a job's own settings are read where it is made")]
    fn from_environment() -> Result<FanOut, String> {
        FanOut::from_lookup(&Environment::read(), |name| std::env::var(name).ok())
    }

    fn from_lookup(
        environment: &Environment,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<FanOut, String> {
        let get = |name: &str| {
            lookup(name).filter(|value| !value.is_empty()).ok_or(format!("{name} is not set"))
        };
        let text = |fault: &dyn std::fmt::Display| fault.to_string();
        let queue: Queue = get("FAN_OUT_QUEUE")?.parse().map_err(|fault| text(&fault))?;
        let url = get("FAN_OUT_URL")?;
        let credentials =
            Credentials::application_default(environment).map_err(|fault| text(&fault))?;
        Ok(FanOut {
            enqueuer: Enqueuer::new(queue, credentials, environment),
            audience: audience_of(&url).map_err(|fault| text(&fault))?.value,
            url,
            account: get("FAN_OUT_ACCOUNT")?,
            tenants: get("FAN_OUT_TENANTS")?
                .split(',')
                .map(str::trim)
                .filter(|one| !one.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    async fn enqueue(&self, due: Timestamp, tenant: &str) -> Result<(), JobError> {
        let id = TaskId::of_key(&format!("{due}/{tenant}"));
        let task = Task::new(id, &self.url, &self.audience, &self.account)
            .json(&json!(Tenant { tenant: tenant.to_owned() }));
        match self.enqueuer.enqueue(&task).await {
            // By an earlier attempt at the same tick.
            Ok(_) | Err(EnqueueError::Exists { .. }) => Ok(()),
            // No retry makes it smaller or right.
            Err(fault @ (EnqueueError::TooLarge { .. } | EnqueueError::Invalid(_))) => {
                Err(JobError::give_up(fault))
            }
            Err(fault) => Err(JobError::retry(fault)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::senders::Sender;

    fn read(missing: &str) -> Result<FanOut, String> {
        let environment = Environment::from_lookup(|_| None);
        FanOut::from_lookup(&environment, |name| match name {
            _ if name == missing => None,
            "FAN_OUT_QUEUE" => Some("projects/p/locations/l/queues/q".into()),
            "FAN_OUT_URL" => Some("https://a-1.europe-west1.run.app/tasks/tenant-report".into()),
            "FAN_OUT_TENANTS" => Some("a,, b".into()),
            _ => Some("tasks@p.iam.gserviceaccount.com".into()),
        })
    }

    #[tokio::test]
    async fn a_setting_that_is_missing_is_named_by_each_tick() {
        let whole = read("").map_err(|fault| panic!("{fault}")).unwrap();
        assert_eq!(whole.audience, "https://a-1.europe-west1.run.app");
        assert_eq!(whole.tenants, ["a", "b"]);
        for name in ["FAN_OUT_QUEUE", "FAN_OUT_URL", "FAN_OUT_ACCOUNT", "FAN_OUT_TENANTS"] {
            let tick = Invocation::sample(Sender::Scheduler, ());
            let fault = run(tick, Arc::new(read(name))).await;
            assert_eq!(fault, Err(JobError::retry(format!("{name} is not set"))));
        }
    }

    #[tokio::test]
    async fn a_tenant_s_report_is_built() {
        let tenant = Tenant { tenant: "a".to_owned() };
        assert_eq!(report(Invocation::sample(Sender::Tasks, tenant)).await, Ok(()));
    }
}
