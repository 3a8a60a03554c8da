//! A task that a caller asks for, checked.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};

use super::{
    fault,
    resource::{
        http_target::HttpTarget,
        task::{HttpRequest, Task},
    },
    target::Target,
};
use crate::{
    api::{
        error::ApiError,
        wire::{HttpMethod, WireDuration},
    },
    clock::after,
    senders::Method,
};

/// The default, the least and the most time for an answer (`task.proto`).
const DEADLINE: WireDuration = WireDuration::seconds(600);
const LEAST_DEADLINE: WireDuration = WireDuration::seconds(15);
const MOST_DEADLINE: WireDuration = WireDuration::seconds(1800);
/// How far ahead a task may be scheduled (<https://cloud.google.com/tasks/docs/quotas>).
const MOST_AHEAD: Duration = Duration::from_secs(720 * 3600);
/// The longest URL, in characters (`target.proto`).
const LONGEST_URL: usize = 2083;
/// All headers together are smaller than this, in bytes (`target.proto`).
const MOST_HEADERS: usize = 80 << 10;
/// The most bytes of a task. `cloudtasks.proto` says 100 KB and the quotas page 1 MB; the real service was measured to
/// take 1 MiB less 7 bytes of the task's encoded form
/// (<https://github.com/aertje/cloud-tasks-emulator/blob/main/internal/engine/tasksize.go>). Here the lengths of its
/// strings and of its body are counted, some tens of bytes less.
const MOST_BYTES: usize = (1 << 20) - 7;

/// What a task is made of, apart from its name.
#[derive(Clone, Debug)]
pub(super) struct NewTask {
    pub(super) target: Target,
    pub(super) body: Bytes,
    /// When it is due.
    pub(super) due: Timestamp,
    /// How long its target has for an answer.
    pub(super) deadline: Duration,
}

impl NewTask {
    /// Checks what a caller asked for, for a queue with such an override.
    ///
    /// The real service refuses `http://` together with a token. Here it is allowed: what is tested runs on a laptop.
    ///
    /// # Errors
    /// 400 for what cannot be, in Google's words where they are known.
    pub(super) fn checked(
        task: Task,
        over: Option<&HttpTarget>,
        now: Timestamp,
    ) -> Result<NewTask, ApiError> {
        if task.app_engine_http_request.is_some() {
            return Err(fault::app_engine("Task.appEngineHttpRequest"));
        }
        let request = task.http_request.ok_or_else(|| {
            ApiError::invalid("Task.httpRequest is not set; give it at least a url.")
        })?;
        let deadline = task.dispatch_deadline.unwrap_or(DEADLINE);
        if !(LEAST_DEADLINE..=MOST_DEADLINE).contains(&deadline) {
            return Err(ApiError::invalid("Task.dispatchDeadline must be between [15s, 30m]."));
        }
        let due = task.schedule_time.unwrap_or(now);
        if due > after(now, MOST_AHEAD) {
            return Err(ApiError::invalid(format!(
                "The Task.scheduleTime, {due}, is too far in the future. Schedule time must be no more than 720h in the future."
            )));
        }
        check_request(&request, over.is_some_and(HttpTarget::routes))?;
        if task.name.len() + size(&request) > MOST_BYTES {
            return Err(ApiError::invalid("Task size too large"));
        }
        let (target, body) = Target::new(request);
        // What is in the past is due now (`cloudtasks.proto`).
        Ok(NewTask { target, body, due: due.max(now), deadline: deadline.0 })
    }
}

fn check_request(request: &HttpRequest, is_routed: bool) -> Result<(), ApiError> {
    if !(request.url.is_empty() && is_routed) {
        check_url(&request.url)?;
    }
    check_headers(request)?;
    let method = Method::from(request.http_method);
    if !request.body.0.is_empty() && !method.takes_body() {
        let method = method.as_str();
        return Err(ApiError::invalid(format!(
            "HttpRequest.body cannot be set with {method}; use POST, PUT or PATCH, or leave the body out."
        )));
    }
    if request.oidc_token.is_some() && request.oauth_token.is_some() {
        return Err(ApiError::invalid(
            "HttpRequest.oidcToken and HttpRequest.oauthToken are both set; leave one of them out.",
        ));
    }
    let emails = [
        request.oidc_token.as_ref().map(|token| &token.service_account_email),
        request.oauth_token.as_ref().map(|token| &token.service_account_email),
    ];
    if emails.iter().flatten().any(|email| email.is_empty()) {
        return Err(ApiError::invalid(
            "The token's serviceAccountEmail is empty; name the service account that the token is of.",
        ));
    }
    Ok(())
}

fn check_url(url: &str) -> Result<(), ApiError> {
    if url.is_empty() {
        return Err(ApiError::invalid("HttpRequest.url is required."));
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(ApiError::invalid("HttpTarget.url must start with 'http://' or 'https://'."));
    }
    let characters = url.chars().count();
    if characters > LONGEST_URL {
        return Err(ApiError::invalid(format!(
            "HttpRequest.url has {characters} characters; expected at most {LONGEST_URL}."
        )));
    }
    Url::parse(url).map_err(|fault| {
        ApiError::invalid(format!("HttpRequest.url {url:?} is no URL: {fault}."))
    })?;
    Ok(())
}

fn check_headers(request: &HttpRequest) -> Result<(), ApiError> {
    let bytes: usize = request.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes >= MOST_HEADERS {
        return Err(ApiError::invalid(format!(
            "HttpRequest.headers have {bytes} bytes; expected less than {MOST_HEADERS}."
        )));
    }
    for (name, value) in &request.headers {
        if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
            return Err(ApiError::invalid(format!(
                "HttpRequest.headers: {name:?} cannot be sent; names are tokens, values have no line breaks or control characters."
            )));
        }
    }
    Ok(())
}

