//! IAM policies (`google.iam.v1.Policy`): what they are, and the three methods that every resource with one has.

mod change;

pub(super) use change::check_owner;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Iam, Principal, role};
use crate::api::{call::Call, error::ApiError, wire::is_default};

/// Who holds which roles on one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Policy {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) bindings: Vec<Binding>,
    /// Base64, or gcloud crashes on it.
    pub(crate) etag: String,
    /// 1, since there are no conditions here; 0 where there are no bindings either.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) version: i32,
}

/// One role and who holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Binding {
    pub(crate) role: String,
    #[serde(default)]
    pub(crate) members: Vec<String>,
    /// Not evaluated: setting one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<Value>,
}

impl Binding {
    pub(crate) fn new(role: &str, member: &str) -> Binding {
        Binding { role: role.to_owned(), members: vec![member.to_owned()], condition: None }
    }

    /// Whether `principal`, who has proved to be that, is one of its members.
    fn names(&self, principal: &Principal) -> bool {
        let member = principal.member();
        self.members.iter().any(|other| {
            *other == member || other == "allUsers" || other == "allAuthenticatedUsers"
        })
    }
}

impl Policy {
    /// The first version of a policy.
    pub(crate) fn of(bindings: Vec<Binding>) -> Policy {
        let version = i32::from(!bindings.is_empty());
        Policy { bindings, etag: etag(1), version }
    }

    /// Whether `principal`, who has proved to be that, has `permission`.
    pub(super) fn allows(&self, principal: &Principal, permission: &str) -> bool {
        self.bindings
            .iter()
            .any(|binding| binding.names(principal) && role::grants(&binding.role, permission))
    }

    /// Whether everybody has `permission`, without any token: `allAuthenticatedUsers` is not everybody.
    pub(crate) fn is_public(&self, permission: &str) -> bool {
        self.bindings.iter().any(|binding| {
            binding.members.iter().any(|one| one == "allUsers")
                && role::grants(&binding.role, permission)
        })
    }

    fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// The etag of the so many-th version of anything. Its digits need no letter in which the alphabets of base64 differ.
pub(crate) fn etag(version: u64) -> String {
    BASE64_STANDARD.encode(format!("{version:010}"))
}

/// The etag that comes next.
fn etag_after(etag: &str) -> String {
    let digits = BASE64_STANDARD.decode(etag).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let version: u64 = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
    self::etag(version.saturating_add(1))
}

/// Body of a `testIamPermissions`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestRequest {
    #[serde(default)]
    permissions: Vec<String>,
}

impl Iam {
    /// The policy of a resource; one that was never set has no bindings.
    pub(crate) fn policy(&self, resource: &str) -> Policy {
        let state = self.state();
        state.policies.get(resource).cloned().unwrap_or_else(|| Policy::of(Vec::new()))
    }

    /// Answers `getIamPolicy`, whether by GET or by POST.
    ///
    /// # Errors
    /// 403 if the caller lacks `permission` on the resource.
    pub(crate) fn get_policy(
        &self,
        call: &Call,
        permission: &str,
        resource: &str,
    ) -> Result<Value, ApiError> {
        self.require(&call.principal, permission, resource)?;
        Ok(self.policy(resource).json())
    }

    /// Answers `testIamPermissions`: those of the permissions that the caller has. It needs none itself.
    ///
    /// # Errors
    /// 400 if a permission is not one permission.
    pub(crate) fn test_permissions(&self, call: &Call, resource: &str) -> Result<Value, ApiError> {
        let TestRequest { mut permissions } = call.json()?;
        if let Some(pattern) = permissions.iter().find(|one| one.contains('*') || one.is_empty()) {
            return Err(ApiError::invalid_field(
                "permissions",
                format!("{pattern:?} is not valid; name each permission, without wildcards."),
            ));
        }
        permissions.retain(|permission| self.allows(&call.principal, permission, resource));
        Ok(if permissions.is_empty() { json!({}) } else { json!({"permissions": permissions}) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, google};

    const SERVICE: &str = "projects/demo-project/locations/us-central1/services/receiver";

    #[test]
    fn everybody_is_not_everybody_with_an_account() {
        let of = |role, member| Policy::of(vec![Binding::new(role, member)]);
        for (role, public) in [
            ("roles/run.invoker", true),
            ("roles/run.servicesInvoker", true),
            ("roles/run.admin", true),
            ("roles/run.viewer", false),
        ] {
            assert_eq!(of(role, "allUsers").is_public("run.routes.invoke"), public, "{role}");
        }
        let authenticated = of("roles/run.invoker", "allAuthenticatedUsers");
        assert!(!authenticated.is_public("run.routes.invoke"));
        let anyone = Principal::Account("anyone@example.com".to_owned());
        assert!(authenticated.allows(&anyone, "run.routes.invoke"));
    }

    #[test]
    fn etags_count_up_and_a_broken_one_starts_again() {
        assert_eq!(etag_after(&etag(9)), etag(10));
        assert_eq!(etag_after("?"), etag(1));
        assert_eq!(etag_after(&etag(u64::MAX)), etag(u64::MAX));
    }

    #[test]
    fn a_policy_that_was_never_set_has_an_etag_alone() {
        assert_eq!(Policy::of(Vec::new()).json(), json!({"etag": "MDAwMDAwMDAwMQ=="}));
    }

    #[tokio::test]
    async fn a_caller_is_told_which_permissions_it_has() {
        let google = google();
        let test = |permissions: Value| {
            let call =
                call("POST", "/v1/x:testIamPermissions", json!({"permissions": permissions}));
            google.iam.test_permissions(&call, SERVICE)
        };
        assert_eq!(
            test(json!(["run.services.get", "iam.serviceAccounts.getOpenIdToken"])).unwrap(),
            json!({"permissions": ["run.services.get"]})
        );
        assert_eq!(test(json!(["iam.serviceAccounts.signJwt"])).unwrap(), json!({}));
        assert_eq!(test(json!(["run.*"])).unwrap_err().http_status(), 400);
    }
}
