//! A body that comes slowly.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;

/// In how many pieces the body goes out.
const PIECES: usize = 10;

/// How long each of them lets wait for itself: a second in all.
const PAUSE: Duration = Duration::from_millis(100);

/// The same bytes in pieces, with a pause before each.
pub(super) fn body(bytes: Bytes) -> Body {
    let piece_bytes = bytes.len().div_ceil(PIECES);
    Body::wrap_stream(stream::unfold(bytes, move |mut left| async move {
        if left.is_empty() {
            return None;
        }
        tokio::time::sleep(PAUSE).await;
        let piece = left.split_to(piece_bytes.min(left.len()));
        Some((Ok::<_, Infallible>(piece), left))
    }))
}
