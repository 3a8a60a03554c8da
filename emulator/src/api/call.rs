//! One call of the control plane, taken apart.

use std::fmt;

use actix_web::{HttpRequest, http::Method, web::Bytes};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;
use crate::iam::Principal;

/// A request to one of Google's REST APIs, without the prefix that says which.
pub(crate) struct Call {
    pub(crate) method: Method,
    /// The path's segments, percent-decoded, the custom verb taken off: `["v2", "projects", "p", …, "queues", "q"]`.
    pub(crate) path: Vec<String>,
    /// What stands behind the last segment's colon: `pause` in `…/queues/q:pause`.
    pub(crate) verb: Option<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// Who calls, by its access token.
    pub(crate) principal: Principal,
    /// `Host` of the request.
    pub(crate) host: String,
}

/// Without query and body: they may hold payloads and tokens.
impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Call")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("verb", &self.verb)
            .field("principal", &self.principal)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl Call {
    /// Takes `path` (without a prefix) and the rest of the request apart.
    pub(crate) fn new(
        request: &HttpRequest,
        path: &str,
        body: Bytes,
        principal: Principal,
    ) -> Call {
        let mut segments: Vec<String> =
            path.split('/').filter(|segment| !segment.is_empty()).map(decoded).collect();
        let verb = segments.last_mut().and_then(|last| {
            let (name, verb) = last.rsplit_once(':')?;
            let verb = verb.to_owned();
            *last = name.to_owned();
            Some(verb)
        });
        Call {
            method: request.method().clone(),
            path: segments,
            verb,
            query: query(request.query_string()),
            body,
            principal,
            host: request.connection_info().host().to_owned(),
        }
    }

    /// Method, segments and verb (empty for none), to match on.
    pub(crate) fn route(&self) -> (&str, Vec<&str>, &str) {
        let segments = self.path.iter().map(String::as_str).collect();
        (self.method.as_str(), segments, self.verb.as_deref().unwrap_or_default())
    }

    /// A parameter of the query; the last one where it comes twice.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, value) = self.query.iter().rev().find(|(other, _)| other == name)?;
        Some(value)
    }

    /// A parameter that counts; 0 where it is absent or empty.
    ///
    /// # Errors
    /// 400 if it is no number, or a negative one.
    pub(crate) fn number(&self, name: &str) -> Result<usize, ApiError> {
        match self.parameter(name).unwrap_or_default() {
            "" => Ok(0),
            text => text.parse().map_err(|_| {
                let said = format!("{text:?} is not valid; expected a number, 0 or more.");
                ApiError::invalid_field(name, said)
            }),
        }
    }

    /// The body as `T`; an empty one is `{}`.
    ///
    /// # Errors
    /// 400 with the place, as Google's JSON transcoding answers.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(body).map_err(|fault| refused_json(&fault))
    }

    /// The fields that a patch is for: the query's `updateMask`, camelCase.
    pub(crate) fn update_mask(&self) -> Vec<String> {
        super::mask::paths(self.parameter("updateMask").unwrap_or_default())
    }

    /// There is no such method here.
    pub(crate) fn unknown(&self) -> ApiError {
        let verb = self.verb.as_ref().map(|verb| format!(":{verb}")).unwrap_or_default();
        let path = self.path.join("/");
        ApiError::new(
            super::error::Code::NotFound,
            format!("{} /{path}{verb} is no method that this emulator has.", self.method),
        )
    }
}

/// A JSON value as `T`, with Google's error where it is none.
pub(crate) fn from_json<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_json::from_value(value).map_err(|fault| refused_json(&fault))
}

fn refused_json(fault: &serde_json::Error) -> ApiError {
    ApiError::invalid(format!("Invalid JSON payload received. {fault}"))
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

fn query(text: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(&value.replace('+', " ")))
    };
    text.split('&').filter(|pair| !pair.is_empty()).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use super::*;

    fn call(uri: &str, body: &'static str) -> Call {
        let request = TestRequest::post().uri(uri).to_http_request();
        let path = request.path().to_owned();
        Call::new(&request, &path, Bytes::from_static(body.as_bytes()), Principal::Developer)
    }

    #[test]
    fn a_call_is_taken_apart() {
        let call = call(
            "/v2/projects/p/queues/a%20b:pause?updateMask=rate_limits.maxBurstSize,x&a=b+c",
            "",
        );
        assert_eq!(call.route(), ("POST", vec!["v2", "projects", "p", "queues", "a b"], "pause"));
        assert_eq!(call.parameter("a"), Some("b c"));
        assert_eq!(call.update_mask(), ["rateLimits.maxBurstSize", "x"]);
        assert_eq!(call.json::<Value>().unwrap(), json!({}));
    }

    #[test]
    fn a_number_is_read_from_the_query() {
        let call = call("/v2/x?a=5&b=&c=-1", "");
        assert_eq!((call.number("a").unwrap(), call.number("b").unwrap()), (5, 0));
        assert_eq!(call.number("absent").unwrap(), 0);
        assert!(call.number("c").unwrap_err().message.starts_with("c: \"-1\" is not valid"));
    }

    #[test]
    fn a_body_is_never_shown() {
        let shown = format!("{:?}", call("/v2/x?access_token=secret", "secret"));
        assert!(shown.contains("body_bytes: 6") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn json_that_cannot_be_read_is_refused_with_its_place() {
        let fault = call("/v2/x", "{\"a\":\n nul}").json::<Value>().unwrap_err();
        assert_eq!(fault.http_status(), 400);
        assert!(fault.message.ends_with("line 2 column 5"), "{}", fault.message);
    }

    #[test]
    fn an_unknown_method_is_named() {
        assert!(call("/v2/x:y", "").unknown().message.starts_with("POST /v2/x:y is no method"));
    }
}
