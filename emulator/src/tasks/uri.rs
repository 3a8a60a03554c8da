//! A URL with parts of it replaced, and nothing else about it changed: it may be the audience of a token, which is
//! compared character by character.

use super::resource::http_target::{EnforceMode, Scheme, UriOverride};
use crate::api::wire::Int64;

/// The parts of a URL; what is left open is empty.
#[derive(Debug, Default)]
struct Parts<'a> {
    scheme: &'a str,
    /// `user@`, or nothing.
    user: &'a str,
    host: &'a str,
    /// Without its colon.
    port: &'a str,
    /// With its slash.
    path: &'a str,
    /// Without its question mark; a fragment stays with it, or with the path.
    query: &'a str,
}

/// Where a task goes: `url` as the queue overrides it. A task without a URL goes where the queue says, by HTTPS if
/// the queue does not say otherwise. The override does not apply to a task that has a URL where the mode is
/// `IF_NOT_EXISTS` (<https://cloud.google.com/tasks/docs/choose-task-creation-method>).
pub(super) fn overridden(url: &str, over: Option<&UriOverride>) -> String {
    let Some(over) = over else { return url.to_owned() };
    let respects = over.uri_override_enforce_mode == EnforceMode::IfNotExists;
    if respects && !url.is_empty() {
        return url.to_owned();
    }
    let mut parts = parts(url);
    match over.scheme {
        Scheme::Http => parts.scheme = "http",
        Scheme::Https => parts.scheme = "https",
        Scheme::Unspecified if parts.scheme.is_empty() => parts.scheme = "https",
        Scheme::Unspecified => {}
    }
    if let Some(host) = &over.host {
        parts.host = host;
    }
    let port =
        over.port.map(|Int64(port)| if port == 0 { String::new() } else { port.to_string() });
    if let Some(port) = &port {
        parts.port = port;
    }
    if let Some(path) = over.path_override.as_ref().and_then(|over| over.path.as_deref()) {
        parts.path = path;
    }
    if let Some(query) = over.query_override.as_ref().and_then(|over| over.query_params.as_deref())
    {
        parts.query = query;
    }
    parts.joined()
}

fn parts(url: &str) -> Parts<'_> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, _) = rest.split_once(['/', '?', '#']).unwrap_or((rest, ""));
    let (_, after) = rest.split_at(authority.len());
    let (path, query) = after.split_once('?').unwrap_or((after, ""));
    let (user, address) = match authority.rfind('@') {
        Some(at) => authority.split_at(at + 1),
        None => ("", authority),
    };
    // An IPv6 address has colons of its own, within brackets.
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (address, ""),
    };
    Parts { scheme, user, host, port, path, query }
}

impl Parts<'_> {
    fn joined(&self) -> String {
        let Parts { scheme, user, host, port, path, query } = self;
        let mut url = format!("{scheme}://{user}{host}");
        for (sign, part) in [(":", port), ("", path), ("?", query)] {
            if !part.is_empty() {
                let missing_slash = sign.is_empty() && !part.starts_with(['/', '#']);
                url.push_str(if missing_slash { "/" } else { sign });
                url.push_str(part);
            }
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    const URL: &str = "http://127.0.0.1:8080/tasks/a%20b?x=1&y";

    fn with(over: Value) -> String {
        overridden(URL, Some(&from_value(over).unwrap()))
    }

    #[test]
    fn each_part_is_replaced_or_cleared_and_the_others_stay() {
        for (over, expected) in [
            (json!({}), URL),
            (json!({"scheme": "HTTPS"}), "https://127.0.0.1:8080/tasks/a%20b?x=1&y"),
            (json!({"host": "b.example"}), "http://b.example:8080/tasks/a%20b?x=1&y"),
            (json!({"port": "81"}), "http://127.0.0.1:81/tasks/a%20b?x=1&y"),
            (json!({"port": "0"}), "http://127.0.0.1/tasks/a%20b?x=1&y"),
            (json!({"pathOverride": {"path": "/p"}}), "http://127.0.0.1:8080/p?x=1&y"),
            (json!({"pathOverride": {"path": "p"}}), "http://127.0.0.1:8080/p?x=1&y"),
            (json!({"pathOverride": {"path": ""}}), "http://127.0.0.1:8080?x=1&y"),
            (json!({"pathOverride": {}, "queryOverride": {}}), URL),
            (
                json!({"queryOverride": {"queryParams": "q=2"}}),
                "http://127.0.0.1:8080/tasks/a%20b?q=2",
            ),
            (json!({"queryOverride": {"queryParams": ""}}), "http://127.0.0.1:8080/tasks/a%20b"),
        ] {
            assert_eq!(with(over.clone()), expected, "{over}");
        }
        assert_eq!(overridden(URL, None), URL);
    }

    #[test]
    fn a_url_s_other_parts_are_kept_to_the_character() {
        let over = from_value(json!({"scheme": "HTTPS"})).unwrap();
        for rest in ["user:pw@a.example:81/x", "[::1]:81/", "[::1]", "a.example?q=/?#f", "a#f", ""]
        {
            let url = overridden(&format!("http://{rest}"), Some(&over));
            assert_eq!(url, format!("https://{rest}"));
        }
    }

    #[test]
    fn if_not_exists_is_for_tasks_without_a_url() {
        let over = json!({"host": "b.example", "uriOverrideEnforceMode": "IF_NOT_EXISTS",
            "pathOverride": {"path": "/p"}, "queryOverride": {"queryParams": "q"}});
        assert_eq!(with(over.clone()), URL);
        let over = from_value(over).unwrap();
        assert_eq!(overridden("", Some(&over)), "https://b.example/p?q");
    }
}
