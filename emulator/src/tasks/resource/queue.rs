//! `google.cloud.tasks.v2.Queue`.
//!
//! Source: `google/cloud/tasks/v2/queue.proto`, and
//! <https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues> for `httpTarget`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::http_target::HttpTarget;
use crate::{
    api::{
        error::ApiError,
        wire::{WireDuration, is_default, wire_enum},
    },
    tasks::fault,
};

/// The highest rate that a queue may have.
const MOST_PER_SECOND: f64 = 500.0;
/// The most attempts that a queue may run at once.
const MOST_CONCURRENT: i32 = 5000;
/// The smallest burst that Cloud Tasks picks.
const LEAST_BURST: i32 = 10;

wire_enum! {
    /// `Queue.State`.
    State {
        Unspecified = 0 "STATE_UNSPECIFIED",
        Running = 1 "RUNNING",
        Paused = 2 "PAUSED",
        Disabled = 3 "DISABLED",
    }
}

/// A queue and its settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct Queue {
    pub(in crate::tasks) name: String,
    /// Refused: there is no App Engine here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) app_engine_routing_override: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) http_target: Option<HttpTarget>,
    pub(in crate::tasks) rate_limits: RateLimits,
    pub(in crate::tasks) retry_config: RetryConfig,
    /// Output only.
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::tasks) state: State,
    /// Output only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) purge_time: Option<Timestamp>,
    /// Kept and shown; the history logs every attempt anyhow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) stackdriver_logging_config: Option<StackdriverLoggingConfig>,
}

/// How fast a queue dispatches. The defaults are what `gcloud tasks queues describe` prints of a new queue
/// (<https://cloud.google.com/tasks/docs/configuring-queues>).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct RateLimits {
    pub(in crate::tasks) max_dispatches_per_second: f64,
    /// Output only: it follows from the rate.
    pub(in crate::tasks) max_burst_size: i32,
    pub(in crate::tasks) max_concurrent_dispatches: i32,
}

impl Default for RateLimits {
    fn default() -> RateLimits {
        RateLimits {
            max_dispatches_per_second: MOST_PER_SECOND,
            max_burst_size: 100,
            max_concurrent_dispatches: 1000,
        }
    }
}

/// When a failed task is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct RetryConfig {
    /// The first one counted; -1 is unlimited.
    pub(in crate::tasks) max_attempts: i32,
    /// From the first attempt; zero is unlimited.
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::tasks) max_retry_duration: WireDuration,
    /// Fractions of a second are kept, as the default of 0.1 s shows, though `queue.proto` says they are cut off.
    pub(in crate::tasks) min_backoff: WireDuration,
    pub(in crate::tasks) max_backoff: WireDuration,
    pub(in crate::tasks) max_doublings: i32,
}

impl Default for RetryConfig {
    fn default() -> RetryConfig {
        RetryConfig {
            max_attempts: 100,
            max_retry_duration: WireDuration::default(),
            min_backoff: WireDuration::milliseconds(100),
            max_backoff: WireDuration::seconds(3600),
            max_doublings: 16,
        }
    }
}

/// How much Cloud Tasks logs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct StackdriverLoggingConfig {
    /// The part of all operations, 0 to 1.
    #[serde(skip_serializing_if = "is_default")]
    sampling_ratio: f64,
}

impl Queue {
    /// The queue with what was left open filled in.
    ///
    /// # Errors
    /// 400 for what cannot be, in Google's words where they are known.
    pub(in crate::tasks) fn checked(mut self) -> Result<Queue, ApiError> {
        if self.app_engine_routing_override.is_some() {
            return Err(fault::app_engine("Queue.appEngineRoutingOverride"));
        }
        if let Some(ratio) = self.stackdriver_logging_config.as_ref().map(|log| log.sampling_ratio)
            && !(0.0..=1.0).contains(&ratio)
        {
            let fault = format!("{ratio} is out of range; expected 0.0 to 1.0.");
            return Err(ApiError::invalid_field("stackdriverLoggingConfig.samplingRatio", fault));
        }
        self.rate_limits.check()?;
        self.retry_config.check()?;
        self.http_target = self.http_target.map(HttpTarget::checked).transpose()?.flatten();
        if self.state == State::Unspecified {
            self.state = State::Running;
        }
        Ok(self)
    }
}

impl RateLimits {
    fn check(&mut self) -> Result<(), ApiError> {
        let refuse = |fault: &str| Err(ApiError::invalid(format!("RateLimits.{fault}")));
        let defaults = RateLimits::default();
        // Zero is what protocol buffers send for a field that is not set.
        if self.max_dispatches_per_second == 0.0 {
            self.max_dispatches_per_second = defaults.max_dispatches_per_second;
        }
        if self.max_concurrent_dispatches == 0 {
            self.max_concurrent_dispatches = defaults.max_concurrent_dispatches;
        }
        if self.max_dispatches_per_second < 0.0 {
            return refuse("maxDispatchesPerSecond cannot be negative.");
        }
        if self.max_dispatches_per_second > MOST_PER_SECOND {
            return refuse("maxDispatchesPerSecond must be less than or equal to 500.");
        }
        if self.max_concurrent_dispatches < 0 {
            return refuse("maxConcurrentDispatches cannot be negative.");
        }
        if self.max_concurrent_dispatches > MOST_CONCURRENT {
            return refuse("maxConcurrentDispatches must be less than or equal to 5000.");
        }
        // Described queues of 0.25 and of 1 a second have 10, such of 500 have 100; a straight line joins them here.
        let burst = (self.max_dispatches_per_second / 5.0) as i32;
        self.max_burst_size = burst.max(LEAST_BURST);
        Ok(())
    }

