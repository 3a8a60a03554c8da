//! How a service is called: in IAM, in errors, and in URLs.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use crate::{api::error::ApiError, project::Project};

/// The longest name of a service.
///
/// Source: <https://cloud.google.com/run/docs/deploying#deploying_a_new_service>.
const LONGEST_BYTES: usize = 49;

/// The longest label of a host name (RFC 1035 §2.3.4): a service without room in it has no deterministic URL.
const LONGEST_LABEL_BYTES: usize = 63;

/// A service of the project. In order of region, then name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceName {
    /// Such as `us-central1`; any is taken.
    pub(super) region: String,
    /// Such as `receiver`.
    pub(super) id: String,
}

impl ServiceName {
    pub(super) fn new(region: &str, id: &str) -> ServiceName {
        ServiceName { region: region.to_owned(), id: id.to_owned() }
    }

    /// That a new service may be called so.
    ///
    /// # Errors
    /// 400.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let id = self.id.as_bytes();
        let is_name = id.first().is_some_and(u8::is_ascii_lowercase)
            && id.last() != Some(&b'-')
            && id.len() <= LONGEST_BYTES
            && id.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if is_name {
            return Ok(());
        }
        Err(ApiError::invalid_field(
            "metadata.name",
            format!(
                "{:?} is no service name: use at most {LONGEST_BYTES} lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen.",
                self.id
            ),
        ))
    }

    /// As IAM names it: `projects/PROJECT/locations/REGION/services/SERVICE`.
    pub(super) fn resource(&self, project: &Project) -> String {
        format!("{}/locations/{}/services/{}", project.name(), self.region, self.id)
    }

    /// Google's 404.
    pub(super) fn missing(&self, project: &Project) -> ApiError {
        missing("SERVICE", &self.id, Some(&self.region), project)
    }

    /// The URLs that the service has at Google: the deterministic one, if there is room for it, and the other.
    ///
    /// Source: <https://cloud.google.com/run/docs/triggering/https-request#urls>. How Google shortens a region is not
    /// published: its words' initials stand for it here.
    pub(super) fn public_urls(&self, project: &Project) -> Vec<String> {
        let ServiceName { region, id } = self;
        let label = format!("{id}-{}", project.number);
        let initials: String = region.split('-').filter_map(|word| word.chars().next()).collect();
        let deterministic = (label.len() <= LONGEST_LABEL_BYTES)
            .then(|| format!("https://{label}.{region}.run.app"));
        // All services of a project share it.
        let hash = letters(&project.number.to_string(), 10);
        let other = format!("https://{id}-{hash}-{initials}.a.run.app");
        deterministic.into_iter().chain([other]).collect()
    }
}

/// Google's 404 of a resource of the Knative API.
pub(super) fn missing(kind: &str, name: &str, region: Option<&str>, project: &Project) -> ApiError {
    let region = region.map(|region| format!(" in region '{region}'")).unwrap_or_default();
    ApiError {
        message: format!(
            "Resource '{name}' of kind '{kind}'{region} in project '{}' does not exist.",
            project.id
        ),
        ..ApiError::not_found(name)
    }
}

/// So many letters and digits, always the same for the same text.
pub(super) fn letters(text: &str, count: usize) -> String {
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let letter = |byte: &u8| char::from_digit(u32::from(byte % 36), 36);
    hash.as_ref().iter().take(count).filter_map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_both_of_google_s_urls_unless_its_name_is_too_long_for_one() {
        let project = Project::default();
        let urls = ServiceName::new("us-central1", "receiver").public_urls(&project);
        assert_eq!(urls[0], "https://receiver-123456789012.us-central1.run.app");
        assert!(urls[1].starts_with("https://receiver-") && urls[1].ends_with("-uc.a.run.app"));
        assert_eq!(urls[1].len(), "https://receiver-0123456789-uc.a.run.app".len());
        let number = Project { number: 12_345_678_901_234, ..Project::default() };
        let long = ServiceName::new("us-central1", &"a".repeat(LONGEST_BYTES));
        assert!(long.check().is_ok());
        assert_eq!(long.public_urls(&number).len(), 1);
    }

    #[test]
    fn a_bad_name_is_refused() {
        let long = "a".repeat(LONGEST_BYTES + 1);
        for name in ["", "1a", "a-", "A", "a_b", "a.b", long.as_str()] {
            let fault = ServiceName::new("r", name).check().unwrap_err();
            assert_eq!(fault.http_status(), 400, "{name}");
        }
    }
}
