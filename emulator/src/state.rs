//! Everything that was created, as one JSON document.
//!
//! Each part is read before any is put in place, so that a document that is refused has no effect.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::Value;

use crate::{
    api::{
        error::{ApiError, Code},
        shelf::Shelf,
    },
    google::Google,
    logging::metrics,
    monitoring::{dashboards, policies},
    project::Project,
    pubsub::PubSub,
    registry::Registry,
    run,
    scheduler::Scheduler,
    service_usage::Apis,
    storage::Storage,
    tasks::Tasks,
};

/// The version of the document that is written and read.
const VERSION: u32 = 2;

/// All resources and what is on its way, such as waiting tasks and messages. Faults, history and keys are not in it. It
/// is not for `Debug`, for it holds payloads.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    #[serde(deserialize_with = "own_version")]
    version: u32,
    project: Project,
    iam: Value,
    scheduler: Value,
    tasks: Value,
    pubsub: Value,
    run: Value,
    registry: Value,
    storage: Value,
    apis: Value,
    log_metrics: Value,
    dashboards: Value,
    alert_policies: Value,
}

/// Another version has other members: it is named before what is missing.
fn own_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        VERSION => Ok(VERSION),
        given => Err(de::Error::custom(format!(
            "version is {given}; this emulator reads {VERSION}, as its own export writes"
        ))),
    }
}

/// All of it as it is now.
pub(crate) fn export(google: &Google) -> State {
    State {
        version: VERSION,
        project: google.project.clone(),
        iam: google.iam.export(),
        scheduler: google.scheduler.export(),
        tasks: google.tasks.export(),
        pubsub: google.pubsub.export(),
        run: google.run.export(),
        registry: google.registry.export(),
        storage: google.storage.export(),
        apis: google.apis.export(),
        log_metrics: google.log_metrics.export(),
        dashboards: google.monitoring.dashboards.export(),
        alert_policies: google.monitoring.policies.export(),
    }
}

/// Puts the document's resources in the place of all that are there, and sets them going.
///
/// # Errors
/// 400 for another project, and what each part refuses; then nothing has changed. 500 if there is no port
/// for a service; then accounts are replaced and services are gone.
pub(crate) async fn import(google: &Arc<Google>, state: State) -> Result<(), ApiError> {
    if state.project != google.project {
        let Project { id, number } = state.project;
        return Err(ApiError::invalid_field(
            "project",
            format!(
                "is {id} ({number}), which stands in every name; start the emulator with --project {id} \
                 --project-number {number}"
            ),
        ));
    }
    let importing = read_and_put(Arc::clone(google), state);
    google.see_through("imports the state", importing).await?
}

/// Everything is read before anything is replaced.
async fn read_and_put(google: Arc<Google>, state: State) -> Result<(), ApiError> {
    let google = &google;
    let _changing = google.changing.lock().await;
    let iam = google.iam.read(state.iam)?;
    let run = run::read(google, state.run)?;
    let registry = Registry::read(state.registry, &google.project)?;
    let storage = Storage::read(state.storage)?;
    let apis = Apis::read(state.apis)?;
    let log_metrics = Shelf::read(google, state.log_metrics, metrics::check)?;
    let dashboards = Shelf::read(google, state.dashboards, dashboards::check)?;
    let alert_policies = Shelf::read(google, state.alert_policies, policies::check)?;
    let pubsub = PubSub::read(google, state.pubsub)?;
    let tasks = Tasks::read(google, state.tasks)?;
    let scheduler = Scheduler::read(google, state.scheduler)?;
    // In the order in which parts refer to others: accounts first, then what is called, then who calls.
    google.iam.put(iam);
    google.tokens.revoke_all();
    google.apis.put(apis);
    google.log_metrics.put(log_metrics);
    google.monitoring.dashboards.put(dashboards);
    google.monitoring.policies.put(alert_policies);
    google.registry.put(registry);
    google.storage.put(storage);
    run::put(google, run).await?;
    PubSub::put(google, pubsub);
    Tasks::put(google, tasks);
    Scheduler::put(google, scheduler);
    Ok(())
}

/// Why the resource of that name is refused: the document is at fault, whatever a call would be answered.
pub(crate) fn refused(name: &str, fault: ApiError) -> ApiError {
    ApiError { code: Code::InvalidArgument, message: format!("{name}: {}", fault.message), ..fault }
}

