//! The calls that take messages: pull, acknowledge and modifyAckDeadline.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{backlog::Delivery, refusal, running::Running, subscriptions::permitted};
use crate::{
    api::{
        call::Call,
        error::{ApiError, Code},
    },
    clock::after,
    google::Google,
};

/// How long a pull waits for a message; Google's waits longer, and says only that it is bounded.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// In one answer: <https://cloud.google.com/pubsub/quotas#resource_limits>.
const MOST_MESSAGES: usize = 1000;

pub(super) async fn pull(google: &Arc<Google>, call: &Call, id: &str) -> Result<Value, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Request {
        #[serde(default)]
        max_messages: i64,
        #[serde(default)]
        return_immediately: bool,
    }
    let running = consumed(google, call, id)?;
    let request: Request = call.json()?;
    let most = usize::try_from(request.max_messages).ok().filter(|most| *most > 0);
    let most = most.ok_or_else(|| {
        ApiError::invalid(
            "You have passed an invalid argument to the service (argument=max_messages).",
        )
    })?;
    let mut changed = running.subscribe();
    // By the system's clock: a caller waits, not a schedule.
    let deadline = Instant::now() + LONGEST_WAIT;
    loop {
        changed.mark_unchanged();
        let received = take(google, &running, most.min(MOST_MESSAGES))?;
        if !received.is_empty() {
            return Ok(json!({"receivedMessages": received}));
        }
        if request.return_immediately || timeout_at(deadline, changed.changed()).await.is_err() {
            return Ok(json!({}));
        }
    }
}

pub(super) fn acknowledge(google: &Google, call: &Call, id: &str) -> Result<Value, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Request {
        #[serde(default)]
        ack_ids: Vec<String>,
    }
    let running = consumed(google, call, id)?;
    let Request { ack_ids } = call.json()?;
    let deliveries = read_ack_ids(&ack_ids)?;
    let mut state = running.state();
    let is_exactly_once = state.settings.enable_exactly_once_delivery;
    let mut late = Vec::new();
    for (ack_id, (sequence, attempt)) in ack_ids.iter().zip(deliveries) {
        // A late acknowledgement counts if the message is still here, unless each delivery is to count by itself.
        if is_exactly_once && state.backlog.out(sequence, attempt).is_none() {
            late.push(ack_id);
        } else {
            state.backlog.remove(sequence);
        }
    }
    drop(state);
    running.notify();
    if late.is_empty() { Ok(json!({})) } else { Err(too_late(&late)) }
}

pub(super) fn modify_ack_deadline(
    google: &Google,
    call: &Call,
    id: &str,
) -> Result<Value, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Request {
        #[serde(default)]
        ack_ids: Vec<String>,
        /// 0 refuses the messages.
        #[serde(default)]
        ack_deadline_seconds: i64,
    }
    let running = consumed(google, call, id)?;
    let request: Request = call.json()?;
    let seconds =
        u64::try_from(request.ack_deadline_seconds).ok().filter(|seconds| *seconds <= 600);
    let seconds = seconds.ok_or_else(|| {
        ApiError::invalid(format!(
            "Invalid ack deadline given (ack_deadline={}). The ack deadline must be between 0 and 600 seconds.",
            request.ack_deadline_seconds
        ))
    })?;
    let mut late = Vec::new();
    for (ack_id, (sequence, attempt)) in request.ack_ids.iter().zip(read_ack_ids(&request.ack_ids)?)
    {
        let mut state = running.state();
        let Some(delivery) = state.backlog.out(sequence, attempt) else {
            late.push(ack_id);
            continue;
        };
        if seconds > 0 {
            let until = after(google.clock.now(), Duration::from_secs(seconds));
            state.backlog.extend(sequence, until);
        } else {
            drop(state);
            running.refused(google, &delivery);
        }
    }
    running.notify();
    let is_exactly_once = running.settings().enable_exactly_once_delivery;
    if late.is_empty() || !is_exactly_once { Ok(json!({})) } else { Err(too_late(&late)) }
}

/// The subscription, if the caller may take its messages. It counts as used.
fn consumed(google: &Google, call: &Call, id: &str) -> Result<Arc<Running>, ApiError> {
    let name = permitted(google, call, id, "pubsub.subscriptions.consume")?;
    let running = google.pubsub.resources().subscription(&name)?;
    running.state().used_at = google.clock.now();
    Ok(running)
}

