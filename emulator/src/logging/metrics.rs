//! Log-based metrics, which are kept and checked, and not counted.
//!
//! Source: <https://cloud.google.com/logging/docs/reference/v2/rest/v2/projects.metrics>.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::filter::Filter;
use crate::{
    api::{
        call::Call,
        error::ApiError,
        shelf::{only, required},
    },
    google::Google,
};

const LONGEST_NAME: usize = 100;

/// Answers one call.
pub(super) fn answer(google: &Google, call: &Call) -> Result<Value, ApiError> {
    let metrics = &google.log_metrics;
    let may = |verb: &str| {
        let permission = format!("logging.logMetrics.{verb}");
        google.iam.require(&call.principal, &permission, &google.project.name())
    };
    let full = |name: &str| format!("{}/metrics/{name}", google.project.name());
    let (method, segments, _) = call.route();
    match (method, segments.as_slice()) {
        ("GET", ["v2", _, _, _]) => {
            may("list")?;
            metrics.list(call, "metrics")
        }
        ("POST", ["v2", _, _, _]) => {
            may("create")?;
            let asked: Value = call.json()?;
            check(&asked)?;
            metrics.add(&full(required(&asked, "name")?), asked)
        }
        ("GET", ["v2", _, _, _, name]) => {
            may("get")?;
            metrics.get(&full(&decoded(name)))
        }
        ("PUT", ["v2", _, _, _, name]) => {
            may("update")?;
            let asked: Value = call.json()?;
            check(&asked)?;
            if required(&asked, "name")? != decoded(name) {
                return Err(ApiError::invalid_field("name", "is not that of the path."));
            }
            let full = full(&decoded(name));
            match metrics.get(&full) {
                Ok(_) => metrics.change(&full, |current| {
                    let kind = |metric: &Value| metric["metricDescriptor"]["valueType"].clone();
                    if kind(current) != kind(&asked) {
                        let fault = "cannot be changed once it is set.";
                        return Err(ApiError::invalid_field("value_type", fault));
                    }
                    Ok(asked)
                }),
                // Whatever the name says, this creates too.
                Err(_) => metrics.add(&full, asked),
            }
        }
        ("DELETE", ["v2", _, _, _, name]) => {
            may("delete")?;
            metrics.remove(&full(&decoded(name)))
        }
        _ => Err(call.unknown()),
    }
}

/// The id within a resource's name is URL-encoded, and again in a path.
fn decoded(name: &str) -> String {
    percent_decode_str(name).decode_utf8_lossy().into_owned()
}

/// What Google would refuse, as far as it is looked at.
///
/// # Errors
/// 400 that names the field.
pub(crate) fn check(metric: &Value) -> Result<(), ApiError> {
    let known = [
        "name",
        "description",
        "filter",
        "bucketName",
        "bucketOptions",
        "disabled",
        "labelExtractors",
        "metricDescriptor",
        "valueExtractor",
        "version",
    ];
    only(metric, &known)?;
    let name = required(metric, "name")?;
    let is_allowed =
        |letter: char| letter.is_ascii_alphanumeric() || "_-.,+!*',()%/".contains(letter);
    if name.len() > LONGEST_NAME || name.starts_with('/') || !name.chars().all(is_allowed) {
        let fault =
            format!("{name:?} is no metric's; at most 100 letters, digits and _-.,+!*',()%/");
        return Err(ApiError::invalid_field("name", fault));
    }
    Filter::parse(required(metric, "filter")?)?;
    let extractors = metric["labelExtractors"].as_object();
    let extracted: BTreeSet<&str> =
        extractors.into_iter().flatten().map(|(key, _)| &**key).collect();
    let labels = metric["metricDescriptor"]["labels"].as_array();
    let described: BTreeSet<&str> =
        labels.into_iter().flatten().filter_map(|label| label["key"].as_str()).collect();
    if extracted != described {
        let fault = format!("are {extracted:?}, and the descriptor's labels {described:?}.");
        return Err(ApiError::invalid_field("label_extractors", fault));
    }
    let values = extractors.into_iter().flatten().map(|(_, value)| value);
    values.chain(metric.get("valueExtractor")).try_for_each(check_extractor)?;
    let is_distribution = metric["metricDescriptor"]["valueType"] == "DISTRIBUTION";
    if is_distribution != metric.get("valueExtractor").is_some() {
        let fault = "goes with a descriptor of value type DISTRIBUTION, and with no other.";
        return Err(ApiError::invalid_field("value_extractor", fault));
    }
    Ok(())
}

