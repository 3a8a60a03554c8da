//! What the guard reads from headers: tokens, and identities that a front end has verified.
//!
//! Where each leaves them: Cloud Run
//! <https://cloud.google.com/run/docs/authenticating/service-to-service>, Endpoints
//! <https://cloud.google.com/endpoints/docs/openapi/authenticating-users-google-id>, API Gateway
//! <https://cloud.google.com/api-gateway/docs/authenticating-users-jwt>, IAP
//! <https://cloud.google.com/iap/docs/signed-headers-howto>.

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use oidc::{Reason, Refusal, UnverifiedClaims};

/// IAP's signed assertion.
pub(super) const IAP_ASSERTION: HeaderName = HeaderName::from_static("x-goog-iap-jwt-assertion");

/// The header that Cloud Run's IAM check prefers over `Authorization`.
const SERVERLESS_AUTHORIZATION: HeaderName = HeaderName::from_static("x-serverless-authorization");

/// Envoy leaves the padding out, `ESPv2` puts it in.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The claims that Cloud Run's IAM check has verified: if both headers are there, it looked at the first
/// alone.
pub(super) fn from_cloud_run(headers: &HeaderMap) -> Result<UnverifiedClaims, Refusal> {
    let name = if headers.contains_key(SERVERLESS_AUTHORIZATION) {
        SERVERLESS_AUTHORIZATION
    } else {
        AUTHORIZATION
    };
    oidc::decode_unverified(bearer(headers, &name)?)
}

/// The one token in a header.
pub(super) fn bearer<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Refusal> {
    oidc::bearer(headers.get_all(name).map(|value| value.as_bytes()))
}

/// The claims in a proxy's header.
pub(super) fn from_header(
    headers: &HeaderMap,
    name: &HeaderName,
) -> Result<UnverifiedClaims, Refusal> {
    let value = single(headers, name)?;
    let json = BASE64URL.decode(value).map_err(|_| Refusal::from(Reason::Malformed))?;
    UnverifiedClaims::from_json(&json)
}

/// The one value of a header: a second may have been set by whoever went around the front end.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name);
    let value = values.next().ok_or(Refusal::from(Reason::IdentityMissing))?;
    if values.next().is_some() {
        return Err(Refusal::from(Reason::SeveralIdentities));
    }
    value.to_str().map_err(|_| Refusal::from(Reason::Malformed))
}