/// The bytes that a request counts for.
fn size(request: &HttpRequest) -> usize {
    let headers = request.headers.iter().map(|(name, value)| name.len() + value.len());
    let oidc = request.oidc_token.as_ref();
    let oidc = oidc.map_or(0, |token| token.service_account_email.len() + token.audience.len());
    let oauth = request.oauth_token.as_ref();
    let oauth = oauth.map_or(0, |token| token.service_account_email.len() + token.scope.len());
    request.url.len() + request.body.0.len() + headers.sum::<usize>() + oidc + oauth
}

/// The request of `BufferTask`: a body and a method, and no more.
pub(super) fn buffered(method: HttpMethod, body: &[u8]) -> Task {
    let body = crate::api::wire::WireBytes(Bytes::copy_from_slice(body));
    let request = HttpRequest { http_method: method, body, ..HttpRequest::default() };
    Task { http_request: Some(request), ..Task::default() }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use serde_json::{Value, from_value, json};

    use super::*;

    fn now() -> Timestamp {
        "2026-03-29T00:59:00Z".parse().unwrap()
    }

    fn whole() -> Value {
        json!({"httpRequest": {"url": "http://a/x", "body": "aGk="}})
    }

    fn checked(task: Value) -> Result<NewTask, ApiError> {
        NewTask::checked(from_value(task).unwrap(), None, now())
    }

    /// The whole with one value set.
    fn with(pointer: &str, value: Value) -> Value {
        let mut task = whole();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        task.pointer_mut(parent).unwrap()[field] = value;
        task
    }

    #[test]
    fn what_is_left_open_has_google_s_defaults() {
        let task = checked(whole()).unwrap();
        assert_eq!((task.due, task.deadline), (now(), Duration::from_secs(600)));
        assert_eq!(&task.body[..], b"hi");
    }

    #[test]
    fn a_time_in_the_past_is_now_and_thirty_days_ahead_are_allowed() {
        for (time, due) in [
            ("2020-01-01T00:00:00Z", "2026-03-29T00:59:00Z"),
            ("2026-04-28T00:59:00Z", "2026-04-28T00:59:00Z"),
        ] {
            let task = checked(with("/scheduleTime", time.into())).unwrap();
            assert_eq!(task.due.to_string(), due);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let long = |length: usize| format!("http://a/{}", "x".repeat(length));
        for (task, said) in [
            (json!({}), "Task.httpRequest is not set"),
            (json!({"appEngineHttpRequest": {}}), "Task.appEngineHttpRequest is for App Engine"),
            (with("/httpRequest/url", "".into()), "HttpRequest.url is required."),
            (
                with("/httpRequest/url", "example.com/path".into()),
                "HttpTarget.url must start with 'http://' or 'https://'.",
            ),
            (with("/httpRequest/url", "ftp://a/".into()), "HttpTarget.url must start with"),
            (with("/httpRequest/url", "http://a b/".into()), "\"http://a b/\" is no URL"),
            (with("/httpRequest/url", long(2075).into()), "has 2084 characters"),
            (with("/httpRequest/httpMethod", "GET".into()), "body cannot be set with GET"),
            (with("/httpRequest/httpMethod", 5.into()), "body cannot be set with DELETE"),
            (with("/httpRequest/headers", json!({"a b": "c"})), "\"a b\" cannot be sent"),
            (with("/httpRequest/headers", json!({"A": "b\nc"})), "\"A\" cannot be sent"),
            (with("/httpRequest/headers", json!({"A": "b".repeat(81_919)})), "have 81920 bytes"),
            (
                with("/httpRequest/oidcToken", json!({"audience": "a"})),
                "serviceAccountEmail is empty",
            ),
            (with("/dispatchDeadline", "14.999s".into()), "must be between [15s, 30m]."),
            (with("/dispatchDeadline", "1800.001s".into()), "must be between [15s, 30m]."),
            (
                with("/scheduleTime", "2026-04-28T00:59:00.000001Z".into()),
                "The Task.scheduleTime, 2026-04-28T00:59:00.000001Z, is too far in the future.",
            ),
        ] {
            let fault = checked(task).unwrap_err();
            assert!(fault.message.contains(said), "{}", fault.message);
        }
    }

    #[test]
    fn the_limits_themselves_are_allowed() {
        for task in [
            with("/httpRequest/url", format!("http://a/{}", "x".repeat(2074)).into()),
            with("/httpRequest/url", "http://example.com/%zz".into()),
            with("/httpRequest/httpMethod", "PATCH".into()),
            with("/dispatchDeadline", "15s".into()),
            with("/dispatchDeadline", "1800s".into()),
        ] {
            checked(task).unwrap();
        }
    }

    #[test]
    fn a_task_has_less_than_a_mebibyte() {
        let body = |bytes: usize| BASE64_STANDARD.encode(vec![b'x'; bytes]);
        let url = "http://a/x".len();
        checked(with("/httpRequest/body", body(MOST_BYTES - url).into())).unwrap();
        let fault = checked(with("/httpRequest/body", body(MOST_BYTES - url + 1).into()));
        assert_eq!(fault.unwrap_err().message, "Task size too large");
    }

    #[test]
    fn a_buffered_task_needs_no_url_where_the_queue_has_a_host() {
        let over = from_value(json!({"uriOverride": {"host": "a"}})).unwrap();
        let task = || buffered(HttpMethod::Put, b"hi");
        assert!(NewTask::checked(task(), Some(&over), now()).is_ok());
        let over = from_value(json!({"uriOverride": {"scheme": "HTTP"}})).unwrap();
        assert!(NewTask::checked(task(), Some(&over), now()).is_err());
    }
}
