//! How often and when a failed run is tried again.
//!
//! Source: `RetryConfig` in `google/cloud/scheduler/v1/job.proto`,
//! <https://cloud.google.com/scheduler/docs/configuring/retry-jobs>.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::{
    error::ApiError,
    wire::{WireDuration, is_default},
};

/// The most that Google takes.
const MOST_RETRIES: u32 = 5;

/// `RetryConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct RetryConfig {
    #[serde(skip_serializing_if = "is_default")]
    retry_count: i32,
    /// From the first attempt on; zero for no limit.
    max_retry_duration: WireDuration,
    min_backoff_duration: WireDuration,
    max_backoff_duration: WireDuration,
    max_doublings: i32,
}

impl Default for RetryConfig {
    fn default() -> RetryConfig {
        RetryConfig {
            retry_count: 0,
            max_retry_duration: WireDuration::seconds(0),
            min_backoff_duration: WireDuration::seconds(5),
            max_backoff_duration: WireDuration::seconds(3600),
            max_doublings: 5,
        }
    }
}

impl RetryConfig {
    /// Whether Google would take it.
    ///
    /// # Errors
    /// 400 that names the field.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if !u32::try_from(self.retry_count).is_ok_and(|count| count <= MOST_RETRIES) {
            return Err(ApiError::invalid_field(
                "job.retry_config.retry_count",
                format!("{} is out of range; expected 0 to {MOST_RETRIES}.", self.retry_count),
            ));
        }
        if self.max_doublings < 0 {
            return Err(ApiError::invalid_field(
                "job.retry_config.max_doublings",
                format!("{} is out of range; expected 0 or more.", self.max_doublings),
            ));
        }
        if self.min_backoff_duration > self.max_backoff_duration {
            return Err(ApiError::invalid_field(
                "job.retry_config.min_backoff_duration",
                "The least backoff is above max_backoff_duration; lower the one or raise the other.",
            ));
        }
        Ok(())
    }

    /// How long to wait before another attempt after so many, all of them failed, the first of them `elapsed` ago;
    /// `None` if there is none.
    ///
    /// With both limits set it goes on until both are reached. A duration alone counts as well: only where that is
    /// zero too does a count of zero mean no retry.
    pub(super) fn delay(&self, attempts: u32, elapsed: Duration) -> Option<Duration> {
        let retries = attempts.saturating_sub(1);
        let count_left = i64::from(retries) < i64::from(self.retry_count);
        let time_left = elapsed < self.max_retry_duration.0;
        (count_left || time_left).then(|| self.backoff(retries))
    }

    /// The wait before the retry after so many: doubled `max_doublings` times, then raised by the last of these each
    /// time, never above the most.
    fn backoff(&self, retries: u32) -> Duration {
        let doublings = u32::try_from(self.max_doublings).unwrap_or(0);
        let doubled = 2_u32.saturating_pow(retries.min(doublings));
        let steps = retries.saturating_sub(doublings).saturating_add(1);
        self.min_backoff_duration
            .0
            .saturating_mul(doubled)
            .saturating_mul(steps)
            .min(self.max_backoff_duration.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn config(value: serde_json::Value) -> RetryConfig {
        from_value(value).unwrap()
    }

    #[test]
    fn what_is_not_set_is_google_s_default() {
        assert_eq!(config(json!({})), RetryConfig::default());
        assert_eq!(
            to_value(RetryConfig::default()).unwrap(),
            json!({
                "maxRetryDuration": "0s",
                "minBackoffDuration": "5s",
                "maxBackoffDuration": "3600s",
                "maxDoublings": 5,
            })
        );
    }

    #[test]
    fn the_backoff_is_that_of_google_s_own_example() {
        let config = config(json!({
            "minBackoffDuration": "10s", "maxBackoffDuration": "300s", "maxDoublings": 3,
        }));
        let seconds: Vec<u64> = (0..8).map(|retries| config.backoff(retries).as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 80, 160, 240, 300, 300]);
        assert_eq!(config.backoff(u32::MAX).as_secs(), 300, "without overflow");
    }

    #[test]
    fn without_doublings_it_grows_by_the_least() {
        let config = config(json!({"minBackoffDuration": "0.5s", "maxDoublings": 0}));
        let milliseconds: Vec<u128> =
            (0..4).map(|retries| config.backoff(retries).as_millis()).collect();
        assert_eq!(milliseconds, [500, 1000, 1500, 2000]);
    }

    #[test]
    fn it_goes_on_until_both_limits_are_reached() {
        let hour = Duration::from_secs(3600);
        for (count, duration, attempts, elapsed, again) in [
            (0, "0s", 1, NOW, false),
            (0, "3600s", 1, NOW, true),
            (0, "3600s", 40, hour, false),
            (2, "0s", 1, hour, true),
            (2, "0s", 2, hour, true),
            (2, "0s", 3, NOW, false),
            (2, "3600s", 3, NOW, true),
            (2, "3600s", 2, hour, true),
            (2, "3600s", 3, hour, false),
        ] {
            let config = config(json!({"retryCount": count, "maxRetryDuration": duration}));
            assert_eq!(
                config.delay(attempts, elapsed).is_some(),
                again,
                "{count} {duration} {attempts} {elapsed:?}"
            );
        }
    }

    #[test]
    fn what_google_would_not_take_is_refused_by_field() {
        for (value, field) in [
            (json!({"retryCount": 6}), "retry_count"),
            (json!({"retryCount": -1}), "retry_count"),
            (json!({"maxDoublings": -1}), "max_doublings"),
            (json!({"maxBackoffDuration": "4s"}), "min_backoff_duration"),
        ] {
            let fault = config(value).check().unwrap_err();
            assert!(fault.message.contains(field), "{}", fault.message);
        }
        assert!(config(json!({"retryCount": 5})).check().is_ok());
    }
}
