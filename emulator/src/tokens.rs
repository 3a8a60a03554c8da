//! Tokens that senders and callers of the API hold: ID tokens for deliveries, and access tokens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::rand;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    account::Account,
    error::Error,
    google::Google,
    iam::Principal,
    senders::Sender,
    token::{IdToken, LIFETIME_SECONDS},
};

/// A token is replaced when it has fewer seconds left than this.
const RENEW_BEFORE_SECONDS: i64 = 300;

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
        let agent = self.project.agent(sender);
        if !self.iam.allows(&agent, permission, &account.name) {
            let member = agent.member();
            return Err(format!(
                "{member} lacks {permission} on {email}; grant it roles/iam.serviceAccountTokenCreator"
            ));
        }
        let token = match auth {
            Auth::Oidc { email, audience } => self.held_id_token(email, audience).await,
            Auth::OAuth { email } => self.tokens.access_token(email).map(Arc::from),
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
        lock(&self.tokens.id_tokens).insert(name, held);
        Ok(token)
    }
}

impl Tokens {
    /// A fresh access token of the account, good for an hour here.
    ///
    /// # Errors
    /// [`Error::Crypto`] if the random source fails.
    pub(crate) fn access_token(&self, email: &str) -> Result<String, Error> {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).map_err(|_| Error::Crypto("make an access token"))?;
        let token = format!("ya29.{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        let now = Timestamp::now().as_second();
        let mut tokens = lock(&self.access_tokens);
        tokens.retain(|_, (_, expires_at)| *expires_at > now);
        tokens.insert(token.clone(), (email.to_owned(), now + LIFETIME_SECONDS));
        Ok(token)
    }

    /// Whose access token `authorization` carries. What this emulator did not hand out is the developer's.
    pub(crate) fn principal(&self, authorization: Option<&str>) -> Principal {
        let token = authorization.and_then(|value| value.split_once(' ')).map(|(_, token)| token);
        let tokens = lock(&self.access_tokens);
        match token.and_then(|token| tokens.get(token)) {
            Some((email, expires_at)) if *expires_at > Timestamp::now().as_second() => {
                Principal::Account(email.clone())
            }
            _ => Principal::Developer,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
