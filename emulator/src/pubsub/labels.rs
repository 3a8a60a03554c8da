//! Labels of topics and subscriptions.
//!
//! Source: <https://cloud.google.com/pubsub/docs/create-topic#requirements_for_labels>.

use std::collections::BTreeMap;

use crate::api::error::ApiError;

/// Names and values.
pub(super) type Labels = BTreeMap<String, String>;

const MOST: usize = 64;
const LONGEST: usize = 63;

/// That these labels can be.
///
/// # Errors
/// 400 that names the label.
pub(super) fn check(labels: &Labels) -> Result<(), ApiError> {
    let refused = |fault: String| {
        ApiError::invalid(format!(
            "You have passed an invalid argument to the service (argument=Invalid labels: {fault})."
        ))
    };
    if labels.len() > MOST {
        return Err(refused(format!("{} were given, at most {MOST} can be", labels.len())));
    }
    for (key, value) in labels {
        if !is_lower(key) || !key.starts_with(char::is_alphabetic) {
            return Err(refused(format!(
                "key {key:?} must begin with a lower-case letter and have at most {LONGEST} letters of lower case, digits, underscores and dashes"
            )));
        }
        if !is_lower(value) {
            return Err(refused(format!(
                "value {value:?} of key {key:?} must have at most {LONGEST} letters of lower case, digits, underscores and dashes"
            )));
        }
    }
    Ok(())
}

fn is_lower(text: &str) -> bool {
    let allowed = |letter: char| {
        (letter.is_alphanumeric() && !letter.is_uppercase()) || matches!(letter, '_' | '-')
    };
    text.chars().all(allowed) && text.chars().count() <= LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_held_to_google_s_rules() {
        let longest = "a".repeat(63);
        let too_long = "a".repeat(64);
        for (key, value, is_valid) in [
            ("env", "test-1_a", true),
            ("größe", "", true),
            (&longest, &longest, true),
            (&too_long, "", false),
            ("env", &too_long, false),
            ("Env", "", false),
            ("env", "Test", false),
            ("1env", "", false),
            ("", "", false),
            ("e v", "", false),
        ] {
            let labels = Labels::from([(key.to_owned(), value.to_owned())]);
            assert_eq!(check(&labels).is_ok(), is_valid, "{labels:?}");
        }
        let labels = |count: usize| (0..count).map(|n| (format!("a{n}"), String::new())).collect();
        assert!(check(&labels(64)).is_ok());
        assert!(check(&labels(65)).is_err());
    }
}
