//! As whom a command acts.

use std::path::PathBuf;

use caller::{Credentials, Environment, Error};

/// Application default credentials, unless one of these says otherwise.
#[derive(Debug, clap::Args)]
pub(super) struct CredentialsArgs {
    /// Act as the service account of this key file
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Act as the account that this machine of Google's runs as
    #[arg(long, conflicts_with = "key_file")]
    metadata: bool,
    /// Act as this service account by impersonation, with the other credentials as those who may
    #[arg(long, value_name = "ACCOUNT")]
    impersonate: Option<String>,
    /// An account on the way to that one: each may act as the next; may be given more than once
    #[arg(long, value_name = "ACCOUNT", requires = "impersonate")]
    delegate: Vec<String>,
}

impl CredentialsArgs {
    pub(super) fn credentials(&self, environment: &Environment) -> Result<Credentials, Error> {
        let base = match &self.key_file {
            Some(path) => Credentials::key_file(path)?,
            None if self.metadata => Credentials::metadata_server(environment),
            None => Credentials::application_default(environment)?,
        };
        Ok(match &self.impersonate {
            Some(account) => base.impersonate(account, &self.delegate, environment),
            None => base,
        })
    }
}
