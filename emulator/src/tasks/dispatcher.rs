//! What sets a queue going: one loop for each queue, one spawned future for each attempt, and no timer for any task.

use std::sync::Arc;

use super::{dispatch::Dispatch, live_queue::LiveQueue};
use crate::google::Google;

/// Dispatches the queue's tasks until it is closed.
pub(super) async fn run(google: Arc<Google>, queue: Arc<LiveQueue>) {
    loop {
        let (dispatches, until) = {
            let mut work = queue.work();
            if work.is_closed {
                return;
            }
            work.next(google.clock.now())
        };
        for dispatch in dispatches {
            start(&google, &queue, dispatch);
        }
        match until {
            None => queue.changed().await,
            Some(time) => tokio::select! {
                () = queue.changed() => {}
                () = google.clock.until(time) => {}
            },
        }
    }
}

/// Sets one attempt going, and what follows from its end.
pub(super) fn start(google: &Arc<Google>, queue: &Arc<LiveQueue>, dispatch: Dispatch) {
    let (google, queue) = (Arc::clone(google), Arc::clone(queue));
    let Dispatch { order, attempted } = dispatch;
    google.clone().spawn(async move {
        let end = google.attempt(order).await;
        let now = google.clock.now();
        let retry = queue.change(|work| work.ended(&attempted, &end, now));
        google.history.will_retry(end.entry, retry);
    });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::bench::{Arrival, Bench, QUEUE, QUEUES};

    /// What Cloud Tasks says of an attempt.
    fn said(arrival: &Arrival) -> [Option<&str>; 4] {
        ["retrycount", "executioncount", "previousresponse", "retryreason"]
            .map(|name| arrival.header(&format!("x-cloudtasks-task{name}")))
    }

    #[tokio::test]
    async fn attempts_carry_the_headers_of_the_recorded_sequence() {
        let bench = Bench::new().await;
        bench.queue(json!({"retryConfig": {"minBackoff": "0s", "maxBackoff": "0s"}})).await;
        bench.task("order").await.unwrap();
        for (expected, status) in [
            ([Some("0"), Some("0"), None, None], 503),
            ([Some("1"), Some("0"), Some("503"), Some("")], 404),
            ([Some("2"), Some("1"), Some("404"), Some("")], 429),
            ([Some("3"), Some("2"), Some("429"), Some("")], 500),
            ([Some("4"), Some("2"), Some("500"), Some("")], 302),
            ([Some("5"), Some("3"), Some("302"), Some("")], 200),
        ] {
            let arrival = bench.target.next().await;
            assert_eq!(said(&arrival), expected);
            assert_eq!(arrival.header("user-agent"), Some("Google-Cloud-Tasks"));
            assert_eq!(arrival.header("x-cloudtasks-queuename"), Some("q"));
            assert_eq!(arrival.header("x-cloudtasks-taskname"), Some("order"));
            assert_eq!(arrival.header("x-cloudtasks-tasketa"), Some("1774745940.000000"));
            assert_eq!(arrival.header("content-type"), None);
            arrival.answer(status);
        }
        bench.until(<[Value]>::is_empty).await;
    }

    #[tokio::test]
    async fn a_task_is_delivered_as_it_was_asked_for_and_retried_when_its_back_off_is_over() {
        let bench = Bench::new().await;
        bench.queue(json!({"retryConfig": {"minBackoff": "10s"}})).await;
        let request = json!({
            "url": format!("{}/a%20b?c=d", bench.target.url),
            "httpMethod": 4,
            "headers": {"Content-Type": "text/plain"},
            "body": "aGk=",
        });
        let task =
            json!({"task": {"httpRequest": request, "scheduleTime": "2026-03-29T01:00:00.25Z"}});
        bench.call("POST", &format!("{QUEUES}/q/tasks"), task).await.unwrap();
        bench.advance(60_250);
        let arrival = bench.target.next().await;
        assert_eq!((arrival.method.as_str(), arrival.path.as_str()), ("PUT", "/a%20b?c=d"));
        assert_eq!(arrival.header("content-type"), Some("text/plain"));
        assert_eq!(arrival.header("x-cloudtasks-tasketa"), Some("1774746000.250000"));
        assert_eq!(&arrival.body[..], b"hi");
        arrival.answer(500);
        bench.until(|tasks| tasks[0]["responseCount"] == 1).await;
        let task = &bench.tasks().await[0];
        assert_eq!(task["scheduleTime"], "2026-03-29T01:00:10.25Z");
        assert_eq!(
            task["lastAttempt"]["responseStatus"]["message"],
            "INTERNAL(13): HTTP status code 500"
        );
        bench.advance(10_000);
        let arrival = bench.target.next().await;
        assert_eq!(arrival.header("x-cloudtasks-tasketa"), Some("1774746010.250000"));
        arrival.answer(204);
        bench.until(<[Value]>::is_empty).await;
    }

    #[tokio::test]
    async fn rate_and_burst_are_kept() {
        let bench = Bench::new().await;
        bench.queue(json!({"rateLimits": {"maxDispatchesPerSecond": 5}})).await;
        for _ in 0..15 {
            bench.task("").await.unwrap();
        }
        for (wait, dispatched, left) in [(0, 10, 5), (200, 1, 4), (400, 2, 2), (5000, 2, 0)] {
            bench.advance(wait);
            for _ in 0..dispatched {
                bench.target.next().await.answer(200);
            }
            assert_eq!(bench.waiting().await, left, "{wait} ms later");
        }
    }

    #[tokio::test]
    async fn no_more_attempts_run_at_once_than_the_queue_allows() {
        let bench = Bench::new().await;
        bench.queue(json!({"rateLimits": {"maxConcurrentDispatches": 2}})).await;
        for _ in 0..3 {
            bench.task("").await.unwrap();
        }
        let (first, second) = (bench.target.next().await, bench.target.next().await);
        assert_eq!(bench.waiting().await, 1);
        first.answer(200);
        let third = bench.target.next().await;
        assert_eq!(bench.waiting().await, 0);
        for arrival in [second, third] {
            arrival.answer(200);
        }
        bench.until(<[Value]>::is_empty).await;
    }

    #[tokio::test]
    async fn a_paused_queue_waits_and_a_forced_task_does_not() {
        let bench = Bench::new().await;
        bench.queue(json!({})).await;
        let verb = |verb: &str| format!("{QUEUES}/q:{verb}");
        let queue = bench.call("POST", &verb("pause"), json!({})).await.unwrap();
        assert_eq!(queue["state"], "PAUSED");
        for id in ["a", "b"] {
            bench.task(id).await.unwrap();
        }
        let run = format!("{QUEUES}/q/tasks/b:run");
        let task = bench.call("POST", &run, json!({"responseView": "FULL"})).await.unwrap();
        assert_eq!((&task["dispatchCount"], &task["view"]), (&json!(1), &json!("FULL")));
        let forced = bench.target.next().await;
        assert_eq!(forced.header("x-cloudtasks-taskname"), Some("b"));
        forced.answer(200);
        bench.until(|tasks| tasks.len() == 1).await;
        assert_eq!(bench.waiting().await, 1);
        let fault = bench.call("POST", &run, json!({})).await.unwrap_err();
        assert_eq!(fault.http_status(), 404);
        let queue = bench.call("POST", &verb("resume"), json!({})).await.unwrap();
        assert_eq!(queue["state"], "RUNNING");
        assert_eq!(bench.target.next().await.header("x-cloudtasks-taskname"), Some("a"));
    }

    #[tokio::test]
    async fn a_purged_task_is_not_retried() {
        let bench = Bench::new().await;
        bench.queue(json!({})).await;
        bench.task("running").await.unwrap();
        let running = bench.target.next().await;
        let purged = bench.call("POST", &format!("{QUEUES}/q:purge"), json!({})).await.unwrap();
        assert_eq!(purged["purgeTime"], "2026-03-29T00:59:00Z");
        assert_eq!(bench.tasks().await.len(), 0);
        running.answer(500);
        bench.advance(3_600_000);
        bench.task("next").await.unwrap();
        assert_eq!(bench.target.next().await.header("x-cloudtasks-taskname"), Some("next"));
    }

    #[tokio::test]
    async fn a_queue_s_override_goes_for_tasks_that_wait_already() {
        let bench = Bench::new().await;
        bench.queue(json!({})).await;
        let task = json!({"httpRequest": {"url": "https://elsewhere.example/x?y"},
            "scheduleTime": "2026-03-29T01:00:00Z"});
        bench.call("POST", &format!("{QUEUES}/q/tasks"), json!({"task": task})).await.unwrap();
        let port = bench.target.url.rsplit(':').next().unwrap();
        let uri = json!({"scheme": "HTTP", "host": "127.0.0.1", "port": port});
        let patch = format!("{QUEUES}/q?updateMask=httpTarget.uriOverride");
        bench.call("PATCH", &patch, json!({"httpTarget": {"uriOverride": uri}})).await.unwrap();
        bench.advance(60_000);
        assert_eq!(bench.target.next().await.path, "/x?y");
    }

    #[tokio::test]
    async fn what_was_exported_goes_on_where_it_is_imported() {
        let (bench, other) = (Bench::new().await, Bench::new().await);
        bench.queue(json!({"state": "RUNNING"})).await;
        bench.task("done").await.unwrap();
        bench.target.next().await.answer(200);
        bench.until(<[Value]>::is_empty).await;
        bench.task("failed").await.unwrap();
        bench.target.next().await.answer(404);
        bench.until(|tasks| tasks[0]["responseCount"] == 1).await;
        let saved = bench.google.tasks.export();
        crate::tasks::Tasks::import(&other.google, saved.clone()).unwrap();
        assert_eq!(other.google.tasks.export(), saved);
        assert_eq!(other.tasks().await, bench.tasks().await);
        assert_eq!(other.task("done").await.unwrap_err().http_status(), 409);
        other.advance(100);
        let arrival = bench.target.next().await;
        assert_eq!(said(&arrival), [Some("1"), Some("1"), Some("404"), Some("")]);
        arrival.answer(200);
        other.until(<[Value]>::is_empty).await;
        let fault = crate::tasks::Tasks::import(&other.google, json!({"queues": 1})).unwrap_err();
        assert_eq!(fault.http_status(), 400);
        assert!(other.google.tasks.queue(QUEUE).is_ok(), "nothing was replaced");
    }
}
