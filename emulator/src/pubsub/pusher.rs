//! The task of one subscription: it pushes, and takes back what was pulled and not acknowledged in time.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;

use super::{
    backlog::Delivery,
    refusal,
    running::{Next, Running},
    subscription::Subscription,
};
use crate::{
    attempts::{End, Order},
    google::Google,
    senders::{Delivery as Request, pubsub::Push},
};

/// Sets a subscription going until it is deleted.
pub(super) fn start(google: &Arc<Google>, running: Arc<Running>) {
    let shared = Arc::clone(google);
    google.spawn(async move { run(&shared, &running).await });
}

async fn run(google: &Arc<Google>, running: &Running) {
    let mut changed = running.subscribe();
    let mut pushes = FuturesUnordered::new();
    loop {
        changed.mark_unchanged();
        refusal::take_back_overdue(google, running);
        let wake_at = loop {
            match running.next(google.clock.now(), pushes.len()) {
                Next::Push(settings, delivery) => pushes.push(push(google, settings, delivery)),
                Next::Wait(until) => break Some(until),
                Next::Rest => break None,
                Next::End => {
                    // What is on its way arrives, though nobody asks any more what came of it.
                    while pushes.next().await.is_some() {}
                    return;
                }
            }
        };
        tokio::select! {
            Some((delivery, end)) = pushes.next() => settle(google, running, &delivery, &end),
            _ = changed.changed() => {}
            () = google.clock.until(wake_at.unwrap_or(Timestamp::MAX)), if wake_at.is_some() => {}
        }
    }
}

async fn push(
    google: &Arc<Google>,
    settings: Arc<Subscription>,
    delivery: Delivery,
) -> (Delivery, End) {
    let end = google.attempt(order(&settings, &delivery)).await;
    (delivery, end)
}

fn settle(google: &Google, running: &Running, delivery: &Delivery, end: &End) {
    let now = google.clock.now();
    let mut state = running.state();
    let next_at = if end.acknowledged {
        state.backlog.remove(delivery.sequence);
        state.pace.acknowledged(end.took);
        state.used_at = now;
        drop(state);
        running.notify();
        None
    } else {
        state.pace.failed(now);
        drop(state);
        running.refused(google, delivery)
    };
    google.history.will_retry(end.entry, next_at);
}

fn order(settings: &Subscription, delivery: &Delivery) -> Order {
    Order {
        delivery: request(settings, delivery),
        url: settings.push_config.push_endpoint.clone(),
        resource: settings.name.clone(),
        invocation: delivery.message.message_id.clone(),
        attempt: delivery.attempt,
        auth: settings.push_config.auth(),
        deadline: Duration::from_secs(settings.ack_deadline_seconds.into()),
    }
}

