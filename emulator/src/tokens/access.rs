//! Access tokens of service accounts: handed out, and known again when they come back.

use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::json;

use super::{Tokens, lock};
use crate::{
    api::error::{ApiError, Code},
    error::Error,
    google::Google,
    iam::{Principal, self_signed},
};

/// By this an access token of an account is known, even when it is not any more.
const ACCESS_TOKEN_PREFIX: &str = "ya29.c.emulator-";

/// How every JWT begins: `{"` and a letter in base64.
const JWT_START: &str = "eyJ";

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

    /// The email of the account whose access token it is, if it is one that has not ended.
    fn holder(&self, token: &str) -> Option<String> {
        let tokens = lock(&self.access_tokens);
        let (email, expires_at) = tokens.get(token)?;
        (*expires_at > Timestamp::now().as_second()).then(|| email.clone())
    }
}

impl Google {
    /// Who calls with `authorization`: whose access token it carries, or who signed the JWT that it carries. Any text
    /// that is neither, or none, is the developer's.
    ///
    /// # Errors
    /// 401 if it is an account's that has ended, or of an account that is disabled or gone: its bearer does not become
    /// the developer. So is an ID token, which is for services and not for APIs.
    pub(crate) fn principal(&self, authorization: Option<&str>) -> Result<Principal, ApiError> {
        let token = authorization.and_then(|value| value.split_once(' ')).map(|(_, token)| token);
        let token = token.unwrap_or_default().trim();
        let email = if token.starts_with(ACCESS_TOKEN_PREFIX) {
            self.tokens.holder(token).ok_or_else(|| refused("ACCESS_TOKEN_EXPIRED"))?
        } else if token.starts_with(JWT_START) {
            self_signed(self, token).ok_or_else(|| refused("ACCESS_TOKEN_TYPE_UNSUPPORTED"))?
        } else {
            return Ok(Principal::Developer);
        };
        match self.iam.account(&email) {
            Some(account) if !account.disabled => Ok(Principal::Account(email)),
            _ => Err(refused("ACCOUNT_STATE_INVALID")),
        }
    }
}

/// 401 for one of the reasons in
/// <https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto>.
fn refused(reason: &str) -> ApiError {
    ApiError {
        details: vec![json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "googleapis.com",
        })],
        ..ApiError::new(
            Code::Unauthenticated,
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other \
             valid authentication credential. See \
             https://developers.google.com/identity/sign-in/web/devconsole-project.",
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        iam::api,
        testing::{call, google},
    };

    fn bearer(google: &Google, token: &str) -> Result<Principal, ApiError> {
        google.principal(Some(&format!("Bearer {token}")))
    }

    fn reason(refused: Result<Principal, ApiError>) -> String {
        let fault = refused.unwrap_err();
        assert_eq!(fault.http_status(), 401);
        fault.details[0]["reason"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn an_access_token_is_its_account_s_until_it_ends() {
        let google = google();
        let email = google.iam.create_account("caller").unwrap().email;
        let whole = google.tokens.access_token(&email, 60).unwrap();
        assert_eq!(bearer(&google, &whole).unwrap(), Principal::Account(email.clone()));
        let ended = google.tokens.access_token(&email, 0).unwrap();
        assert_eq!(reason(bearer(&google, &ended)), "ACCESS_TOKEN_EXPIRED");
        for token in ["fake-token", "ya29.a0Af"] {
            assert_eq!(bearer(&google, token).unwrap(), Principal::Developer);
        }
        assert_eq!(google.principal(None).unwrap(), Principal::Developer);
        assert!(!format!("{:?}", google.tokens).contains("ya29"));
    }

    #[tokio::test]
    async fn an_access_token_does_not_outlive_its_account() {
        let google = google();
        let without_it = google.iam.export();
        let email = google.iam.create_account("caller").unwrap().email;
        let with_it = google.iam.export();
        let token = google.tokens.access_token(&email, 60).unwrap();
        let ask = async |method: &str, verb: &str| {
            let uri = format!("/v1/projects/-/serviceAccounts/{email}{verb}");
            api::answer(&google, &call(method, &uri, Value::Null)).await.unwrap();
            bearer(&google, &token)
        };
        assert_eq!(reason(ask("POST", ":disable").await), "ACCOUNT_STATE_INVALID");
        assert_eq!(ask("POST", ":enable").await.unwrap(), Principal::Account(email.clone()));
        google.iam.put(google.iam.read(without_it).unwrap());
        assert_eq!(reason(bearer(&google, &token)), "ACCOUNT_STATE_INVALID");
        google.iam.put(google.iam.read(with_it).unwrap());
        assert!(bearer(&google, &token).is_ok());
        assert_eq!(reason(ask("DELETE", "").await), "ACCESS_TOKEN_EXPIRED");
        google.iam.create_account("caller").unwrap();
        assert_eq!(reason(bearer(&google, &token)), "ACCESS_TOKEN_EXPIRED");
    }
}
