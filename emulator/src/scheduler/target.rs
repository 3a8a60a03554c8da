//! Where a job goes.
//!
//! Source: `google/cloud/scheduler/v1/target.proto`.

use std::{collections::BTreeMap, fmt};

use reqwest::{
    Url,
    header::{HeaderName, HeaderValue},
};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    api::{
        error::ApiError,
        wire::{HttpMethod, WireBytes, is_default},
    },
    senders::{Delivery, Method, scheduler::Run},
    tokens::{Auth, OAuthToken, OidcToken},
};

/// Of the URL once it is encoded.
const MOST_URL_CHARACTERS: usize = 2083;

/// All headers must be below this.
const MOST_HEADER_BYTES: usize = 80 << 10;

/// `HttpTarget`. Its `Debug` shows neither the values of headers nor the body.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HttpTarget {
    #[serde(default)]
    uri: String,
    #[serde(default)]
    http_method: HttpMethod,
    #[serde(
        default,
        deserialize_with = "without_nulls",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "is_default")]
    body: WireBytes,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oidc_token: Option<OidcToken>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oauth_token: Option<OAuthToken>,
}

impl HttpTarget {
    /// Fills in the method, and says whether Google would take the rest.
    ///
    /// # Errors
    /// 400 that names the field.
    pub(super) fn check(&mut self) -> Result<(), ApiError> {
        if self.http_method == HttpMethod::Unspecified {
            self.http_method = HttpMethod::Post;
        }
        check_url(&self.uri)?;
        self.check_headers()?;
        if !self.body.0.is_empty() && !Method::from(self.http_method).takes_body() {
            return Err(ApiError::invalid_field(
                "job.http_target.body",
                format!(
                    "{} takes no body; use POST, PUT or PATCH, or leave it out.",
                    self.http_method.word()
                ),
            ));
        }
        if self.oidc_token.is_some() && self.oauth_token.is_some() {
            return Err(ApiError::invalid_field(
                "job.http_target",
                "Both oidc_token and oauth_token are set; a job has one of them at most.",
            ));
        }
        if self.account() == Some("") {
            return Err(ApiError::invalid_field(
                "job.http_target",
                "The token's service_account_email is not set; give the account that the job calls as.",
            ));
        }
        Ok(())
    }

    fn check_headers(&self) -> Result<(), ApiError> {
        let field = "job.http_target.headers";
        for (name, value) in &self.headers {
            if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
                let fault = format!(
                    "{name:?} cannot be sent: names are tokens, values have no line breaks or control characters."
                );
                return Err(ApiError::invalid_field(field, fault));
            }
        }
        if self.header_bytes() >= MOST_HEADER_BYTES {
            let fault =
                format!("They have {} bytes; the limit is 80 KB in all.", self.header_bytes());
            return Err(ApiError::invalid_field(field, fault));
        }
        Ok(())
    }

    fn header_bytes(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// About what it takes of the limit on a job.
    pub(super) fn bytes(&self) -> usize {
        self.uri.len() + self.header_bytes() + self.body.0.len()
    }

    /// The email of the account that it goes as.
    pub(super) fn account(&self) -> Option<&str> {
        let oidc = self.oidc_token.as_ref().map(|token| token.service_account_email.as_str());
        oidc.or(self.oauth_token.as_ref().map(|token| token.service_account_email.as_str()))
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// How it proves itself. The audience is the target's URI unless it was set.
    pub(super) fn auth(&self) -> Option<Auth> {
        if let Some(OidcToken { service_account_email, audience }) = &self.oidc_token {
            let audience = if audience.is_empty() { &self.uri } else { audience };
            return Some(Auth::Oidc {
                email: service_account_email.clone(),
                audience: audience.clone(),
            });
        }
        let token = self.oauth_token.as_ref()?;
        Some(Auth::OAuth { email: token.service_account_email.clone() })
    }

    /// The request of a run, without a token.
    pub(super) fn delivery(&self, job: &str, schedule_time: &str) -> Delivery {
        let run = Run {
            job_name: Some(job.to_owned()),
            schedule_time: Some(schedule_time.to_owned()),
            method: self.http_method.into(),
            headers: self.headers.clone().into_iter().collect(),
            body: self.body.0.to_vec(),
        };
        run.delivery()
    }
}

impl fmt::Debug for HttpTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpTarget")
            .field("uri", &self.uri)
            .field("http_method", &self.http_method)
            .field("headers", &self.headers.keys())
            .field("body_bytes", &self.body.0.len())
            .field("account", &self.account())
            .finish_non_exhaustive()
    }
}

