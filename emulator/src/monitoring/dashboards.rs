//! Dashboards.

use serde_json::Value;

use super::{check_promql, may};
use crate::{
    api::{
        call::Call,
        error::{ApiError, Code},
        shelf::{only, required},
    },
    google::Google,
    uuid,
};

const LAYOUTS: [&str; 4] = ["gridLayout", "mosaicLayout", "rowLayout", "columnLayout"];

/// A mosaic's columns at most.
const MOST_COLUMNS: u64 = 48;

pub(super) fn answer(google: &Google, call: &Call) -> Result<Value, ApiError> {
    let dashboards = &google.monitoring.dashboards;
    let (method, segments, _) = call.route();
    let name = |id: &str| format!("{}/dashboards/{id}", google.project.name());
    match (method, segments.as_slice()) {
        ("GET", ["v1", _, _, _]) => {
            may(google, call, "monitoring.dashboards.list")?;
            dashboards.list(call, "dashboards")
        }
        ("POST", ["v1", _, _, _]) => {
            may(google, call, "monitoring.dashboards.create")?;
            let mut asked: Value = call.json()?;
            check(&asked)?;
            if asked.get("etag").is_some() {
                let fault = "must not be given for a dashboard that is created.";
                return Err(ApiError::invalid_field("etag", fault));
            }
            if call.parameter("validateOnly") == Some("true") {
                return Ok(asked);
            }
            let name = name(&uuid::random()?);
            asked["name"] = name.as_str().into();
            asked["etag"] = uuid::random()?.into();
            dashboards.add(&name, asked)
        }
        ("GET", ["v1", _, _, _, id]) => {
            may(google, call, "monitoring.dashboards.get")?;
            dashboards.get(&name(id))
        }
        ("PATCH", ["v1", _, _, _, id]) => {
            may(google, call, "monitoring.dashboards.update")?;
            let mut asked: Value = call.json()?;
            check(&asked)?;
            let (name, etag) = (name(id), uuid::random()?);
            dashboards.change(&name, |current| {
                if asked["etag"] != current["etag"] {
                    let message =
                        "The dashboard was changed since it was read: etag is not the latest one.";
                    return Err(ApiError::new(Code::Aborted, message));
                }
                asked["name"] = name.as_str().into();
                asked["etag"] = etag.into();
                Ok(asked)
            })
        }
        ("DELETE", ["v1", _, _, _, id]) => {
            may(google, call, "monitoring.dashboards.delete")?;
            dashboards.remove(&name(id))
        }
        _ => Err(call.unknown()),
    }
}

/// What Google would refuse, as far as it is looked at.
///
/// # Errors
/// 400 that names the field.
pub(crate) fn check(dashboard: &Value) -> Result<(), ApiError> {
    let known = ["name", "displayName", "etag", "labels", "dashboardFilters", "annotations"];
    only(dashboard, &[&known[..], &LAYOUTS].concat())?;
    required(dashboard, "displayName")?;
    let layouts = LAYOUTS.iter().filter(|layout| dashboard.get(**layout).is_some());
    if layouts.count() != 1 {
        let fault = format!("expected exactly one of {LAYOUTS:?}.");
        return Err(ApiError::invalid_field("layout", fault));
    }
    check_mosaic(&dashboard["mosaicLayout"])?;
    check_queries(dashboard)
}

/// That tiles have their places, and none of them two.
fn check_mosaic(mosaic: &Value) -> Result<(), ApiError> {
    let refused = |fault: String| Err(ApiError::invalid_field("mosaicLayout", fault));
    let columns = mosaic["columns"].as_u64().unwrap_or(1);
    if !(1..=MOST_COLUMNS).contains(&columns) {
        return refused(format!("columns is {columns}; expected 1 to {MOST_COLUMNS}."));
    }
    let mut taken: Vec<[u64; 4]> = Vec::new();
    for tile in mosaic["tiles"].as_array().into_iter().flatten() {
        let [x, y, width, height] = ["xPos", "yPos", "width", "height"]
            .map(|field| tile[field].as_u64().unwrap_or_default());
        if width == 0 || height == 0 || x + width > columns {
            return refused(format!(
                "a tile at {x}, {y} is empty or wider than {columns} columns."
            ));
        }
        let [right, bottom] = [x + width, y + height];
        let is_over = |[left, top, other_right, other_bottom]: &[u64; 4]| {
            x < *other_right && *left < right && y < *other_bottom && *top < bottom
        };
        if taken.iter().any(is_over) {
            return refused(format!("a tile at {x}, {y} is over another."));
        }
        taken.push([x, y, right, bottom]);
    }
    Ok(())
}

fn check_queries(part: &Value) -> Result<(), ApiError> {
    match part {
        Value::Object(fields) => fields.iter().try_for_each(|(name, field)| match name.as_str() {
            "prometheusQuery" => check_promql(field),
            _ => check_queries(field),
        }),
        Value::Array(parts) => parts.iter().try_for_each(check_queries),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        monitoring::answer,
        testing::{call, google, refuses_each},
    };

    const ALL: &str = "/v1/projects/demo-project/dashboards";

    fn dashboard() -> Value {
        let tile = |x: u64| {
            json!({"xPos": x, "width": 24, "height": 16, "widget": {
                "title": "Attempts",
                "xyChart": {"dataSets": [{"timeSeriesQuery": {"prometheusQuery": "up"}}]},
            }})
        };
        json!({
            "displayName": "Attempts",
            "mosaicLayout": {"columns": 48, "tiles": [tile(0), tile(24)]},
        })
    }

    #[tokio::test]
    async fn a_dashboard_is_created_changed_with_its_etag_and_deleted() {
        let google = google();
        let ask = |method: &str, uri: &str, body| answer(&google, &call(method, uri, body));
        let created = ask("POST", ALL, dashboard()).unwrap();
        let one = format!("/v1/{}", created["name"].as_str().unwrap());
        assert_eq!(ask("GET", ALL, Value::Null).unwrap(), json!({"dashboards": [created]}));
        let mut changed = created.clone();
        changed["displayName"] = "Other".into();
        let updated = ask("PATCH", &one, changed.clone()).unwrap();
        assert_eq!(updated["displayName"], "Other");
        assert_ne!(updated["etag"], created["etag"]);
        // With the etag of before.
        assert_eq!(ask("PATCH", &one, changed).unwrap_err().code, Code::Aborted);
        assert_eq!(ask("GET", &one, Value::Null).unwrap(), updated);
        ask("DELETE", &one, Value::Null).unwrap();
        assert_eq!(ask("GET", &one, Value::Null).unwrap_err().code, Code::NotFound);
    }

    #[tokio::test]
    async fn what_google_would_refuse_is_refused() {
        let google = google();
        let ask = |body| answer(&google, &call("POST", ALL, body));
        let tile = "/mosaicLayout/tiles/1";
        let spoilt = [
            ("/displayName", json!("")),
            ("/mosaicLayout/columns", json!(49)),
            (&format!("{tile}/xPos"), json!(23)),
            (&format!("{tile}/width"), json!(25)),
            (
                &format!("{tile}/widget/xyChart/dataSets/0/timeSeriesQuery/prometheusQuery"),
                json!(" "),
            ),
        ];
        refuses_each(&dashboard(), &spoilt, ask);
        for (field, value) in
            [("etag", json!("a")), ("gridLayout", json!({})), ("title", json!("Attempts"))]
        {
            let mut spoilt = dashboard();
            spoilt[field] = value;
            assert_eq!(ask(spoilt).unwrap_err().code, Code::InvalidArgument, "{field}");
        }
    }
}
