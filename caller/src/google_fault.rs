//! What Google says when it refuses: of its APIs, and of its token endpoint.

use serde::Deserialize;

/// The `error` of an API's answer (<https://google.aip.dev/193#http11json-representation>).
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct ApiFault {
    pub(crate) message: String,
    /// Such as `PERMISSION_DENIED`.
    pub(crate) status: String,
    details: Vec<Detail>,
}

#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Detail {
    reason: String,
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
struct Metadata {
    permission: String,
}

/// A token endpoint's refusal (RFC 6749 §5.2).
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(crate) struct OAuthFault {
    pub(crate) error: String,
    pub(crate) error_description: String,
}

impl ApiFault {
    /// Reads an answer; of what is no such fault nothing is known.
    pub(crate) fn read(body: &[u8]) -> ApiFault {
        #[derive(Deserialize)]
        struct Body {
            error: ApiFault,
        }
        serde_json::from_slice::<Body>(body).map(|body| body.error).unwrap_or_default()
    }

    /// The permission that is missing, if it was that. Some APIs name it in the details, some in the sentence alone.
    pub(crate) fn missing_permission(&self) -> Option<&str> {
        if self.status != "PERMISSION_DENIED" {
            return None;
        }
        let named = self.details.iter().find(|detail| detail.reason == "IAM_PERMISSION_DENIED");
        match named.map(|detail| detail.metadata.permission.as_str()) {
            Some(permission) if !permission.is_empty() => Some(permission),
            _ => self.message.split(['\'', '"', ' ']).find(|word| is_permission(word)),
        }
    }

    /// Whether the API itself is off in the project.
    pub(crate) fn is_disabled(&self) -> bool {
        self.details.iter().any(|detail| detail.reason == "SERVICE_DISABLED")
    }
}

/// `service.resource.verb`, such as `cloudtasks.tasks.create`.
fn is_permission(word: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphabetic());
    let parts = word.split('.').count();
    (3..=4).contains(&parts) && word.split('.').all(is_name)
}

impl OAuthFault {
    /// Reads an answer; of what is no such fault nothing is known.
    pub(crate) fn read(body: &[u8]) -> OAuthFault {
        serde_json::from_slice(body).unwrap_or_default()
    }

    /// Both words in one line.
    pub(crate) fn said(&self) -> String {
        [self.error.as_str(), self.error_description.as_str()].join(" ").trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn missing(fault: &serde_json::Value) -> Option<String> {
        let fault = ApiFault::read(json!({"error": fault}).to_string().as_bytes());
        fault.missing_permission().map(str::to_owned)
    }

    #[test]
    fn a_permission_is_named_in_the_details_or_in_the_sentence() {
        let details = json!([{
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "IAM_PERMISSION_DENIED",
            "metadata": {"permission": "iam.serviceAccounts.getOpenIdToken"},
        }]);
        let detailed = json!({"status": "PERMISSION_DENIED", "message": "no", "details": details});
        assert_eq!(missing(&detailed).as_deref(), Some("iam.serviceAccounts.getOpenIdToken"));
        // https://cloud.google.com/tasks/docs/troubleshooting
        for message in [
            "The principal (user or service account) lacks IAM permission \"cloudtasks.tasks.create\" for the resource \"projects/p/locations/l/queues/q\" (or the resource may not exist).",
            "Permission 'cloudtasks.tasks.create' denied on resource 'x' (or it may not exist).",
        ] {
            let said = json!({"status": "PERMISSION_DENIED", "message": message});
            assert_eq!(missing(&said).as_deref(), Some("cloudtasks.tasks.create"), "{message}");
            let other = json!({"status": "NOT_FOUND", "message": message});
            assert_eq!(missing(&other), None);
        }
        let wordless = json!({"status": "PERMISSION_DENIED", "message": "on www.example.com: no"});
        assert_eq!(missing(&wordless).as_deref(), None);
    }

    #[test]
    fn what_is_no_fault_says_nothing() {
        assert_eq!(ApiFault::read(b"<html>"), ApiFault::default());
        assert_eq!(OAuthFault::read(b"[]").said(), "");
    }
}
