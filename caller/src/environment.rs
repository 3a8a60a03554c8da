//! Where this machine's credentials and Google's APIs are: read from the environment once.

use std::path::PathBuf;

/// The metadata server by its address, which needs no name server
/// (<https://cloud.google.com/compute/docs/metadata/querying-metadata>).
const METADATA_HOST: &str = "169.254.169.254";

/// What the environment says. The variables are Google's own, those of its client libraries and of gcloud, so that
/// whatever points gcloud at an emulator points this there too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// `GOOGLE_APPLICATION_CREDENTIALS`: the file that application default credentials begin with.
    pub application_credentials: Option<PathBuf>,
    /// Where `gcloud auth application-default login` leaves its file: in `CLOUDSDK_CONFIG`, else in `~/.config/gcloud`.
    pub well_known_file: Option<PathBuf>,
    /// `GCE_METADATA_HOST`: host, with a port where it is not 80.
    pub metadata_host: String,
    /// `CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS`, without a slash at the end.
    pub iam_credentials_url: String,
    /// `CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS`, without a slash at the end.
    pub cloud_tasks_url: String,
    /// `GOOGLE_CLOUD_PROJECT`, else `CLOUDSDK_CORE_PROJECT`.
    pub project: Option<String>,
}

impl Environment {
    /// What this process was started with.
    #[expect(clippy::disallowed_methods, reason = "the one place where this crate reads it")]
    pub fn read() -> Environment {
        Environment::from_lookup(|name| std::env::var(name).ok())
    }

    /// What `lookup` says of each variable; one that is empty is not set.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Environment {
        let get = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let url = |name: &str, usual: &str| {
            get(name).map_or_else(|| usual.to_owned(), |url| url.trim_end_matches('/').to_owned())
        };
        let gcloud = get("CLOUDSDK_CONFIG")
            .map(PathBuf::from)
            .or_else(|| get("HOME").map(|home| PathBuf::from(home).join(".config/gcloud")));
        Environment {
            application_credentials: get("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from),
            well_known_file: gcloud
                .map(|folder| folder.join("application_default_credentials.json")),
            metadata_host: get("GCE_METADATA_HOST").unwrap_or_else(|| METADATA_HOST.to_owned()),
            iam_credentials_url: url(
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS",
                "https://iamcredentials.googleapis.com",
            ),
            cloud_tasks_url: url(
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS",
                "https://cloudtasks.googleapis.com",
            ),
            project: get("GOOGLE_CLOUD_PROJECT").or_else(|| get("CLOUDSDK_CORE_PROJECT")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_google_s() {
        let found = Environment::from_lookup(|name| (name == "HOME").then(|| "/home/ada".into()));
        let file = "/home/ada/.config/gcloud/application_default_credentials.json";
        let expected = Environment {
            application_credentials: None,
            well_known_file: Some(file.into()),
            metadata_host: "169.254.169.254".into(),
            iam_credentials_url: "https://iamcredentials.googleapis.com".into(),
            cloud_tasks_url: "https://cloudtasks.googleapis.com".into(),
            project: None,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_set_counts_unless_it_is_empty() {
        let found = Environment::from_lookup(|name| match name {
            "GOOGLE_APPLICATION_CREDENTIALS" | "GOOGLE_CLOUD_PROJECT" => Some(String::new()),
            "CLOUDSDK_CORE_PROJECT" => Some("demo-project".into()),
            "CLOUDSDK_CONFIG" => Some("/tmp/gcloud".into()),
            name => Some(format!("http://{}/", name.to_ascii_lowercase())),
        });
        assert_eq!(found.application_credentials, None);
        assert_eq!(found.project.as_deref(), Some("demo-project"));
        let file = "/tmp/gcloud/application_default_credentials.json";
        assert_eq!(found.well_known_file, Some(file.into()));
        let url = "http://cloudsdk_api_endpoint_overrides_cloudtasks";
        assert_eq!(found.cloud_tasks_url, url);
    }
}
