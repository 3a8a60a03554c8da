//! The token policy, from first byte to `Ok`.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    checks::now_unix_secs,
    claims::{Claims, UnverifiedClaims},
    header::RawHeader,
    keys::{Keys, KeysStatus},
    limits::Limits,
    notes::Notes,
    policy::Policy,
    profile::Profile,
    reason::Reason,
    refusal::{Claimed, Refusal},
    token::{Segments, decode_segment},
    verified::{TokenDigest, VerifiedToken, VerifiedTokens},
};

/// Verifies tokens of one [`Profile`]. Clones are cheap and share keys and verified tokens.
#[derive(Clone)]
pub struct Verifier {
    shared: Arc<Shared>,
}

struct Shared {
    profile: Profile,
    keys: Keys,
    verified: VerifiedTokens,
    recalls: AtomicU64,
}

impl Verifier {
    /// A verifier with the default [`Limits`]. It does no I/O; the keys are fetched by
    /// [`Verifier::prefetch`] or by the first token that needs them.
    pub fn new(profile: Profile) -> Verifier {
        Verifier::with_limits(profile, Limits::default())
    }

    /// A verifier with other limits, for tests and emulators.
    pub fn with_limits(profile: Profile, limits: Limits) -> Verifier {
        let verified_tokens = limits.verified_tokens;
        let keys = Keys::over_http(profile.clone(), limits);
        Verifier::with_keys(profile, keys, verified_tokens)
    }

    /// A verifier over any keys.
    pub(crate) fn with_keys(profile: Profile, keys: Keys, verified_tokens: usize) -> Verifier {
        let verified = VerifiedTokens::new(verified_tokens);
        let recalls = AtomicU64::default();
        Verifier { shared: Arc::new(Shared { profile, keys, verified, recalls }) }
    }

    /// Starts a key fetch in the background, for the start of a service. It never fails: what goes
    /// wrong is logged, shows in [`Verifier::keys_status`], and is tried again when a token comes.
    /// Outside of a tokio runtime it does nothing.
    pub fn prefetch(&self) {
        self.shared.keys.prefetch();
    }

    /// Verifies a token and checks it against a route's policy. A token that has passed before
    /// skips the parsing and the signature, and nothing else.
    ///
    /// May wait for keys, at most [`Limits::join_wait`]. Dropping the future harms nothing.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with any [`Reason`] but those that reading a request's head yields, and with
    /// what the token says of itself in `claimed`.
    pub async fn verify(&self, token: &str, policy: &Policy) -> Result<Arc<Claims>, Refusal> {
        self.verify_noting(token, policy, &mut Notes::default()).await
    }

    /// As [`Verifier::verify`], and notes what it took, for a trace.
    ///
    /// # Errors
    ///
    /// As [`Verifier::verify`].
    pub async fn verify_noting(
        &self,
        token: &str,
        policy: &Policy,
        notes: &mut Notes,
    ) -> Result<Arc<Claims>, Refusal> {
        let segments = Segments::split(token)?;
        let digest = TokenDigest::of(token);
        let verified = match self.recall(&digest, notes).await {
            Ok(Some(verified)) => {
                notes.is_remembered = true;
                self.shared.recalls.fetch_add(1, Ordering::Relaxed);
                self.check_use(&verified.claims, policy).map(|()| verified.claims)
            }
            Ok(None) => self.verify_first_use(&segments, digest, policy, notes).await,
            Err(refusal) => Err(refusal),
        };
        verified.map_err(|refusal| {
            if refusal.reason == Reason::Expired {
                self.shared.verified.remove(&digest);
            }
            refusal.with_claimed(Claimed::of_token(token))
        })
    }

    /// The token policy. The order is by cost, and so that the first fault found is the one to
    /// mend first; nothing is believed before the signature, and no claim is used to find the key.
    async fn verify_first_use(
        &self,
        segments: &Segments<'_>,
        digest: TokenDigest,
        policy: &Policy,
        notes: &mut Notes,
    ) -> Result<Arc<Claims>, Refusal> {
        let profile = &self.shared.profile;
        if segments.signature_removed() {
            return Err(Reason::SignatureRemoved.into());
        }
        let kid =
            RawHeader::parse(&decode_segment(segments.header)?)?.key_id(profile.algorithm())?;
        let claims = UnverifiedClaims::from_json(&decode_segment(segments.payload)?)?;
        // Early for the sake of a telling refusal, and so that other issuers' tokens cause no key
        // fetch. It proves nothing yet.
        profile.check_issuer(&claims)?;
        let key = self.shared.keys.find(&kid, notes).await?;
        if !key.verifies(segments.signed, segments.signature) {
            return Err(Reason::BadSignature.into());
        }
        let claims = Arc::new(Claims::proven(claims));
        self.check_use(&claims, policy)?;
        let verified = VerifiedToken { claims: Arc::clone(&claims), key };
        self.shared.verified.insert(digest, verified);
        Ok(claims)
    }

    /// What the token's place allows: audience, times, callers.
    fn check_use(&self, claims: &Claims, policy: &Policy) -> Result<(), Refusal> {
        let (audiences, callers) = (policy.audiences(), Some(policy.callers()));
        self.shared.profile.check_use(claims, audiences, callers, now_unix_secs())
    }

    /// A token that has passed before, if the key that proved it still counts. The lookup is the
    /// same as for a new token, so that a busy route refreshes the keys too.
    async fn recall(
        &self,
        digest: &TokenDigest,
        notes: &mut Notes,
    ) -> Result<Option<VerifiedToken>, Refusal> {
        let Some(verified) = self.shared.verified.get(digest) else {
            return Ok(None);
        };
        match self.shared.keys.find(verified.key.id(), notes).await {
            Ok(key) if Arc::ptr_eq(&key, &verified.key) => Ok(Some(verified)),
            // The same id with another key: whether that one proves the token is to be seen.
            Ok(_) => {
                self.shared.verified.remove(digest);
                Ok(None)
            }
            Err(reason) => {
                self.shared.verified.remove(digest);
                Err(reason.into())
            }
        }
    }

    /// Whether there are keys, for readiness and records.
    pub fn keys_status(&self) -> KeysStatus {
        self.shared.keys.status()
    }

    /// How many tokens had passed before when they came, for metrics.
    pub fn recalls(&self) -> u64 {
        self.shared.recalls.load(Ordering::Relaxed)
    }

    /// How many key fetches have been started, for metrics and tests.
    pub fn fetches(&self) -> u64 {
        self.shared.keys.fetches()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("profile", &self.shared.profile)
            .field("keys", &self.shared.keys)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