/// Up to `most` messages as the answer shows them, out until the subscription's acknowledgement deadline.
fn take(google: &Google, running: &Running, most: usize) -> Result<Vec<Value>, ApiError> {
    let now = google.clock.now();
    // The task does so as well, though perhaps not yet.
    refusal::take_back_overdue(google, running);
    let mut state = running.state();
    if state.settings.push_config.is_push() {
        return Err(ApiError::new(
            Code::FailedPrecondition,
            "This method is not supported for this subscription type.",
        ));
    }
    let until = after(now, Duration::from_secs(state.settings.ack_deadline_seconds.into()));
    let counts = state.settings.dead_letter_policy.is_some();
    let taken = std::iter::from_fn(|| state.backlog.take(now, until)).take(most);
    let received: Vec<Value> = taken.map(|delivery| received(&delivery, counts)).collect();
    drop(state);
    if !received.is_empty() {
        // Its task has a new deadline to wait for.
        running.notify();
    }
    Ok(received)
}

/// `google.pubsub.v1.ReceivedMessage`.
fn received(delivery: &Delivery, counts: bool) -> Value {
    let ack_id = format!("{}-{}", delivery.sequence, delivery.attempt);
    let mut received = json!({"ackId": ack_id, "message": *delivery.message});
    if counts {
        received["deliveryAttempt"] = delivery.attempt.into();
    }
    received
}

/// The message's place and the delivery's number of each ack id.
fn read_ack_ids(ack_ids: &[String]) -> Result<Vec<(u64, u32)>, ApiError> {
    if ack_ids.is_empty() {
        return Err(ApiError::invalid("You have not specified an ack ID in the request."));
    }
    let read = |ack_id: &String| {
        let (sequence, attempt) = ack_id.split_once('-')?;
        Some((sequence.parse().ok()?, attempt.parse().ok()?))
    };
    let refused = |ack_id: &String| {
        ApiError::invalid(format!(
            "You have passed an invalid ack ID to the service (ack_id={ack_id})."
        ))
    };
    ack_ids.iter().map(|ack_id| read(ack_id).ok_or_else(|| refused(ack_id))).collect()
}

