//! Who calls.

/// Who calls the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Principal {
    /// The person at the laptop, an owner of the project.
    Developer,
    /// A service account or one of Google's agents, by email.
    Account(String),
}

impl Principal {
    /// As a policy's binding names it.
    pub(crate) fn member(&self) -> String {
        match self {
            Principal::Developer => "user:developer@example.com".to_owned(),
            Principal::Account(email) => format!("serviceAccount:{email}"),
        }
    }
}
