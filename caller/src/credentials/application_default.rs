//! Application default credentials: which file, of which kind, and what if there is none.

use std::{path::Path, sync::Arc};

use super::{
    Credentials, Kind, file::CredentialsFile, key_file::KeyFile, metadata_server::MetadataServer,
    user::User,
};
use crate::{
    environment::Environment,
    error::{Error, FileFault},
    http::Transport,
};

/// The kinds that can be used.
#[cfg(not(feature = "federation"))]
const KINDS: &str = "service_account, authorized_user or impersonated_service_account";
#[cfg(feature = "federation")]
const KINDS: &str =
    "service_account, authorized_user, impersonated_service_account or external_account";

pub(super) fn find(environment: &Environment) -> Result<Credentials, Error> {
    let mut tried = Vec::new();
    match &environment.application_credentials {
        Some(path) => return of_file(path, environment),
        None => tried.push("GOOGLE_APPLICATION_CREDENTIALS is not set".to_owned()),
    }
    match &environment.well_known_file {
        Some(path) if path.exists() => return of_file(path, environment),
        Some(path) => tried.push(format!("{} is not there", path.display())),
        None => tried.push("there is no home folder".to_owned()),
    }
    let server = MetadataServer::as_last_resort(&environment.metadata_host, tried.join(", "));
    Ok(Credentials::of(Kind::MetadataServer(Arc::new(server)), Transport::default()))
}

fn of_file(path: &Path, environment: &Environment) -> Result<Credentials, Error> {
    let (file, text) = CredentialsFile::read(path)?;
    if file.kind()? == "external_account" {
        return federated(&file, &text, environment);
    }
    of(file, environment)
}

#[cfg(feature = "federation")]
fn federated(
    file: &CredentialsFile,
    text: &[u8],
    environment: &Environment,
) -> Result<Credentials, Error> {
    let federated = super::federation::Federated::of(file, text)?;
    let base = Credentials::of(Kind::Federated(Arc::new(federated)), Transport::default());
    if file.fields.service_account_impersonation_url.is_none() {
        return Ok(base);
    }
    let (api, account) = impersonation(file)?;
    let there = Environment { iam_credentials_url: api, ..environment.clone() };
    Ok(base.impersonate(&account, &[], &there))
}

#[cfg(not(feature = "federation"))]
fn federated(file: &CredentialsFile, _: &[u8], _: &Environment) -> Result<Credentials, Error> {
    Err(file.fault(FileFault::Type {
        found: "external_account".to_owned(),
        expected: KINDS,
        hint: "; workload identity federation is the feature `federation`, which this was built without",
    }))
}

fn of(file: CredentialsFile, environment: &Environment) -> Result<Credentials, Error> {
    let kind = match file.kind()? {
        "service_account" => Kind::KeyFile(Arc::new(KeyFile::of(&file)?)),
        "authorized_user" => Kind::User(Arc::new(User::of(&file)?)),
        "impersonated_service_account" => return impersonated(file, environment),
        kind => {
            let hint = match kind {
                "external_account_authorized_user" => {
                    "; a workforce login cannot be used here: impersonate by a service account's key file"
                }
                _ => "",
            };
            return Err(file.fault(FileFault::Type {
                found: oidc::shown(kind),
                expected: KINDS,
                hint,
            }));
        }
    };
    Ok(Credentials::of(kind, Transport::default()))
}

/// As `gcloud auth application-default login --impersonate-service-account` leaves it.
fn impersonated(
    mut file: CredentialsFile,
    environment: &Environment,
) -> Result<Credentials, Error> {
    let (api, account) = impersonation(&file)?;
    let delegates = std::mem::take(&mut file.fields.delegates);
    let source = file.fields.source_credentials.take();
    let source = source.ok_or_else(|| file.fault(FileFault::Field("source_credentials")))?;
    let source = of(file.inner(*source), environment)?;
    let there = Environment { iam_credentials_url: api, ..environment.clone() };
    Ok(source.impersonate(&account, &delegates, &there))
}

/// The API and the account of the URL that impersonates.
fn impersonation(file: &CredentialsFile) -> Result<(String, String), Error> {
    let name = "service_account_impersonation_url";
    let url = file.url(name, &file.fields.service_account_impersonation_url)?;
    url.split_once("/v1/projects/-/serviceAccounts/")
        .and_then(|(api, rest)| Some((api.to_owned(), rest.split_once(':')?.0.to_owned())))
        .ok_or_else(|| file.fault(FileFault::Url(name)))
}
