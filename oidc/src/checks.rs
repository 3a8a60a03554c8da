//! Every claim check, shared by verified and unverified tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::{
    claims::UnverifiedClaims,
    policy::Callers,
    profile::Profile,
    reason::Reason,
    refusal::{Claimed, Refusal},
};

/// How far the clocks of the issuer and of this machine may be apart.
const SKEW_SECS: u64 = 30;

/// Service accounts' domains end so, also those of Google's own agents:
/// <https://cloud.google.com/iam/docs/service-account-types>.
const SERVICE_ACCOUNT_SUFFIX: &str = "gserviceaccount.com";

/// The wall clock in whole seconds since 1970, as tokens count; 0 if it is set before that, which
/// makes every token "not yet valid" rather than valid.
pub fn now_unix_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Profile {
    /// Applies every claim check to claims that a front end vouches for; all that is missing is
    /// the signature. `now_unix_secs` is [`now_unix_secs()`]. `audiences` and `callers` are checked where they are given (`audiences` not
    /// empty, `callers` not `None`); the issuer and the times always.
    ///
    /// # Errors
    ///
    /// [`Reason::SelfSigned`], [`Reason::WrongIssuer`], [`Reason::WrongAudience`],
    /// [`Reason::Expired`], [`Reason::NotYetValid`], [`Reason::ClaimInvalid`],
    /// [`Reason::LifetimeTooLong`], [`Reason::EmailUnverified`], [`Reason::CallerNotAllowed`], with
    /// what the claims say in `claimed`.
    pub fn check_unverified(
        &self,
        claims: &UnverifiedClaims,
        audiences: &[String],
        callers: Option<&Callers>,
        now_unix_secs: u64,
    ) -> Result<(), Refusal> {
        self.check_issuer(claims)
            .and_then(|()| self.check_use(claims, audiences, callers, now_unix_secs))
            .map_err(|refusal| refusal.with_claimed(Some(Claimed::from(claims))))
    }

    /// The issuer is the profile's. A service account's own is told apart, since that mistake has
    /// its own remedy. Alone it proves nothing: it is for explaining a token.
    ///
    /// # Errors
    ///
    /// [`Reason::SelfSigned`], [`Reason::WrongIssuer`].
    pub fn check_issuer(&self, claims: &UnverifiedClaims) -> Result<(), Refusal> {
        let issuer = claims.issuer.as_str();
        if self.issuers().iter().any(|accepted| accepted == issuer) {
            return Ok(());
        }
        let self_signed = issuer.ends_with(SERVICE_ACCOUNT_SUFFIX)
            || issuer == claims.subject
            || claims.email.as_deref() == Some(issuer);
        let reason = if self_signed { Reason::SelfSigned } else { Reason::WrongIssuer };
        Err(Refusal::new(reason).with_found(issuer).with_expected(&self.issuers().join(", ")))
    }

    /// What is checked again on every use of a token: audience, times, callers.
    pub(crate) fn check_use(
        &self,
        claims: &UnverifiedClaims,
        audiences: &[String],
        callers: Option<&Callers>,
        now_unix_secs: u64,
    ) -> Result<(), Refusal> {
        claims.check_audience(audiences)?;
        self.check_times(claims, now_unix_secs)?;
        let email_vouched = claims.email_verified || !self.needs_email_verified();
        callers.map_or(Ok(()), |callers| {
            callers.admit(&claims.subject, claims.email.as_deref(), email_vouched)
        })
    }

    /// `exp`, `iat` and `nbf` within the skew, and a lifetime that the issuer would give. Alone it
    /// proves nothing: it is for explaining a token.
    ///
    /// # Errors
    ///
    /// [`Reason::Expired`], [`Reason::NotYetValid`], [`Reason::ClaimInvalid`],
    /// [`Reason::LifetimeTooLong`].
    pub fn check_times(
        &self,
        claims: &UnverifiedClaims,
        now_unix_secs: u64,
    ) -> Result<(), Refusal> {
        // The numbers are the token's to choose, so the arithmetic saturates.
        let (issued, expires) = (claims.issued_at_unix_secs, claims.expires_at_unix_secs);
        let latest_start = now_unix_secs.saturating_add(SKEW_SECS);
        let fault = |reason, found: String, expected: &str| {
            Err(Refusal::new(reason).with_found(&found).with_expected(expected))
        };
        if expires.saturating_add(SKEW_SECS) <= now_unix_secs {
            let expected = format!("exp after {now_unix_secs} less {SKEW_SECS} s");
            return fault(Reason::Expired, format!("exp {expires}"), &expected);
        }
        for (claim, start) in [("iat", Some(issued)), ("nbf", claims.not_before_unix_secs)] {
            if let Some(start) = start.filter(|&start| start > latest_start) {
                let expected = format!("{claim} at most {latest_start}");
                return fault(Reason::NotYetValid, format!("{claim} {start}"), &expected);
            }
        }
        if expires <= issued {
            let found = format!("exp {expires}, iat {issued}");
            return fault(Reason::ClaimInvalid, found, "exp after iat");
        }
        let (lifetime_secs, max_secs) = (expires - issued, self.max_lifetime().as_secs());
        if lifetime_secs > max_secs {
            let expected = format!("at most {max_secs} s");
            return fault(Reason::LifetimeTooLong, format!("{lifetime_secs} s"), &expected);
        }
        Ok(())
    }
}

