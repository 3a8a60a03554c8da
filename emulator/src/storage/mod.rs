//! Cloud Storage, as far as builds go: buckets with their policies, and the sources that `gcloud builds submit` uploads.
//!
//! Source: <https://cloud.google.com/storage/docs/json_api/v1>.

mod upload;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix_web::web::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::{
        call::{Call, from_json},
        error::{ApiError, Code},
    },
    google::Google,
    project::Project,
    state,
};

/// How many uploads are kept; a build fetches its own at once.
const OBJECTS_KEPT: usize = 8;

/// The buckets, by name, and the newest uploads.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    buckets: Mutex<BTreeMap<String, Bucket>>,
    objects: Mutex<Vec<Object>>,
}

/// An upload. Its content is not for `Debug`.
struct Object {
    bucket: String,
    name: String,
    content: Bytes,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "gs://{}/{}, {} bytes", self.bucket, self.name, self.content.len())
    }
}

/// A bucket as it is kept and saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bucket {
    name: String,
    #[serde(default = "anywhere")]
    location: String,
}

fn anywhere() -> String {
    "US".to_owned()
}

impl Storage {
    pub(crate) fn export(&self) -> Value {
        json!(self.buckets().values().collect::<Vec<_>>())
    }

    /// Reads what was exported; nothing changes. Uploads are not saved.
    ///
    /// # Errors
    /// 400 that names the bucket.
    pub(crate) fn read(saved: Value) -> Result<Imported, ApiError> {
        let mut read = BTreeMap::new();
        for bucket in from_json::<Vec<Bucket>>(saved)? {
            let name = bucket.name.clone();
            if read.insert(name.clone(), bucket).is_some() {
                return Err(state::twice(&resource(&name)));
            }
        }
        Ok(Imported(read))
    }

    /// Replaces all by what was read.
    pub(crate) fn put(&self, Imported(buckets): Imported) {
        *self.buckets() = buckets;
        self.objects().clear();
    }

    /// What was uploaded there last.
    pub(crate) fn object(&self, bucket: &str, name: &str) -> Option<Bytes> {
        let objects = self.objects();
        let object = objects.iter().rfind(|one| one.bucket == bucket && one.name == name)?;
        Some(object.content.clone())
    }

    fn buckets(&self) -> MutexGuard<'_, BTreeMap<String, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn objects(&self) -> MutexGuard<'_, Vec<Object>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was read of an export and can be put in place.
#[derive(Debug)]
pub(crate) struct Imported(BTreeMap<String, Bucket>);

/// The name that a bucket's policy goes by.
pub(crate) fn resource(bucket: &str) -> String {
    format!("projects/_/buckets/{bucket}")
}

/// Answers one call.
pub(crate) fn answer(google: &Google, call: &Call) -> Result<Value, ApiError> {
    let Google { iam, project, .. } = google;
    let (method, segments, _) = call.route();
    let of_project = |permission| iam.require(&call.principal, permission, &project.name());
    let (bucket, rest) = match segments.as_slice() {
        ["b"] => {
            return match method {
                "POST" => {
                    of_project("storage.buckets.create")?;
                    create(google, call)
                }
                "GET" => {
                    of_project("storage.buckets.list")?;
                    let prefix = call.parameter("prefix").unwrap_or_default();
                    let buckets = google.storage.buckets();
                    let all = buckets.values().filter(|one| one.name.starts_with(prefix));
                    let items: Vec<Value> = all.map(|one| one.shown(project)).collect();
                    Ok(json!({"kind": "storage#buckets", "items": items}))
                }
                _ => Err(call.unknown()),
            };
        }
        // Uploads come under a prefix of their own.
        ["b", bucket, rest @ ..] | ["storage", "v1", "b", bucket, rest @ ..] => (*bucket, rest),
        _ => return Err(call.unknown()),
    };
    let resource = resource(bucket);
    let found = google.storage.buckets().get(bucket).cloned();
    let Some(found) = found else {
        return Err(ApiError::new(Code::NotFound, "The specified bucket does not exist."));
    };
    let may = |permission: &str| iam.require(&call.principal, permission, &resource);
    match (method, rest) {
        ("GET", []) => {
            may("storage.buckets.get")?;
            Ok(found.shown(project))
        }
        ("GET", ["storageLayout"]) => {
            may("storage.objects.list")?;
            Ok(
                json!({"kind": "storage#storageLayout", "bucket": bucket, "location": found.location}),
            )
        }
        ("DELETE", []) => {
            may("storage.buckets.delete")?;
            google.storage.buckets().remove(bucket);
            google.storage.objects().retain(|one| one.bucket != bucket);
            iam.forget(&resource);
            Ok(json!({}))
        }
        ("GET", ["iam"]) => iam.get_policy(call, "storage.buckets.getIamPolicy", &resource),
        ("PUT", ["iam"]) => {
            may("storage.buckets.setIamPolicy")?;
            iam.put_policy(call.json()?, &resource)
        }
        ("GET", ["o"]) => {
            may("storage.objects.list")?;
            let objects = google.storage.objects();
            let of_bucket = objects.iter().filter(|one| one.bucket == bucket);
            let items: Vec<Value> =
                of_bucket.map(|one| upload::object(bucket, &one.name, one.content.len())).collect();
            Ok(json!({"kind": "storage#objects", "items": items}))
        }
        ("DELETE", ["o", name]) => {
            may("storage.objects.delete")?;
            google.storage.objects().retain(|one| one.bucket != bucket || one.name != *name);
            Ok(json!({}))
        }
        ("POST", ["o"]) if call.parameter("uploadType") == Some("multipart") => {
            may("storage.objects.create")?;
            let (name, content) = upload::read(call)?;
            let object = upload::object(bucket, &name, content.len());
            let mut objects = google.storage.objects();
            objects.push(Object { bucket: bucket.to_owned(), name, content });
            let surplus = objects.len().saturating_sub(OBJECTS_KEPT);
            objects.drain(..surplus);
            Ok(object)
        }
        ("POST", ["o"]) => Err(ApiError::invalid(
            "The source is larger than 5 MiB compressed, which gcloud uploads in pieces, and this emulator takes it \
             whole; leave out what the build does not need with .gcloudignore.",
        )),
        _ => Err(call.unknown()),
    }
}

fn create(google: &Google, call: &Call) -> Result<Value, ApiError> {
    let bucket: Bucket = call.json()?;
    let is_name = (3..=63).contains(&bucket.name.len())
        && bucket.name.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
        });
    if !is_name {
        let fault = format!(
            "is {:?}; expected 3 to 63 lower-case letters, digits, dashes, underscores and dots.",
            bucket.name
        );
        return Err(ApiError::invalid_field("name", fault));
    }
    let mut buckets = google.storage.buckets();
    if buckets.contains_key(&bucket.name) {
        let message =
            "Your previous request to create the named bucket succeeded and you already own it.";
        return Err(ApiError::new(Code::AlreadyExists, message));
    }
    let shown = bucket.shown(&google.project);
    buckets.insert(bucket.name.clone(), bucket);
    Ok(shown)
}

