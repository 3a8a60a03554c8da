//! Stub.
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web::Bytes};

use crate::google::Google;

/// Answers one request.
pub(crate) async fn answer(
    _google: &Arc<Google>,
    _request: &HttpRequest,
    _body: Bytes,
) -> HttpResponse {
    HttpResponse::NotFound().finish()
}
