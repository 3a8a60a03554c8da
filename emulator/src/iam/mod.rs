//! Who may do what: service accounts, policies, and the check that every other part asks.

pub(crate) mod api;
pub(crate) mod credentials;
pub(crate) mod key;
pub(crate) mod metadata;
pub(crate) mod oauth;
pub(crate) mod policy;
pub(crate) mod project;
mod role;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use self::policy::{Binding, Policy};
use crate::{
    account::Account,
    api::error::{ApiError, Code},
    project::Project,
    senders::Sender,
};

/// Who calls the control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Principal {
    /// The person at the laptop, an owner of the project.
    Developer,
    /// A service account or one of Google's agents, by email.
    Account(String),
}

impl Principal {
    /// As a policy's binding names it.
    pub(crate) fn member(&self) -> String {
        match self {
            Principal::Developer => "user:developer@example.com".to_owned(),
            Principal::Account(email) => format!("serviceAccount:{email}"),
        }
    }
}

/// A service account as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceAccount {
    /// `projects/PROJECT/serviceAccounts/EMAIL`.
    pub(crate) name: String,
    pub(crate) project_id: String,
    pub(crate) unique_id: String,
    pub(crate) email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) display_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    pub(crate) etag: String,
    pub(crate) oauth2_client_id: String,
}

/// Accounts, their keys, and the policies of all resources.
#[derive(Debug)]
pub(crate) struct Iam {
    project: Project,
    state: Mutex<State>,
}

/// What is saved and restored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct State {
    /// By email.
    pub(crate) accounts: BTreeMap<String, ServiceAccount>,
    /// By resource name.
    pub(crate) policies: BTreeMap<String, Policy>,
    /// The public halves of accounts' keys, by key id.
    pub(crate) keys: BTreeMap<String, key::PublicKey>,
}

impl Iam {
    /// The project with its owner and the senders' agents. With `legacy_agents` Pub/Sub's agent holds no role, as in
    /// projects of before April 2021 (<https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions>).
    pub(crate) fn new(project: Project, legacy_agents: bool) -> Iam {
        let mut bindings = vec![Binding::new("roles/owner", &Principal::Developer.member())];
        for (sender, role) in [
            (Sender::Scheduler, "roles/cloudscheduler.serviceAgent"),
            (Sender::Tasks, "roles/cloudtasks.serviceAgent"),
            (Sender::PubSub, "roles/pubsub.serviceAgent"),
        ] {
            if !(legacy_agents && sender == Sender::PubSub) {
                bindings.push(Binding::new(role, &project.agent(sender).member()));
            }
        }
        let mut state = State::default();
        state.policies.insert(project.name(), Policy::of(bindings));
        Iam { project, state: Mutex::new(state) }
    }

    /// The state, for one short look or change.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account of that email or unique id, if it exists.
    pub(crate) fn account(&self, email_or_id: &str) -> Option<ServiceAccount> {
        let state = self.state();
        let by_id = || state.accounts.values().find(|account| account.unique_id == email_or_id);
        state.accounts.get(email_or_id).or_else(by_id).cloned()
    }

    /// A new account: `id` is what stands before the `@`.
    ///
    /// # Errors
    /// 409 if it exists.
    pub(crate) fn create_account(&self, id: &str) -> Result<ServiceAccount, ApiError> {
        let email = format!("{id}@{}.iam.gserviceaccount.com", self.project.id);
        let unique_id = Account::new(email.as_str()).unique_id;
        let account = ServiceAccount {
            name: self.account_name(&email),
            project_id: self.project.id.clone(),
            oauth2_client_id: unique_id.clone(),
            unique_id,
            display_name: String::new(),
            description: String::new(),
            etag: policy::etag(1),
            email: email.clone(),
        };
        let mut state = self.state();
        if state.accounts.contains_key(&email) {
            return Err(ApiError::exists(format!("Service account {id}")));
        }
        state.accounts.insert(email, account.clone());
        Ok(account)
    }

