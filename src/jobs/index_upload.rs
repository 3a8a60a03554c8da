//! Example, from Pub/Sub and Eventarc: an object arrived in a bucket, told in attributes and JSON data.

use serde::Deserialize;

use crate::{invocation::Invocation, outcome::JobError};

/// The members of a Cloud Storage object that this job reads; both senders carry the same
/// (<https://cloud.google.com/storage/docs/json_api/v1/objects#resource>).
#[derive(Debug, Deserialize)]
pub(super) struct Object {
    bucket: String,
    name: String,
    /// A 64-bit number, which Google's JSON writes as a string.
    size: String,
}

/// Indexes the object.
pub(super) async fn run(upload: Invocation<Object>) -> Result<(), JobError> {
    // Pub/Sub notifications tell of deletions at the same topic; Eventarc filters by type before it sends.
    if upload.attribute("eventType").is_some_and(|event| event != "OBJECT_FINALIZE") {
        return Ok(());
    }
    let Object { bucket, name, size } = &upload.payload;
    let size_bytes: u64 =
        size.parse().map_err(|_| JobError::give_up("the object's size is not a number"))?;
    tracing::info!(
        bucket_length = bucket.len(),
        name_length = name.len(),
        size_bytes,
        "object indexed"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::senders::Sender;

    async fn index(size: &str, event: &str) -> Result<(), JobError> {
        let object = Object {
            bucket: "uploads".to_owned(),
            name: "a.pdf".to_owned(),
            size: size.to_owned(),
        };
        let mut upload = Invocation::sample(Sender::Pubsub, object);
        upload.attributes.insert("eventType".to_owned(), event.to_owned());
        run(upload).await
    }

    #[tokio::test]
    async fn an_object_is_indexed_and_one_that_can_never_be_is_given_up() {
        assert_eq!(index("1024", "OBJECT_FINALIZE").await, Ok(()));
        assert!(matches!(index("large", "OBJECT_FINALIZE").await, Err(JobError::GiveUp(_))));
        assert_eq!(index("large", "OBJECT_DELETE").await, Ok(()));
    }
}
