//! A person's own login, as `gcloud auth application-default login` leaves it: a refresh token.
//!
//! <https://google.aip.dev/auth/4113>

use super::{
    file::CredentialsFile,
    key_file::{Granted, post_form},
};
use crate::{error::Error, google_fault::OAuthFault, http::Transport, token::Token};

/// Where logins are renewed, unless the file says otherwise.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

pub(super) struct User {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    token_uri: String,
}

impl User {
    pub(super) fn of(file: &CredentialsFile) -> Result<User, Error> {
        let fields = &file.fields;
        let token_uri = match &fields.token_uri {
            Some(_) => file.url("token_uri", &fields.token_uri)?,
            None => TOKEN_URI,
        };
        Ok(User {
            client_id: file.text("client_id", &fields.client_id)?.to_owned(),
            client_secret: file.text("client_secret", &fields.client_secret)?.to_owned(),
            refresh_token: file.text("refresh_token", &fields.refresh_token)?.to_owned(),
            token_uri: token_uri.to_owned(),
        })
    }

    pub(super) async fn access_token(&self, transport: &Transport) -> Result<Token, Error> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", &*self.client_id),
            ("client_secret", &*self.client_secret),
            ("refresh_token", &*self.refresh_token),
        ];
        let reply = post_form(transport, &self.token_uri, &fields).await?;
        if reply.status.is_success() {
            return Granted::read(&reply)?.access_token(&reply);
        }
        let fault = OAuthFault::read(&reply.body);
        let remedy = match fault.error.as_str() {
            "invalid_grant" => "; log in again: gcloud auth application-default login",
            _ => "",
        };
        Err(reply.refused(&format!("{}{remedy}", fault.said())))
    }
}
