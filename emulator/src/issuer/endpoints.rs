//! The routes of the issuer.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    web::{self, Data, Json, ServiceConfig},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Authority, discovery};
use crate::{error::Error, token::fields};

/// Every endpoint, in the order of the module's table.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .route("/.well-known/openid-configuration", web::get().to(openid_configuration))
        .route("/oauth2/v3/certs", web::get().to(jwks))
        .route("/oauth2/v1/certs", web::get().to(certificates))
        .route("/iap/verify/public_key-jwk", web::get().to(iap_jwks))
        .route("/emulator/rotate", web::post().to(rotate))
        .route("/emulator/token", web::post().to(token));
}

async fn openid_configuration(authority: Data<Authority>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("cache-control", "public, max-age=3600"))
        .json(discovery::document(&authority.issuer, &authority.url))
}

async fn jwks(authority: Data<Authority>) -> HttpResponse {
    match authority.keys().await {
        Ok(keys) => authority.key_page.respond(&keys.jwks()).await,
        Err(fault) => internal(&fault),
    }
}

async fn certificates(authority: Data<Authority>) -> HttpResponse {
    match authority.keys().await.and_then(|keys| keys.certificates()) {
        Ok(certificates) => authority.key_page.respond(&certificates).await,
        Err(fault) => internal(&fault),
    }
}

async fn iap_jwks(authority: Data<Authority>) -> HttpResponse {
    let keys = json!({"keys": [authority.iap_key.jwk()]});
    authority.key_page.respond(&keys).await
}

async fn rotate(authority: Data<Authority>) -> HttpResponse {
    let keys = match authority.keys().await {
        Ok(keys) => Arc::clone(keys),
        Err(fault) => return internal(&fault),
    };
    let rotating = Arc::clone(&keys);
    match web::block(move || rotating.rotate()).await {
        Ok(Ok(())) => HttpResponse::Ok().json(keys.jwks()),
        Ok(Err(fault)) => internal(&fault),
        Err(_) => internal(&Error::Thread("generates a key")),
    }
}

/// What to sign: the claims as they are, and what the header has beside or instead of `alg`, `kid` and `typ`.
#[derive(Deserialize)]
struct TokenRequest {
    /// A field that is `null` is left out of the header.
    #[serde(default)]
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

async fn token(authority: Data<Authority>, request: Json<TokenRequest>) -> HttpResponse {
    let request = request.into_inner();
    let key = match authority.keys().await {
        Ok(keys) => keys.current(),
        Err(fault) => return internal(&fault),
    };
    let mut header = fields(json!({"alg": "RS256", "kid": key.id(), "typ": "JWT"}));
    for (name, value) in request.header {
        match value {
            Value::Null => header.remove(&name),
            value => header.insert(name, value),
        };
    }
    match key.sign(&header.into(), &request.claims.into()) {
        Ok(token) => HttpResponse::Ok().json(json!({"token": token})),
        Err(fault) => internal(&fault),
    }
}

fn internal(fault: &Error) -> HttpResponse {
    HttpResponse::InternalServerError().body(fault.to_string())
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;
    use crate::issuer::{Issuer, KeyAnswer};

    async fn get(url: &str) -> reqwest::Response {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(url).send().await.unwrap()
    }

    async fn body(response: reqwest::Response) -> Value {
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_discovery_document_leads_to_the_keys_that_sign() {
        let issuer = Issuer::start(0).await.unwrap();
        let document =
            body(get(&format!("{}/.well-known/openid-configuration", issuer.url())).await).await;
        assert_eq!(document["issuer"], issuer.url());
        assert_eq!(document["jwks_uri"], issuer.keys_url());
        assert_eq!(document["id_token_signing_alg_values_supported"], json!(["RS256"]));
        let keys = body(get(document["jwks_uri"].as_str().unwrap()).await).await;
        assert_eq!(keys, issuer.keys().jwks());
        assert_eq!(
            body(get(&issuer.iap_keys_url()).await).await,
            json!({"keys": [issuer.iap_key().jwk()]})
        );
        issuer.stop().await;
    }

    #[tokio::test]
    async fn keys_carry_google_s_caching_headers_in_both_forms() {
        let issuer = Issuer::start(0).await.unwrap();
        for url in [issuer.keys_url(), issuer.certificates_url()] {
            let response = get(&url).await;
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(
                header("cache-control"),
                "public, max-age=21155, must-revalidate, no-transform"
            );
            assert_eq!(header("age"), "12");
            assert!(header("expires").ends_with(" GMT"));
            assert_eq!(header("content-type"), "application/json; charset=UTF-8");
        }
        issuer.set_keys_max_age_seconds(60);
        issuer.set_keys_age_seconds(7);
        let response = get(&issuer.keys_url()).await;
        assert_eq!(
            response.headers()["cache-control"],
            "public, max-age=60, must-revalidate, no-transform"
        );
        assert_eq!(response.headers()["age"], "7");
        assert_eq!(issuer.key_fetches(), 3);
    }

    #[tokio::test]
    async fn an_outage_can_be_staged_and_ended() {
        let issuer = Issuer::start(0).await.unwrap();
        issuer.answer_keys_with(KeyAnswer::Status(503));
        assert_eq!(get(&issuer.keys_url()).await.status().as_u16(), 503);
        issuer.answer_keys_with(KeyAnswer::Body("<html>".to_owned()));
        assert_eq!(get(&issuer.keys_url()).await.text().await.unwrap(), "<html>");
        issuer.answer_keys_with(KeyAnswer::Hold);
        let url = issuer.keys_url();
        let held = tokio::spawn(async move { get(&url).await.status().as_u16() });
        while issuer.key_fetches() < 3 {
            tokio::task::yield_now().await;
        }
        assert!(!held.is_finished());
        issuer.answer_keys_with(KeyAnswer::Keys);
        assert_eq!(held.await.unwrap(), 200);
    }

    #[tokio::test]
    async fn rotation_on_demand_publishes_the_fresh_key() {
        let issuer = Issuer::start_as(0, "https://accounts.google.com").await.unwrap();
        let before = issuer.keys().jwks();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/emulator/rotate", issuer.url());
        let after = body(client.post(url).send().await.unwrap()).await;
        assert_eq!(after["keys"][1], before["keys"][0]);
        assert_eq!(after["keys"][0]["kid"], issuer.keys().current().id());
        assert_eq!(issuer.name(), "https://accounts.google.com");
    }

    #[tokio::test]
    async fn a_token_over_http_is_signed_as_asked() {
        let issuer = Issuer::start(0).await.unwrap();
        let running = crate::issuer::RunningIssuer::at(&issuer.url()).unwrap();
        let mut token = running.id_token("https://example.com", "a@b").await.unwrap();
        token.header.insert("typ".to_owned(), Value::Null);
        let signed = running.sign(&token).await.unwrap();
        let decode = |index: usize| {
            let segment = signed.split('.').nth(index).unwrap();
            serde_json::from_slice::<Value>(&BASE64_URL_SAFE_NO_PAD.decode(segment).unwrap())
                .unwrap()
        };
        assert_eq!(decode(0), json!({"alg": "RS256", "kid": issuer.keys().current().id()}));
        assert_eq!(decode(1), Value::from(token.claims));
        assert_eq!(decode(1)["iss"], issuer.url());
    }
}
