//! Everything that was created, as one JSON document.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    api::error::ApiError, google::Google, project::Project, pubsub::PubSub, run,
    scheduler::Scheduler, tasks::Tasks,
};

/// The version of the document that is written and read.
const VERSION: u32 = 1;

/// All resources and what is on its way, such as waiting tasks and messages. Faults, history and keys are not in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    version: u32,
    project: Project,
    iam: Value,
    scheduler: Value,
    tasks: Value,
    pubsub: Value,
    run: Value,
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
    }
}

/// Puts the document's resources in the place of all that are there, and sets them going. A part that is refused takes
/// everything back to what was there before.
///
/// # Errors
/// 400 for another version or project, and what each part refuses.
pub(crate) async fn import(google: &Arc<Google>, state: State) -> Result<(), ApiError> {
    if state.version != VERSION {
        let given = state.version;
        return Err(ApiError::invalid_field(
            "version",
            format!("is {given}; this emulator reads {VERSION}, as its own export writes"),
        ));
    }
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
    let before = export(google);
    let replaced = replace(google, state).await;
    if replaced.is_err() {
        // What was exported a moment ago can be imported.
        let _ = replace(google, before).await;
    }
    replaced
}

/// In the order in which parts refer to others: accounts first, then what is called, then who calls.
async fn replace(google: &Arc<Google>, state: State) -> Result<(), ApiError> {
    google.iam.import(state.iam)?;
    run::import(google, state.run).await?;
    PubSub::import(google, state.pubsub)?;
    Tasks::import(google, state.tasks)?;
    Scheduler::import(google, state.scheduler)
}
