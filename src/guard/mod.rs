//! A request's head becomes a [`Caller`], or is refused. Nothing else makes a `Caller`.

mod platform;

use std::sync::Arc;

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{AUTHORIZATION, HeaderMap, HeaderName},
    middleware::Next,
};
use oidc::{Callers, Claims, Notes, Policy, Profile, Refusal, UnverifiedClaims, Verifier};

use crate::{answer::answer, dispatch::Route, outcome::Outcome, record::Attempt};

/// The service account that was proved to have sent a request, and how.
#[derive(Clone, Debug)]
pub struct Caller(Proof);

#[derive(Clone, Debug)]
enum Proof {
    /// Its ID token was verified here.
    Verified(Arc<Claims>),
    /// A front end verified it; the claims are what it passed on.
    Platform(Arc<UnverifiedClaims>),
}

impl Caller {
    /// The account's address.
    pub fn email(&self) -> Option<&str> {
        match &self.0 {
            Proof::Verified(claims) => claims.email.as_deref(),
            Proof::Platform(claims) => claims.email.as_deref(),
        }
    }

    /// The account's numeric id, as a string.
    pub fn subject(&self) -> &str {
        match &self.0 {
            Proof::Verified(claims) => &claims.subject,
            Proof::Platform(claims) => &claims.subject,
        }
    }

    /// The audience that its token was made for.
    pub fn audience(&self) -> &str {
        match &self.0 {
            Proof::Verified(claims) => &claims.audience,
            Proof::Platform(claims) => &claims.audience,
        }
    }

    /// `verify` where the token was verified here, `platform` where a front end did it.
    pub fn auth(&self) -> &'static str {
        match &self.0 {
            Proof::Verified(_) => "verify",
            Proof::Platform(_) => "platform",
        }
    }

    /// A caller for a job's own test.
    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        let claims =
            br#"{"iss":"https://accounts.google.com","aud":"https://receiver.example.run.app",
            "sub":"100000000000000000001","email":"caller@example.iam.gserviceaccount.com",
            "email_verified":true,"iat":1,"exp":3601}"#;
        Self(Proof::Platform(Arc::new(UnverifiedClaims::from_json(claims).unwrap())))
    }
}

/// How one sender's requests are admitted.
pub(crate) enum Guard {
    /// The ID token in `Authorization` is verified here.
    Verify {
        /// Google's keys and the tokens verified with them.
        verifier: Verifier,
        /// The audiences and accounts of this route.
        policy: Policy,
    },
    /// IAP's signed assertion is verified here.
    Iap {
        /// IAP's keys.
        verifier: Verifier,
        /// IAP's audience and the accounts of this route.
        policy: Policy,
    },
    /// A front end has verified the caller and passes on who it is.
    Platform {
        /// Where the identity is read from.
        identity: Identity,
        /// The issuers to accept, and the lifetime.
        profile: Profile,
        /// Checked where given.
        audiences: Vec<String>,
        /// Checked where given.
        callers: Option<Callers>,
    },
}

/// Where a front end leaves the identity that it has verified.
pub(crate) enum Identity {
    /// Cloud Run's IAM check: the token itself, its signature maybe removed.
    CloudRun,
    /// A proxy's header with the claims as base64url JSON.
    Header {
        /// The header.
        name: HeaderName,
        /// What keeps others from setting it.
        proof: ProxyProof,
    },
}

/// Why a proxy's header is believed: whoever goes around the proxy can set it too.
pub(crate) enum ProxyProof {
    /// Only what runs beside the receiver reaches it.
    Loopback,
    /// The proxy sends its own ID token in `Authorization`.
    Token {
        /// Google's keys.
        verifier: Verifier,
        /// The proxy's audience and accounts.
        policy: Policy,
    },
}

impl Guard {
    /// Proves who sent a request with these headers, and notes what that took.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with its own reason for each fault.
    pub(crate) async fn admit(
        &self,
        headers: &HeaderMap,
        notes: &mut Notes,
    ) -> Result<Caller, Refusal> {
        match self {
            Guard::Verify { verifier, policy } => {
                let token = platform::bearer(headers, &AUTHORIZATION)?;
                let claims = verifier.verify_noting(token, policy, notes).await?;
                Ok(Caller(Proof::Verified(claims)))
            }
            Guard::Iap { verifier, policy } => {
                let assertion = platform::single(headers, &platform::IAP_ASSERTION)?;
                let claims = verifier.verify_noting(assertion, policy, notes).await?;
                Ok(Caller(Proof::Verified(claims)))
            }
            Guard::Platform { identity, profile, audiences, callers } => {
                let claims = match identity {
                    Identity::Header { name, proof } => {
                        if let ProxyProof::Token { verifier, policy } = proof {
                            let token = platform::bearer(headers, &AUTHORIZATION)?;
                            verifier.verify_noting(token, policy, notes).await?;
                        }
                        platform::from_header(headers, name)?
                    }
                    Identity::CloudRun => platform::from_cloud_run(headers)?,
                };
                profile.check_unverified(
                    &claims,
                    audiences,
                    callers.as_ref(),
                    oidc::now_unix_secs(),
                )?;
                Ok(Caller(Proof::Platform(Arc::new(claims))))
            }
        }
    }

    /// Whether the route's identity is a header that an unwrapped message's attributes could set.
    pub(crate) fn trusts_a_header(&self) -> bool {
        matches!(self, Guard::Platform { identity: Identity::Header { .. }, .. })
    }
}

/// The middleware: admits a request, or answers 401, 403 or 503 without reading more than its head.
pub(crate) async fn enforce<B: MessageBody + 'static>(
    route: Arc<Route>,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let attempt = Attempt::of(&request);
    let (begun, mut notes) = (attempt.now(), Notes::default());
    let admitted = route.guard.admit(request.headers(), &mut notes).await;
    attempt.has_verified(begun, notes);
    match admitted {
        Ok(caller) => {
            attempt.admitted(caller);
            next.call(request).await.map(ServiceResponse::map_into_left_body)
        }
        Err(refusal) => {
            let outcome = Outcome::Refused(refusal.reason);
            // Before the body is looked at: whoever hangs up now is on record all the same.
            attempt.refused(refusal);
            let (request, payload) = request.into_parts();
            let response = answer(&route, &attempt, &request, payload, &outcome).await;
            Ok(ServiceResponse::new(request, response).map_into_right_body())
        }
    }
}
