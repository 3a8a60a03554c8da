//! A file of credentials: JSON with a `type`, as Google writes it.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::error::{Error, FileFault};

/// A key file has 2.4 KB.
const MOST_BYTES: u64 = 64 << 10;

/// The fields of all kinds that are of use here, and where they stand.
/// <https://google.aip.dev/auth/4112>, <https://google.aip.dev/auth/4113>
pub(super) struct CredentialsFile {
    path: PathBuf,
    pub(super) fields: Fields,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Fields {
    pub(super) r#type: Option<String>,
    pub(super) client_email: Option<String>,
    pub(super) private_key: Option<String>,
    pub(super) private_key_id: Option<String>,
    pub(super) token_uri: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) refresh_token: Option<String>,
    pub(super) service_account_impersonation_url: Option<String>,
    pub(super) delegates: Vec<String>,
    pub(super) source_credentials: Option<Box<Fields>>,
}

impl CredentialsFile {
    /// Reads it. Nothing of what it holds stands in a fault.
    pub(super) fn read(path: &Path) -> Result<(CredentialsFile, Vec<u8>), Error> {
        let fault = |fault| Error::CredentialsFile { path: path.to_owned(), fault };
        let unreadable = |error: std::io::Error| fault(FileFault::Unreadable(error.to_string()));
        let mut text = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() as u64 > MOST_BYTES {
            return Err(fault(FileFault::TooLarge));
        }
        // Serde reads a struct from an array as well.
        if !text.trim_ascii_start().starts_with(b"{") {
            return Err(fault(FileFault::NotJson { line: 1, column: 1 }));
        }
        // Its own words could quote a secret.
        let fields = serde_json::from_slice(&text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            fault(match error.is_data() {
                true => FileFault::NoText { line, column },
                false => FileFault::NotJson { line, column },
            })
        })?;
        Ok((CredentialsFile { path: path.to_owned(), fields }, text))
    }

    /// The same file's credentials that others stand on.
    pub(super) fn inner(&self, fields: Fields) -> CredentialsFile {
        CredentialsFile { path: self.path.clone(), fields }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn kind(&self) -> Result<&str, Error> {
        self.text("type", &self.fields.r#type)
    }

    /// A field that must be there.
    pub(super) fn text<'a>(
        &self,
        name: &'static str,
        value: &'a Option<String>,
    ) -> Result<&'a str, Error> {
        let value = value.as_deref().filter(|value| !value.is_empty());
        value.ok_or_else(|| self.fault(FileFault::Field(name)))
    }

    /// A URL that secrets may go to: of https, or of this machine, where an emulator is.
    pub(super) fn url<'a>(
        &self,
        name: &'static str,
        value: &'a Option<String>,
    ) -> Result<&'a str, Error> {
        let text = self.text(name, value)?;
        let url = reqwest::Url::parse(text).map_err(|_| self.fault(FileFault::Url(name)))?;
        let is_near = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "https" => Ok(text),
            "http" if is_near => Ok(text),
            _ => Err(self.fault(FileFault::Url(name))),
        }
    }

    pub(super) fn fault(&self, fault: FileFault) -> Error {
        Error::CredentialsFile { path: self.path.clone(), fault }
    }
}
