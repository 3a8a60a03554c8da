//! Why a token is refused: one table of names, kinds and remedies.

/// Who has to act on a refusal, which decides the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// There is no good token: 401 with `WWW-Authenticate: Bearer error="invalid_token"`
    /// (RFC 6750 §3.1).
    Unauthenticated,
    /// The token is good, but its account may not call here: 403.
    Forbidden,
    /// No token can be judged without keys: 503 with `Retry-After`, so that senders try again.
    KeysUnavailable,
}

/// Writes the enum, its names, kinds and remedies from one table, so that they cannot drift apart.
macro_rules! reasons {
    ($($variant:ident, $name:literal, $kind:ident, $remedy:literal;)+) => {
        /// Why a token is refused. Each variant's text is its [`Reason::remedy`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = concat!("`", $name, "`: ", $remedy, ".")] $variant,)+
        }

        impl Reason {
            /// Every reason, for metrics and documentation.
            pub const ALL: &[Reason] = &[$(Reason::$variant),+];

            /// The name in records and responses, in `snake_case`. It never changes.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $name),+ }
            }

            /// What was wrong, what was expected and what to do, in one sentence without values
            /// and without a full stop. Safe to show to the caller.
            pub const fn remedy(self) -> &'static str {
                match self { $(Reason::$variant => $remedy),+ }
            }

            /// Who has to act: 401, 403 or 503.
            pub const fn kind(self) -> Kind {
                match self { $(Reason::$variant => Kind::$kind),+ }
            }
        }
    };
}

reasons! {
    Missing, "missing", Unauthenticated,
        "the request carries no ID token; send one as `Authorization: Bearer ID_TOKEN`, as Google's senders do once an OIDC service account is set on the job, task or subscription";
    SeveralTokens, "several_tokens", Unauthenticated,
        "the request carries more than one token, so it is unclear which one counts; send exactly one `Authorization` header with one token";
    NotBearer, "not_bearer", Unauthenticated,
        "the `Authorization` header is not of the Bearer scheme; send `Authorization: Bearer ID_TOKEN`";
    TooLong, "too_long", Unauthenticated,
        "the token is longer than 8 KiB, which no Google ID token is; send the ID token alone";
    Malformed, "malformed", Unauthenticated,
        "the token is not a signed JWT (three base64url segments, the first two of them JSON objects); send an ID token as Google issued it";
    AccessToken, "access_token", Unauthenticated,
        "this is an OAuth access token, which does not say whom it is for; give the sender an OIDC service account instead of an OAuth one, or mint with `gcloud auth print-identity-token`";
    SignatureRemoved, "signature_removed", Unauthenticated,
        "the platform in front has removed the token's signature, so it cannot be verified here; send a service account's token in `Authorization` rather than a user's or one in `X-Serverless-Authorization`, or trust the platform's own check (AUTH=platform in the receiver, `decode_unverified` in `oidc`)";
    SelfSigned, "self_signed", Unauthenticated,
        "a service account has signed this token itself, and only tokens that Google signs are accepted; exchange it for an ID token with `generateIdToken` or `target_audience`";
    UnsupportedAlgorithm, "unsupported_algorithm", Unauthenticated,
        "the token's `alg` is not the one that is accepted; send a token signed by Google, which uses RS256 (ES256 for IAP)";
    EmbeddedKey, "embedded_key", Unauthenticated,
        "the token's header brings its own key (`jwk`, `jku`, `x5u` or `x5c`), and only keys that the issuer publishes count; send a token without one";
    CriticalHeader, "critical_header", Unauthenticated,
        "the token's header has `crit`, whose extensions are not understood here; send a token without it";
    KeyIdMissing, "key_id_missing", Unauthenticated,
        "the token's header has no `kid`, and without it no key can be chosen; send a token as Google issued it";
    KeyIdInvalid, "key_id_invalid", Unauthenticated,
        "the token's `kid` is not a short plain identifier; send a token as Google issued it";
    UnknownKey, "unknown_key", Unauthenticated,
        "none of the issuer's published keys has the token's `kid`; the token is old, forged or from elsewhere, so mint a new one";
    BadSignature, "bad_signature", Unauthenticated,
        "the signature does not match the token; it was altered on the way or forged, so mint a new one";
    ClaimMissing, "claim_missing", Unauthenticated,
        "a required claim (`iss`, `aud`, `sub`, `exp` or `iat`) is missing; send an ID token as Google issued it";
    ClaimInvalid, "claim_invalid", Unauthenticated,
        "a claim has the wrong type or makes no sense (an `aud` that is a list, say); send an ID token as Google issued it";
    ClaimDuplicated, "claim_duplicated", Unauthenticated,
        "a claim stands in the token twice, so it is unclear which one counts; send an ID token as Google issued it";
    Expired, "expired", Unauthenticated,
        "the token has expired; mint a new one, and compare the clocks if it is new";
    NotYetValid, "not_yet_valid", Unauthenticated,
        "the token is from the future; compare the clocks of its issuer and of this service";
    LifetimeTooLong, "lifetime_too_long", Unauthenticated,
        "the token is valid for longer than its issuer makes them; send an ID token as Google issued it";
    WrongIssuer, "wrong_issuer", Unauthenticated,
        "the token is not from the issuer that is accepted; send an ID token that Google issued";
    WrongAudience, "wrong_audience", Unauthenticated,
        "the token is for another audience; set the sender's OIDC audience to one of this service's, character by character, or add the sender's to this service's";
    EmailUnverified, "email_unverified", Forbidden,
        "the token's issuer does not vouch for its email address, so the address proves nothing; use an account whose `email_verified` is true, or list its numeric id";
    CallerNotAllowed, "caller_not_allowed", Forbidden,
        "the token is good, but its account is not among those that may call here; add its email or numeric id to this route's callers, and mint tokens with the email in them where callers are listed by email";
    IdentityMissing, "identity_missing", Unauthenticated,
        "the front end's identity header is missing; send the request through the front end, and see that it forwards the verified identity under the configured name";
    SeveralIdentities, "several_identities", Unauthenticated,
        "the front end's identity header comes twice, so one of them is not the front end's; have it remove the header from what comes in";
    KeysUnavailable, "keys_unavailable", KeysUnavailable,
        "the issuer's keys could not be fetched, so no token can be judged now; send it again shortly, and see that this service can reach the key URL";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_snake_case_and_remedies_are_one_line() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        for (reason, name) in Reason::ALL.iter().zip(&names) {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(!reason.remedy().contains('\n') && !reason.remedy().ends_with('.'), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn only_a_good_token_of_the_wrong_account_is_forbidden() {
        let forbidden = [Reason::EmailUnverified, Reason::CallerNotAllowed];
        for &reason in Reason::ALL {
            let expected = match reason {
                Reason::KeysUnavailable => Kind::KeysUnavailable,
                _ if forbidden.contains(&reason) => Kind::Forbidden,
                _ => Kind::Unauthenticated,
            };
            assert_eq!(reason.kind(), expected, "{reason:?}");
        }
    }
}