impl Bucket {
    fn shown(&self, project: &Project) -> Value {
        json!({
            "kind": "storage#bucket",
            "id": self.name,
            "name": self.name,
            "projectNumber": project.number.to_string(),
            "location": self.location.to_ascii_uppercase(),
            "storageClass": "STANDARD",
            "iamConfiguration": {"uniformBucketLevelAccess": {"enabled": true}},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, google};

    #[tokio::test]
    async fn a_bucket_is_made_once_has_a_policy_and_is_deleted() {
        let google = google();
        let ask = |method: &str, uri: &str, body| answer(&google, &call(method, uri, body));
        assert_eq!(ask("GET", "/b/sources", Value::Null).unwrap_err().http_status(), 404);
        let asked = json!({"name": "sources", "location": "us-central1"});
        ask("POST", "/b?project=demo-project", asked.clone()).unwrap();
        assert_eq!(ask("POST", "/b", asked).unwrap_err().http_status(), 409);
        assert_eq!(ask("GET", "/b/sources", Value::Null).unwrap()["location"], "US-CENTRAL1");
        let policy = ask("GET", "/b/sources/iam", Value::Null).unwrap();
        let members = json!(["user:ada@example.com"]);
        let bindings = json!([{"role": "roles/storage.objectViewer", "members": members}]);
        let put = json!({"bindings": bindings, "etag": policy["etag"], "version": 3});
        ask("PUT", "/b/sources/iam", put).unwrap();
        assert_eq!(ask("GET", "/b/sources/iam", Value::Null).unwrap()["bindings"], bindings);
        let saved = google.storage.export();
        ask("DELETE", "/b/sources", Value::Null).unwrap();
        assert_eq!(ask("GET", "/b", Value::Null).unwrap()["items"], json!([]));
        google.storage.put(Storage::read(saved).unwrap());
        let policy = ask("GET", "/b/sources/iam", Value::Null).unwrap();
        assert_eq!(policy["bindings"], Value::Null, "its policy went with it");
        for name in ["", "ab", "Sources", "a/b"] {
            let fault = ask("POST", "/b", json!({"name": name}));
            assert_eq!(fault.unwrap_err().http_status(), 400, "{name}");
        }
    }

    #[tokio::test]
    async fn an_upload_in_pieces_is_refused_with_what_to_do() {
        let google = google();
        answer(&google, &call("POST", "/b", json!({"name": "sources"}))).unwrap();
        let uri = "/storage/v1/b/sources/o?uploadType=resumable";
        let fault = answer(&google, &call("POST", uri, json!({}))).unwrap_err();
        assert!(fault.message.contains(".gcloudignore"), "{}", fault.message);
    }
}
