//! Export and import of all topics, subscriptions and undelivered messages.

use std::sync::{Arc, atomic::Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    PubSub, Resources, labels,
    message::Message,
    name::{self, DELETED_TOPIC, Kind},
    pusher,
    running::Running,
    subscription::Subscription,
    topic::Topic,
};
use crate::{
    api::{call::from_json, error::ApiError},
    google::Google,
    project::Project,
    state,
};

/// Everything.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Saved {
    #[serde(default)]
    topics: Vec<Topic>,
    #[serde(default)]
    subscriptions: Vec<SavedSubscription>,
}

/// One subscription. What was on its way when it was saved waits to be delivered again; back-offs are not saved.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SavedSubscription {
    settings: Subscription,
    used_at: Timestamp,
    #[serde(default)]
    messages: Vec<SavedMessage>,
}

/// One message, and how many times it was delivered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SavedMessage {
    message: Message,
    attempts: u32,
}

/// What was read of an export and can be put in place.
#[derive(Debug)]
pub(crate) struct Imported {
    resources: Resources,
    /// Of the youngest message.
    last_id: u64,
}

impl PubSub {
    /// All resources, with the messages that are not acknowledged.
    pub(crate) fn export(&self) -> Value {
        let resources = self.resources();
        let subscription = |running: &Arc<Running>| {
            let state = running.state();
            let saved = |(message, attempts): (&Message, u32)| SavedMessage {
                message: message.clone(),
                attempts,
            };
            SavedSubscription {
                settings: Subscription::clone(&state.settings),
                used_at: state.used_at,
                messages: state.backlog.messages().map(saved).collect(),
            }
        };
        json!(Saved {
            topics: resources.topics.values().cloned().collect(),
            subscriptions: resources.subscriptions.values().map(subscription).collect(),
        })
    }

    /// Reads what was exported; nothing changes.
    ///
    /// # Errors
    /// 400 that names the topic or subscription which cannot be.
    pub(crate) fn read(google: &Google, state: Value) -> Result<Imported, ApiError> {
        let project = &google.project;
        let saved: Saved = from_json(state)?;
        let mut resources = Resources::default();
        for topic in saved.topics {
            let name = topic.name.clone();
            check_name(project, Kind::Topic, &name)?;
            labels::check(&topic.labels).map_err(|fault| state::refused(&name, fault))?;
            if resources.topics.insert(name.clone(), topic).is_some() {
                return Err(state::twice(&name));
            }
        }
        let mut last_id = 0;
        for saved in saved.subscriptions {
            let name = saved.settings.name.clone();
            check_name(project, Kind::Subscription, &name)?;
            let ids =
                saved.messages.iter().filter_map(|saved| saved.message.message_id.parse().ok());
            last_id = ids.fold(last_id, u64::max);
            let running = restored(project, saved).map_err(|fault| state::refused(&name, fault))?;
            if resources.subscriptions.insert(name.clone(), Arc::new(running)).is_some() {
                return Err(state::twice(&name));
            }
        }
        Ok(Imported { resources, last_id })
    }

    /// Replaces everything by what was read, and sets it going.
    pub(crate) fn put(google: &Arc<Google>, Imported { resources, last_id }: Imported) {
        let pubsub = &google.pubsub;
        pubsub.last_message_id.fetch_max(last_id, Ordering::Relaxed);
        let started: Vec<Arc<Running>> = resources.subscriptions.values().map(Arc::clone).collect();
        let replaced = std::mem::replace(&mut *pubsub.resources(), resources);
        for running in replaced.subscriptions.values() {
            running.delete();
        }
        for running in started {
            pusher::start(google, running);
        }
    }
}

/// A subscription with its messages; nothing pushes them yet.
fn restored(project: &Project, saved: SavedSubscription) -> Result<Running, ApiError> {
    let SavedSubscription { settings, used_at, messages } = saved;
    if settings.topic != DELETED_TOPIC {
        check_name(project, Kind::Topic, &settings.topic)?;
    }
    let running = Running::new(settings.checked(project)?, used_at)?;
    for SavedMessage { message, attempts } in messages {
        running.state().backlog.add(Arc::new(message), attempts);
    }
    Ok(running)
}

