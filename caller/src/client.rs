//! An HTTP client that proves on each request who calls.

use std::sync::Arc;

use reqwest::{Request, RequestBuilder, Response, StatusCode, header::AUTHORIZATION};

use crate::{error::Error, http::last_cause, id_token_source::IdTokenSource, token::Token, trace};

/// Sends requests with the ID token of their audience. Clones share connections and tokens.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    tokens: IdTokenSource,
}

impl Client {
    /// Requests are sent by `http`, whose timeouts and proxies count; it should follow no redirects to other hosts.
    pub fn new(http: reqwest::Client, tokens: IdTokenSource) -> Client {
        Client { http, tokens }
    }

    /// The client that requests are built with.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Sends a request with the token for `audience` in `Authorization`, and once more with a new token if the answer
    /// is 401 and the body can be sent again (a stream cannot). Whatever is answered then is the answer.
    ///
    /// # Errors
    /// What [`IdTokenSource::id_token`] says, [`Error::Url`], [`Error::NoAnswer`].
    pub async fn send(&self, request: RequestBuilder, audience: &str) -> Result<Response, Error> {
        let request = request
            .build()
            .map_err(|error| Error::Url { given: oidc::shown(&last_cause(&error)) })?;
        let again = request.try_clone();
        let token = self.tokens.id_token(audience).await?;
        let response = self.execute(request, &token).await?;
        let (StatusCode::UNAUTHORIZED, Some(again)) = (response.status(), again) else {
            return Ok(response);
        };
        self.tokens.forget(audience, &token);
        let token = self.tokens.id_token(audience).await?;
        self.execute(again, &token).await
    }

    async fn execute(&self, mut request: Request, token: &Arc<Token>) -> Result<Response, Error> {
        let mut url = request.url().clone();
        url.set_query(None);
        request.headers_mut().insert(AUTHORIZATION, token.header().clone());
        if let Some(context) = trace::traceparent().and_then(|text| text.parse().ok()) {
            request.headers_mut().entry(trace::TRACEPARENT).or_insert(context);
        }
        self.http
            .execute(request)
            .await
            .map_err(|error| Error::NoAnswer { url: url.to_string(), reason: last_cause(&error) })
    }
}
