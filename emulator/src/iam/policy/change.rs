//! Setting a policy: what may be in one, and that nobody's change gets lost.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{Binding, Policy, etag_after};
use crate::{
    api::{
        call::Call,
        error::{ApiError, Code},
    },
    iam::{Iam, Principal},
};

/// Body of a `setIamPolicy`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SetRequest {
    policy: Policy,
    /// Bindings and etag are replaced with any mask, as gcloud asks for; there is nothing else to replace.
    #[serde(default, rename = "updateMask")]
    _update_mask: Option<String>,
}

impl Iam {
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
        let SetRequest { policy, .. } = call.json()?;
        self.put_policy(policy, resource)
    }

    /// Puts a policy in the place of the one that it was made from.
    ///
    /// # Errors
    /// 400 if it cannot be, 409 if its etag is old.
    pub(crate) fn put_policy(&self, given: Policy, resource: &str) -> Result<Value, ApiError> {
        let bindings = self.checked(given.bindings, resource)?;
        if !matches!(given.version, 0 | 1 | 3) {
            let said = format!("{} is not valid; expected 0, 1 or 3.", given.version);
            return Err(ApiError::invalid_field("policy.version", said));
        }
        let mut state = self.state();
        let current = state.policies.get(resource).cloned();
        let current = current.unwrap_or_else(|| Policy::of(Vec::new()));
        if !given.etag.is_empty() && given.etag != current.etag {
            return Err(ApiError::new(
                Code::Aborted,
                "There were concurrent policy changes. Please retry the whole read-modify-write with exponential \
                 backoff. The request's ETag did not match the current policy's ETag.",
            ));
        }
        let policy = Policy { etag: etag_after(&current.etag), ..Policy::of(bindings) };
        state.policies.insert(resource.to_owned(), policy.clone());
        Ok(policy.json())
    }

    /// Bindings as they are kept: each role once, roles and members in order, empty ones left out.
    fn checked(&self, given: Vec<Binding>, resource: &str) -> Result<Vec<Binding>, ApiError> {
        let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for binding in given {
            check_role(&binding.role)?;
            if binding.condition.is_some() {
                return Err(ApiError::invalid(
                    "This emulator does not evaluate IAM conditions; leave the condition out (--condition=None).",
                ));
            }
            for member in &binding.members {
                self.check_member(member)?;
                if resource == self.project.name() && member.starts_with("all") {
                    // <https://cloud.google.com/resource-manager/reference/rest/v1/projects/setIamPolicy>
                    return Err(ApiError::invalid(format!(
                        "The member {member} cannot be set on a project; set it on the one resource that is public."
                    )));
                }
            }
            roles.entry(binding.role).or_default().extend(binding.members);
        }
        roles.retain(|_, members| !members.is_empty());
        let bindings: Vec<Binding> = roles
            .into_iter()
            .map(|(role, members)| Binding {
                role,
                members: members.into_iter().collect(),
                condition: None,
            })
            .collect();
        if resource == self.project.name() {
            check_owner(&bindings)?;
        }
        Ok(bindings)
    }

    fn check_member(&self, member: &str) -> Result<(), ApiError> {
        const KINDS: [&str; 7] = [
            "user:",
            "serviceAccount:",
            "group:",
            "domain:",
            "principal://",
            "principalSet://",
            "deleted:",
        ];
        let is_known = ["allUsers", "allAuthenticatedUsers"].contains(&member)
            || KINDS
                .iter()
                .any(|kind| member.strip_prefix(kind).is_some_and(|name| !name.is_empty()));
        if !is_known {
            return Err(ApiError::invalid(format!(
                "The member {member} is of an unknown type. Please set a valid type prefix for the member."
            )));
        }
        match member.strip_prefix("serviceAccount:") {
            // Whether another project's accounts and Google's agents exist cannot be known here.
            Some(email) if self.project.owns(email) && self.account(email).is_none() => {
                Err(ApiError::invalid(format!("Service account {email} does not exist.")))
            }
            _ => Ok(()),
        }
    }
}

/// That the developer stays an owner of the project: without one nobody could change anything any more, and Google
/// refuses to take the last owner's role away
/// (<https://cloud.google.com/resource-manager/reference/rest/v1/projects/setIamPolicy>).
pub(in crate::iam) fn check_owner(bindings: &[Binding]) -> Result<(), ApiError> {
    let developer = Principal::Developer.member();
    let is_owner = |one: &Binding| one.role == "roles/owner" && one.members.contains(&developer);
    if bindings.iter().any(is_owner) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "The project's policy must have at least one owner; leave {developer} in roles/owner."
    )))
}

