//! What Cloud Endpoints and API Gateway, both `ESPv2`, hand on: as Envoy, which `ESPv2` is made of, does with the same
//! settings of the same filter.
//!
//! <https://github.com/GoogleCloudPlatform/esp-v2/blob/master/src/go/configgenerator/filtergen/jwt_authn.go>

use super::{Gateway, KeysOf, SHIPPED, caller, delivery};

const GATEWAY: &str = "gateway@my-project.iam.gserviceaccount.com";
const BACKEND: &str = "https://backend.example.run.app";

/// Replaces what is there once.
fn replace(text: &str, shipped: &str, other: &str) -> String {
    assert_eq!(text.matches(shipped).count(), 1, "{shipped}");
    text.replace(shipped, other)
}

#[tokio::test]
async fn the_headers_of_endpoints_and_api_gateway_are_read_padded_or_not_with_the_gateway_s_own_token()
 {
    for (header, is_padded) in
        [("X-Endpoint-API-UserInfo", false), ("X-Apigateway-API-UserInfo", true)]
    {
        let settings = [
            ("PLATFORM_IDENTITY", header),
            ("PROXY_CALLERS", GATEWAY),
            ("PROXY_AUDIENCE", BACKEND),
        ];
        let started = Gateway::start(KeysOf::Google, &settings, |issuer| {
            let payload = format!(
                "forward_payload_header: {header}\n{}pad_forward_payload_header: {is_padded}",
                " ".repeat(26)
            );
            let own_token = format!(
                "timeout: 660s}}\n{}request_headers_to_add: [{{header: {{key: Authorization, value: Bearer {}}}}}]",
                " ".repeat(26),
                issuer.token(BACKEND, GATEWAY).unwrap()
            );
            let config = replace(SHIPPED, "forward_payload_header: x-jwt-payload", &payload);
            replace(&config, "timeout: 660s}\n", &format!("{own_token}\n"))
        });
        let Some(mut gateway) = started.await else { return };
        let token = gateway.token(&caller("tasks"));
        gateway.admits("tasks", &delivery("tasks").bearer(&token)).await;
        // Around the gateway, with all that it hands on but its own token.
        let claims = token.split('.').nth(1).unwrap();
        let around = delivery("tasks").header(header, claims);
        for (delivery, status) in [(around.clone(), 401), (around.bearer(&token), 401)] {
            let (answer, _) = gateway.service.send("/tasks/done", &delivery).await;
            assert_eq!(answer.status, status);
        }
    }
}
