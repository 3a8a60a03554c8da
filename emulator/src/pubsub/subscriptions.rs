//! The calls on subscriptions, but for those that take messages.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Resources,
    api::refuse_unbuilt,
    name::{self, Kind},
    push_config::PushConfig,
    pusher,
    running::Running,
    subscription::{IMMUTABLE, MUTABLE, Subscription, UNBUILT},
};
use crate::{
    api::{
        call::{Call, from_json},
        error::ApiError,
        mask, page,
    },
    google::Google,
};

pub(super) fn create(google: &Arc<Google>, call: &Call, id: &str) -> Result<Value, ApiError> {
    let project = &google.project;
    google.iam.require(&call.principal, "pubsub.subscriptions.create", &project.name())?;
    let name = Kind::Subscription.new_name(project, id)?;
    let body: Map<String, Value> = call.json()?;
    refuse_unbuilt(&body, &UNBUILT)?;
    let given: Subscription = from_json(body.into())?;
    let topic = name::topic(project, &given.topic)?;
    google.iam.require(&call.principal, "pubsub.topics.attachSubscription", &topic)?;
    let settings = Subscription { name: name.clone(), topic, ..given }.checked(project)?;
    let mut resources = google.pubsub.resources();
    if resources.subscriptions.contains_key(&name) {
        return Err(name::exists(&name));
    }
    resources.require_topic(&settings.topic)?;
    require_references(google, call, &resources, &settings)?;
    let answer = json!(settings);
    let running = Arc::new(Running::new(settings, google.clock.now())?);
    resources.subscriptions.insert(name, Arc::clone(&running));
    pusher::start(google, running);
    Ok(answer)
}

pub(super) fn get(google: &Google, call: &Call, id: &str) -> Result<Value, ApiError> {
    let name = permitted(google, call, id, "pubsub.subscriptions.get")?;
    let running = google.pubsub.resources().subscription(&name)?;
    Ok(json!(*running.settings()))
}

pub(super) fn list(google: &Google, call: &Call) -> Result<Value, ApiError> {
    google.iam.require(&call.principal, "pubsub.subscriptions.list", &google.project.name())?;
    let resources = google.pubsub.resources();
    let all = resources.subscriptions.values();
    page::list(call, "subscriptions", all.map(|running| json!(*running.settings())))
}

pub(super) fn patch(google: &Google, call: &Call, id: &str) -> Result<Value, ApiError> {
    /// Unlike in most APIs the mask is in the body.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Request {
        #[serde(default)]
        subscription: Map<String, Value>,
        #[serde(default)]
        update_mask: String,
    }
    let name = permitted(google, call, id, "pubsub.subscriptions.update")?;
    let request: Request = call.json()?;
    refuse_unbuilt(&request.subscription, &UNBUILT)?;
    let paths = mask::paths(&request.update_mask);
    let patch = request.subscription.into();
    update(google, call, &name, |current| {
        from_json(mask::apply(json!(current), &patch, &paths, &MUTABLE, &IMMUTABLE)?)
    })
}

pub(super) fn modify_push_config(
    google: &Google,
    call: &Call,
    id: &str,
) -> Result<Value, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Request {
        /// Replaces the whole; an empty one stops pushing.
        #[serde(default)]
        push_config: PushConfig,
    }
    let name = permitted(google, call, id, "pubsub.subscriptions.update")?;
    let Request { push_config } = call.json()?;
    update(google, call, &name, |current| Ok(Subscription { push_config, ..current.clone() }))?;
    Ok(json!({}))
}

pub(super) fn delete(google: &Google, call: &Call, id: &str) -> Result<Value, ApiError> {
    let name = permitted(google, call, id, "pubsub.subscriptions.delete")?;
    let removed = google.pubsub.resources().subscriptions.remove(&name);
    removed.ok_or_else(|| name::not_found(&name))?.delete();
    google.iam.forget(&name);
    Ok(json!({}))
}

/// The subscription's name, if the caller has `permission` on it.
pub(super) fn permitted(
    google: &Google,
    call: &Call,
    id: &str,
    permission: &str,
) -> Result<String, ApiError> {
    let name = Kind::Subscription.name(&google.project, id);
    google.iam.require(&call.principal, permission, &name).map(|()| name)
}

/// Replaces a subscription's settings by what `change` makes of them; all of it or nothing.
fn update(
    google: &Google,
    call: &Call,
    name: &str,
    change: impl FnOnce(&Subscription) -> Result<Subscription, ApiError>,
) -> Result<Value, ApiError> {
    // Held throughout, so that of two changes at once none is lost.
    let resources = google.pubsub.resources();
    let running = resources.subscription(name)?;
    let settings = change(&running.settings())?.checked(&google.project)?;
    require_references(google, call, &resources, &settings)?;
    let answer = json!(settings);
    running.replace(settings, google.clock.now());
    Ok(answer)
}

/// That the dead-letter topic exists, and that the caller may attach the account of the tokens.
fn require_references(
    google: &Google,
    call: &Call,
    resources: &Resources,
    settings: &Subscription,
) -> Result<(), ApiError> {
    if let Some(policy) = &settings.dead_letter_policy {
        resources.require_topic(&policy.dead_letter_topic)?;
    }
    match &settings.push_config.oidc_token {
        Some(token) => google.iam.require_act_as(&call.principal, &token.service_account_email),
        None => Ok(()),
    }
}
