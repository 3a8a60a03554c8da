//! Every source of tokens against the emulator, and what each says when there is none.

use std::{path::Path, time::Duration};

use caller::{Client, Credentials, Environment, Error, IdTokenSource};
use serde_json::{Value, json};

use crate::{
    lab::{CALLER, Lab, MACHINE, OTHER},
    token_server::{Scripted, TokenServer},
};

const OPEN_ID: &str = "roles/iam.serviceAccountOpenIdTokenCreator";
const TOKEN_CREATOR: &str = "roles/iam.serviceAccountTokenCreator";

fn member(account: &str) -> String {
    format!("serviceAccount:{account}")
}

/// The receiver verifies the token of these credentials, behind a front end that does too, and runs its probe for `who`.
async fn is_let_in(lab: &Lab, credentials: Credentials, who: &str) {
    let client = Client::new(reqwest::Client::new(), IdTokenSource::new(credentials));
    let request = client.http().get(format!("{}/scheduler/probe", lab.url));
    let answer = client.send(request, &lab.url).await.unwrap();
    let record = lab.record().await;
    assert_eq!(answer.status(), 204, "{record}");
    assert_eq!(record["invocation"]["caller"]["email"], who);
    assert_eq!(record["invocation"]["caller"]["auth"], "verify");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_takes_the_tokens_of_every_source() {
    let callers = format!("{CALLER}|{MACHINE}");
    let lab = Lab::with(&[("SCHEDULER_CALLERS", &callers)]).await;
    lab.bind(CALLER).await;
    lab.bind(MACHINE).await;
    lab.grant_on(CALLER, OPEN_ID, &member(MACHINE)).await;
    let environment = lab.environment();
    let machine = || Credentials::metadata_server(&environment);
    let key_file = lab.key_file(CALLER).await;

    is_let_in(&lab, machine(), MACHINE).await;
    is_let_in(&lab, Credentials::key_file(&key_file).unwrap(), CALLER).await;
    is_let_in(&lab, machine().impersonate(CALLER, &[], &environment), CALLER).await;

    // A chain: the machine may act as the other one, which may act as the caller.
    lab.grant_on(OTHER, TOKEN_CREATOR, &member(MACHINE)).await;
    lab.grant_on(CALLER, TOKEN_CREATOR, &member(OTHER)).await;
    let chained = machine().impersonate(CALLER, &[OTHER.to_owned()], &environment);
    is_let_in(&lab, chained, CALLER).await;

    // Impersonation by what was impersonated itself.
    let twice = machine().impersonate(OTHER, &[], &environment);
    is_let_in(&lab, twice.impersonate(CALLER, &[], &environment), CALLER).await;
    lab.no_record();
}

#[tokio::test(flavor = "multi_thread")]
async fn application_default_credentials_are_found_in_google_s_order() {
    let callers = format!("{CALLER}|{MACHINE}|{OTHER}");
    let lab = Lab::with(&[("SCHEDULER_CALLERS", &callers)]).await;
    for account in [CALLER, MACHINE, OTHER] {
        lab.bind(account).await;
    }
    let mut environment = lab.environment();
    let found = |environment: &Environment| Credentials::application_default(environment).unwrap();
    assert_eq!(environment.application_credentials, None);
    is_let_in(&lab, found(&environment), MACHINE).await;

    // As `gcloud auth application-default login --impersonate-service-account` leaves it.
    lab.grant_on(OTHER, OPEN_ID, &member(CALLER)).await;
    let key: Value =
        serde_json::from_slice(&std::fs::read(lab.key_file(CALLER).await).unwrap()).unwrap();
    let url = format!(
        "{}/v1/projects/-/serviceAccounts/{OTHER}:generateAccessToken",
        environment.iam_credentials_url
    );
    let impersonated = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": url,
        "source_credentials": key,
        "delegates": [],
    });
    let path = lab.file("well-known.json", impersonated.to_string().as_bytes());
    environment.well_known_file = Some(path);
    is_let_in(&lab, found(&environment), OTHER).await;

    environment.application_credentials = Some(lab.key_file(CALLER).await);
    is_let_in(&lab, found(&environment), CALLER).await;
    // One that is named is not passed over.
    environment.application_credentials = Some("/nowhere/key.json".into());
    let fault = Credentials::application_default(&environment).unwrap_err();
    assert!(fault.to_string().starts_with("/nowhere/key.json: No such file"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_s_login_impersonates_and_has_no_id_token_of_its_own() {
    let lab = Lab::start().await;
    lab.bind(CALLER).await;
    lab.grant_on(CALLER, OPEN_ID, "user:developer@example.com").await;
    let script = vec![Scripted::new(200, json!({"access_token": "developer", "expires_in": 3599}))];
    let server = TokenServer::answering(script).await;
    let login = json!({
        "type": "authorized_user",
        "client_id": "id&1", "client_secret": "a secret", "refresh_token": "1//refresh",
        "token_uri": server.url,
    });
    let mut environment = lab.environment();
    environment.application_credentials =
        Some(lab.file("login.json", login.to_string().as_bytes()));
    let user = Credentials::application_default(&environment).unwrap();
    let fault = IdTokenSource::new(user.clone()).id_token(&lab.url).await.unwrap_err();
    assert!(fault.to_string().contains("--impersonate ACCOUNT"), "{fault}");
    let one = user.impersonate(CALLER, &[], &environment);
    let client = Client::new(reqwest::Client::new(), IdTokenSource::new(one));
    let request = client.http().get(format!("{}/scheduler/probe", lab.url));
    assert_eq!(client.send(request, &lab.url).await.unwrap().status(), 204);
    let form = server.asked().remove(0).split_once("\r\n\r\n").unwrap().1.to_owned();
    let expected = "grant_type=refresh%5Ftoken&client_id=id%261&client_secret=a%20secret&refresh_token=1%2F%2Frefresh";
    assert_eq!(form, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_cannot_be_used_says_why() {
    let lab = Lab::start().await;
    let whole: Value =
        serde_json::from_slice(&std::fs::read(lab.key_file(CALLER).await).unwrap()).unwrap();
    let spoilt = |field: &str, value: Value| {
        let mut file = whole.clone();
        file[field] = value;
        file.to_string()
    };
    let foreign = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
    for (content, expected) in [
        (
            spoilt("type", "authorized_user".into()),
            "expected service_account, and this is a user's login",
        ),
        (spoilt("type", "external_account".into()), "this is for GOOGLE_APPLICATION_CREDENTIALS"),
        (spoilt("type", Value::Null), "it has no text in `type`"),
        (spoilt("client_email", "".into()), "it has no text in `client_email`"),
        (spoilt("private_key", Value::Null), "it has no text in `private_key`"),
        (spoilt("private_key", "secret".into()), "its `private_key` is no RSA key"),
        (spoilt("private_key", foreign.into()), "its `private_key` is no RSA key"),
        (spoilt("token_uri", "http://example.com/token".into()), "its `token_uri` is no https URL"),
        (spoilt("token_uri", "nonsense".into()), "its `token_uri` is no https URL"),
        ("{\n\"type\": secret".to_owned(), "it is not a JSON object (line 2, column 9)"),
        (spoilt("client_email", 5.into()), "something that is no text"),
        ("[]".to_owned(), "it is not a JSON object"),
        (String::new(), "it is not a JSON object"),
        (" ".repeat(70_000), "larger than 64 KiB"),
    ] {
        let path = lab.file("spoilt.json", content.as_bytes());
        let fault = Credentials::key_file(&path).unwrap_err().to_string();
        assert!(fault.contains(expected), "{fault}");
        assert!(fault.contains("spoilt.json") && !fault.contains("secret"), "{fault}");
        assert_eq!(fault.lines().count(), 1, "{fault}");
    }
    for (path, expected) in [("/nowhere.json", "No such file"), ("/tmp", "Is a directory")] {
        let fault = Credentials::key_file(Path::new(path)).unwrap_err().to_string();
        assert!(fault.starts_with(path) && fault.contains(expected), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_does_not_fit_and_an_account_that_is_gone_are_told_apart() {
    let lab = Lab::start().await;
    let mut mixed: Value =
        serde_json::from_slice(&std::fs::read(lab.key_file(CALLER).await).unwrap()).unwrap();
    mixed["client_email"] = OTHER.into();
    let mut gone = mixed.clone();
    gone["client_email"] = "gone@demo-project.iam.gserviceaccount.com".into();
    for (file, expected) in [
        (
            mixed,
            format!(
                "is none of {OTHER}'s: it was deleted, or is another account's; make a new one with `gcloud iam service-accounts keys create"
            ),
        ),
        (gone, "there is no service account gone@demo-project.iam.gserviceaccount.com".to_owned()),
    ] {
        let path = lab.file("key.json", file.to_string().as_bytes());
        let tokens = IdTokenSource::new(Credentials::key_file(&path).unwrap());
        let fault = tokens.id_token(&lab.url).await.unwrap_err();
        assert!(fault.to_string().contains(&expected), "{fault}");
        assert!(!fault.is_transient());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_named_with_the_command_that_grants_it() {
    let lab = Lab::start().await;
    let environment = lab.environment();
    let caller = || Credentials::key_file(&lab.folder.join("caller.json")).unwrap();
    lab.key_file(CALLER).await;
    let ask = async |credentials: Credentials| {
        IdTokenSource::new(credentials).id_token(&lab.url).await.unwrap_err().to_string()
    };
    let said = ask(caller().impersonate(OTHER, &[], &environment)).await;
    assert_eq!(
        said,
        format!(
            "serviceAccount:{CALLER} lacks iam.serviceAccounts.getOpenIdToken on the service account {OTHER}; whoever administers it runs: gcloud iam service-accounts add-iam-policy-binding {OTHER} --member=serviceAccount:{CALLER} --role={OPEN_ID}"
        )
    );
    let said = ask(caller().impersonate(OTHER, &[MACHINE.to_owned()], &environment)).await;
    assert!(said.contains("lacks iam.serviceAccounts.implicitDelegation"), "{said}");
    let said = ask(caller().impersonate("gone@example.com", &[], &environment)).await;
    assert!(said.contains("there is no service account gone@example.com"), "{said}");
    let said =
        ask(caller().impersonate(OTHER, &[], &environment).impersonate(CALLER, &[], &environment))
            .await;
    assert!(said.contains("lacks iam.serviceAccounts.getAccessToken"), "{said}");
    assert!(said.contains(&format!("--role={TOKEN_CREATOR}")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_metadata_server_nobody_waits_and_it_is_said_what_was_tried() {
    let server = TokenServer::answering(vec![Scripted::new(200, "a captive portal")]).await;
    let stranger = server.url.trim_start_matches("http://").to_owned();
    // It takes connections, and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    // Nobody listens at the first port.
    for (host, expected) in [
        ("127.0.0.1:1", "Connection refused"),
        (&*stranger, "something else"),
        (&*silent, "it took too long"),
        ("metadata server", "\"http://metadata server/\" is not a URL"),
    ] {
        let environment = Environment::from_lookup(|name| match name {
            "GCE_METADATA_HOST" => Some(host.to_owned()),
            "HOME" => Some("/nowhere".to_owned()),
            _ => None,
        });
        let tokens = IdTokenSource::new(Credentials::metadata_server(&environment));
        // It takes a second; the limit is a slow machine's, and far from the half minute that a stranger would take.
        let asked = tokio::time::timeout(Duration::from_secs(10), tokens.id_token("a")).await;
        let fault = asked.expect("an answer in time").unwrap_err();
        assert!(matches!(fault, Error::NoMetadataServer { .. }), "{fault}");
        assert!(fault.to_string().contains(expected), "{fault}");
        if host == "127.0.0.1:1" {
            let found = Credentials::application_default(&environment).unwrap();
            let fault = IdTokenSource::new(found).id_token("a").await.unwrap_err().to_string();
            for part in [
                "GOOGLE_APPLICATION_CREDENTIALS is not set",
                "/nowhere/.config/gcloud/application_default_credentials.json is not there",
                "no metadata server answers at 127.0.0.1:1",
                "gcloud auth application-default login",
            ] {
                assert!(fault.contains(part), "{fault}");
            }
        }
    }
}

/// The credentials of a key file whose tokens come from this server.
async fn with_key_file(lab: &Lab, server: &TokenServer) -> Credentials {
    let path = lab.key_file(CALLER).await;
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    file["token_uri"] = server.url.clone().into();
    std::fs::write(&path, file.to_string()).unwrap();
    Credentials::key_file(&path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_and_what_does_not_is_not() {
    let lab = Lab::start().await;
    let script = vec![Scripted::new(503, ""), Scripted::new(429, ""), Scripted::token(1)];
    let server = TokenServer::answering(script).await;
    let tokens = IdTokenSource::new(with_key_file(&lab, &server).await);
    tokens.id_token("a").await.unwrap();
    assert_eq!(server.asked().len(), 3);

    for (status, times, is_transient) in [(503, 3, true), (400, 1, false), (501, 1, false)] {
        let script = (0..3).map(|_| Scripted::new(status, "no")).collect();
        let server = TokenServer::answering(script).await;
        let tokens = IdTokenSource::new(with_key_file(&lab, &server).await);
        let fault = tokens.id_token("a").await.unwrap_err();
        assert_eq!((server.asked().len(), fault.is_transient()), (times, is_transient), "{fault}");
        assert!(fault.to_string().contains(&format!("answered {status}")), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_said_to_be() {
    let lab = Lab::start().await;
    let refusal = |description: &str| {
        let body = json!({"error": "invalid_grant", "error_description": description});
        Scripted::new(400, body).header("date: Wed, 01 Jan 2025 00:00:00 GMT")
    };
    let timeframe = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.";
    for (description, expected) in [
        (timeframe, "this machine's clock is"),
        ("Something else.", "invalid_grant Something else.; this machine's clock is"),
    ] {
        let server = TokenServer::answering(vec![refusal(description)]).await;
        let tokens = IdTokenSource::new(with_key_file(&lab, &server).await);
        let fault = tokens.id_token("a").await.unwrap_err().to_string();
        assert!(fault.contains(expected) && fault.contains("hours ahead of Google's"), "{fault}");
    }
    // A token that Google's clock says is good for an hour is, whatever this one says.
    let token = Scripted::token(1).header("date: Wed, 01 Jan 2025 00:00:00 GMT");
    let server = TokenServer::answering(vec![token]).await;
    let tokens = IdTokenSource::new(with_key_file(&lab, &server).await);
    tokens.id_token("a").await.unwrap();
    tokens.id_token("a").await.unwrap();
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_token_is_a_fault() {
    let lab = Lab::start().await;
    for body in ["", "{}", "[]", "<html>", r#"{"id_token":"opaque"}"#, r#"{"id_token":7}"#] {
        let server = TokenServer::answering(vec![Scripted::new(200, body)]).await;
        let tokens = IdTokenSource::new(with_key_file(&lab, &server).await);
        let fault = tokens.id_token("a").await.unwrap_err();
        assert!(matches!(fault, Error::Unexpected { .. }), "{body}: {fault}");
    }
    let tokens = IdTokenSource::new(Credentials::key_file(&lab.key_file(CALLER).await).unwrap());
    assert_eq!(tokens.id_token("").await.unwrap_err(), Error::NoAudience);
}
