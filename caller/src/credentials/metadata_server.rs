//! The metadata server of a machine of Google's, which knows the account that the machine runs as.
//!
//! <https://cloud.google.com/docs/authentication/get-id-token#metadata-server>

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::{
    error::Error,
    http::{Reply, Transport, Whither},
    token::Token,
};

const ACCOUNT: &str = "computeMetadata/v1/instance/service-accounts/default";

pub(super) struct MetadataServer {
    host: String,
    /// What was looked at before it, where it is the last resort.
    tried: Option<String>,
    /// Once it was there, it is.
    found: OnceCell<()>,
}

#[derive(Deserialize)]
struct AccessToken {
    access_token: String,
    expires_in: u64,
}

impl MetadataServer {
    pub(super) fn at(host: &str) -> MetadataServer {
        MetadataServer { host: host.to_owned(), tried: None, found: OnceCell::new() }
    }

    pub(super) fn as_last_resort(host: &str, tried: String) -> MetadataServer {
        MetadataServer { host: host.to_owned(), tried: Some(tried), found: OnceCell::new() }
    }

    /// With the email in it: on Cloud Run only `format=full` has it.
    pub(super) async fn id_token(
        &self,
        transport: &Transport,
        audience: &str,
    ) -> Result<Token, Error> {
        let audience = utf8_percent_encode(audience, NON_ALPHANUMERIC);
        let path = format!("identity?audience={audience}&format=full");
        let reply = self.get(transport, &path).await?;
        let text = std::str::from_utf8(&reply.body).unwrap_or_default();
        Token::id_token(text, &reply)
    }

    pub(super) async fn access_token(&self, transport: &Transport) -> Result<Token, Error> {
        let reply = self.get(transport, "token").await?;
        let token: Option<AccessToken> = serde_json::from_slice(&reply.body).ok();
        token
            .and_then(|one| Token::new(&one.access_token, Duration::from_secs(one.expires_in)))
            .ok_or(Error::Unexpected { url: reply.url, expected: "access token" })
    }

    /// The account that the machine runs as.
    pub(super) async fn email(&self, transport: &Transport) -> Option<String> {
        let reply = self.get(transport, "email").await.ok()?;
        let email = std::str::from_utf8(&reply.body).ok()?.trim();
        email.contains('@').then(|| oidc::shown(email))
    }

    async fn get(&self, transport: &Transport, path: &str) -> Result<Reply, Error> {
        self.found
            .get_or_try_init(|| async {
                let found =
                    transport.finds_metadata_server(&format!("http://{}/", self.host)).await;
                found.map_err(|reason| self.absent(reason))
            })
            .await?;
        let url = format!("http://{}/{ACCOUNT}/{path}", self.host);
        let complete = |request: RequestBuilder| request.header("metadata-flavor", "Google");
        let reply = transport.send(Whither::Metadata, Method::GET, &url, complete).await?;
        match reply.status {
            StatusCode::OK => Ok(reply),
            StatusCode::NOT_FOUND => {
                let said = String::from_utf8_lossy(&reply.body).into_owned();
                let account = "of this machine".to_owned();
                Err(Error::AccountMissing { account, said: oidc::shown(&said) })
            }
            _ => Err(reply.refused(&String::from_utf8_lossy(&reply.body))),
        }
    }

    fn absent(&self, reason: String) -> Error {
        let host = self.host.clone();
        match &self.tried {
            None => Error::NoMetadataServer { host, reason },
            Some(tried) => Error::NoCredentials {
                tried: format!("{tried}, and no metadata server answers at {host} ({reason})"),
            },
        }
    }
}
