//! What a queue works on, and every decision about it: which task goes when, and what becomes of it.
//!
//! The decisions are functions of the time, so that they can be tested without any passing.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{
    backlog::{Backlog, Waiting},
    congestion::retry_after,
    dispatch::{Attempted, Dispatch},
    pace::{Pace, Wait},
    progress::Failure,
    resource::{
        queue::{Queue, State},
        task::{Task, View, microseconds},
    },
};
use crate::{api::wire::WireDuration, attempts::End, clock::after};

/// A task that is as old as this is deleted instead of dispatched (`cloudtasks.proto`, `CreateQueue`). The real
/// service does not wait for its turn.
const LONGEST_LIFE: Duration = Duration::from_secs(31 * 24 * 3600);

/// Settings, tasks and pace of one queue.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) settings: Queue,
    pub(super) backlog: Backlog,
    pace: Pace,
    /// Whether the queue is deleted or replaced.
    pub(super) is_closed: bool,
}

impl Work {
    /// Nothing to do yet.
    pub(super) fn new(settings: Queue, now: Timestamp) -> Work {
        let pace = Pace::new(&settings.rate_limits, now);
        Work { settings, backlog: Backlog::default(), pace, is_closed: false }
    }

    /// Goes by other settings from now on.
    pub(super) fn set(&mut self, settings: Queue, now: Timestamp) {
        if settings.rate_limits != self.settings.rate_limits {
            self.pace.change(&settings.rate_limits, now);
        }
        self.settings = settings;
    }

    /// Ends it: nothing is dispatched any more, and attempts that run come to nothing.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.backlog = Backlog::default();
    }

    /// The attempts to make now, and when there may be more unless something changes.
    pub(super) fn next(&mut self, now: Timestamp) -> (Vec<Dispatch>, Option<Timestamp>) {
        let mut dispatches = Vec::new();
        let until = loop {
            if self.settings.state != State::Running {
                break None;
            }
            let Some(first) = self.backlog.first() else { break None };
            if is_too_old(first, now) {
                let id = Arc::clone(&first.id);
                self.backlog.remove(&id, now);
                continue;
            }
            if first.due > now {
                break Some(first.due);
            }
            match self.pace.start(now) {
                Ok(()) => {}
                Err(Wait::ForAnEnd) => break None,
                Err(Wait::Until(time)) => break Some(time),
            }
            if let Some(task) = self.backlog.take_first() {
                dispatches.push(Dispatch::new(&self.settings, task, None, now));
            }
        };
        (dispatches, until)
    }

    /// Forces an attempt at a task, even if the queue is paused, has spent its rate, or the task already runs; `None`
    /// if there is no such task (`cloudtasks.proto`, `RunTask`).
    pub(super) fn run(&mut self, id: &str, now: Timestamp) -> Option<Dispatch> {
        let task = self.backlog.take(id)?;
        task.due = task.due.min(now);
        self.pace.start_anyway();
        Some(Dispatch::new(&self.settings, task, Some(now), now))
    }

    /// An attempt ended: the task is done, waits for its retry, or is given up. The answer is when it is tried again.
    ///
    /// A retry is counted from the failure; after `RunTask` from that call. A target that asked for more time with
    /// `Retry-After` gets it.
    pub(super) fn ended(
        &mut self,
        attempted: &Attempted,
        end: &End,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let Attempted { id, serial, forced_at } = attempted;
        let retry = &self.settings.retry_config;
        let max_backoff = retry.max_backoff.0;
        self.pace.ended(end, max_backoff, now);
        let task = self.backlog.attempted(id, *serial)?;
        task.in_flight = task.in_flight.saturating_sub(1);
        if end.acknowledged {
            self.backlog.remove(id, now);
            return None;
        }
        task.progress.failed(Failure::of(end), now);
        if task.in_flight > 0 {
            // A forced attempt ran beside another one; the one that ends last decides.
            return None;
        }
        let attempts = task.progress.dispatches;
        if retry.gives_up(attempts, task.progress.first_dispatch, now) {
            self.backlog.remove(id, now);
            return None;
        }
        let due = after(forced_at.unwrap_or(now), retry.backoff(attempts));
        let asked = retry_after(end, max_backoff).map(|asked| after(now, asked));
        let due = microseconds(asked.map_or(due, |asked| asked.max(due)));
        self.backlog.wait(id, due);
        Some(due)
    }

    /// A task as a caller sees it.
    pub(super) fn shown(&self, task: &Waiting, view: View) -> Task {
        let name = &self.settings.name;
        let mut request = task.target.shown(self.settings.http_target.as_ref());
        let view = if view == View::Full { View::Full } else { View::Basic };
        if view == View::Full {
            request.body.0 = task.body.clone();
        }
        let mut shown = Task {
            name: format!("{name}/tasks/{}", task.id),
            http_request: Some(request),
            schedule_time: Some(task.due),
            create_time: Timestamp::from_second(task.created.as_second()).ok(),
            dispatch_deadline: Some(WireDuration(task.deadline)),
            view,
            ..Task::default()
        };
        task.progress.show(&mut shown);
        shown
    }
}

