//! Whose keys Envoy takes: the shipped configuration says that it verifies the server that it has them from.

use super::{Gateway, KeysOf, SHIPPED, caller, delivery};

/// With keys that this server hands out, good tokens are refused, for the reason that Envoy counts under `counter`.
async fn are_not_taken(keys: KeysOf, counter: &str) {
    let started = Gateway::start(keys, &[], |_| SHIPPED.to_owned()).await;
    let Some(mut gateway) = started else { return };
    let token = gateway.token(&caller("tasks"));
    gateway.refuses(401, "/tasks/done", &delivery("tasks").bearer(&token)).await;
    let counted = gateway.envoy.counter(&format!("cluster.google_keys.ssl.{counter}")).await;
    assert!(counted > 0, "{counter}");
}

#[tokio::test]
async fn keys_of_a_server_that_no_trusted_authority_vouches_for_are_not_taken() {
    are_not_taken(KeysOf::OtherAuthority, "fail_verify_error").await;
}

#[tokio::test]
async fn keys_of_a_server_by_another_name_are_not_taken() {
    are_not_taken(KeysOf::OtherName, "fail_verify_san").await;
}

#[tokio::test]
async fn without_the_trusted_authority_anybody_s_keys_would_be_taken() {
    // Else the two above could fail for another reason.
    let (before, rest) = SHIPPED.split_once("            validation_context:").unwrap();
    let (_, after) = rest.split_once("\noverload_manager:").unwrap();
    let unverified = format!("{before}\noverload_manager:{after}");
    let started = Gateway::start(KeysOf::OtherAuthority, &[], |_| unverified).await;
    let Some(mut gateway) = started else { return };
    let token = gateway.token(&caller("tasks"));
    gateway.admits("tasks", &delivery("tasks").bearer(&token)).await;
}
