//! Workload identity federation: a token of a CI's, exchanged by google-cloud-auth at a played token service, and an ID
//! token by impersonation at the emulator. Needs the feature `federation`.

use caller::{Client, Credentials, IdTokenSource};
use serde_json::json;

use crate::{
    lab::{CALLER, Lab},
    token_server::{Scripted, TokenServer},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_federated_workload_impersonates_and_has_no_id_token_of_its_own() {
    let lab = Lab::start().await;
    lab.bind(CALLER).await;
    lab.grant_on(
        CALLER,
        "roles/iam.serviceAccountOpenIdTokenCreator",
        "user:developer@example.com",
    )
    .await;
    // RFC 8693 §2.2.1; whom the emulator does not know is the developer.
    let granted = json!({
        "access_token": "federated", "token_type": "Bearer", "expires_in": 3600,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    });
    let exchange = TokenServer::answering(vec![
        Scripted::new(200, &granted).header("content-type: application/json"),
    ])
    .await;
    let subject = lab.file("subject-token", b"of-the-ci");
    let mut environment = lab.environment();
    let url = format!(
        "{}/v1/projects/-/serviceAccounts/{CALLER}:generateAccessToken",
        environment.iam_credentials_url
    );
    let mut config = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/ci",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": exchange.url,
        "credential_source": {"file": subject},
        "service_account_impersonation_url": url,
    });
    environment.application_credentials =
        Some(lab.file("federated.json", config.to_string().as_bytes()));
    let credentials = Credentials::application_default(&environment).unwrap();
    let client = Client::new(reqwest::Client::new(), IdTokenSource::new(credentials));
    let request = client.http().get(format!("{}/scheduler/probe", lab.url));
    assert_eq!(client.send(request, &lab.url).await.unwrap().status(), 204);
    assert_eq!(lab.record().await["invocation"]["caller"]["email"], CALLER);
    assert!(exchange.asked()[0].contains("subject_token=of-the-ci"));

    config.as_object_mut().unwrap().remove("service_account_impersonation_url");
    environment.application_credentials =
        Some(lab.file("federated.json", config.to_string().as_bytes()));
    let credentials = Credentials::application_default(&environment).unwrap();
    let fault = IdTokenSource::new(credentials).id_token("a").await.unwrap_err().to_string();
    assert!(fault.contains("a federated workload") && fault.contains("--impersonate"), "{fault}");
}
