//! Cloud Storage's methods.

use actix_web::web::Bytes;
use serde_json::{Value, json};

use super::{Bucket, OBJECTS_KEPT, Object, resource, upload};
use crate::{
    api::{
        call::Call,
        error::{ApiError, Code},
    },
    google::Google,
};

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
        ("DELETE", []) => {
            may("storage.buckets.delete")?;
            if google.storage.objects().iter().any(|one| one.bucket == bucket) {
                let message = "The bucket you tried to delete is not empty.";
                return Err(ApiError::new(Code::AlreadyExists, message));
            }
            google.storage.buckets().remove(bucket);
            iam.forget(&resource);
            Ok(json!({}))
        }
        ("GET", ["iam"]) => iam.get_policy(call, "storage.buckets.getIamPolicy", &resource),
        ("PUT", ["iam"]) => {
            may("storage.buckets.setIamPolicy")?;
            iam.put_policy(call.json()?, &resource)
        }
        ("GET", ["storageLayout"]) => {
            may("storage.objects.list")?;
            Ok(json!({
                "kind": "storage#storageLayout",
                "bucket": bucket,
                "location": found.location.to_ascii_uppercase(),
                "hierarchicalNamespace": {"enabled": false},
            }))
        }
        ("GET", ["managedFolders"]) => {
            may("storage.managedFolders.list")?;
            Ok(json!({"kind": "storage#managedFolders", "items": []}))
        }
        ("GET", ["o"]) => {
            may("storage.objects.list")?;
            let objects = google.storage.objects();
            let of_bucket = objects.iter().filter(|one| one.bucket == bucket);
            let items: Vec<Value> =
                of_bucket.map(|one| upload::object(bucket, &one.name, one.bytes)).collect();
            Ok(json!({"kind": "storage#objects", "items": items}))
        }
        ("DELETE", ["o", name]) => {
            may("storage.objects.delete")?;
            let mut objects = google.storage.objects();
            let before = objects.len();
            objects.retain(|one| one.bucket != bucket || one.name != *name);
            if objects.len() == before {
                let message = format!("No such object: {bucket}/{name}");
                return Err(ApiError::new(Code::NotFound, message));
            }
            Ok(json!({}))
        }
        ("POST", ["o"]) if call.parameter("uploadType") == Some("multipart") => {
            may("storage.objects.create")?;
            let (name, content) = upload::read(call)?;
            let bytes = content.len();
            let object = upload::object(bucket, &name, bytes);
            let content = if google.storage.keeps_content { content } else { Bytes::new() };
            let mut objects = google.storage.objects();
            objects.push(Object { bucket: bucket.to_owned(), name, bytes, content });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        iam::Principal,
        storage::Storage,
        testing::{call, google, raw_call},
    };

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
    async fn a_bucket_is_not_deleted_with_anything_in_it() {
        let google = google();
        let ask = |method: &str, uri: &str, body| answer(&google, &call(method, uri, body));
        ask("POST", "/b", json!({"name": "sources"})).unwrap();
        let body = "--b\nA: b\n\n{}\n--b\nA: b\n\ncontent\n--b--".into();
        let uri = "/storage/v1/b/sources/o?uploadType=multipart&name=a%2Fb.tgz";
        let upload = raw_call(Principal::Developer, "POST", uri, body);
        assert_eq!(answer(&google, &upload).unwrap()["size"], "7");
        let listed = ask("GET", "/b/sources/o", Value::Null).unwrap();
        assert_eq!(
            (&listed["items"][0]["name"], &listed["items"][0]["size"]),
            (&json!("a/b.tgz"), &json!("7"))
        );
        assert_eq!(ask("DELETE", "/b/sources", Value::Null).unwrap_err().http_status(), 409);
        let object = "/b/sources/o/a%2Fb.tgz";
        ask("DELETE", object, Value::Null).unwrap();
        assert_eq!(ask("DELETE", object, Value::Null).unwrap_err().http_status(), 404);
        ask("DELETE", "/b/sources", Value::Null).unwrap();
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
