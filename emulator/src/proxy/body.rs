//! A request's body on its way through, never held as a whole.

use actix_web::{
    HttpRequest,
    error::PayloadError,
    http::header,
    rt,
    web::{Bytes, Payload},
};
use futures_util::{StreamExt as _, stream};
use reqwest::Body;
use tokio::sync::mpsc;

use super::MAX_BODY_BYTES;

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
enum BodyFault {
    #[error("the body is larger than 32 MiB")]
    TooLarge,
    #[error("the client's body broke off: {0}")]
    Client(String),
}

/// The body as a stream for the outgoing request; `None` if it says itself that it is too large. One that turns out
/// to be too large on the way is cut off, which the receiver sees as an incomplete body.
///
/// actix's payload belongs to its thread and the client's body may move, so a channel of a few chunks lies between.
pub(super) fn passed_on(request: &HttpRequest, mut payload: Payload) -> Option<Body> {
    let declared = request.headers().get(header::CONTENT_LENGTH);
    let declared: Option<u64> = declared.and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|bytes| bytes > MAX_BODY_BYTES) {
        return None;
    }
    let (chunks, received) = mpsc::channel::<Result<Bytes, BodyFault>>(4);
    rt::spawn(async move {
        let mut seen_bytes = 0;
        while let Some(chunk) = payload.next().await {
            let chunk = counted(chunk, &mut seen_bytes);
            let failed = chunk.is_err();
            // A closed channel means that the receiver has answered or gone without reading on.
            if chunks.send(chunk).await.is_err() || failed {
                return;
            }
        }
    });
    let stream = stream::unfold(received, |mut received| async {
        received.recv().await.map(|chunk| (chunk, received))
    });
    Some(Body::wrap_stream(stream))
}

/// Whether a request failed because its body turned out to be too large on the way.
pub(crate) fn is_too_large(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if matches!(inner.downcast_ref(), Some(BodyFault::TooLarge)) {
            return true;
        }
        cause = inner.source();
    }
    false
}

fn counted(chunk: Result<Bytes, PayloadError>, seen_bytes: &mut u64) -> Result<Bytes, BodyFault> {
    let chunk = chunk.map_err(|fault| BodyFault::Client(fault.to_string()))?;
    *seen_bytes += chunk.len() as u64;
    if *seen_bytes > MAX_BODY_BYTES { Err(BodyFault::TooLarge) } else { Ok(chunk) }
}
