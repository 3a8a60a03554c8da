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
    // Google's own pages say these; an application's page of that status may say anything.
    let is_googles = content_type.starts_with("text/html")
        && (body.contains("Your client does not have permission")
            || body.contains("was not found on this server"));
    let function = Function::of(asked.url);
    match status {
        // Envoy says so in 401 and 403 alike.
        _ if body.starts_with("Jwt ") || body.starts_with("Audiences in Jwt") => {
            Some(format!("an Envoy in front refused the token for {audience}: {}", oidc::shown(body.trim())))
        }
        _ if body.starts_with("Invalid IAP credentials") => Some(format!(
            "IAP refused the token: it takes the audience of its OAuth client (…apps.googleusercontent.com), and this one is for {audience}"
        )),
        StatusCode::UNAUTHORIZED if is_googles && function.is_some() => Some(format!(
            "Cloud Functions could not verify the token: {audience} has to be the function's whole URL, with its name and nothing behind it"
        )),
        StatusCode::UNAUTHORIZED if is_googles || header(WWW_AUTHENTICATE).contains("invalid_token") => Some(format!(
            "Cloud Run could not verify the token: {audience} has to be the service's URL without a path, or one of its custom audiences (gcloud run services update SERVICE --add-custom-audiences={audience})"
        )),
        StatusCode::FORBIDDEN if is_googles => Some(format!(
            "Google verified the token, and {account} may not call; whoever administers it runs: {}",
            function.map_or_else(|| binding(asked.url, account), |function| function.binding(account))
        )),
        StatusCode::NOT_FOUND if is_googles => Some(
            "no container was asked: the service's ingress keeps this caller out, its run.app URL is off, or there is no such service in this region".to_owned(),
        ),
        StatusCode::TOO_MANY_REQUESTS if body.is_empty() || body.contains("no available instance") => {
            Some("no instance was free: the service has as many as it may have (--max-instances)".to_owned())
        }
        _ => None,
    }
}

/// A Cloud Function by its own URL: `https://REGION-PROJECT.cloudfunctions.net/NAME`.
struct Function {
    region: String,
    name: String,
}

impl Function {
    fn of(url: &str) -> Option<Function> {
        let url = Url::parse(url).ok()?;
        let place = url.host_str()?.strip_suffix(".cloudfunctions.net")?;
        // A region has one dash, such as us-central1.
        let region = place.splitn(3, '-').take(2).collect::<Vec<_>>().join("-");
        Some(Function { region, name: url.path_segments()?.next()?.to_owned() })
    }

    /// Of the second generation it is a Cloud Run service, with roles of its own
    /// (<https://cloud.google.com/functions/docs/securing/authenticating>).
    fn binding(&self, account: &str) -> String {
        let Function { region, name } = self;
        let member = format!("--region={region} --member=serviceAccount:{account}");
        format!(
            "gcloud functions add-invoker-policy-binding {name} {member}, or of the first generation: gcloud functions add-iam-policy-binding {name} {member} --role=roles/cloudfunctions.invoker"
        )
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

    /// As users quote them: <https://github.com/pomerium/pomerium/issues/1623>.
    const DENIED: &str = "<html><h2>Your client does not have permission to get URL <code>/</code> from this server.</h2></html>";
    const LOST: &str =
        "<html><h2>The requested URL <code>/</code> was not found on this server.</h2></html>";
    const RUN: &str = "https://candidate---receiver-123.europe-west1.run.app/tasks/a";
    const FUNCTION: &str = "https://us-central1-my-project.cloudfunctions.net/hello/a";

    fn said(url: &str, status: u16, content_type: &str, body: &str) -> Option<String> {
        let account = Some("tasks@p.iam.gserviceaccount.com");
        let asked = Asked { url, audience: "https://a.example", account };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
        meaning(&asked, StatusCode::from_u16(status).unwrap(), &headers, body)
    }

    #[test]
    fn each_front_end_is_understood() {
        let html = "text/html; charset=utf-8";
        for (url, status, content_type, body, part) in [
            (RUN, 401, html, DENIED, "--add-custom-audiences=https://a.example"),
            (
                RUN,
                403,
                html,
                DENIED,
                "add-iam-policy-binding receiver --region=europe-west1 --member=serviceAccount:tasks@p.iam.gserviceaccount.com",
            ),
            (RUN, 404, html, LOST, "ingress"),
            (RUN, 429, "text/plain", "", "--max-instances"),
            (FUNCTION, 401, html, DENIED, "the function's whole URL"),
            (FUNCTION, 403, html, DENIED, "binding hello --region=us-central1"),
            (FUNCTION, 403, html, DENIED, "--role=roles/cloudfunctions.invoker"),
            (RUN, 403, "text/plain", "Audiences in Jwt are not allowed", "an Envoy in front"),
            (RUN, 401, "text/plain", "Jwt is expired", "Jwt is expired"),
            (
                RUN,
                401,
                "text/plain",
                "Invalid IAP credentials: empty token",
                "apps.googleusercontent.com",
            ),
            (
                RUN,
                403,
                "application/problem+json",
                r#"{"title":"Forbidden","reason":"caller_not_allowed","detail":"why"}"#,
                "the service itself says: caller_not_allowed: why",
            ),
        ] {
            let said = said(url, status, content_type, body).unwrap();
            assert!(said.contains(part), "{said}");
        }
        // What an application says of itself is its own to explain.
        for (status, content_type, body) in [
            (500, "text/plain", "oops"),
            (403, "application/json", "{}"),
            (403, "text/html", "<html>nginx</html>"),
            (404, "text/html", "<html>no such page</html>"),
        ] {
            assert_eq!(said(RUN, status, content_type, body), None, "{body}");
        }
    }

    #[test]
    fn a_service_without_its_name_in_the_url_is_left_open() {
        let said = binding("https://receiver-abc-uc.a.run.app/x", "a@b");
        assert!(said.contains("SERVICE --region=REGION"), "{said}");
    }
}
