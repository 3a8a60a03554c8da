//! Keys of service accounts: created, listed, looked at, deleted; only their public halves are kept.
//!
//! Source: <https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys>.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Iam, ServiceAccount, api::permitted, key_file, service_account::unknown};
use crate::{
    api::{
        call::Call,
        error::{ApiError, Code},
        wire::{WireBytes, wire_enum},
    },
    error::Error,
    google::Google,
    keys::SigningKey,
};

/// As many as an account may have: <https://cloud.google.com/iam/quotas>.
const MOST_KEYS: usize = 10;

/// The public half of an account's key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct PublicKey {
    /// The account's email.
    pub(super) account: String,
    /// DER of the `SubjectPublicKeyInfo`.
    der: WireBytes,
    created: Timestamp,
}

impl PublicKey {
    /// Whether `signature` over `input` was made with the private half.
    pub(super) fn verifies(&self, input: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.der.0)
            .verify(input.as_bytes(), signature)
            .is_ok()
    }
}

impl Iam {
    /// The keys of the account of that email, with their ids, in order of id.
    pub(super) fn keys_of(&self, email: &str) -> Vec<(String, PublicKey)> {
        let state = self.state();
        let own = state.keys.iter().filter(|(_, key)| key.account == email);
        own.map(|(id, key)| (id.clone(), key.clone())).collect()
    }
}

/// Answers one call; `rest` is what stands behind `keys` in its path.
pub(super) async fn answer(
    google: &Google,
    call: &Call,
    account: &str,
    rest: &[&str],
) -> Result<Value, ApiError> {
    let permitted = |permission| permitted(google, call, account, permission);
    match (call.method.as_str(), rest) {
        ("POST", []) => create(google, call, &permitted("iam.serviceAccountKeys.create")?).await,
        ("GET", []) => {
            let account = permitted("iam.serviceAccountKeys.list")?;
            let keys = google.iam.keys_of(&account.email);
            let keys: Vec<Value> =
                keys.iter().map(|(id, key)| resource(&account, id, key)).collect();
            Ok(if keys.is_empty() { json!({}) } else { json!({"keys": keys}) })
        }
        ("GET", [id]) => {
            let account = permitted("iam.serviceAccountKeys.get")?;
            Ok(resource(&account, id, &existing(google, &account, id)?))
        }
        ("DELETE", [id]) => {
            let account = permitted("iam.serviceAccountKeys.delete")?;
            existing(google, &account, id)?;
            google.iam.state().keys.remove(*id);
            Ok(json!({}))
        }
        _ => Err(call.unknown()),
    }
}

async fn create(google: &Google, call: &Call, account: &ServiceAccount) -> Result<Value, ApiError> {
    call.json::<CreateRequest>()?.check(google.iam.keys_of(&account.email).len())?;
    let made = make().await?;
    let key = PublicKey {
        account: account.email.clone(),
        der: WireBytes(made.public_der()?.into()),
        created: Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default(),
    };
    let mut answer = resource(account, made.id(), &key);
    answer["privateKeyType"] = "TYPE_GOOGLE_CREDENTIALS_FILE".into();
    answer["privateKeyData"] = key_file::encoded(google, account, &made)?.into();
    let mut state = google.iam.state();
    // It may have been deleted while the key was made, and must not leave one for the next of its name.
    if !state.accounts.contains_key(&account.email) {
        return Err(unknown(&account.name));
    }
    state.keys.insert(made.id().to_owned(), key);
    Ok(answer)
}

fn existing(google: &Google, account: &ServiceAccount, id: &str) -> Result<PublicKey, ApiError> {
    let keys = google.iam.keys_of(&account.email);
    let found = keys.into_iter().find(|(other, _)| other == id);
    found.map(|(_, key)| key).ok_or_else(|| {
        let message = format!("Service account key {}/keys/{id} does not exist.", account.name);
        ApiError::new(Code::NotFound, message)
    })
}

fn resource(account: &ServiceAccount, id: &str, key: &PublicKey) -> Value {
    json!({
        "name": format!("{}/keys/{id}", account.name),
        "keyAlgorithm": "KEY_ALG_RSA_2048",
        "keyOrigin": "GOOGLE_PROVIDED",
        "keyType": "USER_MANAGED",
        "validAfterTime": key.created,
        "validBeforeTime": "9999-12-31T23:59:59Z",
    })
}

