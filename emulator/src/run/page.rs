//! Lists of the Knative API: selected by labels, paged by `limit` and `continue`.
//!
//! Source: <https://cloud.google.com/run/docs/reference/rest/v1/namespaces.services/list>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::knative::API_VERSION;
use crate::api::{call::Call, error::ApiError};

/// What `labelSelector` asks for: labels and the value that each must have.
pub(super) struct Selector(Vec<(String, String)>);

impl Selector {
    /// That of the call; without one everything is selected.
    ///
    /// # Errors
    /// 400 for anything but equality.
    pub(super) fn of(call: &Call) -> Result<Selector, ApiError> {
        let text = call.parameter("labelSelector").unwrap_or_default();
        let terms = text.split(',').map(str::trim).filter(|term| !term.is_empty());
        let pairs = terms.map(|term| {
            let pair = term.split_once('=').filter(|(label, _)| !label.ends_with('!'));
            let (label, value) = pair.ok_or_else(|| {
                let fault = format!("{term:?} is not supported; expected LABEL=VALUE.");
                ApiError::invalid_field("labelSelector", fault)
            })?;
            Ok((label.trim().to_owned(), value.trim_start_matches('=').trim().to_owned()))
        });
        pairs.collect::<Result<_, _>>().map(Selector)
    }

    pub(super) fn takes(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(label, value)| labels.get(label) == Some(value))
    }
}

/// One page of `items`, which are all of them in order of name. `kind` is the list's, such as `ServiceList`.
///
/// # Errors
/// 400 if `limit` or `continue` is no number.
pub(super) fn list(call: &Call, kind: &str, items: Vec<Value>) -> Result<Value, ApiError> {
    let (limit, start) = (call.number("limit")?, call.number("continue")?);
    let limit = if limit == 0 { items.len() } else { limit };
    let end = start.saturating_add(limit);
    let mut metadata = json!({});
    if end < items.len() {
        metadata["continue"] = end.to_string().into();
    }
    let items: Vec<Value> = items.into_iter().skip(start).take(limit).collect();
    Ok(json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "items": items}))
}

/// What the Knative API answers where something was deleted.
pub(super) fn success() -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Success"})
}

#[cfg(test)]
mod tests {
    use actix_web::{test::TestRequest, web::Bytes};

    use super::*;
    use crate::iam::Principal;

    fn call(query: &str) -> Call {
        let request = TestRequest::get().uri(&format!("/?{query}")).to_http_request();
        Call::new(&request, "/", Bytes::new(), Principal::Developer)
    }

    #[test]
    fn a_list_is_given_a_page_at_a_time() {
        let items = vec![json!(1), json!(2), json!(3)];
        let first = list(&call("limit=2"), "ServiceList", items.clone()).unwrap();
        assert_eq!(first["items"], json!([1, 2]));
        assert_eq!(first["metadata"]["continue"], "2");
        let last = list(&call("limit=2&continue=2"), "ServiceList", items.clone()).unwrap();
        assert_eq!((&last["items"], &last["metadata"]), (&json!([3]), &json!({})));
        let all = list(&call(""), "ServiceList", items.clone()).unwrap();
        assert_eq!(all["items"].as_array().unwrap().len(), 3);
        assert_eq!(list(&call("limit=x"), "L", items).unwrap_err().http_status(), 400);
    }

    #[test]
    fn labels_select_by_equality() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        for (selector, takes) in
            [("", true), ("a%20%3D%20b", true), ("a==b", true), ("a=c", false), ("a=b,d=e", false)]
        {
            let selector_of = Selector::of(&call(&format!("labelSelector={selector}")));
            assert_eq!(selector_of.unwrap().takes(&labels), takes, "{selector}");
        }
        assert!(Selector::of(&call("labelSelector=a!=b")).is_err());
        assert!(Selector::of(&call("labelSelector=a")).is_err());
    }
}
