//! Where a task's request goes and how: as the task says, and as its queue overrides it.

use std::fmt;

use super::{
    resource::{http_target::HttpTarget, task::HttpRequest},
    uri,
};
use crate::{
    api::wire::{HttpMethod, WireBytes},
    senders::Method,
    tokens::{Auth, OAuthToken, OidcToken},
};

/// A task's request without its body. Tasks that are alike share one.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Empty where the queue says where to.
    pub(super) url: String,
    method: HttpMethod,
    /// In order of name.
    headers: Vec<(String, String)>,
    token: Option<Token>,
}

impl fmt::Debug for Target {
    /// Without the values of headers.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.headers.iter().map(|(name, _)| name);
        formatter
            .debug_struct("Target")
            .field("url", &self.url)
            .field("method", &self.method)
            .field("headers", &names.collect::<Vec<_>>())
            .field("token", &self.token)
            .finish()
    }
}

/// `authorization_header` of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Oidc(OidcToken),
    OAuth(OAuthToken),
}

/// A task's request as it is sent, apart from its body and Cloud Tasks' own headers.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Effective {
    pub(super) url: String,
    pub(super) method: Method,
    pub(super) headers: Vec<(String, String)>,
    pub(super) auth: Option<Auth>,
}

impl Target {
    /// The target of a request that was checked, and its body.
    pub(super) fn new(request: HttpRequest) -> (Target, bytes::Bytes) {
        let HttpRequest { url, http_method, headers, body, oauth_token, oidc_token } = request;
        let token = oidc_token.map(Token::Oidc).or(oauth_token.map(Token::OAuth));
        let headers = headers.into_iter().collect();
        (Target { url, method: http_method, headers, token }, body.0)
    }

    /// The request as a caller sees it. `User-Agent` is shown among the headers, as recorded.
    pub(super) fn shown(&self, over: Option<&HttpTarget>) -> HttpRequest {
        let mut shown = self.request(bytes::Bytes::new());
        shown.url = uri::overridden(&self.url, over.and_then(|over| over.uri_override.as_ref()));
        if shown.http_method == HttpMethod::Unspecified {
            shown.http_method = HttpMethod::Post;
        }
        shown.headers.retain(|name, _| !name.eq_ignore_ascii_case("user-agent"));
        shown.headers.insert("User-Agent".to_owned(), "Google-Cloud-Tasks".to_owned());
        shown
    }

    /// The request as it was asked for.
    pub(super) fn request(&self, body: bytes::Bytes) -> HttpRequest {
        let (oidc_token, oauth_token) = match self.token.clone() {
            None => (None, None),
            Some(Token::Oidc(token)) => (Some(token), None),
            Some(Token::OAuth(token)) => (None, Some(token)),
        };
        HttpRequest {
            url: self.url.clone(),
            http_method: self.method,
            headers: self.headers.iter().cloned().collect(),
            body: WireBytes(body),
            oauth_token,
            oidc_token,
        }
    }

    /// The account that its own token is of.
    pub(super) fn account(&self) -> Option<&str> {
        match self.token.as_ref()? {
            Token::Oidc(token) => Some(&token.service_account_email),
            Token::OAuth(token) => Some(&token.service_account_email),
        }
    }

    /// The request as it is sent now. What the queue says about method, token and each header wins over the task. An
    /// OIDC token without an audience is for the whole URL, the query included, as it is after the overrides.
    pub(super) fn effective(&self, over: Option<&HttpTarget>) -> Effective {
        let url = uri::overridden(&self.url, over.and_then(|over| over.uri_override.as_ref()));
        let method = match over.map(|over| over.http_method) {
            None | Some(HttpMethod::Unspecified) => self.method,
            Some(method) => method,
        };
        let overrides = over.map(|over| over.header_overrides.as_slice()).unwrap_or_default();
        let overridden =
            |name: &str| overrides.iter().any(|over| over.header.key.eq_ignore_ascii_case(name));
        let own = self.headers.iter().filter(|(name, _)| !overridden(name)).cloned();
        let of_queue =
            overrides.iter().map(|over| (over.header.key.clone(), over.header.value.clone()));
        let headers = own.chain(of_queue).filter(|(name, _)| !is_cloud_tasks_own(name)).collect();
        let of_queue = over.and_then(|over| {
            let oidc = over.oidc_token.clone().map(Token::Oidc);
            oidc.or_else(|| over.oauth_token.clone().map(Token::OAuth))
        });
        let auth = of_queue.or_else(|| self.token.clone()).map(|token| auth(token, &url));
        Effective { method: method.into(), headers, auth, url }
    }
}

