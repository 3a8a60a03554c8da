//! The calls on topics.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    api::refuse_unbuilt,
    labels,
    message::{self, Message},
    name::{self, Kind},
    topic::{Topic, UNBUILT},
};
use crate::{
    api::{
        call::{Call, from_json},
        error::ApiError,
        mask, page,
    },
    google::Google,
};

pub(super) fn create(google: &Google, call: &Call, id: &str) -> Result<Value, ApiError> {
    google.iam.require(&call.principal, "pubsub.topics.create", &google.project.name())?;
    let name = Kind::Topic.new_name(&google.project, id)?;
    let body: Map<String, Value> = call.json()?;
    refuse_unbuilt(&body, &UNBUILT)?;
    let topic = Topic { name: name.clone(), ..from_json(body.into())? };
    labels::check(&topic.labels)?;
    let mut resources = google.pubsub.resources();
    if resources.topics.contains_key(&name) {
        return Err(name::exists(&name));
    }
    let answer = json!(topic);
    resources.topics.insert(name, topic);
    Ok(answer)
}

pub(super) fn get(google: &Google, call: &Call, id: &str) -> Result<Value, ApiError> {
    let name = permitted(google, call, id, "pubsub.topics.get")?;
    let resources = google.pubsub.resources();
    resources.topics.get(&name).map(|topic| json!(topic)).ok_or_else(|| name::not_found(&name))
}

pub(super) fn list(google: &Google, call: &Call) -> Result<Value, ApiError> {
    google.iam.require(&call.principal, "pubsub.topics.list", &google.project.name())?;
    let resources = google.pubsub.resources();
    page::list(call, "topics", resources.topics.values().map(|topic| json!(topic)))
}

pub(super) fn patch(google: &Google, call: &Call, id: &str) -> Result<Value, ApiError> {
    /// Unlike in most APIs the mask is in the body.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Request {
        #[serde(default)]
        topic: Map<String, Value>,
        #[serde(default)]
        update_mask: String,
    }
    let name = permitted(google, call, id, "pubsub.topics.update")?;
    let request: Request = call.json()?;
    refuse_unbuilt(&request.topic, &UNBUILT)?;
    let mut resources = google.pubsub.resources();
    let Some(topic) = resources.topics.get_mut(&name) else { return Err(name::not_found(&name)) };
    let paths = mask::paths(&request.update_mask);
    let patch = request.topic.into();
    let patched = mask::apply(json!(topic), &patch, &paths, &["labels"], &["name"])?;
    let patched: Topic = from_json(patched)?;
    labels::check(&patched.labels)?;
    *topic = patched;
    Ok(json!(topic))
}

pub(super) fn delete(google: &Google, call: &Call, id: &str) -> Result<Value, ApiError> {
    let name = permitted(google, call, id, "pubsub.topics.delete")?;
    let mut resources = google.pubsub.resources();
    if resources.topics.remove(&name).is_none() {
        return Err(name::not_found(&name));
    }
    for running in resources.subscriptions_of(&name) {
        running.lose_topic();
    }
    google.iam.forget(&name);
    Ok(json!({}))
}

pub(super) fn subscriptions(google: &Google, call: &Call, id: &str) -> Result<Value, ApiError> {
    let name = permitted(google, call, id, "pubsub.topics.get")?;
    let resources = google.pubsub.resources();
    resources.require_topic(&name)?;
    let subscriptions = resources.subscriptions_of(&name);
    page::list(call, "subscriptions", subscriptions.iter().map(|running| json!(running.name)))
}

pub(super) fn publish(google: &Google, call: &Call, id: &str) -> Result<Value, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Request {
        #[serde(default)]
        messages: Vec<Message>,
    }
    let name = permitted(google, call, id, "pubsub.topics.publish")?;
    let Request { messages } = call.json()?;
    message::check(&messages)?;
    let ids = google.pubsub.publish(&name, messages, google.clock.now())?;
    Ok(json!({"messageIds": ids}))
}

/// The topic's name, if the caller has `permission` on it.
fn permitted(google: &Google, call: &Call, id: &str, permission: &str) -> Result<String, ApiError> {
    let name = Kind::Topic.name(&google.project, id);
    google.iam.require(&call.principal, permission, &name).map(|()| name)
}