/// A fresh key, made beside what else is served.
async fn make() -> Result<SigningKey, Error> {
    let made = tokio::task::spawn_blocking(SigningKey::generate).await;
    made.map_err(|_| Error::Thread("generates a key"))?
}

wire_enum! {
    /// `google.iam.admin.v1.ServiceAccountKeyAlgorithm`.
    KeyAlgorithm {
        Unspecified = 0 "KEY_ALG_UNSPECIFIED",
        Rsa1024 = 1 "KEY_ALG_RSA_1024",
        Rsa2048 = 2 "KEY_ALG_RSA_2048",
    }
}

wire_enum! {
    /// `google.iam.admin.v1.ServiceAccountPrivateKeyType`.
    PrivateKeyType {
        Unspecified = 0 "TYPE_UNSPECIFIED",
        Pkcs12 = 1 "TYPE_PKCS12_FILE",
        CredentialsFile = 2 "TYPE_GOOGLE_CREDENTIALS_FILE",
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct CreateRequest {
    private_key_type: PrivateKeyType,
    key_algorithm: KeyAlgorithm,
}

impl CreateRequest {
    fn check(&self, existing: usize) -> Result<(), ApiError> {
        if self.private_key_type == PrivateKeyType::Pkcs12 {
            let said =
                "This emulator makes TYPE_GOOGLE_CREDENTIALS_FILE only (--key-file-type=json).";
            return Err(ApiError::invalid_field("private_key_type", said));
        }
        if self.key_algorithm == KeyAlgorithm::Rsa1024 {
            let said = "KEY_ALG_RSA_1024 is not valid; expected KEY_ALG_RSA_2048.";
            return Err(ApiError::invalid_field("key_algorithm", said));
        }
        if existing >= MOST_KEYS {
            let said =
                format!("The account has {existing} keys, the most there can be; delete one.");
            return Err(ApiError::new(Code::FailedPrecondition, said));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        iam::api,
        testing::{call, google},
    };

    async fn ask(
        google: &Arc<Google>,
        method: &str,
        path: &str,
        body: Value,
    ) -> Result<Value, ApiError> {
        let email = google.project.account_email("caller");
        let uri = format!("/v1/projects/-/serviceAccounts/{email}/keys{path}");
        api::answer(google, &call(method, &uri, body)).await
    }

    #[tokio::test]
    async fn a_key_is_shown_with_its_private_half_once() {
        let google = google();
        google.iam.create_account("caller").unwrap();
        assert_eq!(ask(&google, "GET", "", Value::Null).await.unwrap(), json!({}));
        let body = json!({"privateKeyType": "TYPE_GOOGLE_CREDENTIALS_FILE"});
        let mut made = ask(&google, "POST", "", body).await.unwrap();
        let made = made.as_object_mut().unwrap();
        assert!(made.remove("privateKeyData").is_some_and(|data| data.is_string()));
        assert!(made.remove("privateKeyType").is_some());
        let made = Value::from(made.clone());
        let (_, id) = made["name"].as_str().unwrap().rsplit_once('/').unwrap();
        let path = format!("/{id}");
        assert_eq!(ask(&google, "GET", &path, Value::Null).await.unwrap(), made);
        let listed = ask(&google, "GET", "?keyTypes=USER_MANAGED", Value::Null).await.unwrap();
        assert_eq!(listed, json!({"keys": [made]}));
        assert!(!google.iam.export().to_string().contains("PRIVATE KEY"));
        ask(&google, "DELETE", &path, Value::Null).await.unwrap();
        assert_eq!(ask(&google, "GET", &path, Value::Null).await.unwrap_err().http_status(), 404);
    }

    #[tokio::test]
    async fn other_kinds_of_keys_are_refused_by_name() {
        let google = google();
        google.iam.create_account("caller").unwrap();
        for (body, status, said) in [
            (json!({"privateKeyType": "TYPE_PKCS12_FILE"}), 400, "TYPE_GOOGLE_CREDENTIALS_FILE"),
            (json!({"keyAlgorithm": 1}), 400, "KEY_ALG_RSA_2048"),
            (json!({"keyAlgorithm": "EC"}), 400, "\"EC\" is not one of"),
        ] {
            let fault = ask(&google, "POST", "", body).await.unwrap_err();
            assert_eq!(fault.http_status(), status);
            assert!(fault.message.contains(said), "{}", fault.message);
        }
        let fault = CreateRequest::default().check(MOST_KEYS).unwrap_err();
        assert_eq!(fault.code, Code::FailedPrecondition);
    }
}
