//! How far this machine's clock is off.

use reqwest::Method;

use crate::http::{Transport, Whither};

/// How many seconds this machine's clock is behind the one of the server at `url`, negative if it is ahead; `None` if
/// it is less than a minute, or the server does not say.
pub async fn behind_secs(url: &str) -> Option<i64> {
    let transport = Transport::default();
    let reply = transport.send(Whither::Google, Method::GET, url, |request| request).await;
    reply.ok()?.behind_secs()
}

/// How far a clock is off, such as "7 minutes behind"; negative is ahead.
pub fn off(behind_secs: i64) -> String {
    let direction = if behind_secs < 0 { "ahead of" } else { "behind" };
    match behind_secs.unsigned_abs() {
        secs if secs < 120 => format!("{secs} seconds {direction}"),
        secs if secs < 2 * 3600 => format!("{} minutes {direction}", secs / 60),
        secs => format!("{} hours {direction}", secs / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_in_words() {
        assert_eq!(off(90), "90 seconds behind");
        assert_eq!(off(-420), "7 minutes ahead of");
        assert_eq!(off(86_400), "24 hours behind");
    }
}
