//! An emulator that runs elsewhere, reached over HTTP.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, Response, header::CONTENT_TYPE};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{filter::Filter, followed::Followed};
use crate::{environment::Environment, error::Error, faults::SetFault, history::Entry};

/// A running `emulator serve` (or [`Emulator`](crate::Emulator)), asked for what is the emulator's own.
#[derive(Clone, Debug)]
pub struct RunningEmulator {
    url: String,
    client: Client,
}

impl RunningEmulator {
    /// The one at `url`; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Client`] if the HTTP client cannot be built.
    pub fn at(url: &str) -> Result<RunningEmulator, Error> {
        Ok(RunningEmulator {
            url: url.trim_end_matches('/').to_owned(),
            client: Client::builder().no_proxy().build().map_err(Error::Client)?,
        })
    }

    /// Where it is, as whom it issues, and its project.
    ///
    /// # Errors
    /// [`Error::NoEmulator`] if nobody is there, [`Error::Declined`] if it refuses, and [`Error::NoAnswer`],
    /// [`Error::Refused`] or [`Error::Json`] if it does not answer as documented. So do all of these.
    pub async fn environment(&self) -> Result<Environment, Error> {
        self.ask(Method::GET, "environment", None).await
    }

    /// The entries of the history that `filter` asks for, oldest first.
    ///
    /// # Errors
    /// As [`environment`](RunningEmulator::environment).
    pub async fn history(&self, filter: &Filter) -> Result<Vec<Entry>, Error> {
        self.ask(Method::GET, &format!("history?{}", query(filter)), None).await
    }

    /// The same and then each entry as it comes.
    ///
    /// # Errors
    /// As [`environment`](RunningEmulator::environment).
    pub async fn follow(&self, filter: &Filter) -> Result<Followed, Error> {
        let path = format!("history?follow&{}", query(filter));
        Ok(Followed::new(self.send(Method::GET, &path, None).await?))
    }

    /// Makes the delivery of an entry again and gives the new entry.
    ///
    /// # Errors
    /// As [`environment`](RunningEmulator::environment).
    pub async fn replay(&self, id: u64) -> Result<Entry, Error> {
        self.ask(Method::POST, &format!("history/{id}/replay"), None).await
    }

    /// The faults that are set.
    ///
    /// # Errors
    /// As [`environment`](RunningEmulator::environment).
    pub async fn faults(&self) -> Result<Vec<SetFault>, Error> {
        self.ask(Method::GET, "faults", None).await
    }

    /// Sets one more and gives all that are set.
    ///
    /// # Errors
    /// As [`environment`](RunningEmulator::environment).
    pub async fn set_fault(&self, fault: SetFault) -> Result<Vec<SetFault>, Error> {
        let body = serde_json::to_string(&fault)
            .map_err(|source| Error::Json { what: "a fault", source })?;
        self.ask(Method::POST, "faults", Some(body)).await
    }

    /// Clears all faults.
    ///
    /// # Errors
    /// As [`environment`](RunningEmulator::environment).
    pub async fn clear_faults(&self) -> Result<(), Error> {
        self.ask::<Value>(Method::DELETE, "faults", None).await.map(drop)
    }

    /// All resources as one document.
    ///
    /// # Errors
    /// As [`environment`](RunningEmulator::environment).
    pub async fn export(&self) -> Result<Value, Error> {
        self.ask(Method::GET, "state", None).await
    }

    /// Puts such a document in the place of all that is there.
    ///
    /// # Errors
    /// As [`environment`](RunningEmulator::environment).
    pub async fn import(&self, document: String) -> Result<(), Error> {
        self.ask::<Value>(Method::PUT, "state", Some(document)).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<T, Error> {
        let response = self.send(method, path, body).await?;
        let body = response.bytes().await.map_err(|error| Error::no_answer(&self.url, &error))?;
        serde_json::from_slice(&body)
            .map_err(|source| Error::Json { what: "the emulator's answer", source })
    }

    /// The answer, if it is a 200.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<Response, Error> {
        let url = format!("{}/emulator/{path}", self.url);
        let mut request = self.client.request(method, &url);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let response = request.send().await;
        let response = response.map_err(|error| Error::no_emulator(&self.url, &error))?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| Error::no_answer(&url, &error))?;
        Err(match serde_json::from_slice::<Envelope>(&body) {
            Ok(envelope) => Error::Declined(envelope.error.message),
            Err(_) => {
                let body = String::from_utf8_lossy(&body).chars().take(200).collect();
                Error::Refused { url, status, body }
            }
        })
    }
}

/// Google's error envelope, which the emulator's own endpoints answer with as well.
#[derive(Deserialize)]
struct Envelope {
    error: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

fn query(filter: &Filter) -> String {
    let sender = filter.sender.map(|sender| format!("sender={}&", sender.name()));
    let since = filter.since.map(|id| format!("since={id}&"));
    let resource = filter
        .resource
        .as_ref()
        .map(|name| format!("resource={}", utf8_percent_encode(name, NON_ALPHANUMERIC)));
    [sender, since, resource].into_iter().flatten().collect()
}
