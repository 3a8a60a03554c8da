//! Service accounts and what becomes of them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Iam, Principal, policy};
use crate::{
    account::Account,
    api::{
        error::{ApiError, Code},
        wire::is_default,
    },
    google::Google,
    project::Project,
};

/// A service account as the API shows it (`google.iam.admin.v1.ServiceAccount`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ServiceAccount {
    /// `projects/PROJECT/serviceAccounts/EMAIL`.
    pub(crate) name: String,
    pub(crate) project_id: String,
    pub(crate) unique_id: String,
    pub(crate) email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) display_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) description: String,
    /// Of no use any more, and still sent: <https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts>.
    pub(crate) etag: String,
    pub(crate) oauth2_client_id: String,
    /// Nobody gets a token for it until it is enabled again.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) disabled: bool,
}

impl ServiceAccount {
    /// An account of that email in `project`.
    pub(super) fn new(project: &Project, email: String) -> ServiceAccount {
        let Account { email, unique_id } = Account::new(email);
        ServiceAccount {
            name: format!("{}/serviceAccounts/{email}", project.name()),
            project_id: project.id.clone(),
            oauth2_client_id: unique_id.clone(),
            unique_id,
            etag: policy::etag(1),
            email,
            ..ServiceAccount::default()
        }
    }

    /// The resource as the API answers it.
    pub(super) fn json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// That an account can be created as `id`: what stands before the `@`.
///
/// The rules: <https://cloud.google.com/iam/docs/service-accounts-create>; the words of the second fault:
/// <https://github.com/GoogleCloudPlatform/cloud-code-intellij/issues/2062>.
fn check_id(id: &str) -> Result<(), ApiError> {
    if !(6..=30).contains(&id.chars().count()) {
        let message = format!("The account ID \"{id}\" does not have a length between 6 and 30.");
        return Err(ApiError::invalid(message));
    }
    let lower = |byte: u8| byte.is_ascii_lowercase();
    let inner = |byte: u8| lower(byte) || byte.is_ascii_digit() || byte == b'-';
    let matches = id.bytes().all(inner)
        && id.bytes().next().is_some_and(lower)
        && id.bytes().next_back().is_some_and(|byte| byte != b'-');
    if matches {
        return Ok(());
    }
    Err(ApiError::invalid(format!(r"{id} does not match [a-z][a-z\d\-]*[a-z\d].")))
}

/// What is answered where there is no such account.
pub(super) fn unknown(name: &str) -> ApiError {
    ApiError::new(Code::NotFound, format!("Service account {name} does not exist."))
}

impl Iam {
    /// The account of that email or unique id, if it exists.
    pub(crate) fn account(&self, email_or_id: &str) -> Option<ServiceAccount> {
        let state = self.state();
        let by_id = || state.accounts.values().find(|account| account.unique_id == email_or_id);
        state.accounts.get(email_or_id).or_else(by_id).cloned()
    }

    /// All accounts, in order of email.
    pub(super) fn accounts(&self) -> Vec<ServiceAccount> {
        self.state().accounts.values().cloned().collect()
    }

    /// A new account for a test: `id` is what stands before the `@`.
    ///
    /// # Errors
    /// As [`add_account`](Iam::add_account).
    pub(crate) fn create_account(&self, id: &str) -> Result<ServiceAccount, ApiError> {
        self.add_account(id, ServiceAccount::default())
    }

    /// A new account with the words for people that `given` has; `id` is what stands before the `@`.
    ///
    /// # Errors
    /// 400 if it cannot be created as that, 409 if it exists.
    pub(super) fn add_account(
        &self,
        id: &str,
        given: ServiceAccount,
    ) -> Result<ServiceAccount, ApiError> {
        check_id(id)?;
        let account = ServiceAccount {
            display_name: given.display_name,
            description: given.description,
            ..ServiceAccount::new(&self.project, self.project.account_email(id))
        };
        let mut state = self.state();
        if state.accounts.contains_key(&account.email) {
            let project = self.project.name();
            let message = format!("Service account {id} already exists within project {project}.");
            return Err(ApiError {
                details: vec![json!({
                    "@type": "type.googleapis.com/google.rpc.ResourceInfo",
                    "resourceName": account.name,
                })],
                ..ApiError::new(Code::AlreadyExists, message)
            });
        }
        state.accounts.insert(account.email.clone(), account.clone());
        Ok(account)
    }