fn request(settings: &Subscription, delivery: &Delivery) -> Request {
    let message = &delivery.message;
    let push = Push {
        subscription: settings.name.clone(),
        message_id: message.message_id.clone(),
        publish_time: message.publish_time_text(),
        data: message.data.0.to_vec(),
        attributes: message.attributes.clone(),
        ordering_key: Some(message.ordering_key.clone()).filter(|key| !key.is_empty()),
        delivery_attempt: settings.dead_letter_policy.as_ref().map(|_| delivery.attempt),
    };
    match settings.push_config.no_wrapper {
        None => push.wrapped(),
        Some(wrapper) if wrapper.write_metadata => push.unwrapped_with_metadata(),
        Some(_) => push.unwrapped(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        emulator::Options,
        pubsub::stand::{Stand, Subscriber},
        tokens::Auth,
    };

    fn data(received: &Value) -> &str {
        received["message"]["data"].as_str().unwrap()
    }

    #[tokio::test]
    async fn a_push_is_wrapped_with_every_field_that_it_has() {
        let (stand, subscriber) = (Stand::new().await, Subscriber::content().await);
        stand.call("PUT", "topics/dead", json!({})).await.unwrap();
        let dead = json!({"deadLetterTopic": "projects/demo-project/topics/dead"});
        let endpoint = json!({"pushEndpoint": format!("{}/pubsub/orders", subscriber.url)});
        let fields = json!({"pushConfig": endpoint, "deadLetterPolicy": dead, "enableMessageOrdering": true});
        stand.subscribe("whole", fields).await;
        let message =
            json!({"data": "SGVsbG8=", "attributes": {"key": "value"}, "orderingKey": "k"});
        let ids = stand.publish(json!([message])).await;
        let received = subscriber.received(1).await;
        assert_eq!(
            received[0].json(),
            json!({
                "deliveryAttempt": 1,
                "message": {
                    "attributes": {"key": "value"},
                    "data": "SGVsbG8=",
                    "messageId": ids[0],
                    "message_id": ids[0],
                    "orderingKey": "k",
                    "publishTime": "2026-03-01T12:00:00.700Z",
                    "publish_time": "2026-03-01T12:00:00.700Z",
                },
                "subscription": "projects/demo-project/subscriptions/whole",
            })
        );
        assert_eq!(received[0].path, "/pubsub/orders");
        assert_eq!(received[0].header("authorization"), None, "no token was asked for");
        stand.until_empty("whole").await;
    }

    #[tokio::test]
    async fn an_unwrapped_push_is_the_payload_and_has_metadata_where_it_is_asked_for() {
        let (stand, subscriber) = (Stand::new().await, Subscriber::content().await);
        for (id, wrapper) in [("bare", json!({})), ("marked", json!({"writeMetadata": true}))] {
            let endpoint = format!("{}/{id}", subscriber.url);
            let config = json!({"pushEndpoint": endpoint, "noWrapper": wrapper});
            stand.subscribe(id, json!({"pushConfig": config})).await;
        }
        let message =
            json!({"data": "SGVsbG8=", "attributes": {"ce-type": "t"}, "orderingKey": "k"});
        let ids = stand.publish(json!([message])).await;
        for request in subscriber.received(2).await {
            assert_eq!(&request.body[..], b"Hello");
            let is_marked = request.path == "/marked";
            for (name, value) in [
                ("ce-type", "t"),
                ("x-goog-pubsub-subscription-name", "projects/demo-project/subscriptions/marked"),
                ("x-goog-pubsub-message-id", &ids[0]),
                ("x-goog-pubsub-publish-time", "2026-03-01T12:00:00.700Z"),
                ("x-goog-pubsub-ordering-key", "k"),
            ] {
                let expected = is_marked.then_some(value);
                assert_eq!(request.header(name), expected, "{} {name}", request.path);
            }
        }
    }

    #[tokio::test]
    async fn a_message_waits_for_the_retry_policy_and_longer_each_time() {
        let stand = Stand::new().await;
        let subscriber =
            Subscriber::answering(|_, earlier| if earlier.len() < 3 { 503 } else { 204 }).await;
        let policy = json!({"minimumBackoff": "10s", "maximumBackoff": "15s"});
        let config = json!({"pushEndpoint": subscriber.url});
        stand.subscribe("retried", json!({"pushConfig": config, "retryPolicy": policy})).await;
        stand.publish(json!([{"data": "MQ=="}])).await;
        for (failures, delay_seconds) in [(1, 10), (2, 15), (3, 15)] {
            subscriber.received(failures).await;
            stand.until_back("retried").await;
            let due = stand.running("retried").state().backlog.ready_at();
            let delay = Duration::from_secs(delay_seconds);
            assert_eq!(due, Some(crate::clock::after(stand.clock.now(), delay)));
            stand.clock.advance(delay);
        }
        subscriber.received(4).await;
        stand.until_empty("retried").await;
    }

    #[tokio::test]
    async fn a_failure_stops_the_whole_subscription_and_no_other_one() {
        let stand = Stand::new().await;
        let subscriber = Subscriber::answering(|request, earlier| {
            let is_first = earlier.iter().all(|other| other.path != request.path);
            if request.path == "/failing" && is_first { 500 } else { 200 }
        })
        .await;
        for id in ["failing", "content"] {
            let config = json!({"pushEndpoint": format!("{}/{id}", subscriber.url)});
            stand.subscribe(id, json!({"pushConfig": config})).await;
        }
        stand.publish(json!([{"data": "MQ=="}])).await;
        subscriber.received(2).await;
        stand.until_back("failing").await;
        stand.publish(json!([{"data": "Mg=="}])).await;
        stand.until_empty("content").await;
        assert_eq!(subscriber.count(), 3, "the failing one waits with what is new as well");
        stand.clock.advance(Duration::from_millis(100));
        let received = subscriber.received(5).await;
        let of_failing = received.iter().filter(|request| request.path == "/failing");
        let of_failing: Vec<Value> = of_failing.map(|request| request.json()).collect();
        assert_eq!(of_failing.iter().map(data).collect::<Vec<_>>(), ["MQ==", "MQ==", "Mg=="]);
        stand.until_empty("failing").await;
    }

    #[tokio::test]
    async fn messages_of_an_ordering_key_arrive_one_by_one_in_their_order() {
        let stand = Stand::new().await;
        let subscriber =
            Subscriber::answering(|_, earlier| if earlier.len() < 2 { 500 } else { 200 }).await;
        let config = json!({"pushEndpoint": subscriber.url});
        let fields = json!({"pushConfig": config, "enableMessageOrdering": true});
        stand.subscribe("ordered", fields).await;
        let messages =
            ["MQ==", "Mg==", "Mw=="].map(|data| json!({"data": data, "orderingKey": "k"}));
        stand.publish(json!(messages)).await;
        for failures in [1, 2] {
            subscriber.received(failures).await;
            stand.until_back("ordered").await;
            stand.clock.advance(Duration::from_secs(1));
        }
        let received: Vec<Value> =
            subscriber.received(5).await.iter().map(|request| request.json()).collect();
        let order: Vec<&str> = received.iter().map(data).collect();
        assert_eq!(order, ["MQ==", "MQ==", "MQ==", "Mg==", "Mw=="]);
    }

    #[tokio::test]
    async fn a_push_carries_the_account_s_token_for_the_endpoint() {
        let (stand, subscriber) = (Stand::new().await, Subscriber::content().await);
        let email = stand.google.iam.create_account("pusher").unwrap().email;
        let config =
            json!({"pushEndpoint": subscriber.url, "oidcToken": {"serviceAccountEmail": email}});
        stand.subscribe("proven", json!({"pushConfig": config})).await;
        stand.publish(json!([{"data": "MQ=="}])).await;
        let received = subscriber.received(1).await;
        let auth = Auth::Oidc { email, audience: subscriber.url.clone() };
        let token = stand.google.token_for(crate::Sender::PubSub, &auth).await.unwrap();
        assert_eq!(received[0].header("authorization"), Some(format!("Bearer {token}").as_str()));
    }

    #[tokio::test]
    async fn nothing_is_pushed_while_the_agent_may_not_mint() {
        let stand = Stand::with(Options { legacy_agents: true, ..Options::default() }).await;
        let subscriber = Subscriber::content().await;
        let account = stand.google.iam.create_account("pusher").unwrap();
        let token = json!({"serviceAccountEmail": account.email});
        let config = json!({"pushEndpoint": subscriber.url, "oidcToken": token});
        stand.subscribe("legacy", json!({"pushConfig": config})).await;
        stand.publish(json!([{"data": "MQ=="}])).await;
        stand.until("legacy", |state| state.pace.stopped_until() > stand.clock.now()).await;
        assert_eq!(subscriber.count(), 0);
    }

    #[tokio::test]
    async fn a_subscription_turns_from_push_to_pull_and_back() {
        let (stand, subscriber) = (Stand::new().await, Subscriber::content().await);
        let config = json!({"pushConfig": {"pushEndpoint": subscriber.url}});
        stand.subscribe("turning", json!({})).await;
        stand.publish(json!([{"data": "MQ=="}])).await;
        assert_eq!(stand.pull("turning").await.len(), 1);
        stand.publish(json!([{"data": "Mg=="}])).await;
        let path = "subscriptions/turning:modifyPushConfig";
        stand.call("POST", path, config).await.unwrap();
        assert_eq!(data(&subscriber.received(1).await[0].json()), "Mg==");
        stand.clock.advance(Duration::from_secs(10));
        let received = subscriber.received(2).await;
        assert_eq!(data(&received[1].json()), "MQ==", "what was pulled and not acknowledged");
        stand.until_empty("turning").await;
        stand.call("POST", path, json!({"pushConfig": {}})).await.unwrap();
        stand.publish(json!([{"data": "Mw=="}])).await;
        assert_eq!(stand.pull("turning").await.len(), 1);
        assert_eq!(subscriber.count(), 2);
    }

    #[tokio::test]
    async fn many_messages_are_delivered_once_each() {
        let (stand, subscriber) = (Stand::new().await, Subscriber::content().await);
        stand.subscribe("many", json!({"pushConfig": {"pushEndpoint": subscriber.url}})).await;
        let ids = stand.publish(json!(vec![json!({"data": "MQ=="}); 300])).await;
        stand.until_empty("many").await;
        let mut received: Vec<String> = subscriber
            .received(300)
            .await
            .iter()
            .map(|request| request.json()["message"]["messageId"].as_str().unwrap().to_owned())
            .collect();
        received.sort_unstable();
        assert_eq!(received, ids);
    }

    #[tokio::test]
    async fn the_acknowledgement_deadline_is_the_request_s() {
        let stand = Stand::new().await;
        let config = json!({"pushEndpoint": "http://127.0.0.1:9/x"});
        stand.subscribe("slow", json!({"pushConfig": config, "ackDeadlineSeconds": 42})).await;
        let settings = stand.running("slow").settings();
        let message = Arc::new(crate::pubsub::message::Message {
            message_id: "7".to_owned(),
            ..Default::default()
        });
        let order = order(&settings, &Delivery { sequence: 0, attempt: 3, message });
        assert_eq!(order.deadline, Duration::from_secs(42));
        assert_eq!((order.url.as_str(), order.attempt), ("http://127.0.0.1:9/x", 3));
        assert_eq!(order.resource, "projects/demo-project/subscriptions/slow");
        assert_eq!((order.invocation.as_str(), order.auth), ("7", None));
    }
}
