//! Substitutions: what the names in a build's templates stand for.
//!
//! Source: <https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values>, and Google's local
//! builder for what is refused
//! (<https://github.com/GoogleCloudPlatform/cloud-build-local/blob/master/validate/validate.go>).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{asked::invalid, template};
use crate::{
    api::{call::from_json, error::ApiError},
    project::Project,
};

/// What a trigger sets, and whoever starts a build may; empty where nobody does.
const OF_TRIGGERS: [&str; 10] = [
    "BRANCH_NAME",
    "COMMIT_SHA",
    "REF_NAME",
    "REPO_FULL_NAME",
    "REPO_NAME",
    "REVISION_ID",
    "SHORT_SHA",
    "TAG_NAME",
    "TRIGGER_BUILD_CONFIG_PATH",
    "TRIGGER_NAME",
];

/// What a build says about substitutions.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    substitutions: BTreeMap<String, String>,
    #[serde(default)]
    options: SaidOptions,
    #[serde(default)]
    steps: Vec<SaidOptions>,
    #[serde(default, rename = "serviceAccount")]
    service_account: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SaidOptions {
    substitution_option: String,
    dynamic_substitutions: bool,
    automap_substitutions: bool,
}

/// What the names stand for.
pub(super) type Values = BTreeMap<String, String>;

/// Puts values in the place of all names of a build, and gives the values.
///
/// # Errors
/// 400 that names the first name without a value, or value without use, unless the build allows both.
pub(super) fn substitute(
    build: &mut Value,
    project: &Project,
    location: &str,
    id: &str,
) -> Result<Values, ApiError> {
    let said: Said = from_json(build.clone())?;
    check_names(&said.substitutions)?;
    let mut values = own(project, location, id);
    values.extend(said.substitutions.clone());
    let mut names = Names::default();
    if said.options.dynamic_substitutions {
        resolve(&mut values, &said.substitutions, &mut names)?;
    }
    let account = names.expanded(&said.service_account, &values);
    let email = match account.rsplit('/').next() {
        Some(email) if !email.is_empty() => email.to_owned(),
        _ => project.default_account_email(),
    };
    let full_name = format!("{}/serviceAccounts/{email}", project.name());
    values.insert("SERVICE_ACCOUNT".to_owned(), full_name);
    values.insert("SERVICE_ACCOUNT_EMAIL".to_owned(), email);
    template::replace(build, &mut |text| names.expanded(text, &values));
    if let Some(unknown) = names.unknown.first() {
        return Err(invalid(&format!(
            "key in the template {unknown:?} is not a valid built-in substitution; write $${unknown} for a variable of \
             the shell"
        )));
    }
    if said.options.substitution_option == "ALLOW_LOOSE" {
        return Ok(values);
    }
    if let Some(missing) = names.missing.first() {
        return Err(invalid(&format!(
            "key in the template {missing:?} is not matched in the substitution data"
        )));
    }
    // Variables of the shell may use any.
    let all = said.steps.iter().chain([&said.options]);
    let are_mapped = all.into_iter().any(|step| step.automap_substitutions);
    let unused = said.substitutions.keys().find(|name| !names.used.contains(*name));
    match unused {
        Some(unused) if !are_mapped => Err(invalid(&format!(
            "key {unused:?} in the substitution data is not matched in the template"
        ))),
        _ => Ok(values),
    }
}

