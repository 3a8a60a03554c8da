//! What a subscription does with messages that are not acknowledged, and when it ends itself.
//!
//! Source: `google/pubsub/v1/pubsub.proto`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::{error::ApiError, wire::WireDuration};

const LONGEST_BACKOFF: WireDuration = WireDuration::seconds(600);
const DAY_SECONDS: u64 = 86_400;

/// How long a message waits after each negative acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RetryPolicy {
    #[serde(default = "RetryPolicy::default_minimum")]
    pub(super) minimum_backoff: WireDuration,
    #[serde(default = "RetryPolicy::default_maximum")]
    pub(super) maximum_backoff: WireDuration,
}

impl RetryPolicy {
    fn default_minimum() -> WireDuration {
        WireDuration::seconds(10)
    }

    fn default_maximum() -> WireDuration {
        LONGEST_BACKOFF
    }

    /// How long a message waits after so many deliveries: the minimum, doubled each time, up to the maximum.
    pub(super) fn delay(self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        self.minimum_backoff.0.saturating_mul(1 << doublings).min(self.maximum_backoff.0)
    }

    pub(super) fn check(self) -> Result<(), ApiError> {
        let RetryPolicy { minimum_backoff, maximum_backoff } = self;
        for (field, backoff) in [
            ("subscription.retry_policy.minimum_backoff", minimum_backoff),
            ("subscription.retry_policy.maximum_backoff", maximum_backoff),
        ] {
            if backoff > LONGEST_BACKOFF {
                return Err(ApiError::invalid_field(field, "must be between 0 and 600 seconds."));
            }
        }
        if minimum_backoff > maximum_backoff {
            return Err(ApiError::invalid_field(
                "subscription.retry_policy",
                "minimum_backoff must not be longer than maximum_backoff.",
            ));
        }
        Ok(())
    }
}

/// Where messages go that are refused too often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeadLetterPolicy {
    #[serde(default)]
    pub(super) dead_letter_topic: String,
    /// 5 to 100; 0 stands for 5.
    #[serde(default)]
    pub(super) max_delivery_attempts: u32,
}

impl DeadLetterPolicy {
    /// Fills in the default.
    pub(super) fn checked(mut self) -> Result<DeadLetterPolicy, ApiError> {
        if self.max_delivery_attempts == 0 {
            self.max_delivery_attempts = 5;
        }
        if !(5..=100).contains(&self.max_delivery_attempts) {
            let given = self.max_delivery_attempts;
            return Err(ApiError::invalid_field(
                "subscription.dead_letter_policy.max_delivery_attempts",
                format!("must be between 5 and 100; {given} was given."),
            ));
        }
        Ok(self)
    }
}

/// When an unused subscription is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExpirationPolicy {
    /// `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<WireDuration>,
}

impl Default for ExpirationPolicy {
    fn default() -> ExpirationPolicy {
        ExpirationPolicy { ttl: Some(WireDuration::seconds(31 * DAY_SECONDS)) }
    }
}

impl ExpirationPolicy {
    pub(super) fn check(self) -> Result<(), ApiError> {
        match self.ttl {
            Some(ttl) if ttl < WireDuration::seconds(DAY_SECONDS) => {
                Err(ApiError::invalid(format!(
                    "The value for expiration duration is too small. You passed {}s in the request, but the minimum value is 24h.",
                    ttl.0.as_secs_f64()
                )))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn the_delay_doubles_from_the_minimum_to_the_maximum() {
        let policy: RetryPolicy = from_value(json!({})).unwrap();
        let delays: Vec<u64> = (1..=9).map(|attempt| policy.delay(attempt).as_secs()).collect();
        assert_eq!(delays, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
        assert_eq!(policy.delay(u32::MAX).as_secs(), 600);
        let none: RetryPolicy =
            from_value(json!({"minimumBackoff": "0s", "maximumBackoff": "0s"})).unwrap();
        assert_eq!(none.delay(9), Duration::ZERO);
    }

    #[test]
    fn back_offs_are_bounded_and_in_order() {
        for (policy, is_valid) in [
            (json!({"minimumBackoff": "0s", "maximumBackoff": "600s"}), true),
            (json!({"maximumBackoff": "600.001s"}), false),
            (json!({"minimumBackoff": "5s", "maximumBackoff": "4s"}), false),
        ] {
            let policy: RetryPolicy = from_value(policy).unwrap();
            assert_eq!(policy.check().is_ok(), is_valid, "{policy:?}");
        }
    }

    #[test]
    fn dead_lettering_is_after_5_to_100_attempts() {
        let attempts = |max_delivery_attempts| {
            let policy = DeadLetterPolicy { max_delivery_attempts, ..DeadLetterPolicy::default() };
            policy.checked().map(|policy| policy.max_delivery_attempts)
        };
        assert_eq!(attempts(0).unwrap(), 5);
        assert_eq!(attempts(100).unwrap(), 100);
        for wrong in [1, 4, 101] {
            assert_eq!(attempts(wrong).unwrap_err().http_status(), 400);
        }
    }

    #[test]
    fn a_subscription_lives_a_day_at_least_or_for_ever() {
        let ttl = |seconds| ExpirationPolicy { ttl: Some(WireDuration::seconds(seconds)) };
        assert!(ttl(DAY_SECONDS).check().is_ok());
        assert!(ExpirationPolicy { ttl: None }.check().is_ok());
        let fault = ttl(3600).check().unwrap_err();
        assert!(fault.message.contains("You passed 3600s"), "{}", fault.message);
    }
}
