//! A job with what is going on with it: which of its runs are not over, and when the next begins. No clock and no
//! network: all that happens to it is told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    invocation::Invocation,
    job::{Job, State},
    schedule::Schedule,
    status::Status,
};
use crate::{
    api::error::{ApiError, Code},
    attempts::{End, Order},
};

/// Which run of its job; none comes twice, since the task of one that was given up may still look for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RunNumber(u64);

/// A job and its runs.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    job: Job,
    schedule: Schedule,
    /// When the schedule is due next; `None` while the job is paused, or if it never is.
    next: Option<Timestamp>,
    runs: BTreeMap<RunNumber, Invocation>,
    last_run: RunNumber,
}

/// What is exported and imported of one job.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Saved {
    job: Job,
    #[serde(default)]
    runs: Vec<Invocation>,
}

impl Saved {
    /// The job's name.
    pub(super) fn name(&self) -> &str {
        &self.job.name
    }
}

impl Kept {
    /// A job from `now` on.
    pub(super) fn new(job: Job, schedule: Schedule, now: Timestamp) -> Kept {
        let (runs, last_run) = (BTreeMap::new(), RunNumber::default());
        let mut kept = Kept { job, schedule, next: None, runs, last_run };
        kept.look_ahead(now);
        kept
    }

    /// As the API shows it.
    pub(super) fn shown(&self) -> Job {
        let retry = self.runs.values().filter_map(|run| run.next_attempt).min();
        Job { schedule_time: retry.or(self.next), ..self.job.clone() }
    }

    /// Puts a job that was patched in place of the old one. Runs that are not over go on, as the new one says; one that
    /// is due and waits for them still comes, unless the schedule is another.
    pub(super) fn replace(&mut self, job: Job, schedule: Schedule, now: Timestamp) {
        let is_rescheduled =
            job.schedule != self.job.schedule || job.time_zone != self.job.time_zone;
        self.job = job;
        self.schedule = schedule;
        if is_rescheduled {
            self.look_ahead(now);
        }
    }

    /// Nothing more is attempted by the schedule, retries included.
    ///
    /// # Errors
    /// 400 unless the job is enabled, as `PauseJob` requires.
    pub(super) fn pause(&mut self, now: Timestamp) -> Result<(), ApiError> {
        self.turn(State::Enabled, State::Paused, now)?;
        self.runs.retain(|_, run| run.by_hand || run.next_attempt.is_none());
        Ok(())
    }

    /// It goes on with the next time of its schedule.
    ///
    /// # Errors
    /// 400 unless the job is paused, as `ResumeJob` requires.
    pub(super) fn resume(&mut self, now: Timestamp) -> Result<(), ApiError> {
        self.turn(State::Paused, State::Enabled, now)
    }

    fn turn(&mut self, from: State, to: State, now: Timestamp) -> Result<(), ApiError> {
        if self.job.state != from {
            return Err(ApiError::new(
                Code::FailedPrecondition,
                format!(
                    "Job {} is {}; it must be {} for this.",
                    self.job.name,
                    self.job.state.word(),
                    from.word()
                ),
            ));
        }
        self.job.state = to;
        self.look_ahead(now);
        Ok(())
    }

    fn look_ahead(&mut self, now: Timestamp) {
        let is_enabled = self.job.state == State::Enabled;
        self.next = is_enabled.then(|| self.schedule.next_after(now)).flatten();
    }

