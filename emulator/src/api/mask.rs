//! Field masks: which parts of a resource a patch replaces.
//!
//! Source: <https://google.aip.dev/161>, and `google.protobuf.FieldMask` for the JSON spelling.

use serde_json::{Map, Value};

use super::error::ApiError;

/// A mask's paths, `snake_case` made camelCase.
pub(crate) fn paths(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|path| !path.is_empty()).map(camel_case).collect()
}

/// `current` with what `paths` name taken from `patch`; what the patch does not have is cleared. `immutable` are the
/// paths that no patch may change.
///
/// # Errors
/// 400 if nothing is named, or something immutable or that no resource of the kind has.
pub(crate) fn apply(
    current: Value,
    patch: &Value,
    paths: &[String],
    known: &[&str],
    immutable: &[&str],
) -> Result<Value, ApiError> {
    if paths.is_empty() {
        return Err(ApiError::invalid_field(
            "update_mask",
            "The update_mask must name at least one field.",
        ));
    }
    let mut updated = current;
    for path in paths {
        let (first, _) = path.split_once('.').unwrap_or((path, ""));
        if immutable.contains(&first) {
            let fault = format!("The field {path} cannot be changed after creation.");
            return Err(ApiError::invalid_field("update_mask", fault));
        }
        if !known.contains(&first) {
            let fault = format!("The field {path} does not exist; expected one of {known:?}.");
            return Err(ApiError::invalid_field("update_mask", fault));
        }
        let steps: Vec<&str> = path.split('.').collect();
        let value = steps.iter().try_fold(patch, |value, step| value.get(step));
        set(&mut updated, &steps, value.cloned());
    }
    Ok(updated)
}

fn set(target: &mut Value, steps: &[&str], value: Option<Value>) {
    let Some((step, rest)) = steps.split_first() else { return };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    match (rest, value) {
        ([], Some(value)) => drop(fields.insert((*step).to_owned(), value)),
        ([], None) => drop(fields.remove(*step)),
        (_, None) if !fields.contains_key(*step) => {}
        (_, value) => set(fields.entry(*step).or_insert(Value::Null), rest, value),
    }
}

fn camel_case(path: &str) -> String {
    let mut upper = false;
    let mut camel = String::with_capacity(path.len());
    for letter in path.chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                camel.extend(letter.to_uppercase());
                upper = false;
            }
            letter => camel.push(letter),
        }
    }
    camel
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(patch: Value, mask: &str) -> Result<Value, ApiError> {
        let current =
            json!({"name": "j", "schedule": "* * * * *", "httpTarget": {"uri": "a", "body": "b"}});
        apply(current, &patch, &paths(mask), &["schedule", "httpTarget"], &["name"])
    }

    #[test]
    fn what_is_named_is_replaced_or_cleared_and_the_rest_stays() {
        let patch = json!({"schedule": "0 0 * * *", "httpTarget": {"uri": "c", "body": "d"}});
        assert_eq!(
            patched(patch, "http_target.uri").unwrap(),
            json!({"name": "j", "schedule": "* * * * *", "httpTarget": {"uri": "c", "body": "b"}})
        );
        assert_eq!(
            patched(json!({}), "httpTarget.body,schedule,httpTarget.oidcToken.audience").unwrap(),
            json!({"name": "j", "httpTarget": {"uri": "a"}})
        );
    }

    #[test]
    fn what_cannot_be_changed_is_refused_by_name() {
        for (mask, said) in
            [("name", "cannot be changed"), ("nmae", "does not exist"), ("", "at least one")]
        {
            assert!(patched(json!({}), mask).unwrap_err().message.contains(said), "{mask}");
        }
    }
}