/// Those that every build has. The account's come once it is known.
fn own(project: &Project, location: &str, id: &str) -> Values {
    let set = [
        ("PROJECT_ID", project.id.clone()),
        ("PROJECT_NUMBER", project.number.to_string()),
        ("BUILD_ID", id.to_owned()),
        ("LOCATION", location.to_owned()),
    ];
    let unset = OF_TRIGGERS.into_iter().map(|name| (name, String::new()));
    set.into_iter().chain(unset).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn check_names(substitutions: &Values) -> Result<(), ApiError> {
    let is_taken = |name: &&String| is_user_s(name) || OF_TRIGGERS.contains(&name.as_str());
    match substitutions.keys().find(|name| !is_taken(name)) {
        Some(name) => Err(invalid(&format!(
            "substitution key {name:?} does not respect format \"^_[A-Z0-9_]+$\" and is not an overridable built-in \
             substitution"
        ))),
        None => Ok(()),
    }
}

/// Whether whoever writes a build chose the name.
fn is_user_s(name: &str) -> bool {
    let rest = name.strip_prefix('_').unwrap_or_default();
    !rest.is_empty()
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// `dynamicSubstitutions`: values that refer to others.
fn resolve(values: &mut Values, given: &Values, names: &mut Names) -> Result<(), ApiError> {
    for _ in 0..=given.len() {
        let before = values.clone();
        for name in given.keys() {
            let value = before.get(name).map(String::as_str).unwrap_or_default();
            values.insert(name.clone(), names.expanded(value, &before));
        }
        if *values == before {
            return Ok(());
        }
    }
    Err(invalid("invalid value for 'build.substitutions': values refer to each other in a circle"))
}

/// Which names there were in templates.
#[derive(Default)]
struct Names {
    used: BTreeSet<String>,
    /// The user's that have no value.
    missing: BTreeSet<String>,
    /// Those that nobody could give a value.
    unknown: BTreeSet<String>,
}

impl Names {
    fn expanded(&mut self, text: &str, values: &Values) -> String {
        template::expanded(text, |name| {
            let value = values.get(name);
            let names = match value {
                Some(_) => &mut self.used,
                None if is_user_s(name) => &mut self.missing,
                None => &mut self.unknown,
            };
            names.insert(name.to_owned());
            value.cloned().unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn substituted(mut build: Value) -> Result<Value, String> {
        let done = substitute(&mut build, &Project::default(), "us-central1", "id-1");
        done.map(|_| build).map_err(|fault| fault.message)
    }

    #[test]
    fn names_get_their_values_from_google_the_trigger_and_the_user() {
        let account = "builder@demo-project.iam.gserviceaccount.com";
        let build = substituted(json!({
            "steps": [{
                "name": "$_IMAGE",
                "args": ["${PROJECT_ID}/$PROJECT_NUMBER/$LOCATION/$BUILD_ID", "[$TAG_NAME$SHORT_SHA]", "$$HOME"],
                "script": "echo $_IMAGE",
            }],
            "options": {"env": ["BY=$SERVICE_ACCOUNT_EMAIL"]},
            "serviceAccount": format!("projects/$PROJECT_ID/serviceAccounts/{account}"),
            "substitutions": {"_IMAGE": "ubuntu $PROJECT_ID", "SHORT_SHA": "abc"},
        }))
        .unwrap();
        let step = &build["steps"][0];
        assert_eq!(step["name"], "ubuntu $PROJECT_ID", "values are no templates");
        assert_eq!(
            step["args"],
            json!(["demo-project/123456789012/us-central1/id-1", "[abc]", "$HOME"])
        );
        assert_eq!(step["script"], "echo $_IMAGE");
        assert_eq!(build["options"]["env"], json!([format!("BY={account}")]));
        assert_eq!(
            build["serviceAccount"],
            format!("projects/demo-project/serviceAccounts/{account}")
        );
    }

    #[test]
    fn a_name_without_a_value_and_a_value_without_use_are_refused_unless_allowed() {
        let whole = json!({
            "steps": [{"name": "n", "args": ["$_A ${_B}"]}],
            "substitutions": {"_A": "1", "_B": "2"},
        });
        assert_eq!(substituted(whole.clone()).unwrap()["steps"][0]["args"], json!(["1 2"]));
        for (args, loose, said) in [
            ("$_A", Some("1"), "key \"_B\" in the substitution data is not matched"),
            ("$_A $_B $_C", Some("1 2 "), "key in the template \"_C\" is not matched"),
            ("$_A $_B $HOME", None, "\"HOME\" is not a valid built-in substitution"),
        ] {
            let mut spoilt = whole.clone();
            spoilt["steps"][0]["args"] = json!([args]);
            let fault = substituted(spoilt.clone()).unwrap_err();
            assert!(fault.contains(said), "{fault}");
            spoilt["options"] = json!({"substitutionOption": "ALLOW_LOOSE"});
            let allowed = substituted(spoilt).ok();
            assert_eq!(allowed.as_ref().and_then(|one| one["steps"][0]["args"][0].as_str()), loose);
        }
        for name in ["_a", "A", "PROJECT_ID", "_"] {
            let mut spoilt = whole.clone();
            spoilt["substitutions"][name] = "x".into();
            assert!(substituted(spoilt).unwrap_err().contains("does not respect format"), "{name}");
        }
    }

    #[test]
    fn dynamic_values_refer_to_others_and_not_in_a_circle() {
        let build = |values: Value, is_dynamic: bool| {
            substituted(json!({
                "steps": [{"name": "$_A"}],
                "options": {"dynamicSubstitutions": is_dynamic},
                "substitutions": values,
            }))
        };
        let chain = json!({"_A": "a-$_B", "_B": "b-${_C}", "_C": "$PROJECT_ID"});
        assert_eq!(build(chain.clone(), true).unwrap()["steps"][0]["name"], "a-b-demo-project");
        assert!(build(chain, false).unwrap_err().contains("\"_B\" in the substitution data"));
        let circle = json!({"_A": "$_B", "_B": "x$_A"});
        assert!(build(circle, true).unwrap_err().contains("circle"));
    }

    #[test]
    fn what_is_mapped_to_variables_is_used() {
        let step = json!({"name": "n", "script": "echo $_A", "automapSubstitutions": true});
        let build = json!({"steps": [step], "substitutions": {"_A": "1"}});
        assert!(substituted(build).is_ok());
    }
}
