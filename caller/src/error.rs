//! Why there is no token, or no answer: each with what to do about it, in one line.

use std::path::PathBuf;

use crate::clock::off;

/// What went wrong. No variant ever holds a token, a key or an assertion.
///
/// It can be cloned, since all who wait for one fetch hear of the same fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Google's order was gone through to its end.
    #[error(
        "no credentials were found: {tried}; run `gcloud auth application-default login`, or name a service account's key file"
    )]
    NoCredentials {
        /// What was looked at, and why it did not serve.
        tried: String,
    },
    /// A file of credentials cannot be used.
    #[error("{}: {fault}", .path.display())]
    CredentialsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: FileFault,
    },
    /// There is no metadata server.
    #[error(
        "no metadata server answers at {host} ({reason}); it is there on Google Cloud only: elsewhere name a key file, or an account to impersonate"
    )]
    NoMetadataServer {
        /// `host` or `host:port`.
        host: String,
        /// The last cause.
        reason: String,
    },
    /// These credentials cannot choose an audience.
    #[error(
        "{what} can have no ID token for an audience that you choose; impersonate a service account, for which they need roles/iam.serviceAccountOpenIdTokenCreator on it (oidc-caller token --impersonate ACCOUNT)"
    )]
    NoIdToken {
        /// The kind of credentials.
        what: &'static str,
    },
    /// The audience is empty.
    #[error(
        "the audience is empty; expected what the service takes tokens for, such as https://NAME-NUMBER.REGION.run.app"
    )]
    NoAudience,
    /// The key of a key file is not, or no more, one of its account's.
    #[error(
        "the private key in {} is none of {account}'s: it was deleted, or is another account's; make a new one with `gcloud iam service-accounts keys create {} --iam-account={account}`",
        .path.display(), .path.display()
    )]
    KeyRejected {
        /// The key file.
        path: PathBuf,
        /// Its account.
        account: String,
    },
    /// A permission is missing.
    #[error("{who} lacks {permission} on {resource}; whoever administers it runs: {remedy}")]
    PermissionMissing {
        /// Whose, as far as it is known.
        who: String,
        /// The permission, as IAM names it.
        permission: String,
        /// On what.
        resource: String,
        /// The command that grants it.
        remedy: String,
    },
    /// There is no such service account.
    #[error("there is no service account {account}, or it is disabled{}; `gcloud iam service-accounts list` has them", after_colon(.said))]
    AccountMissing {
        /// Its email.
        account: String,
        /// What Google said.
        said: String,
    },
    /// This machine's clock is so far off that Google takes nothing that it signs.
    #[error(
        "this machine's clock is {} Google's; set it (timedatectl set-ntp true), since what it signs counts for an hour alone", off(*.behind_secs)
    )]
    ClockOff {
        /// How far this clock is behind; negative if it is ahead.
        behind_secs: i64,
    },
    /// Google, or who was taken for it, refused for another reason.
    #[error("{url} answered {status}{}{}", after_colon(.said), clock(*.behind_secs))]
    Refused {
        /// Where the request went, without its query.
        url: String,
        /// The status.
        status: u16,
        /// What it said, cut and in one line.
        said: String,
        /// How far this machine's clock is behind, if that is more than a minute; negative if it is ahead.
        behind_secs: Option<i64>,
    },
    /// The answer is not what that endpoint is documented to give.
    #[error("{url} gave no {expected}; is it what it is taken for?")]
    Unexpected {
        /// Where the request went, without its query.
        url: String,
        /// What was expected.
        expected: &'static str,
    },
    /// Nobody answered, although it was tried again.
    #[error("no answer from {url}: {reason}; is there a network, and is the URL right?")]
    NoAnswer {
        /// Where the request went, without its query.
        url: String,
        /// The last cause.
        reason: String,
    },
    /// A URL is none, or a request cannot be made of what was given.
    #[error("{given:?} is not a URL; expected one such as https://NAME-NUMBER.REGION.run.app/path")]
    Url {
        /// What was given.
        given: String,
    },
    /// The HTTP client cannot be built.
    #[error(
        "the HTTP client cannot be built ({0}); is there a bundle of CA certificates on this machine?"
    )]
    Client(String),
    /// Federated credentials gave no token.
    #[cfg(feature = "federation")]
    #[error("the federated credentials gave no token: {0}")]
    Federation(String),
}

/// What is wrong with a file of credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileFault {
    /// It cannot be read.
    #[error(
        "{0}; give the path of a service account's key file (gcloud iam service-accounts keys create FILE --iam-account=ACCOUNT)"
    )]
    Unreadable(String),
    /// It is larger than any key file.
    #[error("it is larger than 64 KiB, which no file of credentials is")]
    TooLarge,
    /// It is not JSON, or not an object.
    #[error(
        "it is not a JSON object (line {line}, column {column}); expected a file of credentials as Google wrote it"
    )]
    NotJson {
        /// Where it broke.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// A field has a value of another kind.
    #[error(
        "a field ends at line {line}, column {column} with something that is no text; expected a file of credentials as Google wrote it"
    )]
    NoText {
        /// Where it ends.
        line: usize,
        /// Where in the line.
        column: usize,
    },
    /// A field is missing or empty.
    #[error("it has no text in `{0}`; expected a file of credentials as Google wrote it")]
    Field(&'static str),
    /// It is of a kind that is not expected here.
    #[error("its `type` is {found:?}; expected {expected}{hint}")]
    Type {
        /// The kind that it is of.
        found: String,
        /// What can be used here.
        expected: &'static str,
        /// What to do with one of that kind; may be empty.
        hint: &'static str,
    },
    /// The private key cannot be read.
    #[error(
        "its `private_key` is no RSA key in PKCS #8 PEM (-----BEGIN PRIVATE KEY-----); take the file as Google wrote it"
    )]
    PrivateKey,
    /// A URL in it leads to where no secret should go.
    #[error("its `{0}` is no https URL; expected one of Google's, for what is signed goes there")]
    Url(&'static str),
}

impl Error {
    /// Whether the same call may succeed a moment later, without anybody doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::NoAnswer { .. } => true,
            Error::Refused { status, .. } => crate::http::is_transient(*status),
            _ => false,
        }
    }
}

fn after_colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

fn clock(behind_secs: Option<i64>) -> String {
    behind_secs.map_or_else(String::new, |secs| {
        format!("; this machine's clock is {} Google's", off(secs))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_one_line_with_a_remedy() {
        let refused = Error::Refused {
            url: "https://oauth2.googleapis.com/token".into(),
            status: 400,
            said: "invalid_scope".into(),
            behind_secs: Some(-300),
        };
        assert_eq!(
            refused.to_string(),
            "https://oauth2.googleapis.com/token answered 400: invalid_scope; this machine's clock is 5 minutes ahead of Google's"
        );
        let fault = FileFault::Type { found: "x".into(), expected: "service_account", hint: "" };
        let file = Error::CredentialsFile { path: "key.json".into(), fault };
        assert_eq!(file.to_string(), "key.json: its `type` is \"x\"; expected service_account");
    }
}
