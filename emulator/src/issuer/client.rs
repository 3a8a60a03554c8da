//! An issuer that runs elsewhere, reached over HTTP.

use reqwest::{Client, RequestBuilder, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::json;

use crate::{account::Account, error::Error, token::IdToken};

/// A running `emulator serve` (or [`Issuer`](super::Issuer)) that signs on request, so that the keys match those that
/// a receiver has fetched from it.
#[derive(Clone, Debug)]
pub struct RunningIssuer {
    url: String,
    client: Client,
}

impl RunningIssuer {
    /// The one at `url`; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Client`] if the HTTP client cannot be built.
    pub fn at(url: &str) -> Result<RunningIssuer, Error> {
        Ok(RunningIssuer {
            url: url.trim_end_matches('/').to_owned(),
            client: Client::builder().no_proxy().build().map_err(Error::Client)?,
        })
    }

    /// A valid token before it is signed, with the `iss` that the issuer's discovery document names. Its header is
    /// empty: the issuer fills in `alg`, `kid` and `typ`, and what stands there overrides it.
    ///
    /// # Errors
    /// [`Error::NoEmulator`] if nobody is there; [`Error::NoAnswer`], [`Error::Refused`] or [`Error::Json`] if the
    /// issuer does not answer as documented.
    pub async fn id_token(&self, audience: &str, email: &str) -> Result<IdToken, Error> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
        }
        let url = format!("{}/.well-known/openid-configuration", self.url);
        let request = self.client.get(&url);
        let discovery: Discovery = self.answer(&url, request).await?;
        let mut token = IdToken::new(&discovery.issuer, audience, &Account::new(email), "");
        token.header.clear();
        Ok(token)
    }

    /// Signs with the issuer's current key. A header field that is `null` is left out of the token.
    ///
    /// # Errors
    /// As [`id_token`](RunningIssuer::id_token).
    pub async fn sign(&self, token: &IdToken) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Signed {
            token: String,
        }
        let url = format!("{}/emulator/token", self.url);
        let request = self
            .client
            .post(&url)
            .header(CONTENT_TYPE, "application/json")
            .body(json!({"header": token.header, "claims": token.claims}).to_string());
        let signed: Signed = self.answer(&url, request).await?;
        Ok(signed.token)
    }

    /// A valid token for `audience`, of the account `email`, signed now.
    ///
    /// # Errors
    /// As [`id_token`](RunningIssuer::id_token).
    pub async fn token(&self, audience: &str, email: &str) -> Result<String, Error> {
        self.sign(&self.id_token(audience, email).await?).await
    }

    /// The JSON of a 200, or what was wrong.
    async fn answer<T: for<'de> Deserialize<'de>>(
        &self,
        url: &str,
        request: RequestBuilder,
    ) -> Result<T, Error> {
        let response = request.send().await;
        let response = response.map_err(|error| Error::no_emulator(&self.url, &error))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|error| Error::no_answer(url, &error))?;
        if status != 200 {
            return Err(Error::Refused {
                url: url.to_owned(),
                status,
                body: String::from_utf8_lossy(&body).chars().take(200).collect(),
            });
        }
        serde_json::from_slice(&body)
            .map_err(|source| Error::Json { what: "the issuer's answer", source })
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn no_emulator_is_an_error_that_says_how_to_start_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let issuer = RunningIssuer::at(&format!("{url}/")).unwrap();
        let fault = issuer.token("a", "b").await.unwrap_err().to_string();
        assert!(fault.starts_with(&format!("no emulator answers at {url}: ")), "{fault}");
        assert!(
            fault.ends_with(
                "; start one with `emulator serve`, or name another with --emulator-url"
            ),
            "{fault}"
        );
        assert_eq!(fault.matches(&url).count(), 1, "{fault}");
    }
}