fn check_role(role: &str) -> Result<(), ApiError> {
    let is_custom = |role: &str| {
        (role.starts_with("projects/") || role.starts_with("organizations/"))
            && role.contains("/roles/")
    };
    if role.starts_with("roles/") || is_custom(role) {
        return Ok(());
    }
    Err(ApiError::invalid(format!("Role {role} is not supported for this resource.")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        google::Google,
        testing::{call, google},
    };

    const SERVICE: &str = "projects/demo-project/locations/us-central1/services/receiver";

    fn set(google: &Google, resource: &str, policy: Value) -> Result<Value, ApiError> {
        let call = call("POST", "/v1/x:setIamPolicy", json!({"policy": policy}));
        google.iam.set_policy(&call, "run.services.setIamPolicy", resource)
    }

    #[tokio::test]
    async fn a_policy_is_kept_in_order_and_each_role_once() {
        let google = google();
        let account = google.iam.create_account("caller").unwrap();
        let member = format!("serviceAccount:{}", account.email);
        let policy = json!({"version": 3, "bindings": [
            {"role": "roles/run.viewer", "members": ["user:b@example.com", "user:a@example.com"]},
            {"role": "roles/run.invoker", "members": [member]},
            {"role": "roles/run.viewer", "members": ["user:a@example.com"]},
            {"role": "roles/run.admin", "members": []},
        ]});
        let answered = set(&google, SERVICE, policy).unwrap();
        assert_eq!(
            answered,
            json!({"version": 1, "etag": super::super::etag(2), "bindings": [
                {"role": "roles/run.invoker", "members": [member]},
                {"role": "roles/run.viewer", "members": ["user:a@example.com", "user:b@example.com"]},
            ]})
        );
        let caller = Principal::Account(account.email);
        assert!(google.iam.allows(&caller, "run.routes.invoke", SERVICE));
        assert!(!google.iam.allows(&caller, "run.routes.invoke", "another service"));
    }

    #[tokio::test]
    async fn of_two_changes_to_the_same_policy_the_second_is_refused() {
        let google = google();
        let etag = google.iam.policy(SERVICE).etag;
        let change = |member: &str| {
            let bindings = json!([{"role": "roles/run.invoker", "members": [member]}]);
            set(&google, SERVICE, json!({"etag": etag, "bindings": bindings}))
        };
        assert!(change("user:a@example.com").is_ok());
        let fault = change("user:b@example.com").unwrap_err();
        assert_eq!((fault.code, fault.http_status()), (Code::Aborted, 409));
        assert_eq!(google.iam.policy(SERVICE).bindings[0].members, ["user:a@example.com"]);
        let blind = json!({"bindings": [{"role": "roles/run.invoker", "members": ["allUsers"]}]});
        assert!(set(&google, SERVICE, blind).is_ok(), "without an etag it is overwritten");
        let emptied = set(&google, SERVICE, json!({"bindings": []})).unwrap();
        assert_eq!(emptied, json!({"etag": super::super::etag(4)}));
    }

    #[tokio::test]
    async fn what_cannot_be_in_a_policy_is_refused_by_name() {
        let google = google();
        let binding = |role: &str, member: &str| json!([{"role": role, "members": [member]}]);
        let invoker = "roles/run.invoker";
        let missing = "serviceAccount:nobody@demo-project.iam.gserviceaccount.com";
        for (bindings, said) in [
            (binding("run.invoker", "allUsers"), "Role run.invoker is not supported"),
            (binding(invoker, "caller@example.com"), "caller@example.com is of an unknown type"),
            (binding(invoker, "user:"), "unknown type"),
            (binding(invoker, missing), "does not exist"),
            (json!([{"role": invoker, "members": [], "condition": {}}]), "--condition=None"),
            (json!([{"role": invoker, "member": "allUsers"}]), "unknown field `member`"),
        ] {
            let fault = set(&google, SERVICE, json!({"bindings": bindings})).unwrap_err();
            assert!(fault.message.contains(said), "{}", fault.message);
        }
        assert!(set(&google, SERVICE, json!({"version": 2})).is_err());
        assert_eq!(google.iam.policy(SERVICE), Policy::of(Vec::new()));
    }

    #[tokio::test]
    async fn a_project_keeps_its_owner_and_is_never_public() {
        let google = google();
        let project = google.project.name();
        let owner = json!({"role": "roles/owner", "members": ["user:developer@example.com"]});
        let public = json!({"role": "roles/run.invoker", "members": ["allUsers"]});
        for (bindings, said) in
            [(json!([]), "roles/owner"), (json!([owner, public]), "allUsers cannot be set")]
        {
            let fault = set(&google, &project, json!({"bindings": bindings})).unwrap_err();
            assert!(fault.message.contains(said), "{}", fault.message);
        }
        assert!(set(&google, &project, json!({"bindings": [owner]})).is_ok());
    }
}
