//! Requests that carry tokens.

use caller::{Client, Credentials, IdTokenSource};
use serde_json::Value;

use crate::{
    lab::{CALLER, Lab},
    token_server::{Scripted, TokenServer},
};

/// A client whose tokens have the numbers 1, 2, 3.
async fn client(lab: &Lab) -> (Client, TokenServer) {
    let server = TokenServer::answering((1..4).map(Scripted::token).collect()).await;
    let path = lab.key_file(CALLER).await;
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    file["token_uri"] = server.url.clone().into();
    std::fs::write(&path, file.to_string()).unwrap();
    let tokens = IdTokenSource::new(Credentials::key_file(&path).unwrap());
    (Client::new(reqwest::Client::new(), tokens), server)
}

/// The number of the token that a request carries.
fn number(request: &str) -> String {
    let token = request.split("Bearer ").nth(1).or_else(|| request.split("bearer ").nth(1));
    let token = token.unwrap().lines().next().unwrap();
    oidc::decode_unverified(token).unwrap().subject.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_is_renewed_once_and_the_whole_request_sent_again() {
    let lab = Lab::start().await;
    let (client, tokens) = client(&lab).await;
    let answers = [401, 204, 204, 401, 401].map(|status| Scripted::new(status, ""));
    let service = TokenServer::answering(answers.into()).await;
    for (status, requests) in [(204, 2), (204, 3), (401, 5)] {
        let request = client.http().post(&service.url).body("the body").header("x-a", "b");
        assert_eq!(client.send(request, "a").await.unwrap().status(), status);
        assert_eq!(service.asked().len(), requests);
    }
    let asked = service.asked();
    let numbers: Vec<_> = asked.iter().map(|request| number(request)).collect();
    assert_eq!(numbers, ["1", "2", "2", "2", "3"]);
    assert!(asked.iter().all(|one| one.contains("x-a: b") && one.ends_with("the body")));
    assert_eq!(tokens.asked().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_audience_has_a_token_of_its_own() {
    let lab = Lab::start().await;
    let (client, tokens) = client(&lab).await;
    let service = TokenServer::answering((0..4).map(|_| Scripted::new(204, "")).collect()).await;
    for audience in ["a", "b", "a", "b"] {
        client.send(client.http().get(&service.url), audience).await.unwrap();
    }
    let numbers: Vec<_> = service.asked().iter().map(|request| number(request)).collect();
    assert_eq!(numbers, ["1", "2", "1", "2"]);
    assert_eq!(tokens.asked().len(), 2);
}
