//! Request bodies: within their route's limit, within the memory that all requests share, and in time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest,
    dev::Payload,
    http::header::{CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout_at,
};

use crate::outcome::Outcome;

/// The longest that a body may take: Google's senders send theirs at once.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest body that is read only to keep its connection usable. Above it, or without a length, the
/// connection is closed instead: reconnecting is cheaper.
const DISCARD_LIMIT_BYTES: usize = 64 * 1024;

/// The longest that such reading may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// The bytes that all requests may buffer together.
pub(crate) struct BodyMemory(Arc<Semaphore>);

/// Bytes set aside for one body, given back when dropped.
#[derive(Default)]
pub(crate) struct Reservation(Option<OwnedSemaphorePermit>);

impl BodyMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Sets `bytes` more aside, all or none.
    fn reserve(&self, reservation: &mut Reservation, bytes: usize) -> Result<(), Outcome> {
        const USED_UP: Outcome = Outcome::Overloaded("the memory for request bodies is used up");
        if bytes == 0 {
            return Ok(());
        }
        let bytes = u32::try_from(bytes).map_err(|_| USED_UP)?;
        let permit = Arc::clone(&self.0).try_acquire_many_owned(bytes).map_err(|_| USED_UP)?;
        match &mut reservation.0 {
            Some(held) => held.merge(permit),
            held => *held = Some(permit),
        }
        Ok(())
    }
}

/// Reads a whole body.
///
/// # Errors
///
/// [`Outcome::TooLarge`], [`Outcome::Incomplete`] or [`Outcome::Overloaded`]; then `payload` still holds what
/// is unread.
pub(crate) async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    limit_bytes: usize,
    memory: &BodyMemory,
    deadline: Instant,
) -> Result<(Bytes, Reservation), Outcome> {
    let declared = content_length(request);
    if declared.is_some_and(|bytes| bytes > limit_bytes) {
        return Err(Outcome::TooLarge(limit_bytes));
    }
    let mut reservation = Reservation::default();
    memory.reserve(&mut reservation, declared.unwrap_or(0))?;
    let mut reserved_bytes = declared.unwrap_or(0);

    let until = deadline.min(Instant::now() + BODY_TIMEOUT).into();
    let mut body = Body::default();
    loop {
        match timeout_at(until, payload.next()).await {
            Err(_) => return Err(Outcome::Incomplete("the body came too slowly".to_owned())),
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                return Err(Outcome::Incomplete(format!("the body was cut short: {error}")));
            }
            Ok(Some(Ok(chunk))) => {
                let bytes = body.len() + chunk.len();
                if bytes > limit_bytes {
                    return Err(Outcome::TooLarge(limit_bytes));
                }
                memory.reserve(&mut reservation, bytes.saturating_sub(reserved_bytes))?;
                reserved_bytes = reserved_bytes.max(bytes);
                body.push(chunk, declared.unwrap_or(0));
            }
        }
    }
    *payload = Payload::None;
    Ok((body.into_bytes(), reservation))
}

/// Reads a body that nobody wants, so that its connection stays usable; says whether it is.
pub(crate) async fn discard(request: &HttpRequest, mut payload: Payload) -> bool {
    if matches!(payload, Payload::None) {
        return true;
    }
    let is_small = content_length(request).is_some_and(|bytes| bytes <= DISCARD_LIMIT_BYTES);
    let headers = request.headers();
    // Who waits for "100 Continue" is spared sending the body at all.
    if !is_small || headers.contains_key(TRANSFER_ENCODING) || headers.contains_key(EXPECT) {
        return false;
    }
    let rest = async {
        while let Some(chunk) = payload.next().await {
            if chunk.is_err() {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(DISCARD_TIMEOUT, rest).await.unwrap_or(false)
}

fn content_length(request: &HttpRequest) -> Option<usize> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body that is copied only where it comes in more than one piece.
#[derive(Default)]
struct Body {
    first: Bytes,
    all: BytesMut,
}

impl Body {
    fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    fn push(&mut self, chunk: Bytes, expected_bytes: usize) {
        if self.len() == 0 {
            self.first = chunk;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve(expected_bytes.max(self.first.len() + chunk.len()));
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&chunk);
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}
