//! The emulator's own endpoints, which nothing of Google's has.
//!
//! | endpoint | what it is |
//! |---|---|
//! | `GET /emulator/environment` | where the emulator is, as whom it issues, and its project |
//! | `GET /emulator/history` | the entries as a JSON list, oldest first; `sender`, `resource` and `since` (an id) choose |
//! | `GET /emulator/history?follow` | the same as server-sent events: `entry` for each that comes, `next_retry` for each time that is known later |
//! | `POST /emulator/history/{id}/replay` | makes that delivery again; answers the new entry |
//! | `GET /emulator/faults` | the faults that are set, as a list of `{"fault", "next"?, "sender"?}` |
//! | `POST /emulator/faults` | sets one more of them; answers the list |
//! | `DELETE /emulator/faults` | clears all; answers the list |
//! | `GET /emulator/state` | all resources as one JSON document |
//! | `PUT /emulator/state` | puts such a document in their place |

mod client;
mod events;
mod filter;
mod followed;
mod history;

pub use client::RunningEmulator;
pub use filter::Filter;
pub use followed::{Event, Followed};

use actix_web::{
    HttpResponse, guard,
    web::{self, Bytes, Data, PayloadConfig, ServiceConfig},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    api::{error::ApiError, visitor},
    faults::SetFault,
    google::Google,
    state,
};

/// Far above a document of 100,000 waiting tasks.
const MAX_STATE_BYTES: usize = 1 << 30;

/// Every endpoint, in the order of the module's table.
pub(crate) fn routes(config: &mut ServiceConfig) {
    // What is kept out falls to the control plane, which says why.
    let endpoints = web::scope("/emulator")
        .guard(guard::fn_guard(|context| visitor::check(context.head()).is_ok()))
        .route("/environment", web::get().to(environment))
        .route("/history", web::get().to(history::list))
        .route("/history/{id}/replay", web::post().to(history::replay))
        .service(
            web::resource("/faults")
                .route(web::get().to(faults))
                .route(web::post().to(set_fault))
                .route(web::delete().to(clear_faults)),
        )
        .service(
            web::resource("/state")
                .app_data(PayloadConfig::new(MAX_STATE_BYTES))
                .route(web::get().to(export))
                .route(web::put().to(import)),
        );
    config.service(endpoints);
}

async fn environment(google: Data<Google>) -> HttpResponse {
    json(&google.environment())
}

async fn faults(google: Data<Google>) -> HttpResponse {
    json(&google.faults.list())
}

async fn set_fault(google: Data<Google>, body: Bytes) -> HttpResponse {
    match read::<SetFault>(&body).and_then(|fault| google.set_fault(fault)) {
        Ok(()) => json(&google.faults.list()),
        Err(fault) => fault.response(),
    }
}

async fn clear_faults(google: Data<Google>) -> HttpResponse {
    google.clear_faults();
    json(&google.faults.list())
}

async fn export(google: Data<Google>) -> HttpResponse {
    json(&state::export(&google))
}

async fn import(google: Data<Google>, body: Bytes) -> HttpResponse {
    let google = google.into_inner();
    let imported = match read(&body) {
        Ok(document) => state::import(&google, document).await,
        Err(fault) => Err(fault),
    };
    match imported {
        Ok(()) => json(&serde_json::json!({})),
        Err(fault) => fault.response(),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|fault| ApiError::invalid(format!("Invalid JSON payload received. {fault}")))
}

fn json(value: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().json(value)
}

#[cfg(test)]
mod tests;
