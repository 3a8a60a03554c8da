//! A service account's key file, exchanged for tokens at its `token_uri`.
//!
//! <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, header::CONTENT_TYPE};
use serde::Deserialize;

use super::{
    SCOPE,
    assertion::{Claims, SigningKey},
    file::CredentialsFile,
};
use crate::{
    error::{Error, FileFault},
    google_fault::OAuthFault,
    http::{Reply, Transport, Whither},
    token::Token,
};

/// The key of an account, and where it is exchanged.
pub(super) struct KeyFile {
    path: PathBuf,
    account: String,
    key_id: Option<String>,
    key: SigningKey,
    token_uri: String,
}

/// What a token endpoint gives.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Granted {
    id_token: String,
    access_token: String,
    expires_in: u64,
}

impl KeyFile {
    pub(super) fn read(path: &Path) -> Result<KeyFile, Error> {
        let (file, _) = CredentialsFile::read(path)?;
        match file.kind()? {
            "service_account" => KeyFile::of(&file),
            kind => Err(file.fault(FileFault::Type {
                found: oidc::shown(kind),
                expected: "service_account",
                hint: match kind {
                    "authorized_user" => ", and this is a user's login: leave out the file, and impersonate a service account (--impersonate ACCOUNT)",
                    "external_account" | "impersonated_service_account" => ", and this is for GOOGLE_APPLICATION_CREDENTIALS",
                    _ => "",
                },
            })),
        }
    }

    pub(super) fn of(file: &CredentialsFile) -> Result<KeyFile, Error> {
        let fields = &file.fields;
        let pem = file.text("private_key", &fields.private_key)?;
        Ok(KeyFile {
            path: file.path().to_owned(),
            account: file.text("client_email", &fields.client_email)?.to_owned(),
            key_id: fields.private_key_id.clone(),
            key: SigningKey::from_pem(pem).ok_or_else(|| file.fault(FileFault::PrivateKey))?,
            token_uri: file.url("token_uri", &fields.token_uri)?.to_owned(),
        })
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }

    pub(super) async fn id_token(
        &self,
        transport: &Transport,
        audience: &str,
    ) -> Result<Token, Error> {
        let (granted, reply) =
            self.exchange(transport, |claims| claims.target_audience = Some(audience)).await?;
        Token::id_token(&granted.id_token, &reply)
    }

    pub(super) async fn access_token(&self, transport: &Transport) -> Result<Token, Error> {
        let (granted, reply) =
            self.exchange(transport, |claims| claims.scope = Some(SCOPE)).await?;
        granted.access_token(&reply)
    }

    async fn exchange<'a>(
        &'a self,
        transport: &Transport,
        ask: impl FnOnce(&mut Claims<'a>),
    ) -> Result<(Granted, Reply), Error> {
        let mut claims = Claims::new(&self.account, &self.token_uri);
        ask(&mut claims);
        let assertion = self.key.sign(self.key_id.as_deref(), &claims).ok_or_else(|| {
            Error::CredentialsFile { path: self.path.clone(), fault: FileFault::PrivateKey }
        })?;
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", &assertion),
        ];
        let reply = post_form(transport, &self.token_uri, &fields).await?;
        if reply.status.is_success() {
            return Ok((Granted::read(&reply)?, reply));
        }
        Err(self.fault(&reply))
    }

    /// In Google's words, as its endpoint was recorded to say them.
    fn fault(&self, reply: &Reply) -> Error {
        let fault = OAuthFault::read(&reply.body);
        let said = fault.error_description.as_str();
        let account = self.account.clone();
        match (fault.error.as_str(), reply.behind_secs()) {
            ("invalid_grant", Some(behind_secs)) if said.contains("reasonable timeframe") => {
                Error::ClockOff { behind_secs }
            }
            ("invalid_grant", _) if said.contains("Invalid JWT Signature") => {
                Error::KeyRejected { path: self.path.clone(), account }
            }
            ("invalid_grant", _)
                if said.contains("account not found") || said.contains("disabled") =>
            {
                Error::AccountMissing { account, said: oidc::shown(said) }
            }
            _ => reply.refused(&fault.said()),
        }
    }
}

/// Posts a form to a token endpoint.
pub(super) async fn post_form(
    transport: &Transport,
    url: &str,
    fields: &[(&str, &str)],
) -> Result<Reply, Error> {
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let form = bytes::Bytes::from(pairs.join("&"));
    let complete = |request: RequestBuilder| {
        request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.clone())
    };
    transport.send(Whither::Google, Method::POST, url, complete).await
}

impl Granted {
    pub(super) fn read(reply: &Reply) -> Result<Granted, Error> {
        let unexpected =
            |_| Error::Unexpected { url: reply.url.clone(), expected: "JSON with a token" };
        serde_json::from_slice(&reply.body).map_err(unexpected)
    }

    pub(super) fn access_token(&self, reply: &Reply) -> Result<Token, Error> {
        let left = Duration::from_secs(self.expires_in);
        Token::new(&self.access_token, left)
            .ok_or_else(|| Error::Unexpected { url: reply.url.clone(), expected: "access token" })
    }
}