fn auth(token: Token, url: &str) -> Auth {
    match token {
        Token::OAuth(token) => Auth::OAuth { email: token.service_account_email },
        Token::Oidc(OidcToken { service_account_email, audience }) => Auth::Oidc {
            email: service_account_email,
            audience: if audience.is_empty() { url.to_owned() } else { audience },
        },
    }
}

/// Headers that describe the task are Cloud Tasks' to set.
fn is_cloud_tasks_own(name: &str) -> bool {
    const PREFIX: &str = "x-cloudtasks-";
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn target() -> Target {
        let (target, body) = Target::new(
            from_value(json!({
                "url": "http://a/x?y=1",
                "headers": {"Content-Type": "text/plain", "X-CloudTasks-TaskName": "forged"},
                "body": "aGk=",
                "oidcToken": {"serviceAccountEmail": "a@b"},
            }))
            .unwrap(),
        );
        assert_eq!(&body[..], b"hi");
        target
    }

    fn with(over: Value) -> Effective {
        target().effective(Some(&from_value(over).unwrap()))
    }

    fn oidc(email: &str, audience: &str) -> Option<Auth> {
        Some(Auth::Oidc { email: email.to_owned(), audience: audience.to_owned() })
    }

    #[test]
    fn the_audience_is_the_whole_url_after_the_overrides_unless_it_is_said() {
        assert_eq!(target().effective(None).auth, oidc("a@b", "http://a/x?y=1"));
        let moved =
            with(json!({"uriOverride": {"host": "c", "queryOverride": {"queryParams": "z"}}}));
        assert_eq!(moved.auth, oidc("a@b", "http://c/x?z"));
        let said = json!({"oidcToken": {"serviceAccountEmail": "d@e", "audience": "f"}});
        assert_eq!(with(said).auth, oidc("d@e", "f"));
        let other = json!({"oauthToken": {"serviceAccountEmail": "d@e", "scope": "s"}});
        assert_eq!(with(other).auth, Some(Auth::OAuth { email: "d@e".to_owned() }));
    }

    #[test]
    fn the_queue_s_method_and_headers_win_and_others_stay() {
        let effective = with(json!({"httpMethod": "PUT", "headerOverrides": [
            {"header": {"key": "content-type", "value": "application/json"}},
            {"header": {"key": "X-Added", "value": "1"}},
        ]}));
        assert_eq!(effective.method, Method::Put);
        let expected = [("content-type", "application/json"), ("X-Added", "1")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(effective.headers, expected);
    }

    #[test]
    fn no_task_can_forge_what_cloud_tasks_says_of_it() {
        let effective = target().effective(None);
        assert_eq!(effective.method, Method::Post);
        assert_eq!(effective.headers, [("Content-Type".to_owned(), "text/plain".to_owned())]);
    }

    #[test]
    fn a_request_is_shown_as_it_was_recorded_and_without_its_body() {
        let shown = target().shown(None);
        assert_eq!(shown.headers["User-Agent"], "Google-Cloud-Tasks");
        assert_eq!((shown.http_method, shown.body.0.len()), (HttpMethod::Post, 0));
        let printed = format!("{:?}", target());
        assert!(printed.contains("Content-Type") && !printed.contains("text/plain"), "{printed}");
    }
}
