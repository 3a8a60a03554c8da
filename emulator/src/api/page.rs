//! Lists, a page at a time (<https://google.aip.dev/158>).

use serde_json::{Value, json};

use super::{call::Call, error::ApiError};

/// As many as Google gives at most.
const MOST: usize = 1000;

/// `{field: [items], "nextPageToken"?}` for the page that `call` asks for. `items` are all of them, in order of name.
///
/// # Errors
/// 400 if `pageSize` or `pageToken` cannot be read.
pub(crate) fn list(
    call: &Call,
    field: &str,
    items: impl ExactSizeIterator<Item = Value>,
) -> Result<Value, ApiError> {
    let number = |name: &str| match call.parameter(name) {
        None | Some("") => Ok(0),
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| ApiError::invalid_field(name, format!("{text:?} is not valid."))),
    };
    let size = match number("pageSize")? {
        0 => MOST,
        size => size.min(MOST),
    };
    let start = number("pageToken")?;
    let total = items.len();
    let page: Vec<Value> = items.skip(start).take(size).collect();
    // Google leaves out empty lists and the token of a last page.
    let mut answer = if page.is_empty() { json!({}) } else { json!({field: page}) };
    if start + size < total {
        answer["nextPageToken"] = (start + size).to_string().into();
    }
    Ok(answer)
}
