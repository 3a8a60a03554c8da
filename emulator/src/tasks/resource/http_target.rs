//! `google.cloud.tasks.v2.HttpTarget`: what a queue overrides in its tasks' requests.
//!
//! Source: <https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues#HttpTarget>.

use serde::{Deserialize, Serialize};

use crate::{
    api::{
        error::ApiError,
        wire::{HttpMethod, Int64, is_default, wire_enum},
    },
    tokens::{OAuthToken, OidcToken},
};

wire_enum! {
    /// `UriOverride.Scheme`.
    Scheme {
        Unspecified = 0 "SCHEME_UNSPECIFIED",
        Http = 1 "HTTP",
        Https = 2 "HTTPS",
    }
}

wire_enum! {
    /// `UriOverride.UriOverrideEnforceMode`; unspecified is `ALWAYS`.
    EnforceMode {
        Unspecified = 0 "URI_OVERRIDE_ENFORCE_MODE_UNSPECIFIED",
        IfNotExists = 1 "IF_NOT_EXISTS",
        Always = 2 "ALWAYS",
    }
}

/// Queue-level routing, method, headers and authorization.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct HttpTarget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) uri_override: Option<UriOverride>,
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::tasks) http_method: HttpMethod,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::tasks) header_overrides: Vec<HeaderOverride>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) oidc_token: Option<OidcToken>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) oauth_token: Option<OAuthToken>,
}

/// Which parts of a task's URL the queue replaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct UriOverride {
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::tasks) scheme: Scheme,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) host: Option<String>,
    /// Zero clears the port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) port: Option<Int64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) path_override: Option<PathOverride>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) query_override: Option<QueryOverride>,
    #[serde(skip_serializing_if = "is_default")]
    pub(in crate::tasks) uri_override_enforce_mode: EnforceMode,
}

/// Another path. gcloud sends an empty message where none was asked for: that leaves the path alone, while an empty
/// string clears it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct PathOverride {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) path: Option<String>,
}

/// Another query, with the same distinction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct QueryOverride {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tasks) query_params: Option<String>,
}

/// A header that every task of the queue is sent with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct HeaderOverride {
    pub(in crate::tasks) header: Header,
}

/// Name and value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(in crate::tasks) struct Header {
    pub(in crate::tasks) key: String,
    pub(in crate::tasks) value: String,
}

impl HttpTarget {
    /// The target without what is empty; `None` if nothing is left, as after a patch that clears it.
    ///
    /// # Errors
    /// 400 for what cannot be.
    pub(in crate::tasks) fn checked(mut self) -> Result<Option<HttpTarget>, ApiError> {
        self.oidc_token = self.oidc_token.filter(|token| !is_default(token));
        self.oauth_token = self.oauth_token.filter(|token| !is_default(token));
        let refuse = |field: &str, fault: &str| {
            Err(ApiError::invalid_field(&format!("queue.httpTarget.{field}"), fault))
        };
        if self.oidc_token.is_some() && self.oauth_token.is_some() {
            return refuse("oidcToken", "It cannot be set together with oauthToken.");
        }
        if let Some(token) = &self.oidc_token {
            if token.service_account_email.is_empty() {
                return refuse(
                    "oidcToken.serviceAccountEmail",
                    "service_account_email must be set.",
                );
            }
            if token.audience.is_empty() {
                return refuse("oidcToken.audience", "A queue-level override needs an audience.");
            }
        }
        if let Some(token) = &self.oauth_token {
            if token.service_account_email.is_empty() {
                return refuse(
                    "oauthToken.serviceAccountEmail",
                    "service_account_email must be set.",
                );
            }
            if token.scope.is_empty() {
                return refuse("oauthToken.scope", "A queue-level override needs a scope.");
            }
        }
        if let Some(uri) = &self.uri_override {
            if uri.host.as_deref() == Some("") {
                return refuse("uriOverride.host", "The host cannot be empty.");
            }
            if uri.port.is_some_and(|Int64(port)| !(0..=65_535).contains(&port)) {
                return refuse("uriOverride.port", "It must be 0 to 65535; 0 clears the port.");
            }
        }
        Ok((!is_default(&self)).then_some(self))
    }

    /// Whether a task may come without a URL, as those of `BufferTask` do.
    pub(in crate::tasks) fn routes(&self) -> bool {
        self.uri_override.as_ref().is_some_and(|uri| uri.host.is_some())
    }

    /// The accounts that its tokens are of.
    pub(in crate::tasks) fn accounts(&self) -> impl Iterator<Item = &str> {
        let oidc = self.oidc_token.as_ref().map(|token| token.service_account_email.as_str());
        let oauth = self.oauth_token.as_ref().map(|token| token.service_account_email.as_str());
        oidc.into_iter().chain(oauth)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    fn checked(target: Value) -> Result<Option<HttpTarget>, ApiError> {
        from_value::<HttpTarget>(target).unwrap().checked()
    }

    #[test]
    fn what_gcloud_sends_is_shown_as_google_shows_it() {
        let uri = json!({"host": "a.example", "port": 8443, "pathOverride": {}, "queryOverride": {},
            "scheme": 1, "uriOverrideEnforceMode": "IF_NOT_EXISTS"});
        let target = checked(json!({"uriOverride": uri})).unwrap().unwrap();
        assert!(target.routes());
        assert_eq!(
            to_value(target).unwrap(),
            json!({"uriOverride": {"host": "a.example", "port": "8443", "pathOverride": {},
                "queryOverride": {}, "scheme": "HTTP", "uriOverrideEnforceMode": "IF_NOT_EXISTS"}})
        );
    }

    #[test]
    fn what_a_patch_cleared_is_gone() {
        assert_eq!(checked(json!({"oidcToken": {}, "headerOverrides": []})).unwrap(), None);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_field() {
        for (spoilt, field) in [
            (json!({"uriOverride": {"host": ""}}), "uriOverride.host"),
            (json!({"uriOverride": {"port": -1}}), "uriOverride.port"),
            (json!({"oidcToken": {"audience": "a"}}), "oidcToken.serviceAccountEmail"),
            (json!({"oidcToken": {"serviceAccountEmail": "a"}}), "oidcToken.audience"),
            (json!({"oauthToken": {"scope": "s"}}), "oauthToken.serviceAccountEmail"),
            (json!({"oauthToken": {"serviceAccountEmail": "a"}}), "oauthToken.scope"),
            (
                json!({"oidcToken": {"serviceAccountEmail": "a", "audience": "b"},
                    "oauthToken": {"serviceAccountEmail": "a", "scope": "s"}}),
                "oidcToken",
            ),
        ] {
            let fault = checked(spoilt).unwrap_err();
            let named = &fault.details[0]["fieldViolations"][0]["field"];
            assert_eq!(*named, format!("queue.httpTarget.{field}"));
        }
    }
}
