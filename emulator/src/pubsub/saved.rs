//! Export and import of all topics, subscriptions and undelivered messages.

use std::sync::{Arc, atomic::Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    PubSub, Resources, message::Message, pusher, running::Running, subscription::Subscription,
    topic::Topic,
};
use crate::{
    api::{call::from_json, error::ApiError},
    google::Google,
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

    /// Replaces everything by what was exported and sets it going.
    ///
    /// # Errors
    /// 400 if it cannot be read; then nothing is changed.
    pub(crate) fn import(google: &Arc<Google>, state: Value) -> Result<(), ApiError> {
        let saved: Saved = from_json(state)?;
        let mut imported = Resources::default();
        for topic in saved.topics {
            imported.topics.insert(topic.name.clone(), topic);
        }
        let mut last_id = 0;
        for SavedSubscription { settings, used_at, messages } in saved.subscriptions {
            let running = Running::new(settings.checked(&google.project)?, used_at)?;
            for SavedMessage { message, attempts } in messages {
                last_id = message.message_id.parse().unwrap_or(0).max(last_id);
                running.state().backlog.add(Arc::new(message), attempts);
            }
            imported.subscriptions.insert(running.name.clone(), Arc::new(running));
        }
        let pubsub = &google.pubsub;
        pubsub.last_message_id.fetch_max(last_id, Ordering::Relaxed);
        let started: Vec<Arc<Running>> = imported.subscriptions.values().map(Arc::clone).collect();
        let replaced = std::mem::replace(&mut *pubsub.resources(), imported);
        for running in replaced.subscriptions.values() {
            running.delete();
        }
        for running in started {
            pusher::start(google, running);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pubsub::stand::{Receiver, Stand};

    #[tokio::test]
    async fn what_was_exported_goes_on_elsewhere() {
        let stand = Stand::new().await;
        let receiver = Receiver::content().await;
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
        PubSub::import(&other.google, exported.clone()).unwrap();
        assert_eq!(other.google.pubsub.export(), exported);
        assert!(matches!(forgotten.next(other.clock.now(), 0), crate::pubsub::running::Next::End));
        let pulled = other.pull("pulled").await;
        assert_eq!(pulled.len(), 1);
        assert_eq!(pulled[0]["message"]["messageId"], ids[0].as_str());
        let config = json!({"pushConfig": {"pushEndpoint": receiver.url}});
        other.call("POST", "subscriptions/pushed:modifyPushConfig", config).await.unwrap();
        assert_eq!(receiver.received(2).await[1].json()["message"]["messageId"], ids[1].as_str());
        let fresh = other.publish(json!([{"data": "Mw=="}])).await;
        assert!(!ids.contains(&fresh[0]), "an imported message keeps its id to itself");
        other.clock.advance(Duration::from_secs(10));
        other.until_back("pulled").await;
        assert_eq!(other.pull("pulled").await.len(), 1, "what was filtered out stays out");
    }

    #[tokio::test]
    async fn what_cannot_be_read_changes_nothing() {
        let stand = Stand::new().await;
        let before = stand.google.pubsub.export();
        let name = "projects/demo-project/subscriptions/broken";
        for state in [
            json!({"queues": []}),
            json!({"subscriptions": [{"settings": {"name": name, "filter": "x"}, "usedAt": "2026-03-01T12:00:00Z"}]}),
        ] {
            assert_eq!(PubSub::import(&stand.google, state).unwrap_err().http_status(), 400);
        }
        assert_eq!(stand.google.pubsub.export(), before);
        PubSub::import(&stand.google, json!({})).unwrap();
        assert_eq!(stand.google.pubsub.export(), json!({"topics": [], "subscriptions": []}));
    }
}
