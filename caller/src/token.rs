//! A token that was obtained, and for how long it serves.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use reqwest::header::HeaderValue;
use tokio::time::Instant;

use crate::{error::Error, http::Reply};

/// A token is renewed when it has less left than this, while it still serves.
const RENEW_AHEAD: Duration = Duration::from_secs(5 * 60);
/// A token that has less left than this is not sent any more: a request takes its time, and clocks differ.
const TOO_SHORT: Duration = Duration::from_secs(30);

/// An ID token or an access token. `Debug` shows no part of it.
#[derive(Clone)]
pub struct Token {
    text: String,
    header: HeaderValue,
    renew: Moment,
    end: Moment,
}

/// No token of Google's serves for longer, whatever an answer says.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// On two clocks, and past when either says so: one stands still while a machine sleeps, the other can be set.
#[derive(Clone, Copy)]
struct Moment {
    steady: Instant,
    wall: SystemTime,
}

impl Moment {
    fn after(span: Duration) -> Moment {
        Moment { steady: Instant::now() + span, wall: SystemTime::now() + span }
    }

    fn is_past(self) -> bool {
        Instant::now() >= self.steady || SystemTime::now() >= self.wall
    }
}

impl Token {
    /// A token that serves for this long from now on; what no header can carry is no token.
    pub(crate) fn new(text: &str, left: Duration) -> Option<Token> {
        let (text, left) = (text.trim().to_owned(), left.min(LONGEST));
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        // One that was short from the start is renewed at half of its time.
        let renew = left.saturating_sub(RENEW_AHEAD).max(left / 2);
        let (renew, end) = (Moment::after(renew), Moment::after(left.saturating_sub(TOO_SHORT)));
        (!text.is_empty()).then_some(Token { text, header, renew, end })
    }

    /// An ID token out of an answer. How long it serves is by the clock of who gave it, not by this machine's.
    ///
    /// # Errors
    /// [`Error::Unexpected`] if it is none.
    pub(crate) fn id_token(text: &str, reply: &Reply) -> Result<Token, Error> {
        let unexpected = || Error::Unexpected { url: reply.url.clone(), expected: "ID token" };
        let claims = oidc::decode_unverified(text.trim()).map_err(|_| unexpected())?;
        let now = reply.date.unwrap_or_else(SystemTime::now);
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let left = Duration::from_secs(claims.expires_at_unix_secs).saturating_sub(now);
        Token::new(text, left).ok_or_else(unexpected)
    }

    /// The token, for `Authorization: Bearer …` and nowhere else.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value of `Authorization`, marked as sensitive.
    pub fn header(&self) -> &HeaderValue {
        &self.header
    }

    /// Whether it can still be sent.
    pub(crate) fn serves(&self) -> bool {
        !self.end.is_past()
    }

    /// Whether it is time for the next one.
    pub(crate) fn is_due(&self) -> bool {
        self.renew.is_past()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("serves", &self.serves()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_due_before_its_end_and_sent_no_more_at_it() {
        let token = Token::new("a.b.c", Duration::from_secs(3600)).unwrap();
        for (pass_secs, is_due, serves) in [
            (0, false, true),
            (3299, false, true),
            (1, true, true),
            (269, true, true),
            (1, true, false),
        ] {
            tokio::time::advance(Duration::from_secs(pass_secs)).await;
            assert_eq!((token.is_due(), token.serves()), (is_due, serves), "{pass_secs}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_token_is_due_at_half_of_its_time() {
        let token = Token::new("a.b.c", Duration::from_secs(200)).unwrap();
        tokio::time::advance(Duration::from_secs(99)).await;
        assert!(!token.is_due());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(token.is_due() && token.serves());
    }

    #[test]
    fn no_token_serves_for_ever() {
        assert!(Token::new("a", Duration::MAX).unwrap().serves());
    }

    #[test]
    fn nothing_of_a_token_shows() {
        let token = Token::new("secret\n", Duration::from_secs(3600)).unwrap();
        assert_eq!(token.as_str(), "secret");
        let shown = format!("{token:?} {:?}", token.header());
        assert!(!shown.contains("secret"), "{shown}");
        assert!(
            Token::new("a\nb", Duration::ZERO).is_none()
                && Token::new(" ", Duration::ZERO).is_none()
        );
    }
}