/// There are two resources of that name.
pub(crate) fn twice(name: &str) -> ApiError {
    ApiError::invalid(format!("{name} comes twice; leave one of the two out."))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;
    use crate::{Clock, Options, history::Entry, testing};

    fn exported(google: &Google) -> Value {
        to_value(export(google)).unwrap()
    }

    async fn import_json(google: &Arc<Google>, document: &Value) -> Result<(), ApiError> {
        import(google, from_value(document.clone()).unwrap()).await
    }

    /// A document with a task that is due and a message to push, both of that id, to an address where nobody listens.
    fn with_work(google: &Google, id: &str) -> Value {
        let nobody = "http://127.0.0.1:1/";
        let (project, now) = (google.project.name(), google.clock.now());
        let mut document = exported(google);
        document["tasks"]["queues"] = json!([{
            "queue": {"name": format!("{project}/locations/us-central1/queues/q")},
            "tasks": [{
                "id": id,
                "isNamed": true,
                "httpRequest": {"url": nobody},
                "createTime": now,
                "scheduleTime": now,
                "dispatchDeadline": "15s",
            }],
        }]);
        document["pubsub"]["subscriptions"] = json!([{
            "settings": {
                "name": format!("{project}/subscriptions/pushed"),
                "topic": "_deleted-topic_",
                "pushConfig": {"pushEndpoint": nobody},
            },
            "usedAt": now,
            "messages": [{
                "message": {"data": "MQ==", "messageId": id, "publishTime": now},
                "attempts": 0,
            }],
        }]);
        document
    }

    #[tokio::test]
    async fn a_document_that_a_later_part_refuses_has_no_effect() {
        let clock = Clock::standing_at("2026-03-01T12:00:00Z".parse().unwrap());
        let google = testing::google_with(Options { clock, ..Options::default() });
        let before = exported(&google);
        for part in ["iam", "run", "pubsub", "tasks", "scheduler"] {
            let mut spoilt = with_work(&google, "1");
            spoilt[part]["more"] = 1.into();
            let fault = import_json(&google, &spoilt).await.unwrap_err();
            assert_eq!(fault.http_status(), 400, "{part}");
            assert_eq!(exported(&google), before, "{part}");
        }
        let mut changes = google.history.changes();
        import_json(&google, &with_work(&google, "2")).await.unwrap();
        // What a refused document had set going would have begun before.
        while google.history.since(0).len() < 2 {
            changes.recv().await.unwrap();
        }
        for slot in google.history.since(0) {
            let Entry::Attempt(attempt) = slot.shown() else { panic!("no delivery") };
            assert_eq!(attempt.invocation, "2", "{:?}", attempt.sender);
        }
    }

    #[tokio::test]
    async fn a_job_that_cannot_be_is_refused_by_its_name() {
        let google = testing::google();
        let job = |name: &str, schedule: &str| {
            let target = json!({"uri": "http://127.0.0.1:1/"});
            json!({"job": {"name": name, "schedule": schedule, "httpTarget": target}})
        };
        let name = "projects/demo-project/locations/us-central1/jobs/j";
        let whole = job(name, "* * * * *");
        let mut document = exported(&google);
        for (jobs, said) in [
            (json!([whole, whole]), format!("{name} comes twice")),
            (json!([job(name, "never")]), format!("{name}: ")),
            (json!([job("j", "* * * * *")]), "\"j\" is none of this project's".to_owned()),
            (
                json!([job("projects/other/locations/us-central1/jobs/j", "* * * * *")]),
                "expected projects/demo-project/locations/".to_owned(),
            ),
        ] {
            document["scheduler"]["jobs"] = jobs;
            let fault = import_json(&google, &document).await.unwrap_err();
            assert_eq!(fault.http_status(), 400, "{}", fault.message);
            assert!(fault.message.contains(&said), "{}", fault.message);
        }
        document["scheduler"]["jobs"] = json!([whole]);
        import_json(&google, &document).await.unwrap();
    }

    #[tokio::test]
    async fn imports_and_changes_of_services_take_turns() {
        let google = testing::google();
        let services = "/v1/projects/demo-project/locations/us-central1/services";
        let document = json!({
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {"name": "receiver"},
            "spec": {"template": {"spec": {"containers": [{"image": "img"}]}}},
        });
        let create = testing::call("POST", services, document);
        let delete = testing::call("DELETE", &format!("{services}/receiver"), Value::Null);
        for call in [create, delete] {
            let importing = google.changing.lock().await;
            let mut answer = std::pin::pin!(run::api::answer(&google, &call));
            tokio::select! {
                biased;
                _ = &mut answer => panic!("it did not wait"),
                () = tokio::task::yield_now() => {}
            }
            drop(importing);
            answer.await.unwrap();
        }
        let held = google.changing.lock().await;
        let empty = exported(&google);
        let mut import = std::pin::pin!(import_json(&google, &empty));
        tokio::select! {
            biased;
            _ = &mut import => panic!("it did not wait"),
            () = tokio::task::yield_now() => {}
        }
        drop(held);
        import.await.unwrap();
    }
}
