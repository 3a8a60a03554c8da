//! Workload identity federation: another cloud's or a CI's token, exchanged for one of Google's. The exchange is
//! google-cloud-auth's; the ID token is had by impersonation, as with any other credentials.
//!
//! <https://cloud.google.com/iam/docs/workload-identity-federation>

use std::time::Duration;

use google_cloud_auth::credentials::{AccessTokenCredentials, external_account::Builder};
use serde_json::Value;

use super::{SCOPE, file::CredentialsFile};
use crate::{
    error::{Error, FileFault},
    token::Token,
};

/// The library renews its token itself, and does not say for how long it serves: it is asked again after half of this.
const ASK_AGAIN: Duration = Duration::from_secs(120);

pub(super) struct Federated(AccessTokenCredentials);

impl Federated {
    /// Of a file of the type `external_account`; whom it impersonates is not looked at here.
    pub(super) fn of(file: &CredentialsFile, text: &[u8]) -> Result<Federated, Error> {
        let mut config: Value = serde_json::from_slice(text).map_err(|error| {
            file.fault(FileFault::NotJson { line: error.line(), column: error.column() })
        })?;
        if let Some(fields) = config.as_object_mut() {
            fields.remove("service_account_impersonation_url");
        }
        let built = Builder::new(config).with_scopes([SCOPE]).build_access_token_credentials();
        built.map(Federated).map_err(|error| Error::Federation(oidc::shown(&error.to_string())))
    }

    pub(super) async fn access_token(&self) -> Result<Token, Error> {
        let fault = |text: String| Error::Federation(oidc::shown(&text));
        let token = self.0.access_token().await.map_err(|error| fault(with_causes(&error)))?;
        Token::new(&token.token, ASK_AGAIN).ok_or_else(|| fault("it is no token".to_owned()))
    }
}

/// The last cause says most.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut last = error.source();
    while let Some(cause) = last {
        text = format!("{text}: {cause}");
        last = cause.source();
    }
    text
}
