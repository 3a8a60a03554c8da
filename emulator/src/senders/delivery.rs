//! One request of a sender, and what the senders' requests have in common.

use std::fmt;

use bytes::Bytes;

use super::{Method, Sender};

/// One HTTP request as a sender makes it, without the URL. It has no token yet: see [`bearer`](Delivery::bearer).
///
/// `Host` and `Content-Length` are left to the HTTP client, as they follow from the rest.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Who delivers, and so what counts as success.
    pub sender: Sender,
    /// The method.
    pub method: Method,
    /// Names as Google spells them, in order; a name may come twice.
    pub headers: Vec<(String, String)>,
    /// The body's bytes, which clones share; empty for none.
    pub body: Bytes,
}

impl Delivery {
    /// The same with the token in `Authorization`, replacing what was there.
    pub fn bearer(self, token: &str) -> Delivery {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// The same with a header set; others of that name, in any case, are removed.
    pub fn header(self, name: &str, value: &str) -> Delivery {
        self.without(name).also(name, value)
    }

    /// The same with one more header, even where there is one of that name already.
    pub fn also(mut self, name: &str, value: &str) -> Delivery {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without the headers of that name, in any case.
    pub fn without(mut self, name: &str) -> Delivery {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// The same with another body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Delivery {
        self.body = Bytes::from(body.into());
        self
    }
}

impl fmt::Debug for Delivery {
    /// Without the value of `Authorization`: a token is printed nowhere.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = self.headers.iter().map(|(name, value)| {
            let secret = name.to_ascii_lowercase().contains("authorization");
            (name, if secret { "…" } else { value.as_str() })
        });
        formatter
            .debug_struct("Delivery")
            .field("sender", &self.sender)
            .field("method", &self.method)
            .field("headers", &headers.collect::<Vec<_>>())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// The headers that a user set on a job or task, as far as Google sends them: `Authorization`, `Host`,
/// `Content-Length`, `User-Agent`, `X-Google-*` and `X-AppEngine-*` are ignored or replaced (`target.proto`). So are
/// here the headers that frame a request, which are the client's own.
pub(super) fn allowed_user_headers(
    headers: &[(String, String)],
) -> impl Iterator<Item = (String, String)> + '_ {
    const REPLACED: [&str; 2] = ["authorization", "user-agent"];
    let allowed = |name: &str| {
        let name = name.to_ascii_lowercase();
        !REPLACED.contains(&name.as_str())
            && !frames_the_request(&name)
            && !name.starts_with("x-google-")
            && !name.starts_with("x-appengine-")
    };
    headers.iter().filter(move |(name, _)| allowed(name)).cloned()
}

/// Whether a header says where the request goes or ends, which is for the client alone to say.
pub(super) fn frames_the_request(name: &str) -> bool {
    const FRAMING: [&str; 4] = ["connection", "content-length", "host", "transfer-encoding"];
    FRAMING.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// A header of our own spelling.
pub(super) fn header(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::senders::scheduler::Run;

    #[test]
    fn a_token_is_set_once_and_never_shown() {
        let delivery = Run::new("daily-report")
            .delivery()
            .header("AUTHORIZATION", "Bearer old")
            .bearer("secret");
        let tokens: Vec<&(String, String)> = delivery
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            .collect();
        assert_eq!(tokens, [&header("Authorization", "Bearer secret")]);
        assert!(!format!("{delivery:?}").contains("secret"));
    }
}
