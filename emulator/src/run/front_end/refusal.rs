//! What Google answers in the container's place.
//!
//! The sentences of the 401 and the 403 are Google's, as users quote them
//! (<https://github.com/pomerium/pomerium/issues/1623>, <https://github.com/datacommonsorg/docsite/pull/463>). Google
//! leaves the second heading of its pages empty; here it says why.

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{ContentType, WWW_AUTHENTICATE},
    },
};

use super::access::Refused;

/// Who was not let in is told so.
pub(super) fn refused(refused: &Refused, path: &str) -> HttpResponse {
    let path = escaped(path);
    let why = refused.to_string();
    match refused {
        Refused::Token(_) => HttpResponse::Unauthorized()
            .insert_header((
                WWW_AUTHENTICATE,
                "Bearer error=\"invalid_token\" error_description=\"The access token could not be verified\"",
            ))
            .content_type(ContentType::html())
            .body(page(
                StatusCode::UNAUTHORIZED,
                &format!("Your client does not have permission to the requested URL <code>{path}</code>."),
                &why,
            )),
        Refused::NoToken | Refused::NotInvoker { .. } => html(
            StatusCode::FORBIDDEN,
            &format!("Your client does not have permission to get URL <code>{path}</code> from this server."),
            &why,
        ),
        Refused::Emulator(_) => {
            html(StatusCode::INTERNAL_SERVER_ERROR, "The server encountered an error.", &why)
        }
    }
}

/// A path that Google keeps for itself, a service that is gone, or one whose ingress bars the client.
pub(super) fn not_found(path: &str) -> HttpResponse {
    let sentence =
        format!("The requested URL <code>{}</code> was not found on this server.", escaped(path));
    html(StatusCode::NOT_FOUND, &sentence, "no container was asked")
}

/// There is no container that could answer.
pub(super) fn unavailable(why: &str) -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .content_type(ContentType::plaintext())
        .body(format!("Service Unavailable: {why}\n"))
}

/// The container took longer than the service allows.
///
/// Source: <https://cloud.google.com/run/docs/troubleshooting#504>.
pub(super) fn timed_out() -> HttpResponse {
    HttpResponse::GatewayTimeout()
        .content_type(ContentType::plaintext())
        .body("upstream request timeout")
}

/// A request that cannot be passed on.
pub(super) fn of_status(status: StatusCode) -> HttpResponse {
    html(status, "Your client issued a request that cannot be served.", "")
}

fn html(status: StatusCode, sentence: &str, why: &str) -> HttpResponse {
    HttpResponse::build(status).content_type(ContentType::html()).body(page(status, sentence, why))
}

/// The layout of Google's error pages; `sentence` is HTML, `why` is text.
fn page(status: StatusCode, sentence: &str, why: &str) -> String {
    let reason = status.canonical_reason().unwrap_or_default();
    format!(
        "<html><head>\n\
         <meta http-equiv=\"content-type\" content=\"text/html;charset=utf-8\">\n\
         <title>{code} {reason}</title>\n\
         </head>\n\
         <body text=#000000 bgcolor=#ffffff>\n\
         <h1>Error: {reason}</h1>\n\
         <h2>{sentence}</h2>\n\
         <h2>{why}</h2>\n\
         </body></html>\n",
        code = status.as_u16(),
        why = escaped(why),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_no_markup_of_the_request() {
        let why = "audience \"<script>\"";
        let page = page(StatusCode::FORBIDDEN, "No.", why);
        assert!(page.contains("<title>403 Forbidden</title>"));
        assert!(page.contains("<h2>audience &quot;&lt;script&gt;&quot;</h2>"), "{page}");
    }
}
