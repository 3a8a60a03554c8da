//! Templates: texts with `$NAME` and `${NAME}` in them, and `$$` for a dollar.
//!
//! What a name is: <https://github.com/GoogleCloudPlatform/cloud-build-local/blob/master/subst/subst.go>.

use serde_json::Value;

/// The parts of a build that are templates
/// (<https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values>).
const TEMPLATES: [&str; 7] =
    ["steps", "images", "tags", "artifacts", "options", "logsBucket", "serviceAccount"];

/// Within these, what is none: scripts have variables of the shell.
const VERBATIM: &str = "script";

/// Replaces all templates of a build by what `expand` makes of them.
pub(super) fn replace(build: &mut Value, expand: &mut dyn FnMut(&str) -> String) {
    for part in TEMPLATES {
        if let Some(value) = build.get_mut(part) {
            replace_within(value, expand);
        }
    }
}

fn replace_within(value: &mut Value, expand: &mut dyn FnMut(&str) -> String) {
    match value {
        Value::String(text) => *text = expand(text),
        Value::Array(items) => items.iter_mut().for_each(|item| replace_within(item, expand)),
        Value::Object(fields) => {
            let fields = fields.iter_mut().filter(|(name, _)| *name != VERBATIM);
            fields.for_each(|(_, field)| replace_within(field, expand));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The text with each name replaced by its value.
pub(super) fn expanded(text: &str, mut value: impl FnMut(&str) -> String) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some((name, after)) = name(after) {
            expanded.push_str(&value(name));
            rest = after;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    expanded
}

/// The name at the start of what follows a dollar, and what stands behind it.
fn name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let name_on = braced.unwrap_or(text);
    let is_part = |letter: char| letter.is_ascii_uppercase() || letter == '_';
    if !name_on.starts_with(is_part) {
        return None;
    }
    let end = name_on.find(|next: char| !is_part(next) && !next.is_ascii_digit());
    let (name, behind) = name_on.split_at(end.unwrap_or(name_on.len()));
    let behind = if braced.is_some() { behind.strip_prefix('}')? } else { behind };
    Some((name, behind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_replaced_and_dollars_escaped() {
        for (text, expected) in [
            ("$_A", "<_A>"),
            ("${_A}b", "<_A>b"),
            ("$_A-$B_1.", "<_A>-<B_1>."),
            ("$$_A $", "$_A $"),
            ("$$$_A", "$<_A>"),
            ("${_A", "${_A"),
            ("${_A:-x}", "${_A:-x}"),
            ("$(cat x) ${y} $1", "$(cat x) ${y} $1"),
            ("", ""),
        ] {
            assert_eq!(expanded(text, |name| format!("<{name}>")), expected, "{text}");
        }
    }

    #[test]
    fn templates_are_everywhere_but_in_scripts_and_sources() {
        let mut build = json!({
            "steps": [{"name": "a", "args": ["b"], "script": "c", "timeout": "d"}],
            "options": {"env": ["e"], "automapSubstitutions": true},
            "images": ["f"],
            "substitutions": {"_G": "g"},
            "source": {"storageSource": {"object": "h"}},
        });
        let mut seen = String::new();
        replace(&mut build, &mut |text| {
            seen.push_str(text);
            text.to_ascii_uppercase()
        });
        assert_eq!(build["steps"][0]["args"], json!(["B"]));
        assert_eq!((seen.len(), seen.contains(['c', 'g', 'h'])), (5, false), "{seen}");
    }
}
