//! Uploads as gcloud makes them: metadata and content in one request.
//!
//! Source: <https://cloud.google.com/storage/docs/uploading-objects#multipart>.

use actix_web::web::Bytes;
use serde_json::{Value, json};

use crate::api::{call::Call, error::ApiError};

/// The name and the content of the object that a multipart upload makes.
///
/// # Errors
/// 400 if the body is not of two parts, or neither query nor metadata name the object.
pub(super) fn read(call: &Call) -> Result<(String, Bytes), ApiError> {
    let Some((metadata, content)) = parts(&call.body) else {
        return Err(ApiError::invalid(
            "The body is no multipart upload: metadata as JSON, then the content.",
        ));
    };
    let metadata: Value = serde_json::from_slice(metadata).map_err(|fault| {
        ApiError::invalid(format!("The upload's metadata cannot be read: {fault}"))
    })?;
    let name = call.parameter("name").or_else(|| metadata.get("name")?.as_str());
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
        ApiError::invalid_field("name", "The object's name is required, as a query parameter.")
    })?;
    Ok((name.to_owned(), call.body.slice_ref(content)))
}

/// An object as answers show it: gcloud compares its size with what it sent.
pub(super) fn object(bucket: &str, name: &str, bytes: usize) -> Value {
    json!({
        "kind": "storage#object",
        "id": format!("{bucket}/{name}/1"),
        "name": name,
        "bucket": bucket,
        "generation": "1",
        "metageneration": "1",
        "size": bytes.to_string(),
    })
}

/// The contents of both parts of a `multipart/related` body (RFC 2046 §5.1.1), whose first line is the delimiter.
fn parts(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (delimiter, rest) = split(body, b"\n")?;
    let delimiter = delimiter.trim_ascii_end();
    let (first, rest) = split(rest, delimiter)?;
    let second = rest.get(..last(rest, delimiter)?)?;
    Some((content(first)?, content(second)?))
}

/// What stands behind a part's headers, without the line break that belongs to the delimiter.
fn content(part: &[u8]) -> Option<&[u8]> {
    // Clients end the lines with either; the content may have both.
    let ends = [split(part, b"\r\n\r\n"), split(part, b"\n\n")];
    let (_, content) = ends.into_iter().flatten().min_by_key(|(headers, _)| headers.len())?;
    let content = content.strip_suffix(b"\n")?;
    Some(content.strip_suffix(b"\r").unwrap_or(content))
}

fn split<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let start = text.windows(at.len().max(1)).position(|window| window == at)?;
    Some((text.get(..start)?, text.get(start + at.len()..)?))
}

fn last(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len().max(1)).rposition(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::iam::Principal;

    fn uploaded(uri: &str, body: Vec<u8>) -> Result<(String, Bytes), ApiError> {
        let request = TestRequest::post().uri(uri).to_http_request();
        read(&Call::new(&request, "/x", body.into(), Principal::Developer))
    }

    #[test]
    fn an_upload_is_what_was_sent() {
        for line in ["\r\n", "\n"] {
            let content = b"\x1f\x8b--content\r\n\r\n with its own\n";
            let mut body = [
                "--==boundary==",
                "content-type: application/json",
                "",
                r#"{"name": "source/1.tgz"}"#,
                "--==boundary==",
                "content-type: application/octet-stream",
                "",
                "",
            ]
            .join(line)
            .into_bytes();
            body.extend_from_slice(content);
            body.extend_from_slice(format!("{line}--==boundary==--{line}").as_bytes());
            for (uri, name) in [("/x", "source/1.tgz"), ("/x?name=source%2F2.tgz", "source/2.tgz")]
            {
                let (named, read) = uploaded(uri, body.clone()).unwrap();
                assert_eq!((&*named, &*read), (name, &content[..]));
            }
        }
    }

    #[test]
    fn what_is_no_upload_is_refused() {
        let nameless = "--b\n\n{}\n--b\n\nx\n--b--";
        for body in ["", "x", "--b\r\n\r\n{}\r\n--b--", "\n\n\n", nameless] {
            assert_eq!(uploaded("/x", body.into()).unwrap_err().http_status(), 400, "{body}");
        }
    }
}
