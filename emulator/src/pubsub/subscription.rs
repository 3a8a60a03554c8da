//! The subscription resource.
//!
//! Source: `Subscription` in `google/pubsub/v1/pubsub.proto`.

use serde::{Deserialize, Serialize};

use super::{
    filter::Filter,
    labels::{self, Labels},
    name,
    policies::{DeadLetterPolicy, ExpirationPolicy, RetryPolicy},
    push_config::PushConfig,
};
use crate::{
    api::{
        error::ApiError,
        wire::{WireDuration, is_default, wire_enum},
    },
    project::Project,
};

/// Fields of Google's that are refused here.
pub(super) const UNBUILT: [&str; 7] = [
    "bigqueryConfig",
    "cloudStorageConfig",
    "pubsubExportConfig",
    "pubsubliteExportConfig",
    "messageTransforms",
    "detached",
    "tags",
];

/// Fields that a patch may replace.
pub(super) const MUTABLE: [&str; 9] = [
    "pushConfig",
    "ackDeadlineSeconds",
    "retainAckedMessages",
    "messageRetentionDuration",
    "labels",
    "expirationPolicy",
    "deadLetterPolicy",
    "retryPolicy",
    "enableExactlyOnceDelivery",
];

/// Fields that stay as they were made.
pub(super) const IMMUTABLE: [&str; 5] =
    ["name", "topic", "enableMessageOrdering", "filter", "state"];

/// A subscription. What a request leaves out has Google's default once it is [`checked`](Subscription::checked).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Subscription {
    /// `projects/PROJECT/subscriptions/ID`.
    #[serde(default)]
    pub(super) name: String,
    /// The topic's name, or [`DELETED_TOPIC`](name::DELETED_TOPIC).
    #[serde(default)]
    pub(super) topic: String,
    /// Empty for a pull subscription.
    #[serde(default)]
    pub(super) push_config: PushConfig,
    /// Of a pull, and the request timeout of a push. 10 to 600; 0 stands for 10.
    #[serde(default)]
    pub(super) ack_deadline_seconds: u32,
    /// Acknowledged messages are kept for a seek, which is not built: it changes nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) retain_acked_messages: bool,
    /// How long unacknowledged messages are kept.
    #[serde(default)]
    pub(super) message_retention_duration: Option<WireDuration>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) labels: Labels,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) enable_message_ordering: bool,
    #[serde(default)]
    pub(super) expiration_policy: Option<ExpirationPolicy>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) filter: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dead_letter_policy: Option<DeadLetterPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retry_policy: Option<RetryPolicy>,
    /// An acknowledgement that comes too late fails.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) enable_exactly_once_delivery: bool,
    /// Google's to say.
    #[serde(default)]
    pub(super) state: State,
}

wire_enum! {
    /// Whether a subscription can receive messages; here it always can.
    State {
        Unspecified = 0 "STATE_UNSPECIFIED",
        Active = 1 "ACTIVE",
        ResourceError = 2 "RESOURCE_ERROR",
    }
}

impl Subscription {
    /// Checks it and fills in the defaults. Whether topics and accounts exist is not looked at.
    ///
    /// # Errors
    /// 400 that names the field.
    pub(super) fn checked(mut self, project: &Project) -> Result<Subscription, ApiError> {
        if self.ack_deadline_seconds == 0 {
            self.ack_deadline_seconds = 10;
        }
        if !(10..=600).contains(&self.ack_deadline_seconds) {
            return Err(ApiError::invalid(format!(
                "Invalid ack deadline given (ack_deadline={}). The ack deadline must be between 10 and 600 seconds.",
                self.ack_deadline_seconds
            )));
        }
        let retention =
            *self.message_retention_duration.get_or_insert(WireDuration::seconds(604_800));
        if retention < WireDuration::seconds(600) || retention > WireDuration::seconds(2_678_400) {
            return Err(ApiError::invalid(format!(
                "The value for message retention duration is out of bounds. You passed {}s in the request, but the value must be between 10m and 744h.",
                retention.0.as_secs_f64()
            )));
        }
        labels::check(&self.labels)?;
        self.expiration_policy.get_or_insert_default().check()?;
        self.parsed_filter()?;
        if let Some(policy) = self.retry_policy {
            policy.check()?;
        }
        if let Some(policy) = self.dead_letter_policy {
            let mut policy = policy.checked()?;
            policy.dead_letter_topic = name::topic(project, &policy.dead_letter_topic)?;
            self.dead_letter_policy = Some(policy);
        }
        self.push_config = self.push_config.checked()?;
        if self.push_config.is_push() && self.enable_exactly_once_delivery {
            return Err(ApiError::invalid(
                "Exactly-once delivery is not supported for push subscriptions; leave out enable_exactly_once_delivery or push_config.",
            ));
        }
        self.state = State::Active;
        Ok(self)
    }

