//! The baseline: the handler that people write instead, with actix-web and jsonwebtoken by their documentation.
//!
//! It verifies the token of every request, opens the envelope, reads the payload, and logs one line. It fetches no
//! keys, suppresses no repeats, and bounds nothing but what actix bounds.

use std::{collections::BTreeMap, io::Write, time::Instant};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::header::AUTHORIZATION,
    rt::System,
    web::{self, Bytes, Data},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, jwk::Jwk};
use serde::{Deserialize, Serialize};

use crate::{AUDIENCE, CALLER, Result, WORKERS, request::PATH};

/// The argument that makes this program serve.
pub(crate) const COMMAND: &str = "plain";

struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

#[derive(Deserialize)]
struct Claims {
    email: String,
    email_verified: bool,
}

#[derive(Deserialize)]
struct Envelope {
    message: Message,
    subscription: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    data: String,
    attributes: BTreeMap<String, String>,
    message_id: String,
    publish_time: Timestamp,
}

#[derive(Deserialize)]
struct Object {
    bucket: String,
    name: String,
    size: String,
}

#[derive(Serialize)]
struct Line<'a> {
    severity: &'static str,
    message: &'static str,
    time: Timestamp,
    subscription: &'a str,
    message_id: &'a str,
    publish_time: Timestamp,
    event: Option<&'a str>,
    caller: &'a str,
    object_bytes: u64,
    status: u16,
    duration_ms: f64,
}

/// Serves until it is killed. The arguments are the issuer and its key as a JWK.
///
/// # Errors
///
/// Arguments that are wrong, and a port that cannot be had.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    let [issuer, jwk] = arguments else {
        return Err("plain needs an issuer and a key".into());
    };
    let jwk: Jwk = serde_json::from_str(jwk)?;
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[issuer]);
    let verifier = Data::new(Verifier { key: DecodingKey::from_jwk(&jwk)?, validation });
    System::new().block_on(async {
        let server = HttpServer::new(move || {
            App::new().app_data(verifier.clone()).route(PATH, web::post().to(receive))
        })
        .workers(WORKERS)
        .bind(("127.0.0.1", 0))?;
        let address = server.addrs()[0];
        println!(r#"{{"message":"listening on http://{address}"}}"#);
        server.run().await?;
        Ok(())
    })
}

async fn receive(verifier: Data<Verifier>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let started = Instant::now();
    let Some(caller) = caller(&verifier, &request) else {
        return HttpResponse::Unauthorized().finish();
    };
    let Some((envelope, object)) = open(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    let Ok(object_bytes) = object.size.parse() else {
        return HttpResponse::BadRequest().finish();
    };
    std::hint::black_box((object.bucket, object.name));
    let line = Line {
        severity: "INFO",
        message: "received a message",
        time: Timestamp::now(),
        subscription: &envelope.subscription,
        message_id: &envelope.message.message_id,
        publish_time: envelope.message.publish_time,
        event: envelope.message.attributes.get("eventType").map(String::as_str),
        caller: &caller,
        object_bytes,
        status: 204,
        duration_ms: started.elapsed().as_secs_f64() * 1e3,
    };
    if let Ok(mut line) = serde_json::to_vec(&line) {
        line.push(b'\n');
        // There is nowhere else to tell.
        let _ = std::io::stdout().lock().write_all(&line);
    }
    HttpResponse::NoContent().finish()
}

fn caller(verifier: &Verifier, request: &HttpRequest) -> Option<String> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let token = header.strip_prefix("Bearer ")?;
    let claims = decode::<Claims>(token, &verifier.key, &verifier.validation).ok()?;
    let Claims { email, email_verified } = claims.claims;
    (email_verified && email == CALLER).then_some(email)
}

fn open(body: &[u8]) -> Option<(Envelope, Object)> {
    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    let payload = BASE64_STANDARD.decode(&envelope.message.data).ok()?;
    let object = serde_json::from_slice(&payload).ok()?;
    Some((envelope, object))
}
