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
    let size = match call.number("pageSize")? {
        0 => MOST,
        size => size.min(MOST),
    };
    let start = call.number("pageToken")?;
    let end = start.saturating_add(size);
    let total = items.len();
    let page: Vec<Value> = items.skip(start).take(size).collect();
    // Google leaves out empty lists and the token of a last page.
    let mut answer = if page.is_empty() { json!({}) } else { json!({field: page}) };
    if end < total {
        answer["nextPageToken"] = end.to_string().into();
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::call;

    fn listed(query: &str) -> Result<Value, ApiError> {
        let call = call("GET", &format!("/v1/x?{query}"), Value::Null);
        list(&call, "items", [1, 2, 3].into_iter().map(Value::from))
    }

    #[test]
    fn a_list_is_given_a_page_at_a_time() {
        let first = json!({"items": [1, 2], "nextPageToken": "2"});
        assert_eq!(listed("pageSize=2").unwrap(), first);
        assert_eq!(listed("pageSize=2&pageToken=2").unwrap(), json!({"items": [3]}));
        assert_eq!(listed("pageSize=&pageToken=").unwrap(), json!({"items": [1, 2, 3]}));
    }

    #[test]
    fn a_page_far_behind_the_end_is_empty() {
        assert_eq!(listed(&format!("pageToken={}", usize::MAX)).unwrap(), json!({}));
        for query in ["pageSize=-1", "pageToken=x"] {
            assert_eq!(listed(query).unwrap_err().http_status(), 400, "{query}");
        }
    }
}