fn is_too_old(task: &Waiting, now: Timestamp) -> bool {
    after(task.created, LONGEST_LIFE) <= now
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::{
        super::{congestion::tests::answered, new_task::NewTask},
        *,
    };
    use crate::clock::Clock;

    /// A queue on a clock of its own.
    struct Bench {
        work: Work,
        clock: Clock,
    }

    impl Bench {
        fn new(settings: Value) -> Bench {
            let clock = Clock::standing_at("2026-03-29T00:59:00Z".parse().unwrap());
            let settings = from_value::<Queue>(settings).unwrap().checked().unwrap();
            let work = Work::new(Queue { name: "q".to_owned(), ..settings }, clock.now());
            Bench { work, clock }
        }

        fn add(&mut self, id: &str, delay_seconds: u64) {
            let now = self.clock.now();
            let due = after(now, Duration::from_secs(delay_seconds));
            let task = json!({"httpRequest": {"url": "http://a/"}, "scheduleTime": due});
            let task = NewTask::checked(from_value(task).unwrap(), None, now).unwrap();
            self.work.backlog.add(id, true, task, now);
        }

        fn advance(&self, milliseconds: u64) {
            self.clock.advance(Duration::from_millis(milliseconds));
        }

        fn next(&mut self) -> Vec<Dispatch> {
            self.work.next(self.clock.now()).0
        }

        /// Milliseconds until the dispatcher looks again.
        fn waits(&mut self) -> Option<i128> {
            let now = self.clock.now();
            let (dispatches, until) = self.work.next(now);
            assert!(dispatches.is_empty());
            until.map(|until| now.duration_until(until).as_millis())
        }

        /// Ends an attempt; milliseconds until the retry.
        fn end(&mut self, dispatch: &Dispatch, end: &End) -> Option<i128> {
            let now = self.clock.now();
            let retry = self.work.ended(&dispatch.attempted, end, now);
            retry.map(|retry| now.duration_until(retry).as_millis())
        }

        fn end_with(&mut self, dispatch: &Dispatch, status: u16) -> Option<i128> {
            self.end(dispatch, &answered(status))
        }
    }

    fn header<'a>(dispatch: &'a Dispatch, name: &str) -> Option<&'a str> {
        let headers = &dispatch.order.delivery.headers;
        headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_task_goes_when_it_is_due_and_is_gone_when_it_is_done() {
        let mut bench = Bench::new(json!({}));
        bench.add("a", 2);
        assert_eq!(bench.waits(), Some(2000));
        bench.advance(2000);
        let dispatches = bench.next();
        assert_eq!(header(&dispatches[0], "X-CloudTasks-TaskETA"), Some("1774745942.000000"));
        assert_eq!(header(&dispatches[0], "X-CloudTasks-TaskPreviousResponse"), None);
        assert_eq!(bench.waits(), None);
        assert_eq!(bench.end_with(&dispatches[0], 204), None);
        assert!(bench.work.backlog.get("a").is_none());
    }

    #[test]
    fn a_retry_is_due_after_its_backoff_and_that_is_its_eta() {
        let mut bench =
            Bench::new(json!({"retryConfig": {"minBackoff": "10s", "maxDoublings": 1}}));
        bench.add("a", 0);
        let mut waits = Vec::new();
        for _ in 0..4 {
            let dispatch = bench.next().remove(0);
            bench.advance(1000);
            waits.push(bench.end_with(&dispatch, 404).unwrap());
            assert_eq!(bench.waits(), waits.last().copied());
            bench.advance(u64::try_from(*waits.last().unwrap()).unwrap());
        }
        assert_eq!(waits, [10_000, 20_000, 40_000, 60_000]);
        let dispatch = bench.next().remove(0);
        let eta = (1_774_745_940 + 4 + 130).to_string();
        assert_eq!(
            header(&dispatch, "X-CloudTasks-TaskETA"),
            Some(format!("{eta}.000000").as_str())
        );
        assert_eq!(header(&dispatch, "X-CloudTasks-TaskRetryCount"), Some("4"));
        assert_eq!(header(&dispatch, "X-CloudTasks-TaskRetryReason"), Some(""));
        assert_eq!(dispatch.order.attempt, 5);
    }

    #[test]
    fn after_a_time_out_the_retry_says_504_and_no_execution() {
        let mut bench = Bench::new(json!({}));
        bench.add("a", 0);
        let dispatch = bench.next().remove(0);
        let end = End { status: None, timed_out: true, ..answered(0) };
        assert_eq!(bench.end(&dispatch, &end), Some(100));
        bench.advance(100);
        let retry = bench.next().remove(0);
        assert_eq!(header(&retry, "X-CloudTasks-TaskPreviousResponse"), Some("504"));
        assert_eq!(header(&retry, "X-CloudTasks-TaskExecutionCount"), Some("0"));
        assert_eq!(header(&retry, "X-CloudTasks-TaskRetryCount"), Some("1"));
    }

    #[test]
    fn a_task_whose_attempts_are_spent_is_deleted_and_its_name_stays_taken() {
        let mut bench = Bench::new(json!({"retryConfig": {"maxAttempts": 2}}));
        bench.add("a", 0);
        let dispatch = bench.next().remove(0);
        assert_eq!(bench.end_with(&dispatch, 500), Some(100));
        bench.advance(100);
        let dispatch = bench.next().remove(0);
        assert_eq!(bench.end_with(&dispatch, 500), None);
        assert!(bench.work.backlog.get("a").is_none());
        assert!(bench.work.backlog.is_taken("a", bench.clock.now()));
    }

    #[test]
    fn retry_after_puts_off_the_task_and_the_whole_queue() {
        let mut bench = Bench::new(json!({}));
        bench.add("a", 0);
        let dispatch = bench.next().remove(0);
        let end = End { retry_after: Some(Duration::from_secs(30)), ..answered(429) };
        assert_eq!(bench.end(&dispatch, &end), Some(30_000));
        bench.add("b", 0);
        assert_eq!(bench.waits(), Some(30_000));
        bench.advance(30_000);
        assert_eq!(bench.next().len(), 2);
    }

    #[test]
    fn a_task_that_was_answered_503_slows_the_whole_queue() {
        let mut bench = Bench::new(json!({"rateLimits": {"maxDispatchesPerSecond": 1}}));
        bench.add("poison", 0);
        for step in 0..7 {
            bench.advance(if step == 0 { 0 } else { 100_000 });
            let dispatch = bench.next().remove(0);
            bench.end_with(&dispatch, 503);
        }
        bench.work.backlog.remove("poison", bench.clock.now());
        for id in ["a", "b"] {
            bench.add(id, 0);
        }
        bench.next();
        assert!(bench.waits().unwrap() > 60_000, "a second would do otherwise");
    }

    #[test]
    fn a_paused_queue_dispatches_nothing_unless_it_is_forced() {
        let mut bench = Bench::new(json!({"state": "PAUSED"}));
        bench.add("a", 5);
        bench.advance(9000);
        assert_eq!(bench.waits(), None);
        let now = bench.clock.now();
        let forced = bench.work.run("a", now).unwrap();
        assert_eq!(header(&forced, "X-CloudTasks-TaskETA"), Some("1774745945.000000"));
        bench.advance(40);
        assert_eq!(bench.end_with(&forced, 500), Some(60), "100 ms after the call");
        assert!(bench.work.run("nobody", now).is_none());
        let again = bench.work.run("a", bench.clock.now()).unwrap();
        assert_eq!(bench.end_with(&again, 200), None);
        assert!(bench.work.run("a", now).is_none());
    }

    #[test]
    fn a_task_can_be_forced_while_it_runs_and_is_retried_once() {
        let mut bench = Bench::new(json!({}));
        bench.add("a", 0);
        let first = bench.next().remove(0);
        let forced = bench.work.run("a", bench.clock.now()).unwrap();
        assert_eq!(header(&forced, "X-CloudTasks-TaskRetryCount"), Some("1"));
        assert_eq!(bench.end_with(&first, 404), None);
        assert_eq!(bench.waits(), None, "the forced one decides");
        assert_eq!(bench.end_with(&forced, 404), Some(200));
        bench.advance(200);
        assert_eq!(bench.next().len(), 1);
    }

    #[test]
    fn an_attempt_that_outlives_its_task_changes_nothing_but_the_pace() {
        let mut bench = Bench::new(json!({"rateLimits": {"maxConcurrentDispatches": 1}}));
        bench.add("a", 0);
        let dispatch = bench.next().remove(0);
        bench.work.backlog.purge(bench.clock.now());
        bench.add("b", 0);
        assert_eq!(bench.waits(), None, "one runs");
        assert_eq!(bench.end_with(&dispatch, 500), None);
        assert_eq!(bench.next().len(), 1);
    }

    #[test]
    fn a_task_of_31_days_is_deleted() {
        let mut bench = Bench::new(json!({"state": "PAUSED"}));
        bench.add("a", 0);
        bench.advance(31 * 24 * 3_600_000 - 1);
        bench.add("b", 0);
        bench.advance(1);
        bench.work.settings.state = State::Running;
        let dispatches = bench.next();
        assert_eq!(dispatches.len(), 1);
        assert_eq!(dispatches[0].order.invocation, "b");
        assert!(bench.work.backlog.get("a").is_none());
    }

    #[test]
    fn a_lower_rate_holds_at_once() {
        let mut bench = Bench::new(json!({}));
        for id in 0..200 {
            bench.add(&id.to_string(), 0);
        }
        assert_eq!(bench.next().len(), 100);
        let lower = json!({"rateLimits": {"maxDispatchesPerSecond": 2}});
        let lower = from_value::<Queue>(lower).unwrap().checked().unwrap();
        bench.work.set(lower, bench.clock.now());
        assert_eq!(bench.waits(), Some(500));
        bench.advance(60_000);
        assert_eq!(bench.next().len(), 10);
    }

    #[test]
    fn a_task_is_shown_with_its_body_only_in_full() {
        let mut bench = Bench::new(json!({"httpTarget": {"uriOverride": {"host": "b"}}}));
        let now = bench.clock.now();
        let task = json!({"httpRequest": {"url": "http://a/x", "body": "aGk="}});
        let task = NewTask::checked(from_value(task).unwrap(), None, now).unwrap();
        bench.work.backlog.add("t", true, task, now);
        let task = bench.work.backlog.get("t").unwrap();
        let full = bench.work.shown(task, View::Full);
        assert_eq!(
            serde_json::to_value(full).unwrap(),
            json!({
                "name": "q/tasks/t",
                "httpRequest": {
                    "url": "http://b/x",
                    "httpMethod": "POST",
                    "headers": {"User-Agent": "Google-Cloud-Tasks"},
                    "body": "aGk=",
                },
                "scheduleTime": "2026-03-29T00:59:00Z",
                "createTime": "2026-03-29T00:59:00Z",
                "dispatchDeadline": "600s",
                "view": "FULL",
            })
        );
        let basic = bench.work.shown(task, View::Unspecified);
        assert_eq!(basic.view, View::Basic);
        assert_eq!(basic.http_request.unwrap().body.0.len(), 0);
    }
}
