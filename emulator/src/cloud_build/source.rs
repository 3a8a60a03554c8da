//! A build's source: the archive that `gcloud builds submit` uploaded.

use std::{path::Path, process::Stdio};

use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{
    asked::{StorageSource, invalid},
    document::Failure,
};
use crate::{api::error::ApiError, google::Google, iam::Principal, storage};

/// That the build's account may read it: Cloud Build fetches it as that account
/// (<https://cloud.google.com/build/docs/securing-builds/configure-user-specified-service-accounts>).
///
/// # Errors
/// 400 in the words by which this is looked for.
pub(super) fn check(
    google: &Google,
    account: &str,
    source: &StorageSource,
) -> Result<(), ApiError> {
    let principal = Principal::Account(account.to_owned());
    if google.iam.allows(&principal, "storage.objects.get", &storage::resource(&source.bucket)) {
        return Ok(());
    }
    Err(invalid(&format!(
        "could not resolve source: googleapi: Error 403: {account} does not have storage.objects.get access to the \
         Google Cloud Storage object gs://{}/{}; grant it roles/storage.objectViewer on the bucket",
        source.bucket, source.object
    )))
}

/// Unpacks it. What would end up outside of the folder is left out by `tar`.
///
/// # Errors
/// What is wrong with it.
pub(super) async fn unpack(
    google: &Google,
    source: &StorageSource,
    folder: &Path,
) -> Result<(), Failure> {
    let StorageSource { bucket, object } = source;
    let content = google.storage.object(bucket, object).ok_or_else(|| {
        Failure::of_source(format!(
            "there is no gs://{bucket}/{object}, or newer uploads replaced it"
        ))
    })?;
    let fault = |error: std::io::Error| Failure::of_source(format!("tar cannot be run: {error}"));
    let mut tar = Command::new("tar")
        .args(["-xz", "--no-same-owner", "-C"])
        .arg(folder)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(fault)?;
    if let Some(mut stdin) = tar.stdin.take() {
        // Where it reads no further, it says why itself.
        let _ = stdin.write_all(&content).await;
    }
    let ended = tar.wait().await.map_err(fault)?;
    if ended.success() {
        return Ok(());
    }
    let detail = format!(
        "gs://{bucket}/{object} is no gzipped tar archive, or a damaged one: tar ended with {ended}"
    );
    Err(Failure::of_source(detail))
}