    /// The burst as the token bucket takes it.
    pub(in crate::tasks) fn burst(&self) -> f64 {
        f64::from(self.max_burst_size)
    }

    /// The concurrency limit as a count.
    pub(in crate::tasks) fn concurrent(&self) -> u32 {
        u32::try_from(self.max_concurrent_dispatches).unwrap_or(0)
    }
}

impl RetryConfig {
    fn check(&mut self) -> Result<(), ApiError> {
        let refuse = |fault: &str| Err(ApiError::invalid(format!("RetryConfig.{fault}")));
        if self.max_attempts == 0 {
            self.max_attempts = RetryConfig::default().max_attempts;
        }
        if self.max_attempts < -1 {
            return refuse("maxAttempts must be greater or equal to -1.");
        }
        if self.max_doublings < 0 {
            return refuse("maxDoublings cannot be negative.");
        }
        if self.min_backoff > self.max_backoff {
            return refuse("minBackoff must be less than or equal to RetryConfig.maxBackoff.");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    fn checked(queue: Value) -> Result<Queue, ApiError> {
        from_value::<Queue>(queue).unwrap().checked()
    }

    #[test]
    fn a_queue_of_nothing_but_a_name_is_what_gcloud_describes() {
        let queue = checked(json!({"name": "q"})).unwrap();
        assert_eq!(
            to_value(queue).unwrap(),
            json!({
                "name": "q",
                "rateLimits": {
                    "maxBurstSize": 100,
                    "maxConcurrentDispatches": 1000,
                    "maxDispatchesPerSecond": 500.0,
                },
                "retryConfig": {
                    "maxAttempts": 100,
                    "maxBackoff": "3600s",
                    "maxDoublings": 16,
                    "minBackoff": "0.100s",
                },
                "state": "RUNNING",
            })
        );
    }

    #[test]
    fn the_burst_follows_from_the_rate_whatever_is_asked_for() {
        for (rate, burst) in [(0.25, 10), (1.0, 10), (50.0, 10), (100.0, 20), (500.0, 100)] {
            let limits = json!({"maxDispatchesPerSecond": rate, "maxBurstSize": -7});
            let queue = checked(json!({"rateLimits": limits})).unwrap();
            assert_eq!(queue.rate_limits.max_burst_size, burst);
        }
    }

    #[test]
    fn zero_is_not_set() {
        let queue = checked(json!({
            "rateLimits": {"maxDispatchesPerSecond": 0, "maxConcurrentDispatches": 0},
            "retryConfig": {"maxAttempts": 0, "maxDoublings": 0},
            "state": 2,
        }));
        let queue = queue.unwrap();
        assert_eq!(queue.rate_limits, RateLimits::default());
        assert_eq!((queue.retry_config.max_attempts, queue.retry_config.max_doublings), (100, 0));
        assert_eq!(queue.state, State::Paused);
    }

    #[test]
    fn what_cannot_be_is_refused_in_google_s_words() {
        for (spoilt, said) in [
            (
                json!({"rateLimits": {"maxDispatchesPerSecond": -1}}),
                "RateLimits.maxDispatchesPerSecond cannot be negative.",
            ),
            (
                json!({"rateLimits": {"maxDispatchesPerSecond": 500.5}}),
                "RateLimits.maxDispatchesPerSecond must be less than or equal to 500.",
            ),
            (
                json!({"rateLimits": {"maxConcurrentDispatches": -1}}),
                "RateLimits.maxConcurrentDispatches cannot be negative.",
            ),
            (
                json!({"rateLimits": {"maxConcurrentDispatches": 5001}}),
                "RateLimits.maxConcurrentDispatches must be less than or equal to 5000.",
            ),
            (
                json!({"retryConfig": {"maxAttempts": -2}}),
                "RetryConfig.maxAttempts must be greater or equal to -1.",
            ),
            (
                json!({"retryConfig": {"maxDoublings": -1}}),
                "RetryConfig.maxDoublings cannot be negative.",
            ),
            (
                json!({"retryConfig": {"minBackoff": "2s", "maxBackoff": "1s"}}),
                "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.",
            ),
            (
                json!({"stackdriverLoggingConfig": {"samplingRatio": 1.5}}),
                "stackdriverLoggingConfig.samplingRatio: 1.5 is out of range; expected 0.0 to 1.0.",
            ),
        ] {
            let fault = checked(spoilt).unwrap_err();
            assert_eq!((fault.http_status(), fault.message.as_str()), (400, said));
        }
        let fault = checked(json!({"appEngineRoutingOverride": {"service": "s"}})).unwrap_err();
        assert!(fault.message.contains("App Engine"));
    }
}
