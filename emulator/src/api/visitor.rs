//! Web pages stay out: whoever calls here can run programs and mint tokens, and a browser lets any page call
//! `127.0.0.1`, or a name of its own that leads there (DNS rebinding).

use std::net::IpAddr;

use actix_web::{
    dev::RequestHead,
    http::header::{HOST, ORIGIN},
};

use super::error::{ApiError, Code};

/// That the request is no web page's: it has no `Origin`, and is for a host that no page can be of.
///
/// # Errors
/// 403 that says which of the two.
pub(crate) fn check(head: &RequestHead) -> Result<(), ApiError> {
    let refused = |why: String| Err(ApiError::new(Code::PermissionDenied, why));
    if let Some(origin) = head.headers().get(ORIGIN) {
        return refused(format!(
            "The emulator takes no calls of web pages, and this one has the header Origin: {origin:?}."
        ));
    }
    // A client that takes the emulator for its proxy sends the whole URL.
    let named = head.headers().get_all(HOST).map(|host| host.to_str().unwrap_or_default());
    match named.chain(head.uri.host()).find(|host| !is_local(host)) {
        Some(host) => refused(format!(
            "The emulator is not at {host:?}: call it by an address, or by a name that ends in localhost or .internal."
        )),
        None => Ok(()),
    }
}

/// Whether a host, with a port or without, is one that nobody can register.
///
/// Sources: <https://www.rfc-editor.org/rfc/rfc6761#section-6.3>, <https://datatracker.ietf.org/doc/draft-davies-internal-tld/>.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.to_ascii_lowercase();
    bare.parse::<IpAddr>().is_ok()
        || name == "localhost"
        || name.ends_with(".localhost")
        || name.ends_with(".internal")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn status(uri: &str, headers: &[(&'static str, &'static str)]) -> Option<u16> {
        let mut request = TestRequest::default().uri(uri);
        for header in headers {
            request = request.append_header(*header);
        }
        check(request.to_http_request().head()).err().map(|fault| fault.http_status())
    }

    #[test]
    fn programs_get_in_by_every_name_that_leads_here() {
        for host in [
            "127.0.0.1:8800",
            "localhost",
            "LOCALHOST:8800",
            "us-central1-run.localhost:8800",
            "metadata.google.internal",
            "host.docker.internal:8800",
            "[::1]:8800",
        ] {
            assert_eq!(status("/v1/x", &[("host", host)]), None, "{host}");
        }
        let whole = "http://us-central1-run.localhost:8800/run/v1/x";
        assert_eq!(status(whole, &[("host", "127.0.0.1:8800")]), None);
        assert_eq!(status("/v1/x", &[]), None);
    }

    #[test]
    fn web_pages_do_not() {
        for headers in [
            &[("host", "127.0.0.1:8800"), ("origin", "http://127.0.0.1:8800")][..],
            &[("host", "localhost"), ("origin", "null")],
            &[("host", "rebound.example:8800")],
            &[("host", "localhost.example")],
            &[("host", "notlocalhost")],
            &[("host", "127.0.0.1.example:8800")],
            &[("host", "")],
            // What a page can set does not help it.
            &[("host", "rebound.example"), ("x-forwarded-host", "localhost")],
            &[("host", "localhost"), ("host", "rebound.example")],
        ] {
            assert_eq!(status("/v1/x", headers), Some(403), "{headers:?}");
        }
        let whole = "http://rebound.example/v1/x";
        assert_eq!(status(whole, &[("host", "localhost")]), Some(403));
    }
}
