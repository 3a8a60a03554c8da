//! What is asked to be built, as far as it is gone by.
//!
//! Source: <https://cloud.google.com/build/docs/build-config-file-schema>.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::api::{error::ApiError, wire::WireDuration};

/// How long a build may take where nothing is said.
pub(super) const TIMEOUT: WireDuration = WireDuration::seconds(3600);

/// The longest that may be said.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A build.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    #[serde(default)]
    pub(super) steps: Vec<Step>,
    #[serde(default)]
    pub(super) source: Option<Source>,
    #[serde(default)]
    pub(super) options: BuildOptions,
    #[serde(default)]
    pub(super) timeout: Option<WireDuration>,
    /// `projects/PROJECT/serviceAccounts/EMAIL`.
    #[serde(default)]
    pub(super) service_account: Option<String>,
    #[serde(default)]
    logs_bucket: String,
    /// Images to push at the end.
    #[serde(default)]
    images: Vec<String>,
    #[serde(default)]
    artifacts: Value,
}

/// What holds for all steps.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct BuildOptions {
    pub(super) env: Vec<String>,
    pub(super) automap_substitutions: bool,
    /// Where the logs go; empty for where the default is.
    pub(super) logging: String,
    default_logs_bucket_behavior: String,
    secret_env: Vec<String>,
}

/// Where what is built comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source {
    pub(super) storage_source: Option<StorageSource>,
}

/// An archive that was uploaded.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StorageSource {
    pub(super) bucket: String,
    pub(super) object: String,
}

/// One step; its image is not used, but for what would be called in it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Step {
    pub(super) id: String,
    /// The image.
    pub(super) name: String,
    pub(super) entrypoint: String,
    pub(super) args: Vec<String>,
    pub(super) script: String,
    pub(super) env: Vec<String>,
    pub(super) automap_substitutions: bool,
    pub(super) dir: String,
    pub(super) wait_for: Vec<String>,
    pub(super) timeout: Option<WireDuration>,
    pub(super) allow_failure: bool,
    pub(super) allow_exit_codes: Vec<i32>,
    pub(super) secret_env: Vec<String>,
}

impl Step {
    /// As messages name it: `build step 1 "compile"`.
    pub(super) fn title(&self, index: usize) -> String {
        let name = if self.id.is_empty() { &self.name } else { &self.id };
        format!("build step {index} {name:?}")
    }
}

impl Asked {
    /// The email of the account that is named.
    pub(super) fn account(&self) -> Option<&str> {
        let name = self.service_account.as_deref().filter(|name| !name.is_empty())?;
        name.rsplit('/').next()
    }

    /// Whether it writes to Cloud Logging.
    pub(super) fn logs(&self) -> bool {
        matches!(&*self.options.logging, "CLOUD_LOGGING_ONLY" | "STACKDRIVER_ONLY" | "LEGACY" | "")
    }

    /// That it can be built at all.
    ///
    /// # Errors
    /// 400 that says what cannot be.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let steps = &self.steps;
        if steps.is_empty() {
            return Err(invalid("invalid .steps field: no build steps are specified"));
        }
        if self.timeout.is_some_and(|timeout| timeout.0 > LONGEST) {
            return Err(invalid("timeout exceeds the timeout limit of 24h"));
        }
        let limit = self.timeout.unwrap_or(TIMEOUT);
        for (index, step) in steps.iter().enumerate() {
            step.check(index, limit)?;
        }
        // <https://cloud.google.com/build/docs/securing-builds/configure-user-specified-service-accounts>
        let says_where = !self.logs_bucket.is_empty()
            || self.options.default_logs_bucket_behavior == "REGIONAL_USER_OWNED_BUCKET"
            || matches!(&*self.options.logging, "CLOUD_LOGGING_ONLY" | "STACKDRIVER_ONLY" | "NONE");
        if self.account().is_some() && !says_where {
            return Err(invalid(
                "if 'build.service_account' is specified, the build must say where its logs go: 'build.logs_bucket', \
                 default_logs_bucket_behavior REGIONAL_USER_OWNED_BUCKET, or the logging option CLOUD_LOGGING_ONLY or NONE",
            ));
        }
        Ok(())
    }

    /// That its steps can be run on this machine.
    ///
    /// # Errors
    /// 400 that names what only Google has.
    pub(super) fn check_runs(&self) -> Result<(), ApiError> {
        let source_is_other = self.source.as_ref().is_some_and(|one| one.storage_source.is_none());
        let has_secrets = !self.options.secret_env.is_empty()
            || self.steps.iter().any(|step| !step.secret_env.is_empty());
        for (is_asked, what) in [
            (source_is_other, "a source that was not uploaded; gcloud builds submit uploads one"),
            (has_secrets, "secretEnv"),
            (!self.images.is_empty(), "images; push them in a step"),
            (!self.artifacts.is_null(), "artifacts; upload them in a step"),
        ] {
            if is_asked {
                return Err(invalid(&format!("this emulator runs steps, and has no {what}")));
            }
        }
        Ok(())
    }
}