    /// The filter; `None` lets everything through.
    ///
    /// # Errors
    /// 400 if it is none.
    pub(super) fn parsed_filter(&self) -> Result<Option<Filter>, ApiError> {
        if self.filter.is_empty() { Ok(None) } else { Filter::parse(&self.filter).map(Some) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    /// The body that gcloud sends for `subscriptions create` with every flag that it has for a push.
    fn whole() -> Value {
        json!({
            "ackDeadlineSeconds": 30,
            "deadLetterPolicy": {"deadLetterTopic": "projects/demo-project/topics/dead", "maxDeliveryAttempts": 5},
            "enableMessageOrdering": true,
            "expirationPolicy": {},
            "filter": "attributes:kind",
            "labels": {"env": "test"},
            "messageRetentionDuration": "600s",
            "name": "projects/demo-project/subscriptions/orders",
            "pushConfig": {
                "attributes": {"x-goog-version": "v1"},
                "noWrapper": {"writeMetadata": true},
                "oidcToken": {"audience": "a", "serviceAccountEmail": "pusher@demo-project.iam.gserviceaccount.com"},
                "pushEndpoint": "https://receiver.example/orders",
            },
            "retainAckedMessages": true,
            "retryPolicy": {"maximumBackoff": "600s", "minimumBackoff": "10s"},
            "state": "ACTIVE",
            "topic": "projects/demo-project/topics/orders",
        })
    }

    fn checked(subscription: Value) -> Result<Subscription, ApiError> {
        from_value::<Subscription>(subscription).unwrap().checked(&Project::default())
    }

    #[test]
    fn what_is_whole_comes_back_as_it_was() {
        assert_eq!(to_value(checked(whole()).unwrap()).unwrap(), whole());
    }

    #[test]
    fn what_is_left_out_has_google_s_default() {
        let least = json!({"name": "n", "topic": "t"});
        assert_eq!(
            to_value(checked(least).unwrap()).unwrap(),
            json!({
                "name": "n",
                "topic": "t",
                "pushConfig": {},
                "ackDeadlineSeconds": 10,
                "messageRetentionDuration": "604800s",
                "expirationPolicy": {"ttl": "2678400s"},
                "state": "ACTIVE",
            })
        );
    }

    #[test]
    fn each_field_that_cannot_be_is_refused() {
        for (field, value) in [
            ("ackDeadlineSeconds", json!(9)),
            ("ackDeadlineSeconds", json!(601)),
            ("messageRetentionDuration", json!("599s")),
            ("messageRetentionDuration", json!("2678401s")),
            ("labels", json!({"Env": "test"})),
            ("expirationPolicy", json!({"ttl": "86399s"})),
            ("filter", json!("attributes.kind")),
            ("retryPolicy", json!({"minimumBackoff": "601s"})),
            ("deadLetterPolicy", json!({"deadLetterTopic": "dead"})),
            (
                "deadLetterPolicy",
                json!({"deadLetterTopic": "projects/demo-project/topics/dead", "maxDeliveryAttempts": 4}),
            ),
            ("pushConfig", json!({"pushEndpoint": "nowhere"})),
            ("enableExactlyOnceDelivery", json!(true)),
        ] {
            let mut subscription = whole();
            subscription[field] = value;
            let fault = checked(subscription).unwrap_err();
            assert_eq!(fault.http_status(), 400, "{field}");
        }
    }

    #[test]
    fn every_field_is_either_mutable_or_not() {
        let known: Vec<&str> = MUTABLE.iter().chain(&IMMUTABLE).copied().collect();
        for field in whole().as_object().unwrap().keys() {
            assert!(known.contains(&field.as_str()), "{field}");
        }
    }
}
