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

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use aws_lc_rs::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
    use serde_json::Value;

    use super::*;
    use crate::{
        iam::api,
        jws,
        testing::{call, google},
    };

    /// Google's side and the key file of an account in it, which is read as a client does.
    pub(in crate::iam) async fn with_key_file() -> (Arc<Google>, Value) {
        let google = google();
        let email = google.iam.create_account("caller").unwrap().email;
        let path = format!("/v1/projects/-/serviceAccounts/{email}/keys");
        let key = api::answer(&google, &call("POST", &path, json!({}))).await.unwrap();
        let file = BASE64_STANDARD.decode(key["privateKeyData"].as_str().unwrap()).unwrap();
        (google, serde_json::from_slice(&file).unwrap())
    }

    /// Signs with the private key of the file and nothing else of ours.
    pub(in crate::iam) fn signed(file: &Value, header: &Value, claims: &Value) -> String {
        let pem = file["private_key"].as_str().unwrap();
        let lines = pem.lines().filter(|line| !line.starts_with("-----"));
        let der = BASE64_STANDARD.decode(lines.collect::<String>()).unwrap();
        let pair = KeyPair::from_pkcs8(&der).unwrap();
        let input = jws::signing_input(header, claims).unwrap();
        let mut signature = vec![0; pair.public_modulus_len()];
        let random = SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature).unwrap();
        jws::compact(&input, &signature)
    }

    pub(in crate::iam) fn header(file: &Value) -> Value {
        json!({"alg": "RS256", "typ": "JWT", "kid": file["private_key_id"]})
    }
}
