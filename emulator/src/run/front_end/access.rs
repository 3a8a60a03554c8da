//! Who gets in: the one place that decides it.

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use jiff::Timestamp;

use super::id_token::{self, Fault, Verified};
use crate::{
    google::Google,
    iam::Principal,
    run::{name::ServiceName, service::Settings},
};

/// The header that is checked instead of `Authorization` where it is there.
pub(super) const SERVERLESS_AUTHORIZATION: &str = "x-serverless-authorization";

/// Why a request is kept out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// 403, as of users' reports: with no token at all Cloud Run answers as without the role.
    #[error(
        "there is no ID token: send one in Authorization or X-Serverless-Authorization, or allow unauthenticated invocations"
    )]
    NoToken,
    /// 401.
    #[error("{0}")]
    Token(#[from] Fault),
    /// 403: the token is good, and its account lacks the role.
    #[error(
        "{account} lacks run.routes.invoke on the service {service}; grant it roles/run.invoker there"
    )]
    NotInvoker { account: String, service: String },
    /// 500.
    #[error("{0}")]
    Emulator(#[from] crate::error::Error),
}

/// Lets a request in, or says why not. On a service that is open to all nothing is checked, not even a token that is
/// sent.
///
/// Source: <https://docs.cloud.google.com/run/docs/authenticating/service-to-service>.
pub(super) async fn check(
    google: &Google,
    settings: &Settings,
    name: &ServiceName,
    headers: &HeaderMap,
) -> Result<(), Refused> {
    let resource = name.resource(&google.project);
    if !settings.checks_invoker || google.iam.policy(&resource).is_public("run.routes.invoke") {
        return Ok(());
    }
    let header = headers
        .get(HeaderName::from_static(SERVERLESS_AUTHORIZATION))
        .or_else(|| headers.get(AUTHORIZATION))
        .ok_or(Refused::NoToken)?;
    let token = header.to_str().ok().and_then(bearer).ok_or(Fault::Malformed)?;
    let jwks = google.authority.keys().await?.jwks();
    let expected = id_token::Expected {
        jwks: &jwks,
        issuer: google.authority.issuer(),
        audiences: &settings.audiences,
        now_seconds: Timestamp::now().as_second(),
    };
    let account = account(google, id_token::verify(token, &expected)?);
    let principal = Principal::Account(account.clone());
    if google.iam.allows(&principal, "run.routes.invoke", &resource) {
        return Ok(());
    }
    Err(Refused::NotInvoker { account, service: name.id.clone() })
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// The account that a token names: by its email, or, in a token that was minted without one, by its unique id.
fn account(google: &Google, verified: Verified) -> String {
    let Verified { email, subject } = verified;
    email
        .or_else(|| google.iam.account(&subject).map(|account| account.email))
        .unwrap_or_else(|| format!("the account {subject}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        forgery::{sign_again, strip_signature},
        keys::SigningKey,
        run::lab::{CALLER, Lab, SERVICES, echoed},
    };

    const CUSTOM: &str = "https://receiver.example.com";

    async fn status(lab: &Lab, headers: &[(&str, &str)]) -> u16 {
        let mut request = lab.get("/");
        for (name, token) in headers {
            request = request.header(*name, format!("Bearer {token}"));
        }
        request.send().await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn only_a_good_token_of_an_invoker_gets_in() {
        let lab = Lab::with(|service| {
            let audiences = json!([CUSTOM]).to_string();
            service["metadata"]["annotations"]["run.googleapis.com/custom-audiences"] =
                audiences.into();
        })
        .await;
        let whole = lab.token(&lab.url).await;
        assert_eq!(status(&lab, &[]).await, 403, "no token");
        assert_eq!(status(&lab, &[("authorization", &whole)]).await, 403, "no binding");
        lab.bind(&format!("serviceAccount:{CALLER}")).await;
        assert_eq!(status(&lab, &[("authorization", &whole)]).await, 207);

        let forged = sign_again(&whole, &SigningKey::generate().unwrap()).unwrap();
        let old = lab.issuer.id_token(&lab.url, CALLER).await.unwrap().aged(2 * 3600);
        let old = lab.issuer.sign(&old).await.unwrap();
        let elsewhere = lab.token("https://example.com").await;
        for token in
            ["ya29.access", &forged, &old, &elsewhere, &lab.token(&format!("{}/", lab.url)).await]
        {
            assert_eq!(status(&lab, &[("authorization", token)]).await, 401, "{token}");
        }
        for audience in [CUSTOM, "https://receiver-123456789012.us-central1.run.app"] {
            let token = lab.token(audience).await;
            assert_eq!(status(&lab, &[("authorization", &token)]).await, 207, "{audience}");
        }
        let other = lab.issuer.token(&lab.url, "other@demo-project.iam.gserviceaccount.com").await;
        assert_eq!(
            status(&lab, &[("authorization", &other.unwrap())]).await,
            403,
            "another account"
        );
    }

    #[tokio::test]
    async fn whoever_is_kept_out_reads_google_s_page_and_the_reason() {
        let lab = Lab::start().await;
        let token = lab.token("https://example.com").await;
        let response = lab.get("/a<b").bearer_auth(&token).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 401);
        let challenge = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert!(challenge.starts_with("Bearer error=\"invalid_token\""), "{challenge}");
        let page = response.text().await.unwrap();
        assert!(page.contains("does not have permission to the requested URL"), "{page}");
        assert!(page.contains(&lab.url) && page.contains("https://example.com"), "{page}");
        assert!(!page.contains(&token), "{page}");
        let response = lab.get("/").send().await.unwrap();
        assert!(!response.headers().contains_key("www-authenticate"));
        let page = response.text().await.unwrap();
        assert!(page.contains("permission to get URL <code>/</code> from this server"), "{page}");
    }

    #[tokio::test]
    async fn of_both_headers_only_the_serverless_one_is_checked() {
        let lab = Lab::start().await;
        lab.bind(&format!("serviceAccount:{CALLER}")).await;
        let token = lab.token(&lab.url).await;
        let serverless = "x-serverless-authorization";
        assert_eq!(status(&lab, &[("authorization", &token), (serverless, "a.b.c")]).await, 401);
        let request = lab.get("/").header(serverless, format!("Bearer {token}"));
        let echo = echoed(request.bearer_auth("mine").send().await.unwrap()).await;
        assert_eq!(echo["headers"]["authorization"], "Bearer mine");
        assert_eq!(echo["headers"][serverless], format!("Bearer {}", strip_signature(&token)));
        let echo = echoed(lab.get("/").bearer_auth(&token).send().await.unwrap()).await;
        assert_eq!(echo["headers"]["authorization"], format!("Bearer {token}"), "unaltered");
    }

    #[tokio::test]
    async fn a_service_open_to_all_strips_what_it_does_not_check() {
        let lab = Lab::start().await;
        lab.bind("allUsers").await;
        let request = lab.get("/").header("x-serverless-authorization", "Bearer forged.token.here");
        let echo = echoed(request.bearer_auth("x.y.z").send().await.unwrap()).await;
        let headers = &echo["headers"];
        let passed = "Bearer forged.token.SIGNATURE_REMOVED_BY_GOOGLE";
        assert_eq!(headers["x-serverless-authorization"], passed);
        assert_eq!(headers["authorization"], "Bearer x.y.z");
        lab.bind("allAuthenticatedUsers").await;
        assert_eq!(status(&lab, &[]).await, 403);
        let token = lab.token(&lab.url).await;
        assert_eq!(status(&lab, &[("authorization", &token)]).await, 207);
    }

    #[tokio::test]
    async fn a_token_that_was_checked_is_passed_on_whatever_connection_names() {
        let lab = Lab::start().await;
        lab.bind(&format!("serviceAccount:{CALLER}")).await;
        let token = lab.token(&lab.url).await;
        let bearer = format!("Bearer {token}");
        let stripped = format!("Bearer {}", strip_signature(&token));
        for (name, passed) in
            [("x-serverless-authorization", &stripped), ("authorization", &bearer)]
        {
            let request =
                lab.get("/").header(name, &bearer).header("connection", format!("x-hop, {name}"));
            let echo = echoed(request.header("x-hop", "here").send().await.unwrap()).await;
            assert_eq!(echo["headers"][name], **passed);
            assert_eq!(echo["headers"].get("x-hop"), None);
        }
    }

    #[tokio::test]
    async fn without_the_invoker_check_iam_is_not_asked() {
        let lab = Lab::start().await;
        let path = format!("{SERVICES}/receiver");
        let (_, mut service) = lab.api("GET", &path, json!(null)).await;
        for (disabled, expected) in [("True", 207), ("False", 403)] {
            let annotations = &mut service["metadata"]["annotations"];
            annotations["run.googleapis.com/invoker-iam-disabled"] = disabled.into();
            let (code, answer) = lab.api("PUT", &path, service).await;
            assert_eq!(code, 200, "{answer}");
            service = answer;
            assert_eq!(status(&lab, &[]).await, expected, "{disabled}");
        }
    }

    #[tokio::test]
    async fn a_token_without_an_email_is_its_account_s_by_its_unique_id() {
        let lab = Lab::start().await;
        lab.bind(&format!("serviceAccount:{CALLER}")).await;
        let of = async |email: &str| {
            let token = lab.issuer.id_token(&lab.url, email).await.unwrap().without("email");
            lab.issuer.sign(&token).await.unwrap()
        };
        let token = of(CALLER).await;
        assert_eq!(status(&lab, &[("authorization", &token)]).await, 207);
        // An account that was never created: nobody has that id.
        let token = of("nobody@demo-project.iam.gserviceaccount.com").await;
        assert_eq!(status(&lab, &[("authorization", &token)]).await, 403);
        lab.bind("allAuthenticatedUsers").await;
        assert_eq!(status(&lab, &[("authorization", &token)]).await, 207);
    }
}
