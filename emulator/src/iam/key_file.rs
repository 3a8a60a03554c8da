//! The JSON file by which a program outside of Google Cloud is a service account.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

use super::ServiceAccount;
use crate::{error::Error, google::Google, keys::SigningKey};

/// The file in base64, as `privateKeyData` carries it. Its tokens come from this emulator.
///
/// Fields: <https://cloud.google.com/iam/docs/keys-create-delete>.
///
/// # Errors
/// [`Error::Crypto`] if the key cannot be written.
pub(super) fn encoded(
    google: &Google,
    account: &ServiceAccount,
    key: &SigningKey,
) -> Result<String, Error> {
    let url = &google.url;
    let email_in_url = account.email.replace('@', "%40");
    let file = json!({
        "type": "service_account",
        "project_id": account.project_id,
        "private_key_id": key.id(),
        "private_key": key.private_pem()?,
        "client_email": account.email,
        "client_id": account.unique_id,
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": format!("{url}/token"),
        "auth_provider_x509_cert_url": format!("{url}/oauth2/v1/certs"),
        "client_x509_cert_url":
            format!("https://www.googleapis.com/robot/v1/metadata/x509/{email_in_url}"),
        "universe_domain": "googleapis.com",
    });
    let text = serde_json::to_string_pretty(&file)
        .map_err(|source| Error::Json { what: "a key file", source })?;
    Ok(BASE64_STANDARD.encode(text))
}