impl UnverifiedClaims {
    /// The audience is exactly one of the list; an empty list is no check. Alone it proves nothing:
    /// it is for explaining a token.
    ///
    /// # Errors
    ///
    /// [`Reason::WrongAudience`].
    pub fn check_audience(&self, audiences: &[String]) -> Result<(), Refusal> {
        if audiences.is_empty() || audiences.contains(&self.audience) {
            return Ok(());
        }
        let refusal = Refusal::new(Reason::WrongAudience);
        Err(refusal.with_found(&self.audience).with_expected(&audiences.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{AUDIENCE, EMAIL, Mint, SUBJECT};

    const NOW: u64 = 1_800_000_000;
    const DAY_SECS: u64 = 24 * 60 * 60;

    fn check(profile: &Profile, claims: &Value) -> Result<(), Refusal> {
        let claims = UnverifiedClaims::from_json(claims.to_string().as_bytes()).unwrap();
        let callers = Callers::parse([EMAIL]).unwrap();
        profile.check_unverified(&claims, &[AUDIENCE.to_owned()], Some(&callers), NOW)
    }

    fn valid() -> Mint {
        Mint::google().claim("iat", json!(NOW - 10)).claim("exp", json!(NOW + 3590))
    }

    #[test]
    fn one_fault_in_the_claims_gives_its_reason_and_what_they_claim() {
        let sub_as_issuer = valid().claim("iss", json!(SUBJECT));
        let email_as_issuer =
            valid().claim("iss", json!("u@e.com")).claim("email", json!("u@e.com"));
        let table = [
            (valid().claim("iss", json!(EMAIL)), Reason::SelfSigned),
            (sub_as_issuer, Reason::SelfSigned),
            (email_as_issuer, Reason::SelfSigned),
            (valid().claim("iss", json!("https://accounts.google.com/")), Reason::WrongIssuer),
            (valid().claim("iss", json!("https://securetoken.google.com/p")), Reason::WrongIssuer),
            (valid().claim("aud", json!(format!("{AUDIENCE}/"))), Reason::WrongAudience),
            (
                valid().claim("aud", json!("32555940559.apps.googleusercontent.com")),
                Reason::WrongAudience,
            ),
            (valid().claim("email_verified", json!(false)), Reason::EmailUnverified),
            (valid().without_claim("email_verified"), Reason::EmailUnverified),
            (valid().without_claim("email"), Reason::CallerNotAllowed),
            (valid().claim("email", json!("other@example.com")), Reason::CallerNotAllowed),
        ];
        assert_eq!(check(&Profile::google(), &valid().claims), Ok(()));
        let short = valid().claim("iss", json!("accounts.google.com"));
        assert_eq!(check(&Profile::google(), &short.claims), Ok(()));
        for (mint, reason) in table {
            let refusal = check(&Profile::google(), &mint.claims).unwrap_err();
            assert_eq!(refusal.reason, reason, "{}", mint.claims);
            assert!(refusal.found.is_some() && refusal.expected.is_some(), "{refusal:?}");
            assert_eq!(refusal.claimed.unwrap().subject.as_deref(), Some(SUBJECT));
        }
    }

    #[test]
    fn times_hold_to_the_second() {
        let table = [
            // (iat, exp, nbf) against the skew of 30 s.
            ("expired just within the skew", NOW - 3629, NOW - 29, None, Ok(())),
            ("expired with the skew", NOW - 3630, NOW - 30, None, Err(Reason::Expired)),
            ("made ahead, within the skew", NOW + 30, NOW + 3600, None, Ok(())),
            ("made ahead", NOW + 31, NOW + 3600, None, Err(Reason::NotYetValid)),
            ("begins within the skew", NOW, NOW + 3600, Some(NOW + 30), Ok(())),
            ("begins later", NOW, NOW + 3600, Some(NOW + 31), Err(Reason::NotYetValid)),
            ("ends as it begins", NOW, NOW, None, Err(Reason::ClaimInvalid)),
            ("ends before it begins", NOW, NOW - 1, None, Err(Reason::ClaimInvalid)),
            ("the shortest", NOW, NOW + 1, None, Ok(())),
            ("the longest", NOW, NOW + DAY_SECS, None, Ok(())),
            ("longer", NOW, NOW + DAY_SECS + 1, None, Err(Reason::LifetimeTooLong)),
            ("for ever", NOW, u64::MAX, None, Err(Reason::LifetimeTooLong)),
            ("since ever", 0, NOW + 1, None, Err(Reason::LifetimeTooLong)),
            ("never", u64::MAX, u64::MAX, None, Err(Reason::NotYetValid)),
            ("begins never", NOW, NOW + 1, Some(u64::MAX), Err(Reason::NotYetValid)),
            ("at the epoch", 0, 0, None, Err(Reason::Expired)),
        ];
        for (name, issued, expires, not_before, expected) in table {
            let mut mint = valid().claim("iat", json!(issued)).claim("exp", json!(expires));
            if let Some(not_before) = not_before {
                mint = mint.claim("nbf", json!(not_before));
            }
            let checked = check(&Profile::google(), &mint.claims).map_err(|r| r.reason);
            assert_eq!(checked, expected, "{name}");
        }
    }

    #[test]
    fn clocks_at_either_end_overflow_nothing() {
        let claims = UnverifiedClaims::from_json(valid().claims.to_string().as_bytes()).unwrap();
        for (now, reason) in [(0, Reason::NotYetValid), (u64::MAX, Reason::Expired)] {
            let checked = Profile::google().check_unverified(&claims, &[], None, now);
            assert_eq!(checked.unwrap_err().reason, reason);
        }
    }

    #[test]
    fn iap_lives_ten_minutes_and_vouches_for_emails_without_saying_so() {
        let valid = || Mint::iap().claim("iat", json!(NOW)).claim("exp", json!(NOW + 600));
        assert_eq!(check(&Profile::iap(), &valid().claims), Ok(()));
        let long = check(&Profile::iap(), &valid().claim("exp", json!(NOW + 601)).claims);
        assert_eq!(long.unwrap_err().reason, Reason::LifetimeTooLong);
        let google = check(&Profile::google(), &valid().claims);
        assert_eq!(google.unwrap_err().reason, Reason::WrongIssuer);
    }

    #[test]
    fn without_audiences_and_callers_issuer_and_times_still_count() {
        let stranger = valid().claim("aud", json!("x")).claim("email", json!("other@example.com"));
        let stranger = UnverifiedClaims::from_json(stranger.claims.to_string().as_bytes()).unwrap();
        let profile = Profile::google();
        assert_eq!(profile.check_unverified(&stranger, &[], None, NOW), Ok(()));
        let late = profile.check_unverified(&stranger, &[], None, NOW + 3620);
        assert_eq!(late.unwrap_err().reason, Reason::Expired);
        let elsewhere = profile.with_issuer("http://localhost:8085");
        let refusal = elsewhere.check_unverified(&stranger, &[], None, NOW).unwrap_err();
        assert_eq!(refusal.reason, Reason::WrongIssuer);
    }
}
