//! What a front end means by an answer: Google's say little.

use reqwest::{
    StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE},
};
use serde::Deserialize;

/// What was asked for, and as whom.
pub(super) struct Asked<'a> {
    pub(super) url: &'a str,
    pub(super) audience: &'a str,
    /// The token's account.
    pub(super) account: Option<&'a str>,
}

/// The receiver's own refusal (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    title: String,
    reason: Option<String>,
    detail: Option<String>,
}

/// What is meant, and what to do; `None` where the answer itself is all that is known.
pub(super) fn meaning(
    asked: &Asked<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    body: &str,
) -> Option<String> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = header(CONTENT_TYPE);
    if content_type.starts_with("application/problem+json") {
        let problem: Problem = serde_json::from_str(body).ok()?;
        let Problem { title, reason, detail } = problem;
        let says = [reason.unwrap_or(title), detail.unwrap_or_default()].join(": ");
        return Some(format!("the service itself says: {}", says.trim_end_matches(": ")));
    }
    let Asked { audience, .. } = asked;
    let account = asked.account.unwrap_or("the token's account");
    let is_page = content_type.starts_with("text/html");
    match status {
        // Envoy says so in 401 and 403 alike.
        _ if body.starts_with("Jwt ") || body.starts_with("Audiences in Jwt") => {
            Some(format!("an Envoy in front refused the token for {audience}: {}", oidc::shown(body.trim())))
        }
        _ if body.starts_with("Invalid IAP credentials") => Some(format!(
            "IAP refused the token: it takes the audience of its OAuth client (…apps.googleusercontent.com), and this one is for {audience}"
        )),
        StatusCode::UNAUTHORIZED if is_page || header(WWW_AUTHENTICATE).contains("invalid_token") => Some(format!(
            "Cloud Run could not verify the token: {audience} has to be the service's URL without a path, or one of its custom audiences (gcloud run services update SERVICE --add-custom-audiences={audience})"
        )),
        StatusCode::FORBIDDEN if is_page => Some(format!(
            "Cloud Run verified the token, and {account} may not call the service; whoever administers it runs: {}",
            binding(asked.url, account)
        )),
        StatusCode::NOT_FOUND if is_page => Some(
            "no container was asked: the service's ingress keeps this caller out, its run.app URL is off, or there is no such service in this region".to_owned(),
        ),
        StatusCode::TOO_MANY_REQUESTS if is_page || body.is_empty() => {
            Some("no instance was free: the service has as many as it may have (--max-instances)".to_owned())
        }
        _ => None,
    }
}

/// The command that lets an account call; a service's name and region stand in its URL
/// (<https://cloud.google.com/run/docs/triggering/https-request#deterministic>).
fn binding(url: &str, account: &str) -> String {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let mut labels = host.split('.');
    let named = match (labels.next(), labels.next(), labels.next()) {
        (Some(first), Some(region), Some("run")) => {
            let name = first.rsplit_once("---").map_or(first, |(_, name)| name);
            name.rsplit_once('-').map(|(name, _)| (name, region)).filter(|_| region != "a")
        }
        _ => None,
    };
    let (name, region) = named.unwrap_or(("SERVICE", "REGION"));
    format!(
        "gcloud run services add-iam-policy-binding {name} --region={region} --member=serviceAccount:{account} --role=roles/run.invoker"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, content_type: &str, body: &str) -> Option<String> {
        let asked = Asked {
            url: "https://candidate---receiver-123.europe-west1.run.app/tasks/a",
            audience: "https://receiver-123.europe-west1.run.app",
            account: Some("tasks@p.iam.gserviceaccount.com"),
        };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
        meaning(&asked, StatusCode::from_u16(status).unwrap(), &headers, body)
    }

    #[test]
    fn each_front_end_is_understood() {
        for (status, content_type, body, part) in [
            (
                401,
                "text/html; charset=utf-8",
                "<html>",
                "--add-custom-audiences=https://receiver-123.europe-west1.run.app",
            ),
            (
                403,
                "text/html",
                "<html>",
                "add-iam-policy-binding receiver --region=europe-west1 --member=serviceAccount:tasks@p.iam.gserviceaccount.com",
            ),
            (404, "text/html", "<html>", "ingress"),
            (429, "text/html", "<html>", "--max-instances"),
            (403, "text/plain", "Audiences in Jwt are not allowed", "an Envoy in front"),
            (401, "text/plain", "Jwt is expired", "Jwt is expired"),
            (
                401,
                "text/plain",
                "Invalid IAP credentials: empty token",
                "apps.googleusercontent.com",
            ),
            (
                403,
                "application/problem+json",
                r#"{"title":"Forbidden","reason":"caller_not_allowed","detail":"why"}"#,
                "the service itself says: caller_not_allowed: why",
            ),
        ] {
            let said = said(status, content_type, body).unwrap();
            assert!(said.contains(part), "{said}");
        }
        assert_eq!(said(500, "text/plain", "oops"), None);
        assert_eq!(said(403, "application/json", "{}"), None);
    }

    #[test]
    fn a_service_without_its_name_in_the_url_is_left_open() {
        let said = binding("https://receiver-abc-uc.a.run.app/x", "a@b");
        assert!(said.contains("SERVICE --region=REGION"), "{said}");
    }
}
