//! Tokens that senders and callers of the API hold: ID tokens for deliveries, and access tokens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    account::Account,
    api::error::{ApiError, Code},
    error::Error,
    google::Google,
    iam::Principal,
    senders::Sender,
    token::{IdToken, LIFETIME_SECONDS},
};

/// A token is replaced when it has fewer seconds left than this.
const RENEW_BEFORE_SECONDS: i64 = 300;

/// How many ID tokens are held at most: a task may name an audience that no other has.
const MOST_HELD: usize = 1024;

/// By this an access token of an account is known, even when it is not any more; what else there is, is the developer's.
const ACCESS_TOKEN_PREFIX: &str = "ya29.c.emulator-";

/// `oidcToken` of a job, task or subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OidcToken {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) service_account_email: String,
    /// Empty means the default of the sender.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) audience: String,
}

/// `oauthToken` of a job or task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct OAuthToken {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) service_account_email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) scope: String,
}

/// How a sender proves itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    /// An ID token of the account for the audience.
    Oidc { email: String, audience: String },
    /// An access token of the account.
    OAuth { email: String },
}

/// Tokens that are in use. Its `Debug` shows none.
#[derive(Default)]
pub(crate) struct Tokens {
    /// By email and audience.
    id_tokens: Mutex<HashMap<(String, String), Held>>,
    /// Access tokens, and the email and end of each.
    access_tokens: Mutex<HashMap<String, (String, i64)>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tokens")
    }
}

/// A token that a sender presents until it ends.
struct Held {
    token: Arc<str>,
    key_id: String,
    expires_at: i64,
}

impl Google {
    /// What `sender` presents, reused for its hour as Google does.
    ///
    /// # Errors
    /// Why it gets none, for the history: the account does not exist, or the sender's agent may not mint for it.
    pub(crate) async fn token_for(&self, sender: Sender, auth: &Auth) -> Result<Arc<str>, String> {
        let (email, permission) = match auth {
            Auth::Oidc { email, .. } => (email, "iam.serviceAccounts.getOpenIdToken"),
            Auth::OAuth { email } => (email, "iam.serviceAccounts.getAccessToken"),
        };
        let Some(account) = self.iam.account(email) else {
            return Err(format!("the service account {email} does not exist; create it"));
        };
        if account.disabled {
            return Err(format!("the service account {email} is disabled; enable it"));
        }
        let agent = self.project.agent(sender);
        if !self.iam.allows(&agent, permission, &account.name) {
            let member = agent.member();
            return Err(format!(
                "{member} lacks {permission} on {email}; grant it roles/iam.serviceAccountTokenCreator"
            ));
        }
        let token = match auth {
            Auth::Oidc { email, audience } => self.held_id_token(email, audience).await,
            Auth::OAuth { email } => {
                self.tokens.access_token(email, LIFETIME_SECONDS).map(Arc::from)
            }
        };
        token.map_err(|fault| fault.to_string())
    }

    /// A fresh ID token before it is signed.
    ///
    /// # Errors
    /// [`Error::Crypto`] if there are no keys.
    pub(crate) async fn id_token(&self, email: &str, audience: &str) -> Result<IdToken, Error> {
        let key = self.authority.keys().await?.current();
        Ok(IdToken::new(self.authority.issuer(), audience, &Account::new(email), key.id()))
    }

    /// A signed ID token, changed by `shape` before it is signed; nobody holds it.
    ///
    /// # Errors
    /// [`Error::Crypto`] if there are no keys.
    pub(crate) async fn mint(
        &self,
        email: &str,
        audience: &str,
        shape: impl FnOnce(IdToken) -> IdToken,
    ) -> Result<String, Error> {
        let key = self.authority.keys().await?.current();
        let token = IdToken::new(self.authority.issuer(), audience, &Account::new(email), key.id());
        shape(token).sign(&key)
    }

    async fn held_id_token(&self, email: &str, audience: &str) -> Result<Arc<str>, Error> {
        let keys = self.authority.keys().await?;
        let now = Timestamp::now().as_second();
        let name = (email.to_owned(), audience.to_owned());
        if let Some(held) = lock(&self.tokens.id_tokens).get(&name)
            && held.expires_at - now > RENEW_BEFORE_SECONDS
            && keys.publishes(&held.key_id)
        {
            return Ok(Arc::clone(&held.token));
        }
        let key = keys.current();
        let token = IdToken::new(self.authority.issuer(), audience, &Account::new(email), key.id());
        let token: Arc<str> = token.sign(&key)?.into();
        let held = Held {
            token: Arc::clone(&token),
            key_id: key.id().to_owned(),
            expires_at: now + LIFETIME_SECONDS,
        };
        let mut id_tokens = lock(&self.tokens.id_tokens);
        if id_tokens.len() >= MOST_HELD {
            // To sign them again is cheap.
            id_tokens.clear();
        }
        id_tokens.insert(name, held);
        Ok(token)
    }
}

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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;
    use crate::{Options, issuer::Authority};

    fn google(legacy_agents: bool) -> Google {
        let url = "http://127.0.0.1:8800".to_owned();
        let authority = Arc::new(Authority::new(url.clone(), url.clone()).unwrap());
        let options = Options { legacy_agents, ..Options::default() };
        Google::new(options, url, authority, Handle::current()).unwrap()
    }

    fn oidc(email: &str, audience: &str) -> Auth {
        Auth::Oidc { email: email.to_owned(), audience: audience.to_owned() }
    }

    #[tokio::test]
    async fn a_sender_presents_the_same_token_until_the_keys_have_changed() {
        let google = google(false);
        let email = google.iam.create_account("caller").unwrap().email;
        let auth = oidc(&email, "https://example.com");
        let first = google.token_for(Sender::Tasks, &auth).await.unwrap();
        assert_eq!(google.token_for(Sender::Scheduler, &auth).await.unwrap(), first);
        let other = google.token_for(Sender::Tasks, &oidc(&email, "other")).await.unwrap();
        assert_ne!(other, first);
        let keys = google.authority.keys().await.unwrap();
        keys.rotate().unwrap();
        assert_eq!(google.token_for(Sender::Tasks, &auth).await.unwrap(), first);
        keys.rotate().unwrap();
        assert_ne!(google.token_for(Sender::Tasks, &auth).await.unwrap(), first);
    }

    #[tokio::test]
    async fn held_tokens_do_not_grow_without_end() {
        let google = google(false);
        let email = google.iam.create_account("caller").unwrap().email;
        for count in 0..MOST_HELD + 2 {
            google.held_id_token(&email, &count.to_string()).await.unwrap();
        }
        assert_eq!(lock(&google.tokens.id_tokens).len(), 2);
    }

    #[tokio::test]
    async fn a_sender_gets_no_token_and_hears_why() {
        let google = google(true);
        let email = google.iam.create_account("caller").unwrap().email;
        let reason = |sender, email: &str| {
            let auth = oidc(email, "https://example.com");
            let google = &google;
            async move { google.token_for(sender, &auth).await.unwrap_err() }
        };
        let missing = reason(Sender::Tasks, "nobody@example.com").await;
        assert_eq!(missing, "the service account nobody@example.com does not exist; create it");
        let ungranted = reason(Sender::PubSub, &email).await;
        assert!(ungranted.contains("gcp-sa-pubsub"), "{ungranted}");
        assert!(
            ungranted.ends_with("grant it roles/iam.serviceAccountTokenCreator"),
            "{ungranted}"
        );
        assert!(google.token_for(Sender::Tasks, &oidc(&email, "a")).await.is_ok());
    }

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