impl Step {
    fn check(&self, index: usize, limit: WireDuration) -> Result<(), ApiError> {
        let refused =
            |what: &str| Err(invalid(&format!("invalid .steps field: build step {index} {what}")));
        if self.name.is_empty() {
            return refused("must specify name");
        }
        if !(self.script.is_empty() || self.entrypoint.is_empty() && self.args.is_empty()) {
            return refused("has a script, and so takes neither entrypoint nor args");
        }
        if self.timeout.is_some_and(|timeout| timeout > limit) {
            return refused("has a timeout longer than the build's");
        }
        if self.dir.split('/').any(|part| part == "..") {
            return refused("has a dir that refers to the parent directory");
        }
        if let Some(entry) = self.env.iter().find(|entry| !entry.contains('=')) {
            return refused(&format!("has the env entry {entry:?}; expected NAME=VALUE"));
        }
        Ok(())
    }
}

/// A build that cannot be, in the words that start all of Cloud Build's refusals.
pub(super) fn invalid(what: &str) -> ApiError {
    ApiError::invalid(format!("invalid build: {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(change: impl FnOnce(&mut Value)) -> Asked {
        let mut whole = json!({
            "steps": [{"name": "ubuntu", "args": ["true"], "env": ["A=1"], "dir": "a/b"}],
            "timeout": "600s",
            "serviceAccount": "projects/p/serviceAccounts/builder@p.iam.gserviceaccount.com",
            "options": {"logging": "CLOUD_LOGGING_ONLY"},
            "source": {"storageSource": {"bucket": "b", "object": "o"}},
        });
        change(&mut whole);
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_whole_build_is_taken_and_a_spoilt_one_refused_by_what_is_wrong() {
        let whole = asked(|_| ());
        whole.check().unwrap();
        whole.check_runs().unwrap();
        assert_eq!(whole.account(), Some("builder@p.iam.gserviceaccount.com"));
        for (pointer, value, said) in [
            ("/steps", json!([]), "no build steps"),
            ("/steps/0/name", json!(""), "must specify name"),
            ("/steps/0/script", json!("true"), "neither entrypoint nor args"),
            ("/steps/0/dir", json!("../a"), "parent directory"),
            ("/steps/0/env", json!(["A"]), "expected NAME=VALUE"),
            ("/steps/0/timeout", json!("601s"), "longer than the build's"),
            ("/timeout", json!("90000s"), "24h"),
            ("/options/logging", json!("LEGACY"), "where its logs go"),
        ] {
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            let spoilt = asked(|build| build.pointer_mut(parent).unwrap()[field] = value);
            let fault = spoilt.check().unwrap_err();
            assert!(fault.message.contains(said), "{pointer}: {}", fault.message);
        }
    }

    #[test]
    fn what_only_google_has_is_refused_where_steps_are_run() {
        for (field, value, said) in [
            ("source", json!({"repoSource": {}}), "not uploaded"),
            ("images", json!(["i"]), "images"),
            ("artifacts", json!({"objects": {}}), "artifacts"),
            ("options", json!({"secretEnv": ["A"]}), "secretEnv"),
        ] {
            let spoilt = asked(|build| build[field] = value);
            let fault = spoilt.check_runs().unwrap_err();
            assert!(fault.message.contains(said), "{field}: {}", fault.message);
        }
    }
}
