//! `NAME=VALUE` and `Name: value` arguments.

use serde_json::Value;

/// `NAME=TEXT`.
pub(super) fn text(argument: &str) -> Result<(String, String), String> {
    split(argument, '=', "NAME=VALUE")
}

/// `NAME=JSON`; what is not JSON is taken as a string, so that quotes can be left out.
pub(super) fn json(argument: &str) -> Result<(String, Value), String> {
    let (name, value) = text(argument)?;
    let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
    Ok((name, value))
}

/// `Name: value`.
pub(super) fn header(argument: &str) -> Result<(String, String), String> {
    let (name, value) = split(argument, ':', "'Name: value'")?;
    Ok((name, value.trim_start().to_owned()))
}

fn split(argument: &str, at: char, shape: &str) -> Result<(String, String), String> {
    match argument.split_once(at) {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("expected {shape}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_json_where_they_can_be() {
        for (argument, expected) in [
            ("exp=5", json!(5)),
            ("aud=[\"a\"]", json!(["a"])),
            ("aud=https://a=b", json!("https://a=b")),
            ("sub=", json!("")),
        ] {
            assert_eq!(super::json(argument).unwrap().1, expected, "{argument}");
        }
        assert!(super::json("=5").is_err());
        assert_eq!(header("A: b: c").unwrap(), ("A".to_owned(), "b: c".to_owned()));
    }
}
