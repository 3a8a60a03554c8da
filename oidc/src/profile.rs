//! How tokens are signed, by whom, and for how long.

use std::time::Duration;

/// A signature algorithm (RFC 7518 §3.1). A profile has exactly one; a token never chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256: Google's ID tokens.
    Rs256,
    /// ECDSA over P-256 with SHA-256: IAP's assertions.
    Es256,
}

impl Algorithm {
    /// The name in `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
        }
    }
}

/// One kind of token: its algorithm, issuers, key URL and longest lifetime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    algorithm: Algorithm,
    issuers: Vec<String>,
    keys_url: String,
    max_lifetime: Duration,
    needs_email_verified: bool,
}

impl Profile {
    /// Google's ID tokens: RS256, both spellings of the issuer, keys from
    /// <https://www.googleapis.com/oauth2/v3/certs>, valid for at most 24 h (an hour in practice),
    /// and callers by email need `email_verified`. The facts:
    /// <https://developers.google.com/identity/openid-connect/openid-connect#validatinganidtoken>.
    pub fn google() -> Profile {
        Profile {
            algorithm: Algorithm::Rs256,
            issuers: vec!["https://accounts.google.com".into(), "accounts.google.com".into()],
            keys_url: "https://www.googleapis.com/oauth2/v3/certs".into(),
            max_lifetime: Duration::from_secs(24 * 60 * 60),
            needs_email_verified: true,
        }
    }

    /// IAP's assertions (`x-goog-iap-jwt-assertion`): ES256 over P-256, issuer
    /// `https://cloud.google.com/iap`, keys from
    /// <https://www.gstatic.com/iap/verify/public_key-jwk>, valid for at most ten minutes. They
    /// have no `email_verified`, so callers by email do without. The facts:
    /// <https://cloud.google.com/iap/docs/signed-headers-howto>.
    pub fn iap() -> Profile {
        Profile {
            algorithm: Algorithm::Es256,
            issuers: vec!["https://cloud.google.com/iap".into()],
            keys_url: "https://www.gstatic.com/iap/verify/public_key-jwk".into(),
            max_lifetime: Duration::from_secs(10 * 60),
            needs_email_verified: false,
        }
    }

    /// Replaces the issuers by one, for emulators and tests.
    #[must_use]
    pub fn with_issuer(mut self, one: impl Into<String>) -> Profile {
        self.issuers = vec![one.into()];
        self
    }

    /// Replaces the key URL, for emulators and tests.
    #[must_use]
    pub fn with_keys_url(mut self, url: impl Into<String>) -> Profile {
        self.keys_url = url.into();
        self
    }

    /// The one algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The issuers, any of which will do.
    pub fn issuers(&self) -> &[String] {
        &self.issuers
    }

    /// Where the keys are: a JWK set (RFC 7517 §5).
    pub fn keys_url(&self) -> &str {
        &self.keys_url
    }

    /// The longest span between `iat` and `exp`.
    pub fn max_lifetime(&self) -> Duration {
        self.max_lifetime
    }

    /// Whether a caller listed by email must have `email_verified`.
    pub fn needs_email_verified(&self) -> bool {
        self.needs_email_verified
    }
}
