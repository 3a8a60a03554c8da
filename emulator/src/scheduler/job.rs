//! A job as the API shows it.
//!
//! Source: `google/cloud/scheduler/v1/job.proto`,
//! <https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs>.

use std::{ops::RangeInclusive, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{retry::RetryConfig, schedule::Schedule, status::Status, target::HttpTarget};
use crate::api::{
    error::ApiError,
    wire::{WireDuration, wire_enum},
};

/// What `attemptDeadline` of an HTTP target may be.
const DEADLINES: RangeInclusive<Duration> = Duration::from_secs(15)..=Duration::from_secs(1800);

/// `attemptDeadline` that was not set.
const DEFAULT_DEADLINE: WireDuration = WireDuration::seconds(180);

const MOST_DESCRIPTION_CHARACTERS: usize = 500;

const MOST_JOB_BYTES: usize = 1 << 20;

wire_enum! {
    /// `Job.State`.
    State {
        Unspecified = 0 "STATE_UNSPECIFIED",
        Enabled = 1 "ENABLED",
        Paused = 2 "PAUSED",
        Disabled = 3 "DISABLED",
        UpdateFailed = 4 "UPDATE_FAILED",
    }
}

/// `Job`. Output-only fields that a caller sends are read and ignored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Job {
    /// `projects/PROJECT/locations/LOCATION/jobs/ID`.
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) http_target: Option<HttpTarget>,
    /// Not built: setting one is refused.
    #[serde(default, skip_serializing)]
    pub(super) pubsub_target: Option<IgnoredAny>,
    /// Not built: setting one is refused.
    #[serde(default, skip_serializing)]
    pub(super) app_engine_http_target: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) schedule: String,
    #[serde(default)]
    pub(super) time_zone: String,
    #[serde(default)]
    pub(super) retry_config: RetryConfig,
    /// Set in every job that was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attempt_deadline: Option<WireDuration>,
    /// Output only, as all that follows.
    #[serde(default)]
    pub(super) state: State,
    /// When it was created or last patched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user_update_time: Option<Timestamp>,
    /// When its next attempt is due, be it a retry or by the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) schedule_time: Option<Timestamp>,
    /// When its last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_attempt_time: Option<Timestamp>,
    /// What came of its last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<Status>,
}

impl Job {
    /// Fills in Google's defaults, says whether Google would take the job, and reads its schedule.
    ///
    /// # Errors
    /// 400 that names what is wrong, or what this emulator has not.
    pub(super) fn check(&mut self) -> Result<Schedule, ApiError> {
        if self.time_zone.is_empty() {
            "Etc/UTC".clone_into(&mut self.time_zone);
        }
        let schedule = Schedule::parse(&self.schedule, &self.time_zone)?;
        let deadline = self.attempt_deadline.get_or_insert(DEFAULT_DEADLINE).0;
        if !DEADLINES.contains(&deadline) {
            return Err(ApiError::invalid_field(
                "job.attempt_deadline",
                format!("{deadline:?} is out of range; expected 15s to 1800s."),
            ));
        }
        let characters = self.description.chars().count();
        if characters > MOST_DESCRIPTION_CHARACTERS {
            return Err(ApiError::invalid_field(
                "job.description",
                format!(
                    "It has {characters} characters; the limit is {MOST_DESCRIPTION_CHARACTERS}."
                ),
            ));
        }
        self.retry_config.check()?;
        if self.pubsub_target.is_some() || self.app_engine_http_target.is_some() {
            return Err(ApiError::invalid_field(
                "job.target",
                "This emulator runs jobs with an HTTP target only; set http_target instead of a Pub/Sub or App Engine target.",
            ));
        }
        let Some(target) = &mut self.http_target else {
            return Err(ApiError::invalid_field(
                "job.http_target",
                "The job has no target; set it.",
            ));
        };
        target.check()?;
        let bytes = self.name.len() + self.description.len() + target.bytes();
        if bytes > MOST_JOB_BYTES {
            return Err(ApiError::invalid_field(
                "job",
                format!("It has about {bytes} bytes; the limit is 1 MB."),
            ));
        }
        Ok(schedule)
    }

    /// How long an attempt waits for an answer.
    pub(super) fn deadline(&self) -> Duration {
        self.attempt_deadline.unwrap_or(DEFAULT_DEADLINE).0
    }

    /// What stands behind `jobs/` in the name.
    pub(super) fn id(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    /// The body that gcloud sends, with one field of it replaced.
    fn job(field: &str, value: Value) -> Job {
        let mut whole = json!({
            "name": "projects/p/locations/l/jobs/j",
            "attemptDeadline": "60s",
            "httpTarget": {
                "httpMethod": "GET",
                "oidcToken": {"audience": "https://a.example", "serviceAccountEmail": "a@b"},
                "uri": "https://a.example/x",
            },
            "retryConfig": {
                "maxBackoffDuration": "3600s",
                "maxDoublings": 5,
                "minBackoffDuration": "5s",
                "retryCount": 3,
            },
            "schedule": "*/5 * * * *",
            "timeZone": "Etc/UTC",
        });
        whole[field] = value;
        from_value(whole).unwrap()
    }

    #[test]
    fn what_is_not_set_is_google_s_default() {
        let mut job: Job = from_value(json!({
            "name": "projects/p/locations/l/jobs/j",
            "schedule": "* * * * *",
            "httpTarget": {"uri": "https://a.example"},
        }))
        .unwrap();
        job.check().unwrap();
        assert_eq!(
            to_value(job).unwrap(),
            json!({
                "name": "projects/p/locations/l/jobs/j",
                "schedule": "* * * * *",
                "timeZone": "Etc/UTC",
                "httpTarget": {"uri": "https://a.example", "httpMethod": "POST"},
                "retryConfig": {
                    "maxRetryDuration": "0s",
                    "minBackoffDuration": "5s",
                    "maxBackoffDuration": "3600s",
                    "maxDoublings": 5,
                },
                "attemptDeadline": "180s",
                "state": "STATE_UNSPECIFIED",
            })
        );
    }

    #[test]
    fn what_google_would_not_take_is_refused() {
        assert!(job("description", json!("x".repeat(500))).check().is_ok());
        for deadline in ["15s", "1800s"] {
            assert!(job("attemptDeadline", json!(deadline)).check().is_ok());
        }
        for (field, value, said) in [
            ("attemptDeadline", json!("14.9s"), "job.attempt_deadline"),
            ("attemptDeadline", json!("1800.000000001s"), "job.attempt_deadline"),
            ("attemptDeadline", json!("0s"), "job.attempt_deadline"),
            ("description", json!("x".repeat(501)), "501 characters"),
            ("retryConfig", json!({"retryCount": 6}), "retry_count"),
            ("schedule", json!("* * * *"), "Schedule or time zone"),
            ("timeZone", json!("Mars"), "Schedule or time zone"),
            ("httpTarget", json!(null), "no target"),
            ("httpTarget", json!({"uri": "x"}), "job.http_target.uri"),
            (
                "httpTarget",
                json!({"uri": "http://x", "body": "A".repeat(1_400_000)}),
                "the limit is 1 MB",
            ),
        ] {
            let fault = job(field, value).check().unwrap_err();
            assert_eq!(fault.http_status(), 400);
            assert!(fault.message.contains(said), "{}", fault.message);
        }
        for field in ["pubsubTarget", "appEngineHttpTarget"] {
            let fault = job(field, json!({"topicName": "t"})).check().unwrap_err();
            assert!(fault.message.contains("HTTP target only"), "{field}");
        }
    }
}