    /// `projects/PROJECT/serviceAccounts/EMAIL`.
    pub(crate) fn account_name(&self, email: &str) -> String {
        format!("{}/serviceAccounts/{email}", self.project.name())
    }

    /// Whether `principal` has `permission` on `resource`, by the policy of the resource or of the project.
    pub(crate) fn allows(&self, principal: &Principal, permission: &str, resource: &str) -> bool {
        let state = self.state();
        let project = self.project.name();
        let policies = [resource, &project];
        policies.iter().filter_map(|name| state.policies.get(*name)).any(|policy| {
            policy
                .bindings
                .iter()
                .any(|binding| binding.names(principal) && role::grants(&binding.role, permission))
        })
    }

    /// [`allows`](Iam::allows), or Google's 403.
    ///
    /// # Errors
    /// 403 that names permission and resource.
    pub(crate) fn require(
        &self,
        principal: &Principal,
        permission: &str,
        resource: &str,
    ) -> Result<(), ApiError> {
        if self.allows(principal, permission, resource) {
            return Ok(());
        }
        let message = format!(
            "Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
        );
        Err(ApiError {
            details: vec![serde_json::json!({
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "IAM_PERMISSION_DENIED",
                "domain": "iam.googleapis.com",
                "metadata": {"permission": permission, "resource": resource},
            })],
            ..ApiError::new(Code::PermissionDenied, message)
        })
    }

    /// That the account exists and `principal` may attach it to a job, task, subscription or service.
    ///
    /// # Errors
    /// 404 and 403 as Google answers.
    pub(crate) fn require_act_as(
        &self,
        principal: &Principal,
        email: &str,
    ) -> Result<(), ApiError> {
        if self.account(email).is_none() {
            return Err(ApiError::not_found(format!("Service account {email}")));
        }
        self.require(principal, "iam.serviceAccounts.actAs", &self.account_name(email))
    }

    /// Drops the policy of a resource that was deleted.
    pub(crate) fn forget(&self, resource: &str) {
        self.state().policies.remove(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iam(legacy_agents: bool) -> Iam {
        Iam::new(Project::default(), legacy_agents)
    }

    #[test]
    fn agents_may_mint_from_the_start_unless_they_are_legacy() {
        for (sender, legacy, may) in [
            (Sender::Scheduler, true, true),
            (Sender::Tasks, true, true),
            (Sender::PubSub, false, true),
            (Sender::PubSub, true, false),
        ] {
            let iam = iam(legacy);
            let account = iam.create_account("caller").unwrap();
            let agent = iam.project.agent(sender);
            let allowed = iam.allows(&agent, "iam.serviceAccounts.getOpenIdToken", &account.name);
            assert_eq!(allowed, may, "{sender:?} {legacy}");
        }
    }

    #[test]
    fn an_owner_may_attach_accounts_and_not_impersonate_them() {
        let iam = iam(false);
        let account = iam.create_account("caller").unwrap();
        assert!(iam.require_act_as(&Principal::Developer, &account.email).is_ok());
        let fault = iam
            .require(&Principal::Developer, "iam.serviceAccounts.getOpenIdToken", &account.name)
            .unwrap_err();
        assert_eq!(fault.http_status(), 403);
        assert!(fault.message.contains("iam.serviceAccounts.getOpenIdToken"), "{}", fault.message);
        let missing = iam.require_act_as(&Principal::Developer, "x@y").unwrap_err();
        assert_eq!(missing.http_status(), 404);
    }

    #[test]
    fn an_account_that_exists_is_not_made_again() {
        let iam = iam(false);
        let account = iam.create_account("caller").unwrap();
        assert_eq!(iam.account(&account.unique_id), Some(account));
        assert_eq!(iam.create_account("caller").unwrap_err().http_status(), 409);
    }
}
