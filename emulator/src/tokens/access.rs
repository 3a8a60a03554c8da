//! Access tokens of service accounts: handed out, and known again when they come back.

use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::json;

use super::{Tokens, lock};
use crate::{
    api::error::{ApiError, Code},
    error::Error,
    iam::Principal,
};

/// By this an access token of an account is known, even when it is not any more; what else there is, is the developer's.
const ACCESS_TOKEN_PREFIX: &str = "ya29.c.emulator-";

impl Tokens {
    /// A fresh access token of the account, good for so many seconds here.
    ///
    /// # Errors
    /// [`Error::Crypto`] if the random source fails.
    pub(crate) fn access_token(&self, email: &str, lifetime_seconds: i64) -> Result<String, Error> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| Error::Crypto("make an access token"))?;
        let token = format!("{ACCESS_TOKEN_PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let now = Timestamp::now().as_second();
        let mut tokens = lock(&self.access_tokens);
        tokens.retain(|_, (_, expires_at)| *expires_at > now);
        tokens.insert(token.clone(), (email.to_owned(), now + lifetime_seconds));
        Ok(token)
    }

    /// Whose access token `authorization` carries. Any text that is not an account's, or none, is the developer's.
    ///
    /// # Errors
    /// 401 if it is an account's that has ended: its bearer does not become the developer by waiting.
    pub(crate) fn principal(&self, authorization: Option<&str>) -> Result<Principal, ApiError> {
        let token = authorization.and_then(|value| value.split_once(' ')).map(|(_, token)| token);
        let Some(token) = token.filter(|token| token.starts_with(ACCESS_TOKEN_PREFIX)) else {
            return Ok(Principal::Developer);
        };
        match lock(&self.access_tokens).get(token) {
            Some((email, expires_at)) if *expires_at > Timestamp::now().as_second() => {
                Ok(Principal::Account(email.clone()))
            }
            _ => Err(ApiError {
                details: vec![json!({
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "ACCESS_TOKEN_EXPIRED",
                    "domain": "googleapis.com",
                })],
                ..ApiError::new(
                    Code::Unauthenticated,
                    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or \
                     other valid authentication credential. See \
                     https://developers.google.com/identity/sign-in/web/devconsole-project.",
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_token_is_its_account_s_until_it_ends() {
        let tokens = Tokens::default();
        let bearer = |token: &str| tokens.principal(Some(&format!("Bearer {token}")));
        let whole = tokens.access_token("a@b", 60).unwrap();
        assert_eq!(bearer(&whole).unwrap(), Principal::Account("a@b".to_owned()));
        let ended = tokens.access_token("a@b", 0).unwrap();
        assert_eq!(bearer(&ended).unwrap_err().http_status(), 401);
        for token in ["fake-token", "ya29.a0Af"] {
            assert_eq!(bearer(token).unwrap(), Principal::Developer);
        }
        assert_eq!(tokens.principal(None).unwrap(), Principal::Developer);
        assert!(!format!("{tokens:?}").contains("ya29"));
    }
}
