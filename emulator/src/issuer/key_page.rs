//! How the keys are handed out: Google's caching headers, and outages on demand.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use actix_web::{HttpResponse, http::StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::watch;

/// What a request for keys gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyAnswer {
    /// The keys.
    Keys,
    /// This status and no keys: the key server is down.
    Status(u16),
    /// 200 with a body of choice: a broken or hostile key server.
    Body(String),
    /// The keys, so much later; or at once what is set meanwhile: the key server is slow.
    Slow(Duration),
    /// Nothing, until another answer is set, which waiting requests then get: the key server hangs.
    Hold,
}

/// The state of the key endpoints; tests change it while it serves.
#[derive(Debug)]
pub(crate) struct KeyPage {
    pub(crate) fetches: AtomicU64,
    pub(crate) max_age_seconds: AtomicU64,
    pub(crate) age_seconds: AtomicU64,
    pub(crate) answer: watch::Sender<KeyAnswer>,
}

impl Default for KeyPage {
    /// `max-age` and `Age` as captured from Google: <https://github.com/caojen/google-oauth/issues/8>.
    fn default() -> KeyPage {
        KeyPage {
            fetches: AtomicU64::new(0),
            max_age_seconds: AtomicU64::new(21_155),
            age_seconds: AtomicU64::new(12),
            answer: watch::Sender::new(KeyAnswer::Keys),
        }
    }
}

impl KeyPage {
    /// Answers one request with `keys`, or as told otherwise.
    pub(crate) async fn respond(&self, keys: &Value) -> HttpResponse {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answer.subscribe();
        let mut answer = answers.borrow_and_update().clone();
        if let KeyAnswer::Slow(delay) = answer {
            answer = match tokio::time::timeout(delay, answers.changed()).await {
                Ok(_) => answers.borrow_and_update().clone(),
                Err(_) => KeyAnswer::Keys,
            };
        }
        if answer == KeyAnswer::Hold {
            // An error means that the sender is gone, and it lives in `self`.
            answer = match answers.wait_for(|answer| *answer != KeyAnswer::Hold).await {
                Ok(answer) => answer.clone(),
                Err(_) => KeyAnswer::Status(503),
            };
        }
        match answer {
            KeyAnswer::Keys | KeyAnswer::Slow(_) => self.cacheable(keys.to_string()),
            KeyAnswer::Body(body) => self.cacheable(body),
            KeyAnswer::Status(status) => HttpResponse::build(
                StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            )
            .finish(),
            KeyAnswer::Hold => HttpResponse::ServiceUnavailable().finish(),
        }
    }

    fn cacheable(&self, body: String) -> HttpResponse {
        let max_age_seconds = self.max_age_seconds.load(Ordering::SeqCst);
        let age_seconds = self.age_seconds.load(Ordering::SeqCst);
        let fresh_seconds = max_age_seconds.saturating_sub(age_seconds);
        HttpResponse::Ok()
            .content_type("application/json; charset=UTF-8")
            .insert_header((
                "cache-control",
                format!("public, max-age={max_age_seconds}, must-revalidate, no-transform"),
            ))
            .insert_header(("age", age_seconds.to_string()))
            .insert_header(("expires", http_date_in(fresh_seconds)))
            .body(body)
    }
}

/// RFC 9110 §5.6.7, `seconds` from now.
fn http_date_in(seconds: u64) -> String {
    let span = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    let when = Timestamp::now().saturating_add(span).unwrap_or(Timestamp::MAX);
    when.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
