//! What the front end changes in a request's headers on the way to the container.

use std::net::SocketAddr;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::{access::SERVERLESS_AUTHORIZATION, trace::TraceContext};
use crate::forgery::strip_signature;

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED: &str = "forwarded";

/// Takes the signature out of `X-Serverless-Authorization`, checked or not, says who called, and continues the trace.
/// `Authorization` of a service account stays as it is.
///
/// Source: <https://docs.cloud.google.com/run/docs/authenticating/service-to-service>.
pub(super) fn rewrite(headers: &mut HeaderMap, client: Option<SocketAddr>) {
    if let Some(sent) = joined(headers, SERVERLESS_AUTHORIZATION, "") {
        // Only a signed token has a signature to lose.
        let passed = if sent.split('.').count() == 3 { strip_signature(&sent) } else { sent };
        set(headers, SERVERLESS_AUTHORIZATION, &passed);
    }
    if let Some(client) = client.map(|client| client.ip()) {
        for (name, entry) in [
            (X_FORWARDED_FOR, client.to_string()),
            (FORWARDED, format!("for=\"{client}\";proto=https")),
        ] {
            // What the client says itself comes first, and cannot be believed.
            let entries = joined(headers, name, ", ");
            let entries = entries.map_or(entry.clone(), |sent| format!("{sent}, {entry}"));
            set(headers, name, &entries);
        }
    }
    // To the outside every service speaks TLS.
    set(headers, X_FORWARDED_PROTO, "https");
    if let Some(context) = TraceContext::continued(headers) {
        context.write(headers);
    }
}

/// All values of a header in one; only the first if they cannot be joined (`between` is empty).
fn joined(headers: &HeaderMap, name: &str, between: &str) -> Option<String> {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let first = values.next()?.to_owned();
    if between.is_empty() {
        return Some(first);
    }
    Some(values.fold(first, |joined, value| joined + between + value))
}

/// Sets a header in place of all that were sent under its name.
pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // What was sent as a header can be one again.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(sent: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().unwrap());
        }
        rewrite(&mut headers, Some("127.0.0.1:5000".parse().unwrap()));
        headers
    }

    #[test]
    fn the_client_is_named_behind_what_it_says_itself() {
        let headers = rewritten(&[]);
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["forwarded"], "for=\"127.0.0.1\";proto=https");
        let headers = rewritten(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("x-forwarded-proto", "http"),
            ("forwarded", "for=3.3.3.3"),
        ]);
        assert_eq!(headers["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 127.0.0.1");
        assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["forwarded"], "for=3.3.3.3, for=\"127.0.0.1\";proto=https");
    }

    #[test]
    fn a_signature_is_taken_out_of_one_header_only() {
        let headers = rewritten(&[
            ("x-serverless-authorization", "Bearer a.b.c"),
            ("x-serverless-authorization", "Bearer d.e.f"),
            ("authorization", "Bearer a.b.c"),
        ]);
        let passed: Vec<_> = headers.get_all("x-serverless-authorization").iter().collect();
        assert_eq!(passed, ["Bearer a.b.SIGNATURE_REMOVED_BY_GOOGLE"]);
        assert_eq!(headers["authorization"], "Bearer a.b.c");
        let opaque = rewritten(&[("x-serverless-authorization", "Bearer ya29.x")]);
        assert_eq!(opaque["x-serverless-authorization"], "Bearer ya29.x");
    }
}
