//! The methods of HTTP targets.

use std::str::FromStr;

use crate::error::Error;

/// The methods that an HTTP target may name (`HttpMethod` in `target.proto`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are HTTP's own words")]
pub enum Method {
    #[default]
    Post,
    Get,
    Head,
    Put,
    Delete,
    Patch,
    Options,
}

impl Method {
    /// The method's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Post => "POST",
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Patch => "PATCH",
            Method::Options => "OPTIONS",
        }
    }

    /// Whether a body may be set: with another method Google refuses to create the job or task.
    pub fn takes_body(self) -> bool {
        matches!(self, Method::Post | Method::Put | Method::Patch)
    }
}

impl FromStr for Method {
    type Err = Error;

    /// Upper case alone, as methods are.
    fn from_str(text: &str) -> Result<Method, Error> {
        use Method::{Delete, Get, Head, Options, Patch, Post, Put};
        [Post, Get, Head, Put, Delete, Patch, Options]
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or_else(|| Error::Word {
                given: text.to_owned(),
                expected: "a method; use GET, POST, PUT, HEAD, DELETE, PATCH or OPTIONS",
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_back_as_written() {
        assert_eq!("PUT".parse::<Method>().unwrap(), Method::Put);
        assert!("put".parse::<Method>().is_err());
    }
}
