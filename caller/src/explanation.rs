//! What the receiver makes of a token: each of its checks, in its order, with what was found and what was expected.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use oidc::{Policy, Profile, Reason, Refusal, UnverifiedClaims, Verifier};
use serde::{Deserialize, Serialize};

/// A check of the token policy, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Three segments of base64url, 8 KiB at most.
    Form,
    /// The platform has left the signature in it.
    SignatureLeft,
    /// The algorithm, the key's id, and nothing that would bring a key along.
    Header,
    /// All claims are there, once each, of the right type.
    Claims,
    /// Google issued it.
    Issuer,
    /// Google publishes the key.
    Key,
    /// The key proves the token.
    Signature,
    /// It is for this service.
    Audience,
    /// It is valid now.
    Times,
    /// Its account may call.
    Caller,
}

/// What became of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Finding {
    /// It passed.
    Passed {
        /// What was found.
        found: String,
    },
    /// It failed.
    Failed {
        /// The reason's name, as it stands in records.
        reason: &'static str,
        /// What was found, where it can be said.
        found: Option<String>,
        /// What was expected, where it can be said.
        expected: Option<String>,
        /// What to do.
        remedy: &'static str,
    },
    /// A check before it failed, and without that one it says nothing.
    NotReached,
}

/// Everything that can be said of a token.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// Whether the receiver lets its bearer in; its own verifier says so, not the findings.
    pub accepted: bool,
    /// Why not.
    pub reason: Option<&'static str>,
    /// One for each check.
    pub checks: Vec<(Check, Finding)>,
    /// What the mistake behind it may be, where it is known.
    pub hint: Option<String>,
}

/// Has `verifier` judge a token, and says what it looked at. Behind a check that failed, those that can be made of the
/// claims alone are made all the same, of what the token says of itself.
pub async fn explain(
    verifier: &Verifier,
    profile: &Profile,
    token: &str,
    policy: &Policy,
) -> Explanation {
    let verdict = verifier.verify(token, policy).await;
    let seen = Seen::of(token);
    let failed = verdict.as_ref().err().map(|refusal| (check_of(refusal, &seen), refusal));
    let checks = ALL
        .into_iter()
        .map(|check| {
            let finding = match &failed {
                Some((at, refusal)) if check == *at => Finding::failed(refusal),
                Some((at, _)) if check > *at => seen.alone(check, profile, policy),
                _ => Finding::Passed { found: seen.found(check) },
            };
            (check, finding)
        })
        .collect();
    let reason = failed.map(|(_, refusal)| refusal.reason);
    Explanation {
        accepted: verdict.is_ok(),
        reason: reason.map(Reason::as_str),
        checks,
        hint: reason.and_then(|reason| seen.hint(reason)),
    }
}

const ALL: [Check; 10] = [
    Check::Form,
    Check::SignatureLeft,
    Check::Header,
    Check::Claims,
    Check::Issuer,
    Check::Key,
    Check::Signature,
    Check::Audience,
    Check::Times,
    Check::Caller,
];

/// Which check a refusal is of.
fn check_of(refusal: &Refusal, seen: &Seen<'_>) -> Check {
    match refusal.reason {
        Reason::Missing
        | Reason::SeveralTokens
        | Reason::NotBearer
        | Reason::TooLong
        | Reason::AccessToken
        | Reason::IdentityMissing
        | Reason::SeveralIdentities => Check::Form,
        // A header or a payload that is no JSON is said to be malformed, too.
        Reason::Malformed => match seen {
            Seen { header: Some(_), .. } => Check::Claims,
            Seen { is_split: true, .. } => Check::Header,
            _ => Check::Form,
        },
        Reason::SignatureRemoved => Check::SignatureLeft,
        Reason::UnsupportedAlgorithm
        | Reason::EmbeddedKey
        | Reason::CriticalHeader
        | Reason::KeyIdMissing
        | Reason::KeyIdInvalid => Check::Header,
        Reason::ClaimMissing | Reason::ClaimDuplicated => Check::Claims,
        // Claims that are typed and make no sense together are times.
        Reason::ClaimInvalid if seen.claims.is_some() => Check::Times,
        Reason::ClaimInvalid => Check::Claims,
        Reason::SelfSigned | Reason::WrongIssuer => Check::Issuer,
        Reason::UnknownKey | Reason::KeysUnavailable => Check::Key,
        Reason::BadSignature => Check::Signature,
        Reason::WrongAudience => Check::Audience,
        Reason::Expired | Reason::NotYetValid | Reason::LifetimeTooLong => Check::Times,
        Reason::EmailUnverified | Reason::CallerNotAllowed => Check::Caller,
    }
}

impl Finding {
    fn failed(refusal: &Refusal) -> Finding {
        Finding::Failed {
            reason: refusal.reason.as_str(),
            found: refusal.found.clone(),
            expected: refusal.expected.clone(),
            remedy: refusal.reason.remedy(),
        }
    }
}

