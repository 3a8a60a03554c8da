//! What becomes of a message that was not acknowledged: it waits for its next delivery, or goes to the dead-letter topic.
//!
//! Source: <https://cloud.google.com/pubsub/docs/handling-failures>.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    backlog::Delivery, message::Message, name, running::Running, subscription::Subscription,
};
use crate::{clock::after, google::Google, senders::Sender};

impl Running {
    /// Takes back a delivery that was refused, or not acknowledged in time. Gives the time of the next one; `None` if
    /// there will be none here.
    pub(super) fn refused(&self, google: &Google, delivery: &Delivery) -> Option<Timestamp> {
        let settings = self.settings();
        let dead_letter_topic = dead_letter_topic(google, &settings, delivery);
        let mut state = self.state();
        // It was acknowledged or taken back meanwhile, or it became too old.
        state.backlog.out(delivery.sequence, delivery.attempt)?;
        let Some(topic) = dead_letter_topic else {
            let delay = settings.retry_policy.map(|policy| policy.delay(delivery.attempt));
            let ready_at = after(google.clock.now(), delay.unwrap_or(Duration::ZERO));
            state.backlog.put_back(delivery.sequence, ready_at);
            let next_at = ready_at.max(state.pace.stopped_until());
            drop(state);
            self.notify();
            return Some(next_at);
        };
        state.backlog.remove(delivery.sequence);
        // Without the lock: the topic may be the one of this very subscription.
        drop(state);
        let message = dead_letter(google, &settings, delivery);
        // It fails if the topic was deleted this moment, with which its messages go as well.
        drop(google.pubsub.publish(topic, vec![message], google.clock.now()));
        self.notify();
        None
    }
}

/// Where the message goes if it was delivered often enough.
///
/// Pub/Sub's agent must be allowed to publish there and to acknowledge here. Where it is not, or the topic is gone, the
/// message stays and is delivered on.
fn dead_letter_topic<'s>(
    google: &Google,
    settings: &'s Subscription,
    delivery: &Delivery,
) -> Option<&'s str> {
    let policy = settings.dead_letter_policy.as_ref()?;
    let topic = &policy.dead_letter_topic;
    let agent = google.project.agent(Sender::PubSub);
    let forwards = delivery.attempt >= policy.max_delivery_attempts
        && google.iam.allows(&agent, "pubsub.topics.publish", topic)
        && google.iam.allows(&agent, "pubsub.subscriptions.consume", &settings.name)
        && google.pubsub.resources().require_topic(topic).is_ok();
    forwards.then_some(topic)
}

