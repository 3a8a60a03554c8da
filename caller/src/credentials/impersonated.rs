//! An account that others may act as, by the IAM Credentials API.
//!
//! <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken>

use std::{sync::Arc, time::SystemTime};

use futures_util::FutureExt;
use jiff::Timestamp;
use reqwest::{
    Method, RequestBuilder, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Credentials, SCOPE};
use crate::{
    error::Error,
    google_fault::ApiFault,
    http::{Reply, Transport, Whither},
    renewed::Renewed,
    token::Token,
};

pub(super) struct Impersonated {
    account: String,
    /// As the API names them.
    delegates: Vec<String>,
    /// Whose access token the API is called with.
    base: Credentials,
    base_token: Arc<Renewed>,
    url: String,
}

#[derive(Deserialize)]
struct IdToken {
    token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessToken {
    access_token: String,
    expire_time: Timestamp,
}

impl Impersonated {
    pub(super) fn new(base: Credentials, account: &str, delegates: &[String], url: String) -> Self {
        let of = base.clone();
        let base_token = Renewed::new(Box::new(move || {
            let of = of.clone();
            async move { of.fetch_access_token().await }.boxed()
        }));
        let delegates = delegates.iter().map(|one| resource(one)).collect();
        Impersonated { account: account.to_owned(), delegates, base, base_token, url }
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }

    pub(super) async fn id_token(
        &self,
        transport: &Transport,
        audience: &str,
    ) -> Result<Token, Error> {
        let ask = json!({"audience": audience, "includeEmail": true, "delegates": self.delegates});
        let (answer, reply): (IdToken, _) = self.call(transport, "generateIdToken", &ask).await?;
        Token::id_token(&answer.token, &reply)
    }

    pub(super) async fn access_token(&self, transport: &Transport) -> Result<Token, Error> {
        let ask = json!({"scope": [SCOPE], "delegates": self.delegates});
        let (answer, reply): (AccessToken, _) =
            self.call(transport, "generateAccessToken", &ask).await?;
        let now = reply.date.unwrap_or_else(SystemTime::now);
        let left = SystemTime::from(answer.expire_time).duration_since(now).unwrap_or_default();
        Token::new(&answer.access_token, left)
            .ok_or(Error::Unexpected { url: reply.url, expected: "access token" })
    }

    async fn call<T: for<'de> Deserialize<'de>>(
        &self,
        transport: &Transport,
        verb: &str,
        ask: &Value,
    ) -> Result<(T, Reply), Error> {
        let token = self.base_token.get().await?;
        let url = format!("{}/v1/{}:{verb}", self.url, resource(&self.account));
        let body = bytes::Bytes::from(ask.to_string());
        let complete = |request: RequestBuilder| {
            let request = request.header(AUTHORIZATION, token.header());
            request.header(CONTENT_TYPE, "application/json").body(body.clone())
        };
        let reply = transport.send(Whither::Google, Method::POST, &url, complete).await?;
        if reply.status != StatusCode::OK {
            if reply.status == StatusCode::UNAUTHORIZED {
                self.base_token.forget(&token);
            }
            return Err(self.fault(&reply).await);
        }
        let answer = serde_json::from_slice(&reply.body).map_err(|_| Error::Unexpected {
            url: reply.url.clone(),
            expected: "JSON with a token",
        })?;
        Ok((answer, reply))
    }

    async fn fault(&self, reply: &Reply) -> Error {
        let fault = ApiFault::read(&reply.body);
        let account = &self.account;
        if fault.is_disabled() {
            let remedy = "enable it: gcloud services enable iamcredentials.googleapis.com";
            return reply.refused(&format!("{}; {remedy}", fault.message));
        }
        if let Some(permission) = fault.missing_permission() {
            return self.missing(permission, self.base.member().await);
        }
        match reply.status {
            StatusCode::NOT_FOUND => Error::AccountMissing {
                account: account.clone(),
                said: oidc::shown(&fault.message),
            },
            _ => reply.refused(&fault.message),
        }
    }

    /// The narrowest role that has the permission, and the command that grants it.
    fn missing(&self, permission: &str, who: String) -> Error {
        let (role, resource) = match (permission, self.delegates.first()) {
            ("iam.serviceAccounts.getOpenIdToken", None) => {
                ("roles/iam.serviceAccountOpenIdTokenCreator", self.account.clone())
            }
            (_, None) => ("roles/iam.serviceAccountTokenCreator", self.account.clone()),
            // Google says which permission of the chain is missing, and not at which link.
            (_, Some(_)) => {
                ("roles/iam.serviceAccountTokenCreator", "NEXT-OF-THE-CHAIN".to_owned())
            }
        };
        // Before the first delegate it is the caller's to be granted, behind it the delegate's.
        let member = if self.delegates.is_empty() {
            who.as_str()
        } else {
            "serviceAccount:EACH-OF-THE-CHAIN"
        };
        let remedy = format!(
            "gcloud iam service-accounts add-iam-policy-binding {resource} --member={member} --role={role}"
        );
        let resource = format!("the service account {}", self.account);
        Error::PermissionMissing { who, permission: permission.to_owned(), resource, remedy }
    }
}

/// The name that the API has for an account; `-` stands for whichever project it is in.
fn resource(account: &str) -> String {
    let account = account.strip_prefix("projects/-/serviceAccounts/").unwrap_or(account);
    format!("projects/-/serviceAccounts/{account}")
}
