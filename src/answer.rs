//! The response of an outcome: a bare success, or problem details
//! (<https://www.rfc-editor.org/rfc/rfc9457>).

use actix_web::{
    HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        StatusCode,
        header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use oidc::{Kind, Reason};
use serde::Serialize;

use crate::{
    body,
    dispatch::Route,
    outcome::{Answering, Missing, Outcome, Reasoning},
    record::Attempt,
};

#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Answers an attempt. What is left of a small body is read first, so that its connection stays usable;
/// while draining, connections are closed anyway.
pub(crate) async fn answer(
    route: &Route,
    attempt: &Attempt,
    request: &HttpRequest,
    payload: Payload,
    outcome: &Outcome,
) -> HttpResponse {
    let keep_alive = !route.is_draining() && body::discard(request, payload).await;
    respond(outcome, attempt.answering(), keep_alive)
}

/// The response of `outcome`. Without `keep_alive` it closes the connection: an unread body would be taken
/// for the next request.
fn respond(outcome: &Outcome, answering: Answering, keep_alive: bool) -> HttpResponse {
    let status = outcome.status(answering);
    let mut response = HttpResponse::build(status);
    if !keep_alive {
        response.force_close();
    }
    if let Some(seconds) = outcome.retry_after_secs(answering.sender) {
        response.insert_header((RETRY_AFTER, seconds.to_string()));
    }
    match outcome {
        Outcome::Refused(reason) if reason.kind() == Kind::Unauthenticated => {
            response.insert_header((WWW_AUTHENTICATE, challenge(*reason)));
        }
        Outcome::NoSuchJob(Missing::Method) => {
            let methods: Vec<&str> =
                answering.sender.methods().iter().map(|method| method.as_str()).collect();
            response.insert_header((ALLOW, methods.join(", ")));
        }
        _ => {}
    }
    if status.is_success() {
        return response.finish();
    }
    response.insert_header((CONTENT_TYPE, "application/problem+json"));
    response.body(problem(outcome, status))
}

/// Without a token there is nothing to call invalid
/// (<https://www.rfc-editor.org/rfc/rfc6750#section-3.1>).
fn challenge(reason: Reason) -> &'static str {
    match reason {
        Reason::Missing => "Bearer",
        _ => "Bearer error=\"invalid_token\"",
    }
}

fn problem(outcome: &Outcome, status: StatusCode) -> Vec<u8> {
    let (reason, detail) = match outcome.reason() {
        Some(Reasoning::Guard(reason)) => (Some(reason.as_str()), Some(reason.remedy().to_owned())),
        // A job's reason may name anything; it stands in the record.
        Some(Reasoning::Job(_)) | None => (None, None),
        Some(reasoning) => (None, Some(reasoning.to_string())),
    };
    let problem = Problem {
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        outcome: outcome.as_str(),
        reason,
        detail,
    };
    serde_json::to_vec(&problem).unwrap_or_default()
}
