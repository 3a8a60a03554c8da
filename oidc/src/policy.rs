//! The audiences and callers of a route.

use crate::{reason::Reason, refusal::Refusal};

/// Whom and what a route accepts. It is checked on every use of a token, also of a remembered one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    audiences: Vec<String>,
    callers: Callers,
}

impl Policy {
    /// A policy that accepts tokens for exactly one of `audiences` (compared character by
    /// character) from one of `callers`.
    ///
    /// # Errors
    ///
    /// [`PolicyError::NoAudience`] and [`PolicyError::EmptyAudience`].
    pub fn new(
        audiences: impl IntoIterator<Item = String>,
        callers: Callers,
    ) -> Result<Policy, PolicyError> {
        let audiences: Vec<String> = audiences.into_iter().collect();
        if audiences.is_empty() {
            return Err(PolicyError::NoAudience);
        }
        if audiences.iter().any(String::is_empty) {
            return Err(PolicyError::EmptyAudience);
        }
        Ok(Policy { audiences, callers })
    }

    /// The audiences; never empty.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// The callers; never empty.
    pub fn callers(&self) -> &Callers {
        &self.callers
    }
}

/// The accounts that may call a route.
///
/// An audience alone lets every Google account in, since anyone may mint a token for any audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callers {
    emails: Vec<String>,
    subjects: Vec<String>,
}

impl Callers {
    /// Reads a list of accounts. An entry with `@` is matched against `email` and needs
    /// `email_verified`; an entry of digits is matched against `sub` alone.
    ///
    /// # Errors
    ///
    /// [`PolicyError::NoCallers`] for an empty list, [`PolicyError::BadCaller`] with the entry
    /// for anything else, such as IAM's `serviceAccount:` prefix or a space.
    pub fn parse(
        entries: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Callers, PolicyError> {
        let mut callers = Callers { emails: Vec::new(), subjects: Vec::new() };
        for entry in entries {
            let entry = entry.as_ref();
            if is_email(entry) {
                callers.emails.push(entry.to_owned());
            } else if !entry.is_empty() && entry.bytes().all(|b| b.is_ascii_digit()) {
                callers.subjects.push(entry.to_owned());
            } else {
                return Err(PolicyError::BadCaller { entry: entry.to_owned() });
            }
        }
        if callers.emails.is_empty() && callers.subjects.is_empty() {
            return Err(PolicyError::NoCallers);
        }
        Ok(callers)
    }

    /// Admits an account that is in the list. `email_verified` says whether whoever named the
    /// email vouches for it; without that, only `subject` counts.
    ///
    /// # Errors
    ///
    /// [`Reason::EmailUnverified`] if the email is in the list but nobody vouches for it, else
    /// [`Reason::CallerNotAllowed`], each with the account and the list.
    pub fn admit(
        &self,
        subject: &str,
        email: Option<&str>,
        email_verified: bool,
    ) -> Result<(), Refusal> {
        // IAP says where the id is from; every other issuer gives it bare.
        let subject = subject.strip_prefix("accounts.google.com:").unwrap_or(subject);
        let email_listed = email.is_some_and(|email| self.emails.iter().any(|e| e == email));
        if self.subjects.iter().any(|s| s == subject) || (email_listed && email_verified) {
            return Ok(());
        }
        let reason = if email_listed { Reason::EmailUnverified } else { Reason::CallerNotAllowed };
        let listed: Vec<&str> =
            self.emails.iter().chain(&self.subjects).map(String::as_str).collect();
        let found = match email {
            Some(email) => email.to_owned(),
            None => format!("{subject} (no email in the token)"),
        };
        Err(Refusal::new(reason).with_found(&found).with_expected(&listed.join(", ")))
    }
}

/// One `@` between two parts, and no character that an account's address never has.
fn is_email(entry: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | ',' | '|' | '"');
    entry.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty() && !domain.is_empty() && !domain.contains('@')
    }) && !entry.contains(odd)
}

/// A policy that would accept nobody, everybody, or not whom its author meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The list of audiences is empty.
    #[error("no audience is given; give at least one, as the sender sets it")]
    NoAudience,
    /// One of the audiences is the empty string.
    #[error("an audience is empty; give it as the sender sets it")]
    EmptyAudience,
    /// The list of callers is empty.
    #[error(
        "no caller is given; an audience alone admits every Google account, so give at least one account's email or numeric id"
    )]
    NoCallers,
    /// An entry is neither an email address nor a numeric id.
    #[error(
        "caller {entry:?} is neither an email address (without a prefix such as `serviceAccount:`) nor a numeric account id"
    )]
    BadCaller {
        /// The entry as it was given.
        entry: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMAIL: &str = "a@p.iam.gserviceaccount.com";

    #[test]
    fn a_policy_needs_audiences_and_callers() {
        let callers = || Callers::parse([EMAIL]).unwrap();
        assert!(Policy::new(["https://a.example".to_owned()], callers()).is_ok());
        assert_eq!(Policy::new([], callers()), Err(PolicyError::NoAudience));
        assert_eq!(Policy::new([String::new()], callers()), Err(PolicyError::EmptyAudience));
        assert_eq!(Callers::parse([] as [&str; 0]), Err(PolicyError::NoCallers));
    }

    #[test]
    fn an_entry_that_is_neither_email_nor_number_is_named() {
        let entries = [
            "",
            " ",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "12a",
            "-1",
            "1.5",
            "*",
            "allUsers",
            "serviceAccount:a@b.c",
            "a@b.c d@e.f",
            " a@b.c",
            "a@b.c,d",
            "a@b.c\n",
            "１２",
        ];
        for entry in entries {
            let error = PolicyError::BadCaller { entry: entry.to_owned() };
            assert!(error.to_string().contains(&format!("{entry:?}")));
            assert_eq!(Callers::parse([EMAIL, entry]), Err(error));
        }
    }

    #[test]
    fn an_account_is_admitted_by_verified_email_or_by_id_alone() {
        let callers = Callers::parse([EMAIL, "1234"]).unwrap();
        let table = [
            ("9", Some(EMAIL), true, Ok(())),
            ("9", Some(EMAIL), false, Err(Reason::EmailUnverified)),
            ("1234", Some(EMAIL), false, Ok(())),
            ("1234", None, false, Ok(())),
            ("1234", Some("other@example.com"), false, Ok(())),
            ("9", Some("other@example.com"), true, Err(Reason::CallerNotAllowed)),
            ("9", Some("other@example.com"), false, Err(Reason::CallerNotAllowed)),
            ("9", None, true, Err(Reason::CallerNotAllowed)),
            // Neither kind of entry is ever matched against the other claim.
            ("9", Some("1234"), true, Err(Reason::CallerNotAllowed)),
            (EMAIL, None, true, Err(Reason::CallerNotAllowed)),
            ("9", Some("A@p.iam.gserviceaccount.com"), true, Err(Reason::CallerNotAllowed)),
        ];
        for (subject, email, verified, expected) in table {
            let admitted = callers.admit(subject, email, verified).map_err(|r| r.reason);
            assert_eq!(admitted, expected, "{subject} {email:?} {verified}");
        }
    }

    #[test]
    fn a_refusal_names_the_account_and_the_list() {
        let callers = Callers::parse([EMAIL, "1234"]).unwrap();
        let refusal = callers.admit("9", None, true).unwrap_err();
        assert_eq!(refusal.found.as_deref(), Some("9 (no email in the token)"));
        assert_eq!(refusal.expected, Some(format!("{EMAIL}, 1234")));
    }
}
