//! Verifies Google-signed OIDC ID tokens, as Cloud Scheduler, Cloud Tasks, Pub/Sub push and
//! Eventarc send them, and IAP's assertions.
//!
//! A [`Profile`] says how tokens are signed and by whom, a [`Policy`] whom a route accepts, and a
//! [`Verifier`] applies both: it fetches the issuer's keys, follows their rotation, remembers
//! verified tokens, and answers each token with its [`Claims`] or with a [`Refusal`] that says
//! what was wrong and what to do about it.
//!
//! ```
//! use oidc::{Callers, Policy, Profile, Reason, Verifier};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), oidc::PolicyError> {
//! let callers = Callers::parse(["scheduler@my-project.iam.gserviceaccount.com"])?;
//! let policy = Policy::new(["https://receiver-123.europe-west1.run.app".to_owned()], callers)?;
//! let verifier = Verifier::new(Profile::google());
//!
//! // An OAuth access token is told apart from an ID token before any key is fetched.
//! let refusal = verifier.verify("ya29.a0AfB_example", &policy).await.unwrap_err();
//! assert_eq!(refusal.reason, Reason::AccessToken);
//! assert_eq!(verifier.fetches(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! In a service, the token comes from the request's head, and the refusal decides the answer:
//!
//! ```no_run
//! use oidc::{Kind, Policy, Verifier};
//!
//! /// The caller's address, or the status and the reason of a refusal.
//! async fn caller<'a>(
//!     authorization: impl Iterator<Item = &'a [u8]>, // every value of that header
//!     verifier: &Verifier,
//!     policy: &Policy,
//! ) -> Result<Option<String>, (u16, String)> {
//!     let verified = match oidc::bearer(authorization) {
//!         Ok(token) => verifier.verify(token, policy).await,
//!         Err(refusal) => Err(refusal),
//!     };
//!     verified.map(|claims| claims.email.clone()).map_err(|refusal| {
//!         let status = match refusal.reason.kind() {
//!             Kind::Unauthenticated => 401,
//!             Kind::Forbidden => 403,
//!             Kind::KeysUnavailable => 503,
//!         };
//!         (status, refusal.to_string())
//!     })
//! }
//! ```
//!
//! It needs a tokio runtime with time and I/O: keys are fetched in tasks of their own.
//!
//! # Map
//!
//! In reading order:
//!
//! - `verifier`: the token policy, from first byte to `Ok`; start here.
//! - `profile`: the algorithm, issuers, key URL and lifetime that tokens must have.
//! - `policy`: the audiences and callers of a route.
//! - `bearer`: the token out of the `Authorization` header.
//! - `token`: a token's three segments.
//! - `header`: the first segment; yields the key id.
//! - `claims`: the second segment as typed claims, unverified and verified.
//! - `checks`: every claim check, shared by verified and unverified tokens.
//! - `keys`: the issuer's keys, their freshness, and the one fetch at a time.
//! - `verified`: the cache of tokens that have passed.
//! - `notes`: what a verification took, for a trace.
//! - `reason`: why a token is refused; one table.
//! - `refusal`: the error that carries a reason, and what may be said beside it.
//! - `limits`: the numbers, with their defaults.

mod verifier;

mod profile;

mod policy;

mod bearer;

mod token;

mod header;

mod claims;

mod checks;

mod keys;

mod verified;

mod notes;

mod reason;

mod refusal;

mod limits;

#[cfg(test)]
mod testing;

pub use bearer::bearer;
pub use checks::now_unix_secs;
pub use claims::{Claims, UnverifiedClaims};
pub use keys::KeysStatus;
pub use limits::Limits;
pub use notes::Notes;
pub use policy::{Callers, Policy, PolicyError};
pub use profile::{Algorithm, Profile};
pub use reason::{Kind, Reason};
pub use refusal::{Claimed, Refusal, shown};
pub use token::decode_unverified;
pub use verifier::Verifier;
