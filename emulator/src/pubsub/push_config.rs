//! Where and how a subscription pushes.
//!
//! Source: `PushConfig` in `google/pubsub/v1/pubsub.proto`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    api::{error::ApiError, wire::is_default},
    tokens::{Auth, OidcToken},
};

/// The version of the push's format; there is no other attribute.
const VERSION: &str = "x-goog-version";

/// How a push subscription delivers; without an endpoint it is a pull subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PushConfig {
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) push_endpoint: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) attributes: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) oidc_token: Option<OidcToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pubsub_wrapper: Option<PubsubWrapper>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) no_wrapper: Option<NoWrapper>,
}

/// The message in a JSON envelope: the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PubsubWrapper {}

/// The payload alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NoWrapper {
    /// Metadata and attributes as headers.
    #[serde(default)]
    pub(super) write_metadata: bool,
}

impl PushConfig {
    /// Whether messages are pushed.
    pub(super) fn is_push(&self) -> bool {
        !self.push_endpoint.is_empty()
    }

    /// Checks it and fills in the format's version, as Google does.
    ///
    /// # Errors
    /// 400 if it cannot be; the format of `v1beta1` is not built.
    pub(super) fn checked(mut self) -> Result<PushConfig, ApiError> {
        if !self.is_push() {
            if self != PushConfig::default() {
                return Err(ApiError::invalid_field(
                    "push_config.push_endpoint",
                    "is missing: the other fields of push_config need one.",
                ));
            }
            return Ok(self);
        }
        self.check_endpoint()?;
        if self.pubsub_wrapper.is_some() && self.no_wrapper.is_some() {
            return Err(ApiError::invalid_field(
                "push_config",
                "pubsub_wrapper and no_wrapper exclude each other; set one.",
            ));
        }
        if self.oidc_token.as_ref().is_some_and(|token| token.service_account_email.is_empty()) {
            return Err(ApiError::invalid_field(
                "push_config.oidc_token.service_account_email",
                "is missing: name the account that the token is of.",
            ));
        }
        for (name, value) in &self.attributes {
            match (name.as_str(), value.as_str()) {
                (VERSION, "v1" | "v1beta2") => {}
                (VERSION, "v1beta1") => {
                    return Err(ApiError::invalid(
                        "This emulator does not push in the format of v1beta1; set x-goog-version to v1.",
                    ));
                }
                _ => {
                    return Err(ApiError::invalid_field(
                        "push_config.attributes",
                        format!("{name}={value} is not supported; expected x-goog-version=v1."),
                    ));
                }
            }
        }
        self.attributes.entry(VERSION.to_owned()).or_insert_with(|| "v1".to_owned());
        Ok(self)
    }

    /// An absolute URL. Google takes `https` alone; a receiver on a laptop is reached by `http`.
    fn check_endpoint(&self) -> Result<(), ApiError> {
        let endpoint = &self.push_endpoint;
        let url = reqwest::Url::parse(endpoint).ok();
        if url.is_some_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host()) {
            return Ok(());
        }
        Err(ApiError::invalid(format!(
            "Invalid push endpoint given (endpoint={endpoint}). Expected an absolute URL of https, or of http for a receiver on this machine."
        )))
    }

    /// How a push proves itself. Without an audience the token is for the endpoint as it was given.
    pub(super) fn auth(&self) -> Option<Auth> {
        let token = self.oidc_token.as_ref()?;
        let audience =
            if token.audience.is_empty() { &self.push_endpoint } else { &token.audience };
        Some(Auth::Oidc { email: token.service_account_email.clone(), audience: audience.clone() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    fn whole() -> Value {
        json!({
            "pushEndpoint": "https://receiver.example/pubsub/orders?x=y",
            "attributes": {"x-goog-version": "v1"},
            "oidcToken": {"serviceAccountEmail": "pusher@demo-project.iam.gserviceaccount.com", "audience": "a"},
            "noWrapper": {"writeMetadata": true},
        })
    }

    fn checked(config: Value) -> Result<PushConfig, ApiError> {
        from_value::<PushConfig>(config).unwrap().checked()
    }

    #[test]
    fn what_is_whole_comes_back_as_it_was_and_the_version_is_filled_in() {
        assert_eq!(to_value(checked(whole()).unwrap()).unwrap(), whole());
        let mut config = whole();
        config.as_object_mut().unwrap().remove("attributes");
        assert_eq!(to_value(checked(config).unwrap()).unwrap(), whole());
        assert_eq!(to_value(checked(json!({})).unwrap()).unwrap(), json!({}));
    }

    #[test]
    fn each_field_that_cannot_be_is_refused() {
        for (field, value) in [
            ("pushEndpoint", json!("")),
            ("pushEndpoint", json!("receiver.example/push")),
            ("pushEndpoint", json!("ftp://receiver.example/push")),
            ("attributes", json!({"x-goog-version": "v1beta1"})),
            ("attributes", json!({"x-goog-version": "v2"})),
            ("attributes", json!({"a": "b"})),
            ("oidcToken", json!({"audience": "a"})),
            ("pubsubWrapper", json!({})),
        ] {
            let mut config = whole();
            config[field] = value;
            assert_eq!(checked(config.clone()).unwrap_err().http_status(), 400, "{config}");
        }
    }

    #[test]
    fn the_token_is_for_the_endpoint_unless_an_audience_is_set() {
        let mut config = checked(whole()).unwrap();
        let audience = |config: &PushConfig| match config.auth() {
            Some(Auth::Oidc { audience, .. }) => audience,
            other => panic!("{other:?}"),
        };
        assert_eq!(audience(&config), "a");
        config.oidc_token.as_mut().unwrap().audience.clear();
        assert_eq!(audience(&config), "https://receiver.example/pubsub/orders?x=y");
        config.oidc_token = None;
        assert_eq!(config.auth(), None);
    }
}