/// That a resource of this project can be called so.
fn check_name(project: &Project, kind: Kind, name: &str) -> Result<(), ApiError> {
    let expected = kind.new_name(project, name::id(name))?;
    if name == expected {
        return Ok(());
    }
    Err(ApiError::invalid(format!("{name:?} is none of this project's; expected {expected:?}.")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pubsub::stand::{Stand, Subscriber};

    fn import(google: &Arc<Google>, state: Value) {
        PubSub::put(google, PubSub::read(google, state).unwrap());
    }

    #[tokio::test]
    async fn what_was_exported_goes_on_elsewhere() {
        let stand = Stand::new().await;
        let subscriber = Subscriber::content().await;
        let fields = json!({"filter": "attributes:kind", "enableMessageOrdering": true});
        stand.subscribe("pulled", fields).await;
        stand.subscribe("pushed", json!({})).await;
        let kind = json!({"kind": "a"});
        let messages = ["MQ==", "Mg=="]
            .map(|data| json!({"data": data, "attributes": kind, "orderingKey": "k"}));
        let ids = stand.publish(json!(messages)).await;
        assert_eq!(stand.pull("pulled").await.len(), 1, "the other waits for its key");
        let exported = stand.google.pubsub.export();

        let other = Stand::new().await;
        other.subscribe("forgotten", json!({})).await;
        let forgotten = other.running("forgotten");
        import(&other.google, exported.clone());
        assert_eq!(other.google.pubsub.export(), exported);
        assert!(matches!(forgotten.next(other.clock.now(), 0), crate::pubsub::running::Next::End));
        let pulled = other.pull("pulled").await;
        assert_eq!(pulled.len(), 1);
        assert_eq!(pulled[0]["message"]["messageId"], ids[0].as_str());
        let config = json!({"pushConfig": {"pushEndpoint": subscriber.url}});
        other.call("POST", "subscriptions/pushed:modifyPushConfig", config).await.unwrap();
        assert_eq!(subscriber.received(2).await[1].json()["message"]["messageId"], ids[1].as_str());
        let fresh = other.publish(json!([{"data": "Mw=="}])).await;
        assert!(!ids.contains(&fresh[0]), "an imported message keeps its id to itself");
        other.clock.advance(Duration::from_secs(10));
        other.until_back("pulled").await;
        assert_eq!(other.pull("pulled").await.len(), 1, "what was filtered out stays out");
    }

    #[tokio::test]
    async fn nothing_takes_the_place_of_everything() {
        let stand = Stand::new().await;
        import(&stand.google, json!({}));
        assert_eq!(stand.google.pubsub.export(), json!({"topics": [], "subscriptions": []}));
    }

    #[tokio::test]
    async fn ids_end_at_the_last_number_without_an_overflow() {
        let stand = Stand::new().await;
        stand.subscribe("pulled", json!({})).await;
        stand.publish(json!([{"data": "MQ=="}])).await;
        let mut state = stand.google.pubsub.export();
        let last = u64::MAX.to_string();
        state["subscriptions"][0]["messages"][0]["message"]["messageId"] = last.clone().into();
        import(&stand.google, state);
        let ids = stand.publish(json!([{"data": "Mg=="}, {"data": "Mw=="}])).await;
        assert_eq!(ids, [last.as_str(), last.as_str()]);
    }

    #[tokio::test]
    async fn what_cannot_be_is_refused_by_its_name() {
        let stand = Stand::new().await;
        let topic = json!({"name": "projects/demo-project/topics/orders"});
        let subscription = json!({
            "settings": {
                "name": "projects/demo-project/subscriptions/mailer",
                "topic": topic["name"],
                "filter": "",
                "deadLetterPolicy": {"deadLetterTopic": topic["name"]},
            },
            "usedAt": "2026-03-01T12:00:00Z",
        });
        let whole = json!({"topics": [topic], "subscriptions": [subscription]});
        PubSub::read(&stand.google, whole.clone()).unwrap();
        for (pointer, value, said) in [
            ("/topics", json!([topic, topic]), "topics/orders comes twice"),
            ("/topics/0/name", json!("projects/demo-project/topics/a"), "topics/a)"),
            ("/topics/0/name", json!("projects/other/topics/orders"), "\"projects/other/topics/"),
            ("/topics/0/name", json!("projects/demo-project/x/orders"), "-project/x/orders\" is"),
            (
                "/topics/0",
                json!({"name": topic["name"], "labels": {"A": ""}}),
                "topics/orders: You",
            ),
            ("/subscriptions", json!([subscription, subscription]), "/mailer comes twice"),
            ("/subscriptions/0/settings/name", json!("mailer"), "\"mailer\" is none of"),
            ("/subscriptions/0/settings/topic", json!("orders"), "/mailer: \"orders\" is none"),
            ("/subscriptions/0/settings/filter", json!("x"), "/mailer: "),
            (
                "/subscriptions/0/settings/deadLetterPolicy/deadLetterTopic",
                json!("projects/other/topics/dead"),
                "/mailer: Resource not found",
            ),
            ("/subscriptions/0", json!({"queues": []}), "unknown field `queues`"),
        ] {
            let mut spoilt = whole.clone();
            *spoilt.pointer_mut(pointer).unwrap() = value;
            let fault = PubSub::read(&stand.google, spoilt).unwrap_err();
            assert_eq!(fault.http_status(), 400, "{pointer}");
            assert!(fault.message.contains(said), "{}", fault.message);
        }
    }
}
