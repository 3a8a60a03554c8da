//! Tokens that senders and callers of the API hold: ID tokens and access tokens.

mod access;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    account::Account,
    error::Error,
    google::Google,
    iam::ServiceAccount,
    keys::SigningKey,
    senders::Sender,
    token::{IdToken, LIFETIME_SECONDS, RENEW_BEFORE_SECONDS},
};

/// How many tokens are held at most: a task may name an audience that no other has.
const MOST_HELD: usize = 1024;

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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Auth {
    /// An ID token of the account for the audience.
    Oidc { email: String, audience: String },
    /// An access token of the account.
    OAuth { email: String },
}

impl Auth {
    /// The account's.
    fn email(&self) -> &str {
        match self {
            Auth::Oidc { email, .. } | Auth::OAuth { email } => email,
        }
    }
}

/// Tokens that are in use. Its `Debug` shows none.
#[derive(Default)]
pub(crate) struct Tokens {
    /// What senders present.
    held: Mutex<HashMap<Auth, Held>>,
    /// Every access token that was handed out, with its account's email and its end.
    access_tokens: Mutex<HashMap<String, (String, i64)>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tokens")
    }
}

impl Tokens {
    /// Forgets every token of the account, so that one that is created by the same name later has none of them.
    pub(crate) fn revoke(&self, email: &str) {
        lock(&self.held).retain(|auth, _| auth.email() != email);
        lock(&self.access_tokens).retain(|_, (holder, _)| holder != email);
    }

    /// Forgets every token: the accounts are others now.
    pub(crate) fn revoke_all(&self) {
        lock(&self.held).clear();
        lock(&self.access_tokens).clear();
    }
}

/// A token that a sender presents until it ends.
struct Held {
    token: Arc<str>,
    /// What an ID token was signed with.
    key_id: Option<String>,
    /// Seconds since 1970.
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
        self.held_token(auth).await.map_err(|fault| fault.to_string())
    }

    /// A fresh ID token before it is signed, and the key that its header names. The account need not exist.
    ///
    /// # Errors
    /// [`Error::Crypto`] if there are no keys.
    pub(crate) async fn id_token(
        &self,
        email: &str,
        audience: &str,
    ) -> Result<(IdToken, Arc<SigningKey>), Error> {
        let key = self.authority.keys().await?.current();
        let account = match self.iam.account(email) {
            // One that was imported may have another unique id than its email would give it here.
            Some(ServiceAccount { email, unique_id, .. }) => Account { email, unique_id },
            None => Account::new(email),
        };
        Ok((IdToken::new(self.authority.issuer(), audience, &account, key.id()), key))
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
        let (token, key) = self.id_token(email, audience).await?;
        shape(token).sign(&key)
    }

    async fn held_token(&self, auth: &Auth) -> Result<Arc<str>, Error> {
        let keys = self.authority.keys().await?;
        let now = Timestamp::now().as_second();
        if let Some(held) = lock(&self.tokens.held).get(auth)
            && held.expires_at - now > RENEW_BEFORE_SECONDS
            && held.key_id.as_ref().is_none_or(|id| keys.publishes(id))
        {
            return Ok(Arc::clone(&held.token));
        }
        let (token, key_id) = match auth {
            Auth::Oidc { email, audience } => {
                let (token, key) = self.id_token(email, audience).await?;
                (token.sign(&key)?, Some(key.id().to_owned()))
            }
            Auth::OAuth { email } => (self.tokens.access_token(email, LIFETIME_SECONDS)?, None),
        };
        let token: Arc<str> = token.into();
        let expires_at = now + LIFETIME_SECONDS;
        let mut held = lock(&self.tokens.held);
        if held.len() >= MOST_HELD {
            // To sign them again is cheap.
            held.clear();
        }
        held.insert(auth.clone(), Held { token: Arc::clone(&token), key_id, expires_at });
        Ok(token)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Options,
        testing::{self, claims},
    };

    fn google(legacy_agents: bool) -> Arc<Google> {
        testing::google_with(Options { legacy_agents, ..Options::default() })
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
        let oauth = Auth::OAuth { email };
        let access = google.token_for(Sender::Tasks, &oauth).await.unwrap();
        assert_eq!(google.token_for(Sender::Tasks, &oauth).await.unwrap(), access);
        let keys = google.authority.keys().await.unwrap();
        keys.rotate().unwrap();
        assert_eq!(google.token_for(Sender::Tasks, &auth).await.unwrap(), first);
        keys.rotate().unwrap();
        assert_ne!(google.token_for(Sender::Tasks, &auth).await.unwrap(), first);
    }

    #[tokio::test]
    async fn an_imported_account_keeps_its_unique_id() {
        let google = google(false);
        let email = google.iam.create_account("caller").unwrap().email;
        let mut state = google.iam.export();
        state["accounts"][&email]["uniqueId"] = "100000000000000000007".into();
        google.iam.put(google.iam.read(state).unwrap());
        let token = google.token_for(Sender::Tasks, &oidc(&email, "a")).await.unwrap();
        let claims = claims(&token.to_string().into());
        for claim in ["sub", "azp"] {
            assert_eq!(claims[claim], "100000000000000000007", "{claim}");
        }
    }

    #[tokio::test]
    async fn revoked_tokens_are_held_no_longer() {
        let google = google(false);
        for id in ["caller", "another"] {
            let email = google.iam.create_account(id).unwrap().email;
            google.held_token(&oidc(&email, "a")).await.unwrap();
            google.held_token(&Auth::OAuth { email }).await.unwrap();
        }
        let another = google.project.account_email("another");
        google.tokens.revoke(&google.project.account_email("caller"));
        let held = lock(&google.tokens.held);
        assert_eq!(held.len(), 2);
        assert!(held.keys().all(|auth| auth.email() == another));
    }

    #[tokio::test]
    async fn held_tokens_do_not_grow_without_end() {
        let google = google(false);
        let email = google.iam.create_account("caller").unwrap().email;
        for count in 0..MOST_HELD + 2 {
            google.held_token(&oidc(&email, &count.to_string())).await.unwrap();
        }
        assert_eq!(lock(&google.tokens.held).len(), 2);
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
}