    /// When the schedule begins a run; `None` while another is not over, since no two ever overlap.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.next.filter(|_| self.runs.is_empty())
    }

    /// Begins the run that is due, perhaps late. Those that were due after it and before `now` are left out.
    pub(super) fn begin_due(&mut self, now: Timestamp) -> Option<RunNumber> {
        let due = self.due().filter(|due| *due <= now)?;
        self.look_ahead(now);
        Some(self.add(Invocation::new(due, false, now)))
    }

    /// Begins a run at once, "even if the job is already running" (`RunJob`) or paused.
    pub(super) fn begin_by_hand(&mut self, now: Timestamp) -> RunNumber {
        self.add(Invocation::new(now, true, now))
    }

    fn add(&mut self, run: Invocation) -> RunNumber {
        self.last_run = RunNumber(self.last_run.0 + 1);
        self.runs.insert(self.last_run, run);
        self.last_run
    }

    /// The runs that are not over.
    pub(super) fn runs(&self) -> impl Iterator<Item = RunNumber> {
        self.runs.keys().copied()
    }

    /// When the run's next attempt is due; `None` if it is over.
    pub(super) fn next_attempt(&self, run: RunNumber) -> Option<Timestamp> {
        self.runs.get(&run)?.next_attempt
    }

    /// Begins an attempt of a run; `None` if it is over.
    pub(super) fn attempt(&mut self, run: RunNumber, now: Timestamp) -> Option<Order> {
        let run = self.runs.get_mut(&run)?;
        let target = self.job.http_target.as_ref()?;
        run.attempt();
        self.job.last_attempt_time = Some(now);
        let schedule_time = self.schedule.written(run.schedule_time);
        Some(Order {
            delivery: target.delivery(self.job.id(), &schedule_time),
            url: target.uri().to_owned(),
            resource: self.job.name.clone(),
            invocation: schedule_time,
            attempt: run.attempts,
            auth: target.auth(),
            deadline: self.job.deadline(),
        })
    }

    /// Takes note of an attempt that ended: when the next is due, or `None` and the run is over.
    ///
    /// Retries go on past the next time of the schedule, which is then skipped
    /// (<https://cloud.google.com/scheduler/docs/configuring/retry-jobs>). A run whose only attempt took until then
    /// delays it (`Job.schedule`).
    pub(super) fn ended(
        &mut self,
        number: RunNumber,
        end: &End,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.job.status = Some(Status::of(end));
        let run = self.runs.get_mut(&number)?;
        let goes_on = !end.acknowledged && (run.by_hand || self.job.state == State::Enabled);
        let retry = if goes_on { run.retry(&self.job.retry_config, now) } else { None };
        if retry.is_some() {
            return retry;
        }
        let was_retried = run.attempts > 1 && !run.by_hand;
        self.runs.remove(&number);
        if was_retried && self.next.is_some_and(|next| next <= now) {
            self.look_ahead(now);
        }
        None
    }

    /// All of it, to go on elsewhere.
    pub(super) fn save(&self) -> Saved {
        Saved { job: self.shown(), runs: self.runs.values().cloned().collect() }
    }

    /// Goes on with what was saved. An attempt that was under way is made again; what was due in between is not.
    ///
    /// # Errors
    /// 400 if the job cannot be.
    pub(super) fn restore(saved: Saved, now: Timestamp) -> Result<Kept, ApiError> {
        let Saved { mut job, runs } = saved;
        let schedule = job.check()?;
        let mut kept = Kept::new(job, schedule, now);
        for mut run in runs {
            run.next_attempt.get_or_insert(now);
            kept.add(run);
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{from_value, json, to_value};

    use super::*;
    use crate::history::EntryId;

    fn at(time: &str) -> Timestamp {
        format!("2026-03-01T{time}Z").parse().unwrap()
    }

    fn kept(retry_config: serde_json::Value) -> Kept {
        let mut job: Job = from_value(json!({
            "name": "projects/p/locations/l/jobs/j",
            "schedule": "* * * * *",
            "timeZone": "America/Los_Angeles",
            "attemptDeadline": "20s",
            "httpTarget": {"uri": "https://a.example/x", "oidcToken": {"serviceAccountEmail": "a@b"}},
            "retryConfig": retry_config,
            "state": "ENABLED",
        }))
        .unwrap();
        let schedule = job.check().unwrap();
        Kept::new(job, schedule, at("12:00:30"))
    }

    fn end(status: u16) -> End {
        End {
            status: Some(status),
            timed_out: false,
            acknowledged: status == 200,
            retry_after: None,
            took: Duration::ZERO,
            entry: EntryId::default(),
        }
    }

    #[test]
    fn a_run_is_due_on_the_minute_and_orders_what_the_job_says() {
        let mut kept = kept(json!({}));
        assert_eq!(kept.due(), Some(at("12:01:00")));
        assert_eq!(kept.begin_due(at("12:00:59")), None);
        let run = kept.begin_due(at("12:01:00.25")).unwrap();
        let order = kept.attempt(run, at("12:01:00.25")).unwrap();
        assert_eq!(order.invocation, "2026-03-01T04:01:00-08:00");
        assert_eq!((order.attempt, order.deadline), (1, Duration::from_secs(20)));
        assert_eq!(order.resource, "projects/p/locations/l/jobs/j");
        let headers = order.delivery.headers;
        let expected = [
            ("X-CloudScheduler-JobName", "j"),
            ("X-CloudScheduler-ScheduleTime", "2026-03-01T04:01:00-08:00"),
        ];
        for (name, value) in expected {
            assert!(headers.contains(&(name.to_owned(), value.to_owned())), "{headers:?}");
        }
        assert_eq!(kept.ended(run, &end(200), at("12:01:01")), None);
        let job = to_value(kept.shown()).unwrap();
        assert_eq!(job["lastAttemptTime"], "2026-03-01T12:01:00.25Z");
        assert_eq!(job["scheduleTime"], "2026-03-01T12:02:00Z");
        assert_eq!(job["status"], json!({}));
    }

    #[test]
    fn retries_keep_the_schedule_time_and_show_when_the_next_is_due() {
        let mut kept = kept(json!({"retryCount": 2, "minBackoffDuration": "4s"}));
        let run = kept.begin_due(at("12:01:00")).unwrap();
        let mut seen = Vec::new();
        for (attempt, retry) in [("12:01:00", "12:01:04"), ("12:01:04", "12:01:12")] {
            seen.push(kept.attempt(run, at(attempt)).unwrap().invocation);
            assert_eq!(kept.ended(run, &end(500), at(attempt)), Some(at(retry)));
            assert_eq!(kept.shown().schedule_time, Some(at(retry)));
            assert_eq!(kept.due(), None);
        }
        let last = kept.attempt(run, at("12:01:12")).unwrap();
        seen.push(last.invocation);
        assert_eq!((seen, last.attempt), (vec!["2026-03-01T04:01:00-08:00".to_owned(); 3], 3));
        assert_eq!(kept.ended(run, &end(500), at("12:01:12")), None);
        assert_eq!(to_value(kept.shown().status).unwrap(), json!({"code": 13}));
        assert_eq!(kept.due(), Some(at("12:02:00")));
    }

    #[test]
    fn a_run_that_takes_long_delays_the_next_and_leaves_out_the_rest() {
        let mut kept = kept(json!({}));
        let run = kept.begin_due(at("12:01:00")).unwrap();
        kept.attempt(run, at("12:01:00")).unwrap();
        assert_eq!(kept.due(), None);
        kept.ended(run, &end(200), at("12:04:30"));
        assert_eq!(kept.due(), Some(at("12:02:00")));
        let late = kept.begin_due(at("12:04:30")).unwrap();
        assert_eq!(
            kept.attempt(late, at("12:04:30")).unwrap().invocation,
            "2026-03-01T04:02:00-08:00"
        );
        kept.ended(late, &end(200), at("12:04:31"));
        assert_eq!(kept.due(), Some(at("12:05:00")));
    }

    #[test]
    fn a_time_that_retries_ran_through_is_skipped() {
        let mut kept = kept(json!({"retryCount": 1, "minBackoffDuration": "90s"}));
        let run = kept.begin_due(at("12:01:00")).unwrap();
        kept.attempt(run, at("12:01:00")).unwrap();
        let retry = kept.ended(run, &end(500), at("12:01:01")).unwrap();
        kept.attempt(run, retry).unwrap();
        kept.ended(run, &end(200), retry);
        assert_eq!((retry, kept.due()), (at("12:02:31"), Some(at("12:03:00"))));
    }

    #[test]
    fn a_run_by_hand_starts_beside_another_and_holds_up_the_schedule() {
        let mut kept = kept(json!({}));
        let scheduled = kept.begin_due(at("12:01:00")).unwrap();
        kept.attempt(scheduled, at("12:01:00")).unwrap();
        let by_hand = kept.begin_by_hand(at("12:01:30"));
        let order = kept.attempt(by_hand, at("12:01:30")).unwrap();
        assert_eq!(order.invocation, "2026-03-01T04:01:30-08:00");
        kept.ended(scheduled, &end(200), at("12:01:40"));
        assert_eq!(kept.due(), None);
        kept.ended(by_hand, &end(200), at("12:01:50"));
        assert_eq!(kept.due(), Some(at("12:02:00")));
    }

    #[test]
    fn a_patch_keeps_a_run_that_is_due_unless_it_is_of_the_schedule() {
        for (field, value, due) in [
            ("description", "new", "12:01:00"),
            ("schedule", "*/5 * * * *", "12:05:00"),
            ("timeZone", "Etc/UTC", "12:02:00"),
        ] {
            let mut kept = kept(json!({}));
            let in_flight = kept.begin_by_hand(at("12:00:40"));
            kept.attempt(in_flight, at("12:00:40")).unwrap();
            let mut job = to_value(kept.shown()).unwrap();
            job[field] = value.into();
            let mut job: Job = from_value(job).unwrap();
            let schedule = job.check().unwrap();
            kept.replace(job, schedule, at("12:01:30"));
            kept.ended(in_flight, &end(200), at("12:01:40"));
            assert_eq!(kept.due(), Some(at(due)), "{field}");
        }
    }

    #[test]
    fn a_paused_job_makes_no_attempt_but_by_hand_and_resumes_with_the_next_time() {
        let mut kept = kept(json!({"retryCount": 5}));
        let scheduled = kept.begin_due(at("12:01:00")).unwrap();
        kept.attempt(scheduled, at("12:01:00")).unwrap();
        kept.ended(scheduled, &end(500), at("12:01:00"));
        kept.pause(at("12:01:01")).unwrap();
        assert_eq!((kept.due(), kept.next_attempt(scheduled)), (None, None));
        assert!(kept.attempt(scheduled, at("12:01:05")).is_none());
        let by_hand = kept.begin_by_hand(at("12:01:10"));
        assert_ne!(by_hand, scheduled);
        kept.attempt(by_hand, at("12:01:10")).unwrap();
        assert!(kept.ended(by_hand, &end(500), at("12:01:10")).is_some());
        kept.attempt(by_hand, at("12:01:15")).unwrap();
        kept.ended(by_hand, &end(200), at("12:01:15"));
        kept.resume(at("12:05:30")).unwrap();
        assert_eq!(kept.due(), Some(at("12:06:00")));
    }

    #[test]
    fn an_attempt_that_was_under_way_when_the_job_was_paused_is_the_last() {
        let mut kept = kept(json!({"retryCount": 5}));
        let run = kept.begin_due(at("12:01:00")).unwrap();
        kept.attempt(run, at("12:01:00")).unwrap();
        kept.pause(at("12:01:01")).unwrap();
        assert_eq!(kept.ended(run, &end(500), at("12:01:02")), None);
    }

    #[test]
    fn only_an_enabled_job_is_paused_and_only_a_paused_one_resumed() {
        let mut kept = kept(json!({}));
        let fault = kept.resume(at("12:00:31")).unwrap_err();
        assert_eq!(fault.code, Code::FailedPrecondition);
        assert!(fault.message.contains("is ENABLED; it must be PAUSED"), "{}", fault.message);
        kept.pause(at("12:00:31")).unwrap();
        assert_eq!(kept.pause(at("12:00:32")).unwrap_err().code, Code::FailedPrecondition);
        assert_eq!(to_value(kept.shown()).unwrap()["state"], "PAUSED");
    }

    #[test]
    fn what_is_saved_goes_on_with_its_retries() {
        let mut kept = kept(json!({"retryCount": 2}));
        let run = kept.begin_due(at("12:01:00")).unwrap();
        kept.attempt(run, at("12:01:00")).unwrap();
        kept.ended(run, &end(500), at("12:01:00"));
        let saved = from_value(to_value(kept.save()).unwrap()).unwrap();
        let mut restored = Kept::restore(saved, at("12:03:30")).unwrap();
        let run = restored.runs().next().unwrap();
        assert_eq!(restored.next_attempt(run), Some(at("12:01:05")));
        let order = restored.attempt(run, at("12:03:30")).unwrap();
        assert_eq!((order.attempt, order.invocation.as_str()), (2, "2026-03-01T04:01:00-08:00"));
        restored.ended(run, &end(200), at("12:03:31"));
        assert_eq!(restored.due(), Some(at("12:04:00")));
    }

    #[test]
    fn attempts_stay_at_the_most_that_can_be_counted() {
        let mut kept = kept(json!({}));
        kept.begin_by_hand(at("12:00:40"));
        let mut saved = to_value(kept.save()).unwrap();
        saved["runs"][0]["attempts"] = u32::MAX.into();
        let mut restored = Kept::restore(from_value(saved).unwrap(), at("12:00:41")).unwrap();
        let run = restored.runs().next().unwrap();
        assert_eq!(restored.attempt(run, at("12:00:41")).unwrap().attempt, u32::MAX);
        assert_eq!(restored.ended(run, &end(500), at("12:00:41")), None);
    }
}
