//! Google's error envelope.

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::{Value, json};

/// The canonical codes that are answered here, with the HTTP status that each maps to.
///
/// Source: <https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidArgument,
    FailedPrecondition,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    AlreadyExists,
    /// A policy was changed since it was read: its etag is old.
    Aborted,
    Internal,
}

impl Code {
    fn on_the_wire(self) -> (u16, &'static str) {
        match self {
            Code::InvalidArgument => (400, "INVALID_ARGUMENT"),
            Code::FailedPrecondition => (400, "FAILED_PRECONDITION"),
            Code::Unauthenticated => (401, "UNAUTHENTICATED"),
            Code::PermissionDenied => (403, "PERMISSION_DENIED"),
            Code::NotFound => (404, "NOT_FOUND"),
            Code::AlreadyExists => (409, "ALREADY_EXISTS"),
            Code::Aborted => (409, "ABORTED"),
            Code::Internal => (500, "INTERNAL"),
        }
    }
}

/// Why a call was refused: `{"error": {"code", "message", "status", "details"}}`.
///
/// Shape: <https://cloud.google.com/apis/design/errors#http_mapping>.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// `google.rpc.*` messages as JSON, each with its `@type`.
    pub(crate) details: Vec<Value>,
}

impl ApiError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> ApiError {
        ApiError { code, message: message.into(), details: Vec::new() }
    }

    /// An argument that cannot be, or that this emulator does not have: not 501, which gcloud takes for an outage and
    /// tries again for half a minute.
    pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::InvalidArgument, message)
    }

    /// An argument that cannot be, naming the field in a `BadRequest` detail as Google does.
    pub(crate) fn invalid_field(field: &str, description: impl Into<String>) -> ApiError {
        let description = description.into();
        ApiError {
            details: vec![json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": field, "description": description}],
            })],
            ..ApiError::invalid(format!("{field}: {description}"))
        }
    }

    /// A resource that is not there. `what` names it, such as `Queue projects/…/queues/q`.
    pub(crate) fn not_found(what: impl std::fmt::Display) -> ApiError {
        ApiError::new(Code::NotFound, format!("{what} was not found."))
    }

    /// A resource that is there already.
    pub(crate) fn exists(what: impl std::fmt::Display) -> ApiError {
        ApiError::new(Code::AlreadyExists, format!("{what} already exists."))
    }

    /// The error as an answer.
    pub(crate) fn response(&self) -> HttpResponse {
        let (status, _) = self.code.on_the_wire();
        HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST))
            .content_type("application/json; charset=UTF-8")
            .body(self.body().to_string())
    }

    /// The HTTP status.
    pub(crate) fn http_status(&self) -> u16 {
        self.code.on_the_wire().0
    }

    fn body(&self) -> Value {
        let (code, status) = self.code.on_the_wire();
        let mut error = json!({"code": code, "message": self.message, "status": status});
        if !self.details.is_empty() {
            error["details"] = self.details.clone().into();
        }
        json!({"error": error})
    }
}

impl From<ApiError> for crate::error::Error {
    fn from(refusal: ApiError) -> crate::error::Error {
        crate::error::Error::Declined(refusal.message)
    }
}

impl From<crate::error::Error> for ApiError {
    fn from(fault: crate::error::Error) -> ApiError {
        ApiError::new(Code::Internal, fault.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_is_google_s() {
        assert_eq!(
            ApiError::not_found("Queue projects/p/locations/l/queues/q").body(),
            json!({"error": {
                "code": 404,
                "message": "Queue projects/p/locations/l/queues/q was not found.",
                "status": "NOT_FOUND",
            }})
        );
        let body = ApiError::invalid_field("job.schedule", "is no cron").body();
        assert_eq!(body["error"]["details"][0]["fieldViolations"][0]["field"], "job.schedule");
    }
}