/// `EXTRACT(field)` or `REGEXP_EXTRACT(field, "regex with one group")`.
fn check_extractor(extractor: &Value) -> Result<(), ApiError> {
    let text = extractor.as_str().unwrap_or_default();
    let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    let is_field = |field: &str| {
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "._\"/-".contains(letter);
        !field.is_empty() && field.chars().all(is_allowed)
    };
    let is_right = match (inside("EXTRACT"), inside("REGEXP_EXTRACT")) {
        (Some(field), _) => is_field(field),
        (_, Some(both)) => both.split_once(',').is_some_and(|(field, regex)| {
            let regex = regex.trim();
            let is_quoted = regex.len() > 2 && regex.starts_with('"') && regex.ends_with('"');
            is_field(field) && is_quoted && regex.matches('(').count() == 1
        }),
        _ => false,
    };
    match is_right {
        true => Ok(()),
        false => Err(ApiError::invalid(format!(
            "{text:?} is no extractor; expected EXTRACT(field) or REGEXP_EXTRACT(field, \"regex with one group\")."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::error::Code,
        logging::api::answer,
        testing::{call, google, refuses_each},
    };

    const ALL: &str = "/v2/projects/demo-project/metrics";

    fn metric() -> Value {
        json!({
            "name": "receiver/invocation.lag",
            "filter": "resource.type=\"cloud_run_revision\"",
            "labelExtractors": {
                "sender": "EXTRACT(labels.sender)",
                "reason": "REGEXP_EXTRACT(jsonPayload.invocation.reason, \"^(missing|expired)$\")",
            },
            "valueExtractor": "EXTRACT(jsonPayload.invocation.lag_ms)",
            "metricDescriptor": {"metricKind": "DELTA", "valueType": "DISTRIBUTION", "labels": [
                {"key": "sender", "valueType": "STRING"}, {"key": "reason", "valueType": "STRING"},
            ]},
        })
    }

    #[tokio::test]
    async fn a_metric_is_created_changed_and_deleted_by_a_name_with_a_slash() {
        let google = google();
        let ask = |method: &str, uri: &str, body| answer(&google, &call(method, uri, body));
        // As gcloud asks.
        let one = format!("{ALL}/receiver%252Finvocation.lag");
        assert_eq!(ask("POST", ALL, metric()).unwrap(), metric());
        assert_eq!(ask("POST", ALL, metric()).unwrap_err().code, Code::AlreadyExists);
        let mut changed = metric();
        changed["description"] = "How late.".into();
        assert_eq!(ask("PUT", &one, changed.clone()).unwrap(), changed);
        assert_eq!(ask("GET", ALL, Value::Null).unwrap(), json!({"metrics": [changed]}));
        ask("DELETE", &one, Value::Null).unwrap();
        assert_eq!(ask("GET", &one, Value::Null).unwrap_err().code, Code::NotFound);
    }

    #[tokio::test]
    async fn what_google_would_refuse_is_refused() {
        let google = google();
        let ask = |body| answer(&google, &call("POST", ALL, body));
        let spoilt = [
            ("/name", json!("/lag")),
            ("/name", json!("a lag")),
            ("/filter", json!("AND AND")),
            ("/filter", json!("")),
            ("/labelExtractors/sender", json!("labels.sender")),
            ("/labelExtractors/reason", json!("REGEXP_EXTRACT(jsonPayload.reason, \"^missing$\")")),
            ("/valueExtractor", json!("EXTRACT()")),
            ("/metricDescriptor/valueType", json!("INT64")),
            ("/metricDescriptor/labels", json!([{"key": "sender"}])),
        ];
        refuses_each(&metric(), &spoilt, ask);
    }
}
