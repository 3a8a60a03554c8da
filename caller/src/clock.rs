//! How far this machine's clock is off.

use crate::http::{Transport, Whither};

/// How many seconds this machine's clock is behind the one of the server at `url`, negative if it is ahead; `None` if
/// it is less than a minute, or the server does not say.
pub async fn behind_secs(url: &str) -> Option<i64> {
    let reply = Transport::default().send(Whither::Google, |client| client.get(url)).await;
    reply.ok()?.behind_secs()
}
