//! Who may do what: service accounts, policies, and the check that every other part asks.

pub(crate) mod api;
mod assertion;
pub(crate) mod credentials;
mod key;
mod key_file;
pub(crate) mod metadata;
pub(crate) mod oauth;
pub(crate) mod policy;
mod principal;
pub(crate) mod project;
mod role;
mod service_account;

pub(crate) use assertion::self_signed;
pub(crate) use principal::Principal;
pub(crate) use service_account::ServiceAccount;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::policy::{Binding, Policy};
use crate::{
    api::{
        call::from_json,
        error::{ApiError, Code},
    },
    project::Project,
    senders::Sender,
};

/// Accounts, their keys, and the policies of all resources.
#[derive(Debug)]
pub(crate) struct Iam {
    project: Project,
    state: Mutex<State>,
}

/// What is saved and restored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct State {
    /// By email.
    accounts: BTreeMap<String, ServiceAccount>,
    /// By the name of the resource.
    policies: BTreeMap<String, Policy>,
    /// The public halves of accounts' keys, by key id.
    keys: BTreeMap<String, key::PublicKey>,
}

/// What was read of an export and can be put in place.
#[derive(Debug)]
pub(crate) struct Imported(State);

impl Iam {
    /// The project with its owner, the default account and the senders' agents. With `legacy_agents` Pub/Sub's agent
    /// holds no role, as in projects of before April 2021
    /// (<https://cloud.google.com/pubsub/docs/authenticate-push-subscriptions>).
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
        // As every policy is kept.
        bindings.sort_by(|one, other| one.role.cmp(&other.role));
        let mut state = State::default();
        state.policies.insert(project.name(), Policy::of(bindings));
        // It exists, and holds no role, as where organisations keep the default of May 2024
        // (<https://cloud.google.com/iam/docs/service-account-types#default>).
        let default = ServiceAccount {
            display_name: "Compute Engine default service account".to_owned(),
            ..ServiceAccount::new(&project, project.default_account_email())
        };
        state.accounts.insert(default.email.clone(), default);
        Iam { project, state: Mutex::new(state) }
    }

    /// Whether `principal` has `permission` on `resource`, by the policy of the resource or of the project.
    pub(crate) fn allows(&self, principal: &Principal, permission: &str, resource: &str) -> bool {
        let state = self.state();
        let project = self.project.name();
        let policies = [resource, &project];
        policies
            .iter()
            .filter_map(|name| state.policies.get(*name))
            .any(|policy| policy.allows(principal, permission))
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
            details: vec![json!({
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
        let Some(account) = self.account(email) else {
            return Err(ApiError::not_found(format!("Service account {email}")));
        };
        self.require(principal, "iam.serviceAccounts.actAs", &account.name)
    }

    /// Drops the policy of a resource that was deleted.
    pub(crate) fn forget(&self, resource: &str) {
        self.state().policies.remove(resource);
    }

    /// Accounts, policies and public keys, to be imported again. A policy that was emptied is as one that never was.
    pub(crate) fn export(&self) -> Value {
        let mut state = self.state().clone();
        state.policies.retain(|_, policy| !policy.bindings.is_empty());
        serde_json::to_value(state).unwrap_or_default()
    }

    /// Reads what was exported; nothing changes.
    ///
    /// # Errors
    /// 400 if it is of another shape or of another project, or would leave the project without its owner.
    pub(crate) fn read(&self, state: Value) -> Result<Imported, ApiError> {
        let state: State = from_json(state)?;
        let own = &self.project.id;
        if let Some(other) = state.accounts.values().find(|one| one.project_id != *own) {
            let (email, project) = (&other.email, &other.project_id);
            return Err(ApiError::invalid(format!(
                "{email} is an account of project '{project}'; this emulator has '{own}': start it with that project."
            )));
        }
        let bindings = state.policies.get(&self.project.name()).map(|one| one.bindings.as_slice());
        policy::check_owner(bindings.unwrap_or_default())?;
        Ok(Imported(state))
    }

    /// Replaces everything by what was read.
    pub(crate) fn put(&self, Imported(state): Imported) {
        *self.state() = state;
    }

    /// Gives somebody a role in the whole project, as an owner does.
    #[cfg(test)]
    pub(crate) fn grant(&self, role: &str, principal: &Principal) {
        let binding = policy::Binding::new(role, &principal.member());
        let mut state = self.state();
        state.policies.entry(self.project.name()).or_default().bindings.push(binding);
    }

    /// The state, for one short look or change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_policy_that_was_emptied_leaves_nothing_in_an_export() {
        let iam = iam(false);
        let before = iam.export();
        let put = |bindings| {
            let policy = Policy { bindings, ..Policy::default() };
            iam.put_policy(policy, "projects/demo-project/topics/orders").unwrap();
        };
        put(vec![Binding::new("roles/pubsub.publisher", "user:ada@example.com")]);
        assert_ne!(iam.export(), before);
        put(Vec::new());
        assert_eq!(iam.export(), before);
    }

    #[test]
    fn what_was_exported_is_restored_whole() {
        let iam = iam(true);
        iam.create_account("caller").unwrap();
        let exported = iam.export();
        let other = Iam::new(Project::default(), false);
        other.create_account("stranger").unwrap();
        other.put(other.read(exported.clone()).unwrap());
        assert_eq!(other.export(), exported);
        assert!(other.account("caller@demo-project.iam.gserviceaccount.com").is_some());
    }

    #[test]
    fn a_state_that_cannot_be_used_is_refused() {
        let iam = iam(false);
        let elsewhere = Iam::new(Project { id: "elsewhere".to_owned(), number: 7 }, false).export();
        let without_owner = json!({"accounts": {}, "policies": {}, "keys": {}});
        for (state, said) in [
            (elsewhere, "project 'elsewhere'"),
            (without_owner, "roles/owner"),
            (json!({"accounts": {}}), "missing field"),
        ] {
            let fault = iam.read(state).unwrap_err();
            assert_eq!(fault.http_status(), 400);
            assert!(fault.message.contains(said), "{}", fault.message);
        }
    }
}