/// What can be read of a token without believing it.
struct Seen<'a> {
    token: &'a str,
    is_split: bool,
    header: Option<Header>,
    claims: Option<UnverifiedClaims>,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    alg: serde_json::Value,
    #[serde(default)]
    kid: serde_json::Value,
}

impl Seen<'_> {
    fn of(token: &str) -> Seen<'_> {
        let segments: Vec<&str> = token.split('.').collect();
        let header = segments
            .first()
            .and_then(|header| BASE64_URL_SAFE_NO_PAD.decode(header).ok())
            .and_then(|json| serde_json::from_slice(&json).ok());
        let claims = oidc::decode_unverified(token).ok();
        Seen { token, is_split: segments.len() == 3, header, claims }
    }

    /// What is found where a check has passed.
    fn found(&self, check: Check) -> String {
        let text = |value: &serde_json::Value| oidc::shown(value.as_str().unwrap_or_default());
        let claimed = |of: fn(&UnverifiedClaims) -> String| self.claims.as_ref().map(of);
        let header =
            |of: fn(&Header) -> &serde_json::Value| self.header.as_ref().map(|one| text(of(one)));
        let found = match check {
            Check::Form => Some(format!("three segments, {} bytes", self.token.len())),
            Check::SignatureLeft => Some("the third segment is a signature".to_owned()),
            Check::Header => header(|header| &header.alg),
            Check::Claims => Some("each is there once".to_owned()),
            Check::Issuer => claimed(|claims| oidc::shown(&claims.issuer)),
            Check::Key => header(|header| &header.kid).map(|kid| format!("{kid} is published")),
            Check::Signature => Some("the key proves it".to_owned()),
            Check::Audience => claimed(|claims| oidc::shown(&claims.audience)),
            Check::Times => claimed(times),
            Check::Caller => claimed(account),
        };
        found.unwrap_or_default()
    }

    /// A check that needs the claims alone.
    fn alone(&self, check: Check, profile: &Profile, policy: &Policy) -> Finding {
        let Some(claims) = &self.claims else { return Finding::NotReached };
        let result = match check {
            Check::Issuer => profile.check_issuer(claims),
            Check::Audience => claims.check_audience(policy.audiences()),
            Check::Times => profile.check_times(claims, oidc::now_unix_secs()),
            Check::Caller => {
                let vouched = claims.email_verified || !profile.needs_email_verified();
                policy.callers().admit(&claims.subject, claims.email.as_deref(), vouched)
            }
            _ => return Finding::NotReached,
        };
        match result {
            Ok(()) => {
                Finding::Passed { found: format!("{}, as the token says", self.found(check)) }
            }
            Err(refusal) => Finding::failed(&refusal),
        }
    }

    fn hint(&self, reason: Reason) -> Option<String> {
        let audience = self.claims.as_ref().map(|claims| claims.audience.as_str());
        match reason {
            // gcloud's own client, and whatever other program a person has logged in to.
            Reason::WrongAudience if audience?.ends_with(".apps.googleusercontent.com") => Some(
                "this is a person's token, as `gcloud auth print-identity-token` prints it, and its audience cannot be chosen; use a service account's: oidc-caller token --impersonate ACCOUNT --audience AUDIENCE".to_owned(),
            ),
            Reason::WrongAudience => crate::audience::doubted(audience?.to_owned())
                .doubt
                .map(|doubt| format!("of the token's audience: {doubt}")),
            Reason::CallerNotAllowed if self.claims.as_ref()?.email.is_none() => Some(
                "the token has no email; mint it with one (includeEmail, --include-email, format=full), or list the account's numeric id".to_owned(),
            ),
            _ => None,
        }
    }
}

fn times(claims: &UnverifiedClaims) -> String {
    let now = oidc::now_unix_secs();
    format!(
        "issued {}, ends {}",
        in_words(claims.issued_at_unix_secs, now),
        in_words(claims.expires_at_unix_secs, now)
    )
}

fn account(claims: &UnverifiedClaims) -> String {
    oidc::shown(claims.email.as_deref().unwrap_or(&claims.subject))
}

/// A time as seen from now, such as "in 59 minutes" or "2 hours ago".
pub fn in_words(at_unix_secs: u64, now_unix_secs: u64) -> String {
    let apart = at_unix_secs.abs_diff(now_unix_secs);
    let span = match apart {
        0 => return "now".to_owned(),
        1..120 => format!("{apart} s"),
        120..7200 => format!("{} minutes", apart / 60),
        7200..172_800 => format!("{} hours", apart / 3600),
        _ => format!("{} days", apart / 86_400),
    };
    if at_unix_secs > now_unix_secs { format!("in {span}") } else { format!("{span} ago") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_from_now() {
        for (at, words) in [
            (1000, "now"),
            (1001, "in 1 s"),
            (1119, "in 119 s"),
            (4540, "in 59 minutes"),
            (999, "1 s ago"),
            (8300, "in 2 hours"),
            (300_000, "in 3 days"),
        ] {
            assert_eq!(in_words(at, 1000), words);
        }
    }

    #[test]
    fn the_checks_are_in_their_order() {
        assert!(ALL.is_sorted());
    }
}