/// A header that is null is none: so gcloud sends those of `--remove-headers`.
fn without_nulls<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let headers = BTreeMap::<String, Option<String>>::deserialize(deserializer)?;
    Ok(headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

fn check_url(uri: &str) -> Result<(), ApiError> {
    let field = "job.http_target.uri";
    if !(uri.starts_with("http://") || uri.starts_with("https://")) {
        let fault = format!("{uri:?} is no URL; it must begin with \"http://\" or \"https://\".");
        return Err(ApiError::invalid_field(field, fault));
    }
    let url = Url::parse(uri)
        .map_err(|why| ApiError::invalid_field(field, format!("{uri:?} is no URL: {why}.")))?;
    let length = url.as_str().len();
    if length > MOST_URL_CHARACTERS {
        let fault = format!("It has {length} characters; the limit is {MOST_URL_CHARACTERS}.");
        return Err(ApiError::invalid_field(field, fault));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn target(field: &str, value: Value) -> HttpTarget {
        let mut whole = json!({
            "uri": "https://a.example/x",
            "httpMethod": "PUT",
            "headers": {"X-Team": "secret"},
            "body": "c2VjcmV0",
            "oidcToken": {"serviceAccountEmail": "a@p.iam.gserviceaccount.com"},
        });
        whole[field] = value;
        from_value(whole).unwrap()
    }

    #[test]
    fn what_google_would_not_take_is_refused_by_field() {
        assert!(target("httpMethod", json!("POST")).check().is_ok());
        for (field, value, said) in [
            ("uri", json!(""), "must begin with"),
            ("uri", json!("ftp://a.example"), "must begin with"),
            ("uri", json!("http://"), "is no URL"),
            ("uri", json!(format!("http://a.example/{}", "ä".repeat(400))), "2417 characters"),
            ("httpMethod", json!("GET"), "GET takes no body"),
            ("headers", json!({"X Y": "z"}), "\"X Y\" cannot be sent"),
            ("headers", json!({"X-Y": "z\n"}), "\"X-Y\" cannot be sent"),
            ("headers", json!({"X-Y": "z".repeat(80 << 10)}), "80 KB"),
            ("oauthToken", json!({"serviceAccountEmail": "a@b"}), "one of them"),
            ("oidcToken", json!({"audience": "x"}), "service_account_email is not set"),
        ] {
            let fault = target(field, value).check().unwrap_err();
            assert_eq!(fault.http_status(), 400);
            assert!(fault.message.contains(said), "{}", fault.message);
        }
    }

    #[test]
    fn the_method_is_post_unless_set() {
        let mut target = target("httpMethod", json!(0));
        target.check().unwrap();
        assert_eq!(target.http_method, HttpMethod::Post);
        assert_eq!(target.delivery("j", "t").method, Method::Post);
    }

    #[test]
    fn a_header_that_gcloud_removes_is_null_and_not_kept() {
        let target = target("headers", json!({"A": "x", "C": null}));
        assert_eq!(target.headers, BTreeMap::from([("A".to_owned(), "x".to_owned())]));
    }

    #[test]
    fn the_audience_is_the_uri_unless_set() {
        let email = "a@p.iam.gserviceaccount.com".to_owned();
        for (given, audience) in [("", "https://a.example/x"), ("https://b", "https://b")] {
            let token = json!({"serviceAccountEmail": email, "audience": given});
            let expected = Auth::Oidc { email: email.clone(), audience: audience.to_owned() };
            assert_eq!(target("oidcToken", token).auth(), Some(expected));
        }
    }

    #[test]
    fn neither_headers_nor_body_are_shown() {
        let shown = format!("{:?}", target("httpMethod", json!("PUT")));
        assert!(shown.contains("X-Team") && shown.contains("body_bytes: 6"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
