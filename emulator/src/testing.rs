//! What the tests of the control plane start from: Google's side without a server, and one call to it.

use std::{fmt::Debug, sync::Arc};

use actix_web::test::TestRequest;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde_json::Value;
use tokio::runtime::Handle;

use crate::{
    Options,
    api::{
        call::Call,
        error::{ApiError, Code},
    },
    google::Google,
    iam::Principal,
    issuer::Authority,
};

/// Google's side, as it is at the start.
pub(crate) fn google() -> Arc<Google> {
    google_with(Options::default())
}

/// The same, started otherwise.
pub(crate) fn google_with(options: Options) -> Arc<Google> {
    let url = "http://127.0.0.1:8800".to_owned();
    let authority = Authority::new(url.clone(), url.clone()).unwrap();
    Arc::new(Google::new(options, url, Arc::new(authority), Handle::current()).unwrap())
}

/// A call of the developer's; `uri` is without a prefix, and `null` is no body.
pub(crate) fn call(method: &str, uri: &str, body: Value) -> Call {
    call_as(Principal::Developer, method, uri, body)
}

/// The same by whom you like.
pub(crate) fn call_as(principal: Principal, method: &str, uri: &str, body: Value) -> Call {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    raw_call(principal, method, uri, body.into())
}

/// The same with any bytes as the body.
pub(crate) fn raw_call(principal: Principal, method: &str, uri: &str, body: Bytes) -> Call {
    let request = TestRequest::default().method(method.parse().unwrap()).uri(uri).to_http_request();
    Call::new(&request, request.path(), body, principal)
}

/// Holds that what `whole` asks for is granted, and none of it with the value behind one of these JSON pointers another.
pub(crate) fn refuses_each<T: Debug>(
    whole: &Value,
    spoilt: &[(&str, Value)],
    ask: impl Fn(Value) -> Result<T, ApiError>,
) {
    for (pointer, value) in spoilt {
        let mut one = whole.clone();
        *one.pointer_mut(pointer).unwrap() = value.clone();
        assert_eq!(ask(one).unwrap_err().code, Code::InvalidArgument, "{pointer}");
    }
    ask(whole.clone()).unwrap();
}

/// The claims of a token, its signature unchecked.
pub(crate) fn claims(token: &Value) -> Value {
    let claims = token.as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}