/// With exactly-once delivery the client is told which acknowledgements came too late:
/// <https://cloud.google.com/pubsub/docs/exactly-once-delivery>.
fn too_late(ack_ids: &[&String]) -> ApiError {
    let failed = |ack_id: &&String| ((*ack_id).clone(), json!("PERMANENT_FAILURE_INVALID_ACK_ID"));
    ApiError {
        details: vec![json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "EXACTLY_ONCE_ACKID_FAILURE",
            "domain": "pubsub.googleapis.com",
            "metadata": ack_ids.iter().map(failed).collect::<serde_json::Map<_, _>>(),
        })],
        ..ApiError::invalid(
            "Some acknowledgement ids in the request were invalid, because they have expired.",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::stand::Stand;

    /// A pull subscription with these fields and so many messages, `MQ==` each, a second apart.
    async fn pulled(fields: Value, messages: usize) -> Stand {
        let stand = Stand::new().await;
        stand.subscribe("pulled", fields).await;
        for _ in 0..messages {
            stand.publish(json!([{"data": "MQ=="}])).await;
            stand.clock.advance(Duration::from_secs(1));
        }
        stand
    }

    async fn call(stand: &Stand, verb: &str, body: Value) -> Result<Value, ApiError> {
        stand.call("POST", &format!("subscriptions/pulled:{verb}"), body).await
    }

    fn ack_ids(received: &[Value]) -> Value {
        received.iter().map(|one| one["ackId"].clone()).collect()
    }

    #[tokio::test]
    async fn a_message_is_pulled_once_and_gone_when_it_is_acknowledged() {
        let stand = pulled(json!({}), 0).await;
        let message = json!({"data": "MQ==", "attributes": {"key": "value"}, "orderingKey": "k"});
        let ids = stand.publish(json!([message])).await;
        let received = stand.pull("pulled").await;
        assert_eq!(
            received,
            [json!({
                "ackId": received[0]["ackId"],
                "message": {
                    "data": "MQ==",
                    "attributes": {"key": "value"},
                    "messageId": ids[0],
                    "publishTime": "2026-03-01T12:00:00.700Z",
                    "orderingKey": "k",
                },
            })]
        );
        assert!(stand.pull("pulled").await.is_empty());
        let acknowledged = json!({"ackIds": ack_ids(&received)});
        assert_eq!(call(&stand, "acknowledge", acknowledged).await.unwrap(), json!({}));
        stand.clock.advance(Duration::from_secs(600));
        assert!(stand.pull("pulled").await.is_empty());
        stand.until_empty("pulled").await;
    }

    #[tokio::test]
    async fn a_message_comes_again_at_its_deadline_which_can_be_moved() {
        let stand = pulled(json!({"ackDeadlineSeconds": 20}), 3).await;
        let received = stand.pull("pulled").await;
        let one = |number: usize, seconds: u64| json!({"ackIds": [received[number]["ackId"]], "ackDeadlineSeconds": seconds});
        call(&stand, "modifyAckDeadline", one(0, 60)).await.unwrap();
        call(&stand, "modifyAckDeadline", one(1, 0)).await.unwrap();
        let again = stand.pull("pulled").await;
        assert_eq!(again.len(), 1, "0 refuses the message");
        assert_eq!(again[0]["message"], received[1]["message"]);
        stand.clock.advance(Duration::from_secs(19));
        assert!(stand.pull("pulled").await.is_empty());
        stand.clock.advance(Duration::from_secs(1));
        assert_eq!(stand.pull("pulled").await.len(), 2);
        stand.clock.advance(Duration::from_secs(19));
        assert!(stand.pull("pulled").await.is_empty());
        stand.clock.advance(Duration::from_secs(21));
        assert_eq!(stand.pull("pulled").await.len(), 3);
    }

    #[tokio::test]
    async fn a_late_acknowledgement_counts_unless_delivery_is_exactly_once() {
        for (is_exactly_once, left) in [(false, 0), (true, 1)] {
            let stand = pulled(json!({"enableExactlyOnceDelivery": is_exactly_once}), 1).await;
            let acknowledged = json!({"ackIds": ack_ids(&stand.pull("pulled").await)});
            stand.clock.advance(Duration::from_secs(10));
            let second = stand.pull("pulled").await;
            let answered = call(&stand, "acknowledge", acknowledged.clone()).await;
            assert_eq!(stand.running("pulled").state().backlog.messages().count(), left);
            if is_exactly_once {
                let fault = answered.unwrap_err();
                assert_eq!(fault.http_status(), 400);
                let ack_id = acknowledged["ackIds"][0].as_str().unwrap();
                let reason = &fault.details[0]["metadata"][ack_id];
                assert_eq!(reason, "PERMANENT_FAILURE_INVALID_ACK_ID");
                call(&stand, "acknowledge", json!({"ackIds": ack_ids(&second)})).await.unwrap();
                stand.until_empty("pulled").await;
            } else {
                answered.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_pull_that_may_wait_gets_what_is_published_meanwhile() {
        let stand = pulled(json!({}), 0).await;
        let (answer, _) = tokio::join!(
            call(&stand, "pull", json!({"maxMessages": 5})),
            stand.publish(json!([{"data": "MQ=="}])),
        );
        assert_eq!(answer.unwrap()["receivedMessages"][0]["message"]["data"], "MQ==");
    }

    #[tokio::test]
    async fn no_more_is_pulled_than_was_asked_for() {
        let stand = pulled(json!({}), 3).await;
        let answer = call(&stand, "pull", json!({"maxMessages": 2})).await.unwrap();
        assert_eq!(answer["receivedMessages"].as_array().unwrap().len(), 2);
        assert_eq!(stand.pull("pulled").await.len(), 1);
    }

    #[tokio::test]
    async fn what_was_kept_for_as_long_as_it_is_to_be_is_gone() {
        let stand = pulled(json!({"messageRetentionDuration": "600s"}), 2).await;
        stand.clock.advance(Duration::from_millis(598_500));
        assert_eq!(stand.pull("pulled").await.len(), 1);
        stand.clock.advance(Duration::from_secs(2));
        assert!(stand.pull("pulled").await.is_empty());
        assert_eq!(stand.running("pulled").state().backlog.messages().count(), 0);
    }

    #[tokio::test]
    async fn each_request_that_cannot_be_is_refused() {
        let stand = pulled(json!({}), 1).await;
        let ack_id = ack_ids(&stand.pull("pulled").await)[0].clone();
        for (verb, body, said) in [
            ("pull", json!({}), "(argument=max_messages)"),
            ("pull", json!({"maxMessages": -1}), "(argument=max_messages)"),
            ("pull", json!({"max": 1}), "unknown field `max`"),
            ("acknowledge", json!({}), "not specified an ack ID"),
            ("acknowledge", json!({"ackIds": [ack_id, "x"]}), "(ack_id=x)"),
            (
                "modifyAckDeadline",
                json!({"ackIds": ["1-"], "ackDeadlineSeconds": 10}),
                "(ack_id=1-)",
            ),
            (
                "modifyAckDeadline",
                json!({"ackIds": [ack_id], "ackDeadlineSeconds": 601}),
                "between 0 and 600 seconds",
            ),
        ] {
            let fault = call(&stand, verb, body.clone()).await.unwrap_err();
            assert_eq!(fault.http_status(), 400, "{verb} {body}");
            assert!(fault.message.contains(said), "{verb} {body}: {}", fault.message);
        }
        assert_eq!(stand.running("pulled").state().backlog.messages().count(), 1);
        stand
            .subscribe("pushed", json!({"pushConfig": {"pushEndpoint": "http://127.0.0.1:9"}}))
            .await;
        let pull = stand.call("POST", "subscriptions/pushed:pull", json!({"maxMessages": 1})).await;
        let fault = pull.unwrap_err();
        assert_eq!(fault.code, Code::FailedPrecondition);
        assert_eq!(fault.message, "This method is not supported for this subscription type.");
    }
}