    /// Replaces what is stored of the account of that email.
    ///
    /// # Errors
    /// 404 if it does not exist (any more).
    pub(super) fn store_account(&self, account: ServiceAccount) -> Result<(), ApiError> {
        let mut state = self.state();
        let Some(stored) = state.accounts.get_mut(&account.email) else {
            return Err(unknown(&account.name));
        };
        *stored = account;
        Ok(())
    }

    /// Deletes an account with its keys and its policy. Where others' policies name it, it is marked as deleted, so that
    /// an account that is created by the same name later does not hold the old roles
    /// (<https://cloud.google.com/iam/docs/service-accounts-delete-undelete>).
    fn delete_account(&self, account: &ServiceAccount) {
        let member = Principal::Account(account.email.clone()).member();
        let deleted = format!("deleted:{member}?uid={}", account.unique_id);
        let mut state = self.state();
        state.accounts.remove(&account.email);
        state.keys.retain(|_, key| key.account != account.email);
        state.policies.remove(&account.name);
        let bindings = state.policies.values_mut().flat_map(|policy| &mut policy.bindings);
        for named in bindings.flat_map(|binding| &mut binding.members) {
            if *named == member {
                named.clone_from(&deleted);
            }
        }
    }
}

impl Google {
    /// Deletes an account with all that it had, its tokens too.
    pub(super) fn delete_account(&self, account: &ServiceAccount) {
        self.iam.delete_account(account);
        self.tokens.revoke(&account.email);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iam::policy::{Binding, Policy};

    fn iam() -> Iam {
        Iam::new(Project::default(), false)
    }

    #[test]
    fn an_account_that_exists_is_not_made_again() {
        let iam = iam();
        let account = iam.create_account("schedulerunner").unwrap();
        assert_eq!(iam.account(&account.unique_id), Some(account));
        let fault = iam.create_account("schedulerunner").unwrap_err();
        assert_eq!(fault.http_status(), 409);
        assert_eq!(
            fault.message,
            "Service account schedulerunner already exists within project projects/demo-project."
        );
        assert_eq!(iam.create_account("sa1").unwrap_err().http_status(), 400);
    }

    #[test]
    fn ids_are_refused_in_google_s_words() {
        for id in ["schedulerunner", "a-1234", &"a".repeat(30)] {
            assert_eq!(check_id(id), Ok(()), "{id}");
        }
        for id in ["sa1", "", &"a".repeat(31)] {
            let said = format!("The account ID \"{id}\" does not have a length between 6 and 30.");
            assert_eq!(check_id(id).unwrap_err().message, said);
        }
        for id in ["1caller", "-caller", "caller-", "Caller", "call_er", "caller@x"] {
            let said = format!(r"{id} does not match [a-z][a-z\d\-]*[a-z\d].");
            assert_eq!(check_id(id).unwrap_err().message, said);
        }
    }

    #[test]
    fn an_account_that_comes_again_does_not_hold_its_old_roles() {
        let iam = iam();
        let account = iam.create_account("caller").unwrap();
        let caller = Principal::Account(account.email.clone());
        let binding = Binding::new("roles/run.invoker", &caller.member());
        iam.state().policies.insert("service".to_owned(), Policy::of(vec![binding]));
        assert!(iam.allows(&caller, "run.routes.invoke", "service"));
        iam.delete_account(&account);
        assert_eq!(iam.account(&account.email), None);
        assert_eq!(iam.store_account(account).unwrap_err().http_status(), 404);
        iam.create_account("caller").unwrap();
        assert!(!iam.allows(&caller, "run.routes.invoke", "service"));
        let member = iam.policy("service").bindings[0].members[0].clone();
        assert!(member.starts_with("deleted:serviceAccount:caller@"), "{member}");
    }
}
