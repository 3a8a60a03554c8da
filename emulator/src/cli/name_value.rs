//! `NAME=VALUE` and `Name: value` arguments.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use emulator::Behind;
use serde_json::Value;

/// `NAME=TEXT`.
pub(super) fn text(argument: &str) -> Result<(String, String), String> {
    split(argument, '=', "NAME=VALUE")
}

/// `NAME=URL`, an absolute one, or `NAME=PROGRAM`, the path of one.
pub(super) fn behind(argument: &str) -> Result<(String, Behind), String> {
    let (name, value) = split(argument, '=', "NAME=URL or NAME=PROGRAM")?;
    if value.contains("://") {
        return Ok((name, Behind::Url(super::values::url(&value)?)));
    }
    // A name without a slash would be looked up in the search path.
    let program = Path::new(&value).canonicalize();
    let program =
        program.map_err(|error| format!("the program {value}: {error}; build it first"))?;
    let is_executable = program
        .metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0);
    if !is_executable {
        return Err(format!("{value} is no program; expected a file that may be executed"));
    }
    Ok((name, Behind::Program(program)))
}

/// `NAME=JSON`; what is not JSON is taken as a string, so that quotes can be left out. What begins as a list, an object
/// or a quoted string is meant as JSON and has to be it.
pub(super) fn json(argument: &str) -> Result<(String, Value), String> {
    let (name, value) = split(argument, '=', "NAME=JSON")?;
    match serde_json::from_str(&value) {
        Ok(json) => Ok((name, json)),
        Err(fault) if value.trim_start().starts_with(['[', '{', '"']) => {
            Err(format!("what begins with [, {{ or \" has to be JSON: {fault}"))
        }
        Err(_) => Ok((name, Value::String(value))),
    }
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
            ("sub=\"5\"", json!("5")),
            ("sub=a [b]", json!("a [b]")),
        ] {
            assert_eq!(super::json(argument).unwrap().1, expected, "{argument}");
        }
        for argument in ["=5", "aud"] {
            assert_eq!(super::json(argument).unwrap_err(), "expected NAME=JSON");
        }
        assert_eq!(header("A: b: c").unwrap(), ("A".to_owned(), "b: c".to_owned()));
    }

    #[test]
    fn behind_a_service_is_a_url_or_a_program_that_is_there() {
        let url = Behind::Url("http://127.0.0.1:8080".to_owned());
        assert_eq!(behind("receiver=http://127.0.0.1:8080").unwrap(), ("receiver".to_owned(), url));
        let shell = Path::new("/bin/sh").canonicalize().unwrap();
        assert_eq!(behind("a=/bin/sh").unwrap(), ("a".to_owned(), Behind::Program(shell)));
        for (argument, said) in [
            ("a=/nowhere", "the program /nowhere: No such file"),
            ("a=/etc/passwd", "/etc/passwd is no program"),
            ("a=/", "/ is no program"),
            ("a", "expected NAME=URL or NAME=PROGRAM"),
        ] {
            let fault = behind(argument).unwrap_err();
            assert!(fault.starts_with(said), "{fault}");
        }
    }

    #[test]
    fn what_begins_as_json_and_is_none_is_an_error() {
        for argument in ["aud=[\"a\"", "a={b}", "a=\"b", "a= [", "a=[1] 2"] {
            let fault = super::json(argument).unwrap_err();
            assert!(fault.starts_with("what begins with [, { or \" has to be JSON: "), "{fault}");
        }
    }
}
