//! Cloud Scheduler with an HTTP target.
//!
//! Source: `google/cloud/scheduler/v1/target.proto` and `job.proto`,
//! <https://cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs>.

use jiff::Timestamp;

use super::{
    Delivery, Method, Sender,
    delivery::{allowed_user_headers, header},
};

/// One run of a job. Retries of a run are the same request again, schedule time included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// `X-CloudScheduler-JobName`: the short name, as in recordings. A run started by hand may have none.
    pub job_name: Option<String>,
    /// `X-CloudScheduler-ScheduleTime`: when the run was due, RFC 3339 with any offset. As above, may be missing.
    pub schedule_time: Option<String>,
    /// The job's method.
    pub method: Method,
    /// The job's own headers; those that Google reserves are not sent.
    pub headers: Vec<(String, String)>,
    /// The job's body. Sent with POST, PUT and PATCH alone, with `Content-Type: application/octet-stream` unless
    /// [`headers`](Run::headers) has another.
    pub body: Vec<u8>,
}

impl Run {
    /// A POST without a body, due now to the second.
    pub fn new(job_name: &str) -> Run {
        Run {
            job_name: Some(job_name.to_owned()),
            schedule_time: Some(Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            method: Method::Post,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// The request of one attempt.
    pub fn delivery(&self) -> Delivery {
        let mut headers: Vec<_> = allowed_user_headers(&self.headers).collect();
        let body = if self.method.takes_body() { self.body.clone() } else { Vec::new() };
        let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !body.is_empty() && !typed {
            headers.push(header("Content-Type", "application/octet-stream"));
        }
        headers.push(header("User-Agent", "Google-Cloud-Scheduler"));
        headers.push(header("X-CloudScheduler", "true"));
        if let Some(name) = &self.job_name {
            headers.push(header("X-CloudScheduler-JobName", name));
        }
        if let Some(time) = &self.schedule_time {
            headers.push(header("X-CloudScheduler-ScheduleTime", time));
        }
        Delivery { sender: Sender::Scheduler, method: self.method, headers, body: body.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run {
            schedule_time: Some("2026-10-05T01:41:00-07:00".to_owned()),
            ..Run::new("firebase-schedule-schedOkV2-us-central1")
        }
    }

    #[test]
    fn an_empty_post_has_the_documented_headers_and_no_others() {
        let expected = [
            ("User-Agent", "Google-Cloud-Scheduler"),
            ("X-CloudScheduler", "true"),
            ("X-CloudScheduler-JobName", "firebase-schedule-schedOkV2-us-central1"),
            ("X-CloudScheduler-ScheduleTime", "2026-10-05T01:41:00-07:00"),
        ];
        let delivery = run().delivery();
        assert_eq!(delivery.headers, expected.map(|(name, value)| header(name, value)));
        assert_eq!((delivery.method.as_str(), delivery.body.len()), ("POST", 0));
    }

    #[test]
    fn a_body_goes_with_post_put_and_patch_alone() {
        let mut run = Run { body: b"{}".to_vec(), ..run() };
        let content_type = header("Content-Type", "application/octet-stream");
        for (method, sent) in [
            (Method::Put, true),
            (Method::Patch, true),
            (Method::Get, false),
            (Method::Delete, false),
        ] {
            run.method = method;
            let delivery = run.delivery();
            assert_eq!(!delivery.body.is_empty(), sent, "{method:?}");
            assert_eq!(delivery.headers.contains(&content_type), sent, "{method:?}");
        }
    }

    #[test]
    fn a_job_s_own_headers_are_sent_unless_reserved() {
        let run = Run {
            headers: [
                "X-Team",
                "Content-Type",
                "Authorization",
                "X-Google-Y",
                "x-appengine-z",
                "User-Agent",
            ]
            .map(|name| header(name, "mine"))
            .to_vec(),
            body: b"x".to_vec(),
            ..run()
        };
        let sent = run.delivery().headers;
        let mine: Vec<&str> = sent
            .iter()
            .filter(|(_, value)| value == "mine")
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(mine, ["X-Team", "Content-Type"]);
    }

    #[test]
    fn a_run_by_hand_may_lack_name_and_time() {
        let run = Run { job_name: None, schedule_time: None, ..run() };
        assert_eq!(run.delivery().headers.len(), 2);
    }
}
