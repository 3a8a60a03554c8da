//! Cloud Storage, as far as builds go: buckets with their policies, and the sources that `gcloud builds submit` uploads.
//!
//! Source: <https://cloud.google.com/storage/docs/json_api/v1>.

pub(crate) mod api;
mod upload;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use actix_web::web::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::{call::from_json, error::ApiError},
    project::Project,
    state,
};

/// How many uploads are kept; a build fetches its own at once.
const OBJECTS_KEPT: usize = 8;

/// The buckets, by name, and the newest uploads.
#[derive(Debug)]
pub(crate) struct Storage {
    /// Whether anything reads what is uploaded.
    keeps_content: bool,
    buckets: Mutex<BTreeMap<String, Bucket>>,
    objects: Mutex<Vec<Object>>,
}

/// An upload. Its content is not for `Debug`.
struct Object {
    bucket: String,
    name: String,
    bytes: usize,
    /// Empty where nothing reads it.
    content: Bytes,
}

impl std::fmt::Debug for Object {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "gs://{}/{}, {} bytes", self.bucket, self.name, self.bytes)
    }
}

/// A bucket as it is kept and saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bucket {
    name: String,
    #[serde(default = "anywhere")]
    location: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    /// Kept as it came: access goes by IAM alone here, whatever it says.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    iam_configuration: Value,
}

fn anywhere() -> String {
    "US".to_owned()
}

impl Storage {
    /// With `keeps_content`, builds find what was uploaded.
    pub(crate) fn new(keeps_content: bool) -> Storage {
        Storage { keeps_content, buckets: Mutex::default(), objects: Mutex::default() }
    }

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

impl Bucket {
    fn shown(&self, project: &Project) -> Value {
        json!({
            "kind": "storage#bucket",
            "id": self.name,
            "name": self.name,
            "projectNumber": project.number.to_string(),
            "location": self.location.to_ascii_uppercase(),
            "storageClass": "STANDARD",
            "labels": self.labels,
            "iamConfiguration": self.iam_configuration,
        })
    }
}
