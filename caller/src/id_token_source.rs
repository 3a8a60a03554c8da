//! ID tokens by audience: had once, kept, and renewed ahead of their end.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use futures_util::FutureExt;

use crate::{credentials::Credentials, error::Error, renewed::Renewed, token::Token};

/// So many audiences are remembered; who calls more services than this pays for some tokens twice.
const MOST_AUDIENCES: usize = 1000;

/// Where ID tokens come from. Clones are cheap and share what is remembered.
///
/// It needs a tokio runtime with time and I/O: tokens are fetched in tasks of their own.
#[derive(Clone)]
pub struct IdTokenSource(Arc<Shared>);

struct Shared {
    credentials: Credentials,
    by_audience: RwLock<HashMap<String, Arc<Renewed>>>,
}

impl IdTokenSource {
    /// Tokens of whom these credentials are of. It does no I/O.
    pub fn new(credentials: Credentials) -> IdTokenSource {
        IdTokenSource(Arc::new(Shared { credentials, by_audience: RwLock::default() }))
    }

    /// A token for this audience: the one that is remembered, or a new one.
    ///
    /// One that ends within five minutes is renewed in the background; of all who come while there is none, one
    /// fetches. What is transient is tried three times.
    ///
    /// # Errors
    /// [`Error::NoAudience`] for an empty audience, and what the credentials have to say.
    pub async fn id_token(&self, audience: &str) -> Result<Arc<Token>, Error> {
        if audience.is_empty() {
            return Err(Error::NoAudience);
        }
        match self.remembered(audience) {
            Some(renewed) => renewed.get().await,
            None => self.remember(audience).get().await,
        }
    }

    /// Lets go of a token that the service refused, so that the next one is new.
    pub fn forget(&self, audience: &str, refused: &Arc<Token>) {
        if let Some(renewed) = self.remembered(audience) {
            renewed.forget(refused);
        }
    }

    fn remembered(&self, audience: &str) -> Option<Arc<Renewed>> {
        let by_audience = self.0.by_audience.read().unwrap_or_else(PoisonError::into_inner);
        by_audience.get(audience).cloned()
    }

    fn remember(&self, audience: &str) -> Arc<Renewed> {
        let mut by_audience = self.0.by_audience.write().unwrap_or_else(PoisonError::into_inner);
        if by_audience.len() >= MOST_AUDIENCES {
            by_audience.retain(|_, renewed| renewed.serves());
        }
        if by_audience.len() >= MOST_AUDIENCES {
            by_audience.clear();
        }
        let renewed = by_audience.entry(audience.to_owned()).or_insert_with(|| {
            let (credentials, audience) = (self.0.credentials.clone(), audience.to_owned());
            Renewed::new(Box::new(move || {
                let (credentials, audience) = (credentials.clone(), audience.clone());
                async move { credentials.fetch_id_token(&audience).await }.boxed()
            }))
        });
        Arc::clone(renewed)
    }
}

impl fmt::Debug for IdTokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IdTokenSource").field(&self.0.credentials).finish()
    }
}
