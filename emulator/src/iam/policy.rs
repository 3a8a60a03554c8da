//! IAM policies (`google.iam.v1.Policy`).

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Iam, Principal};
use crate::api::{
    call::Call,
    error::{ApiError, Code},
};

/// Who holds which roles on one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Policy {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) bindings: Vec<Binding>,
    /// Base64, or gcloud crashes on it.
    #[serde(default)]
    pub(crate) etag: String,
    #[serde(default)]
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

    /// Whether `principal` is one of its members.
    pub(crate) fn names(&self, principal: &Principal) -> bool {
        let member = principal.member();
        self.members.iter().any(|other| {
            *other == member || other == "allUsers" || other == "allAuthenticatedUsers"
        })
    }
}

impl Policy {
    /// The first version of a policy.
    pub(crate) fn of(bindings: Vec<Binding>) -> Policy {
        Policy { bindings, etag: etag(1), version: 1 }
    }

    /// Whether everybody holds `role`, without any token.
    pub(crate) fn is_public(&self, role: &str) -> bool {
        self.bindings.iter().any(|binding| {
            binding.role == role && binding.members.iter().any(|one| one == "allUsers")
        })
    }
}

/// The etag of the so many-th version of anything.
pub(crate) fn etag(version: u64) -> String {
    BASE64_STANDARD.encode(version.to_be_bytes())
}

/// The version that an etag is of; 0 of what is none.
fn version(etag: &str) -> u64 {
    let bytes = BASE64_STANDARD.decode(etag).unwrap_or_default();
    bytes.try_into().map(u64::from_be_bytes).unwrap_or(0)
}

/// `{"policy": …}` of a `setIamPolicy`.
#[derive(Deserialize)]
struct SetRequest {
    policy: Policy,
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
        Ok(json(&self.policy(resource)))
    }

    /// Answers `setIamPolicy`.
    ///
    /// # Errors
    /// 403 if the caller lacks `permission` on the resource, 400 if the policy cannot be, 409 if its etag is old.
    pub(crate) fn set_policy(
        &self,
        call: &Call,
        permission: &str,
        resource: &str,
    ) -> Result<Value, ApiError> {
        self.require(&call.principal, permission, resource)?;
        let SetRequest { mut policy } = call.json()?;
        for binding in &policy.bindings {
            check(binding)?;
        }
        let mut state = self.state();
        let current = state.policies.get(resource).map_or(1, |policy| version(&policy.etag));
        if !policy.etag.is_empty() && version(&policy.etag) != current {
            return Err(ApiError::new(
                Code::Aborted,
                "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.",
            ));
        }
        policy.bindings.retain(|binding| !binding.members.is_empty());
        policy.etag = etag(current + 1);
        policy.version = policy.version.max(1);
        state.policies.insert(resource.to_owned(), policy.clone());
        Ok(json(&policy))
    }
}

fn check(binding: &Binding) -> Result<(), ApiError> {
    const KINDS: [&str; 5] = ["user:", "serviceAccount:", "group:", "domain:", "principal"];
    if !(binding.role.starts_with("roles/") || binding.role.contains("/roles/")) {
        return Err(ApiError::invalid(format!(
            "Role {} is not supported for this resource.",
            binding.role
        )));
    }
    for member in &binding.members {
        let is_known = ["allUsers", "allAuthenticatedUsers"].contains(&member.as_str())
            || KINDS.iter().any(|kind| member.starts_with(kind))
            || member.starts_with("deleted:");
        if !is_known {
            return Err(ApiError::invalid(format!(
                "The member {member} is of an unknown type. Please set a valid type prefix for the member."
            )));
        }
    }
    if binding.condition.is_some() {
        return Err(ApiError::new(
            Code::Unimplemented,
            "This emulator does not evaluate IAM conditions; leave the condition out (--condition=None).",
        ));
    }
    Ok(())
}

fn json(policy: &Policy) -> Value {
    serde_json::to_value(policy).unwrap_or_default()
}
