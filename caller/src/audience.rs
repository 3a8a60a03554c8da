//! Which audience a URL's service takes tokens for.

use reqwest::Url;

use crate::error::Error;

/// An audience, and what is doubtful about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audience {
    /// `aud`, character by character.
    pub value: String,
    /// Why the service may refuse it, in one sentence.
    pub doubt: Option<&'static str>,
}

/// The audience for a URL, by the rule of its kind:
///
/// - Cloud Run, `*.run.app`: the service's URL without a path
///   (<https://cloud.google.com/run/docs/authenticating/service-to-service>);
/// - Cloud Functions, `*.cloudfunctions.net`: the function's URL, with its name and nothing behind it
///   (<https://cloud.google.com/functions/docs/securing/authenticating>);
/// - anything else: scheme and host, which that service must have been told of.
///
/// # Errors
/// [`Error::Url`] if it is no URL of http or https.
pub fn audience_of(url: &str) -> Result<Audience, Error> {
    let fault = || Error::Url { given: oidc::shown(url) };
    let parsed = Url::parse(url).map_err(|_| fault())?;
    let host = parsed.host_str().filter(|_| matches!(parsed.scheme(), "http" | "https"));
    let host = host.ok_or_else(fault)?;
    let origin = parsed.origin().ascii_serialization();
    if is_function(host) {
        let name = parsed.path_segments().and_then(|mut parts| parts.next()).unwrap_or_default();
        return Ok(doubted(format!("{origin}/{name}")));
    }
    let doubt = "a service that is not at *.run.app takes this audience only if it was told to: say --audience if it takes another";
    let value = doubted(origin);
    if !is_cloud_run(host) {
        return Ok(Audience { doubt: Some(doubt), ..value });
    }
    // A tag's own URL is none.
    let untagged = host.rsplit_once("---").map(|(_, service)| format!("https://{service}"));
    Ok(untagged.map_or(value, doubted))
}

/// An audience as it was given, with what is known to be wrong about it.
pub fn doubted(value: String) -> Audience {
    let parsed = Url::parse(&value).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
    let path = parsed.as_ref().map_or("", Url::path).trim_matches('/');
    let doubt = if is_cloud_run(host) && host.contains("---") {
        Some(
            "it is the URL of a tag, for which Cloud Run takes no tokens: give the service's own URL",
        )
    } else if is_cloud_run(host) && !path.is_empty() {
        Some("it has a path, and Cloud Run takes a service's URL without one")
    } else if is_cloud_run(host) && value.ends_with('/') {
        Some("it ends in a slash, and Cloud Run takes a service's URL without one")
    } else if is_function(host) && (path.is_empty() || path.contains('/')) {
        Some("Cloud Functions take their whole URL, with the function's name and nothing behind it")
    } else if value.trim() != value {
        Some("it has white space at an end, and audiences are compared character by character")
    } else {
        None
    };
    Audience { value, doubt }
}

fn is_cloud_run(host: &str) -> bool {
    host.ends_with(".run.app")
}

fn is_function(host: &str) -> bool {
    host.ends_with(".cloudfunctions.net")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_url_has_its_rule() {
        for (url, audience) in [
            (
                "https://receiver-123.us-central1.run.app/tasks/a?b=c",
                "https://receiver-123.us-central1.run.app",
            ),
            ("https://receiver-abc-uc.a.run.app", "https://receiver-abc-uc.a.run.app"),
            (
                "https://candidate---receiver-123.us-central1.run.app/x",
                "https://receiver-123.us-central1.run.app",
            ),
            (
                "https://us-central1-p.cloudfunctions.net/hello/x?y",
                "https://us-central1-p.cloudfunctions.net/hello",
            ),
        ] {
            let found = audience_of(url).unwrap();
            assert_eq!(found, Audience { value: audience.to_owned(), doubt: None }, "{url}");
        }
        for (url, audience) in [
            ("https://jobs.example.com:8443/tasks", "https://jobs.example.com:8443"),
            ("http://127.0.0.1:8080/tasks", "http://127.0.0.1:8080"),
        ] {
            let found = audience_of(url).unwrap();
            assert_eq!(found.value, audience);
            assert!(found.doubt.unwrap().contains("--audience"), "{url}");
        }
        for url in ["receiver.run.app", "/tasks", "", "ftp://receiver.run.app", "token.txt"] {
            assert!(audience_of(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_a_front_end_would_refuse_is_doubted() {
        for (audience, part) in [
            ("https://receiver-123.us-central1.run.app/tasks", "has a path"),
            ("https://receiver-123.us-central1.run.app/", "ends in a slash"),
            ("https://candidate---receiver-123.us-central1.run.app", "URL of a tag"),
            ("https://us-central1-p.cloudfunctions.net", "whole URL"),
            ("https://us-central1-p.cloudfunctions.net/a/b", "whole URL"),
            ("https://jobs.example.com ", "white space"),
        ] {
            let doubt = doubted(audience.to_owned()).doubt.unwrap();
            assert!(doubt.contains(part), "{audience}: {doubt}");
        }
        for audience in
            ["https://jobs.example.com/a", "my-audience", "/projects/1/global/backendServices/2"]
        {
            assert_eq!(doubted(audience.to_owned()).doubt, None, "{audience}");
        }
    }
}
