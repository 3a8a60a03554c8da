//! Substitutions: `$NAME` and `${NAME}` in a build.
//!
//! Source: <https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values>.

use std::collections::{BTreeMap, BTreeSet};

use super::Asked;
use crate::{api::error::ApiError, google::Google};

/// Everything that can be substituted: Google's own, and the user's.
pub(super) fn values(
    google: &Google,
    location: &str,
    id: &str,
    account: Option<&str>,
    asked: &Asked,
) -> BTreeMap<String, String> {
    let email = account.map_or_else(|| google.project.default_account_email(), str::to_owned);
    let own = [
        ("PROJECT_ID", google.project.id.clone()),
        ("PROJECT_NUMBER", google.project.number.to_string()),
        ("BUILD_ID", id.to_owned()),
        ("LOCATION", location.to_owned()),
        ("SERVICE_ACCOUNT_EMAIL", email.clone()),
        ("SERVICE_ACCOUNT", format!("{}/serviceAccounts/{email}", google.project.name())),
    ];
    let mut values: BTreeMap<String, String> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    values.extend(asked.substitutions.clone());
    values
}

/// That each name that is used is there, and each of the user's is used.
///
/// # Errors
/// 400 that names the first which is not.
pub(super) fn check(asked: &Asked, values: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if asked.options.substitution_option == "ALLOW_LOOSE" {
        return Ok(());
    }
    let steps = asked.steps.iter();
    let texts = steps.flat_map(|step| {
        let words = step.args.iter().chain(&step.env).chain(&step.entrypoint);
        words.chain([&step.name, &step.dir, &step.id])
    });
    let mut used = BTreeSet::new();
    for text in texts.chain(&asked.options.env) {
        expand(text, |name| {
            used.insert(name.to_owned());
            None
        });
    }
    if let Some(missing) =
        used.iter().find(|name| name.starts_with('_') && !values.contains_key(*name))
    {
        return Err(ApiError::invalid(format!(
            "generic::invalid_argument: key in the template \"{missing}\" is not a valid built-in substitution"
        )));
    }
    if let Some(unused) = asked.substitutions.keys().find(|name| !used.contains(*name)) {
        return Err(ApiError::invalid(format!(
            "generic::invalid_argument: invalid value for 'build.substitutions': key in the substitution data \
             \"{unused}\" is not matched in the template"
        )));
    }
    Ok(())
}

/// The text with each name replaced; one for which there is no value stays as it is. `$$` is a dollar.
pub(super) fn expand(text: &str, mut value: impl FnMut(&str) -> Option<String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let is_braced = after.starts_with('{');
        let name_on = after.strip_prefix('{').unwrap_or(after);
        let end = name_on
            .find(|next: char| !next.is_ascii_uppercase() && !next.is_ascii_digit() && next != '_')
            .unwrap_or(name_on.len());
        let (name, behind) = name_on.split_at(end);
        let behind = if is_braced { behind.strip_prefix('}') } else { Some(behind) };
        match behind.and_then(|behind| Some((value(name).filter(|_| !name.is_empty())?, behind))) {
            Some((value, behind)) => {
                expanded.push_str(&value);
                rest = behind;
            }
            None => {
                expanded.push('$');
                rest = after;
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_dollars_escaped() {
        let value = |name: &str| (name == "_A").then(|| "1".to_owned());
        for (text, expected) in [
            ("$_A", "1"),
            ("${_A}b", "1b"),
            ("$_A-$_B", "1-$_B"),
            ("$$_A $", "$_A $"),
            ("${_A", "${_A"),
            ("$(cat x) ${y}", "$(cat x) ${y}"),
            ("", ""),
        ] {
            assert_eq!(expand(text, value), expected, "{text}");
        }
    }
}