/// The message with what is known of its failure. Names and forms of the attributes are as seen on messages that
/// Google forwarded: the subscription without its project, the time with an offset.
fn dead_letter(google: &Google, settings: &Subscription, delivery: &Delivery) -> Message {
    let mut message = Message::clone(&delivery.message);
    let published = message.publish_time.strftime("%Y-%m-%dT%H:%M:%S.%3f+00:00").to_string();
    message.attributes.extend(
        [
            ("CloudPubSubDeadLetterSourceDeliveryCount", delivery.attempt.to_string()),
            ("CloudPubSubDeadLetterSourceSubscription", name::id(&settings.name).to_owned()),
            ("CloudPubSubDeadLetterSourceSubscriptionProject", google.project.id.clone()),
            ("CloudPubSubDeadLetterSourceTopicPublishTime", published),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    message
}

/// Drops what was kept for as long as it is to be, and takes back what was out for too long.
pub(super) fn take_back_overdue(google: &Google, running: &Running) {
    let now = google.clock.now();
    let mut state = running.state();
    state.forget_old(now);
    let overdue = state.backlog.overdue(now);
    drop(state);
    for delivery in overdue {
        running.refused(google, &delivery);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::pubsub::stand::{Received, Stand, Subscriber};

    /// A push subscription whose messages go to the topic `dead` after five refusals, read by the subscription `dead`.
    async fn refusing(answer: u16) -> (Stand, Subscriber) {
        let stand = Stand::new().await;
        let subscriber = Subscriber::answering(move |_, _| answer).await;
        stand.call("PUT", "topics/dead", json!({})).await.unwrap();
        let topic = "projects/demo-project/topics/dead";
        stand.subscribe("dead", json!({"topic": topic})).await;
        let fields = json!({
            "pushConfig": {"pushEndpoint": subscriber.url},
            "deadLetterPolicy": {"deadLetterTopic": topic},
        });
        stand.subscribe("refused", fields).await;
        (stand, subscriber)
    }

    /// Moves the clock on until so many deliveries were made and refused.
    async fn refuse(stand: &Stand, subscriber: &Subscriber, times: usize) -> Vec<Received> {
        for time in subscriber.count()..times {
            subscriber.received(time + 1).await;
            stand.until_back("refused").await;
            stand.clock.advance(Duration::from_secs(60));
        }
        subscriber.received(times).await
    }

    #[tokio::test]
    async fn a_message_is_in_the_dead_letter_topic_after_five_refusals() {
        let (stand, subscriber) = refusing(500).await;
        stand.grant_agent("topics/dead", "roles/pubsub.publisher").await;
        stand.grant_agent("subscriptions/refused", "roles/pubsub.subscriber").await;
        let message = json!({"data": "MQ==", "attributes": {"key": "value"}, "orderingKey": "k"});
        let ids = stand.publish(json!([message])).await;
        let received = refuse(&stand, &subscriber, 5).await;
        let attempts: Vec<Value> =
            received.iter().map(|request| request.json()["deliveryAttempt"].clone()).collect();
        assert_eq!(attempts, [1, 2, 3, 4, 5]);
        stand.until_empty("refused").await;
        let dead = stand.pull("dead").await;
        assert_eq!(dead.len(), 1);
        let message = &dead[0]["message"];
        assert_eq!(
            message["attributes"],
            json!({
                "key": "value",
                "CloudPubSubDeadLetterSourceDeliveryCount": "5",
                "CloudPubSubDeadLetterSourceSubscription": "refused",
                "CloudPubSubDeadLetterSourceSubscriptionProject": "demo-project",
                "CloudPubSubDeadLetterSourceTopicPublishTime": "2026-03-01T12:00:00.700+00:00",
            })
        );
        assert_eq!(
            (message["data"].as_str(), message["orderingKey"].as_str()),
            (Some("MQ=="), Some("k"))
        );
        assert_ne!(message["messageId"], ids[0].as_str(), "it is a message of its own");
        assert_eq!(
            dead[0].get("deliveryAttempt"),
            None,
            "its subscription has no dead-letter policy"
        );
    }

    #[tokio::test]
    async fn a_message_is_delivered_on_while_the_agent_lacks_a_role() {
        let (stand, subscriber) = refusing(500).await;
        stand.publish(json!([{"data": "MQ=="}])).await;
        refuse(&stand, &subscriber, 6).await;
        stand.grant_agent("topics/dead", "roles/pubsub.publisher").await;
        refuse(&stand, &subscriber, 7).await;
        assert_eq!(stand.pull("dead").await.len(), 0);
        stand.grant_agent("subscriptions/refused", "roles/pubsub.subscriber").await;
        let received = refuse(&stand, &subscriber, 8).await;
        assert_eq!(received[7].json()["deliveryAttempt"], 8);
        stand.until_empty("refused").await;
        let dead = stand.pull("dead").await;
        let attributes = &dead[0]["message"]["attributes"];
        assert_eq!(attributes["CloudPubSubDeadLetterSourceDeliveryCount"], "8");
    }

    #[tokio::test]
    async fn a_message_stays_when_its_dead_letter_topic_is_gone() {
        let (stand, subscriber) = refusing(500).await;
        stand.grant_agent("topics/dead", "roles/pubsub.publisher").await;
        stand.grant_agent("subscriptions/refused", "roles/pubsub.subscriber").await;
        stand.call("DELETE", "topics/dead", json!({})).await.unwrap();
        stand.publish(json!([{"data": "MQ=="}])).await;
        refuse(&stand, &subscriber, 6).await;
        assert_eq!(stand.running("refused").state().backlog.messages().count(), 1);
    }

    #[tokio::test]
    async fn messages_that_are_pulled_and_never_acknowledged_are_dead_lettered_as_well() {
        let (stand, _) = refusing(500).await;
        let policy = json!({"deadLetterTopic": "projects/demo-project/topics/dead"});
        stand.subscribe("pulled", json!({"deadLetterPolicy": policy})).await;
        stand.grant_agent("topics/dead", "roles/pubsub.publisher").await;
        stand.grant_agent("subscriptions/pulled", "roles/pubsub.subscriber").await;
        stand.publish(json!([{"data": "MQ=="}])).await;
        for attempt in 1..=5 {
            let pulled = stand.pull("pulled").await;
            assert_eq!(pulled[0]["deliveryAttempt"], attempt);
            stand.clock.advance(Duration::from_secs(10));
            stand.until_back("pulled").await;
        }
        assert_eq!(stand.pull("pulled").await.len(), 0);
        stand.until("dead", |state| state.backlog.messages().count() == 1).await;
    }

    #[tokio::test]
    async fn a_delivery_that_is_over_is_not_taken_back_again() {
        let stand = Stand::new().await;
        stand.subscribe("pulled", json!({})).await;
        stand.publish(json!([{"data": "MQ=="}])).await;
        let now = stand.clock.now();
        let running = stand.running("pulled");
        let take = || running.state().backlog.take(now, after(now, Duration::from_secs(10)));
        let first = take().unwrap();
        assert_eq!(running.refused(&stand.google, &first), Some(now));
        let second = take().unwrap();
        assert_eq!(running.refused(&stand.google, &first), None);
        assert!(running.state().backlog.out(second.sequence, second.attempt).is_some());
    }
}
