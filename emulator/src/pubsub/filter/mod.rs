//! Filters of subscriptions: which messages are delivered, by their attributes.
//!
//! Source: <https://cloud.google.com/pubsub/docs/subscription-message-filter#filtering_syntax>.

mod parser;

use std::collections::BTreeMap;

use crate::api::error::ApiError;

/// In bytes.
const LONGEST: usize = 256;

/// A filter that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter(Condition);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// `attributes:key`.
    Has(String),
    /// `attributes.key = "value"`.
    Equals(String, String),
    /// `hasPrefix(attributes.key, "value")`.
    Prefix(String, String),
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// 400 with what was expected, and where.
    pub(super) fn parse(text: &str) -> Result<Filter, ApiError> {
        let refused = |fault: String| {
            ApiError::invalid_field(
                "subscription.filter",
                format!("Invalid filter {text:?}: {fault}."),
            )
        };
        if text.len() > LONGEST {
            return Err(refused(format!("it is longer than {LONGEST} bytes")));
        }
        parser::condition(text).map(Filter).map_err(refused)
    }

    /// Whether a message with these attributes is delivered.
    pub(super) fn matches(&self, attributes: &BTreeMap<String, String>) -> bool {
        self.0.holds(attributes)
    }
}

impl Condition {
    fn holds(&self, attributes: &BTreeMap<String, String>) -> bool {
        match self {
            Condition::Has(key) => attributes.contains_key(key),
            Condition::Equals(key, value) => attributes.get(key) == Some(value),
            Condition::Prefix(key, prefix) => {
                attributes.get(key).is_some_and(|value| value.starts_with(prefix.as_str()))
            }
            Condition::Not(condition) => !condition.holds(attributes),
            Condition::All(conditions) => conditions.iter().all(|one| one.holds(attributes)),
            Condition::Any(conditions) => conditions.iter().any(|one| one.holds(attributes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivers(filter: &str, attributes: &[(&str, &str)]) -> bool {
        let attributes =
            attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Filter::parse(filter).unwrap().matches(&attributes.collect())
    }

    #[test]
    fn each_operator_of_the_documents_holds_as_they_say() {
        for (filter, com, org, none) in [
            ("attributes:domain", true, true, false),
            ("NOT attributes:domain", false, false, true),
            ("-attributes:domain", false, false, true),
            (r#"attributes.domain = "com""#, true, false, false),
            (r#"attributes.domain="com""#, true, false, false),
            (r#"attributes.domain != "com""#, false, true, true),
            (r#"hasPrefix(attributes.domain, "co")"#, true, false, false),
            (r#"NOT hasPrefix(attributes.domain, "co")"#, false, true, true),
            (r#"attributes:domain AND attributes.domain != "com""#, false, true, false),
            (r#"attributes.domain = "com" OR attributes.domain = "org""#, true, true, false),
            (
                r#"attributes:domain AND (NOT attributes:x OR attributes.x = "y")"#,
                true,
                true,
                false,
            ),
            (r#"attributes."domain" = "\x63\u006f\155""#, true, false, false),
        ] {
            assert_eq!(delivers(filter, &[("domain", "com")]), com, "{filter}");
            assert_eq!(delivers(filter, &[("domain", "org")]), org, "{filter}");
            assert_eq!(delivers(filter, &[]), none, "{filter}");
        }
    }

    #[test]
    fn keys_are_bare_or_quoted_and_case_matters() {
        assert!(delivers("attributes:ce-type_2", &[("ce-type_2", "")]));
        assert!(delivers(r#"attributes."iana.org/tag" = "a\"b""#, &[("iana.org/tag", "a\"b")]));
        assert!(!delivers("attributes:domain", &[("Domain", "")]));
    }

    #[test]
    fn what_is_no_filter_is_refused_with_the_place() {
        for (filter, said) in [
            ("attributes.a = b", "expected a string in double quotes at byte 15"),
            ("attributes.a", "expected \"=\" at byte 12"),
            ("data:a", "expected attributes at byte 0"),
            ("attributes:a and attributes:b", "expected AND, OR or the end at byte 13"),
            ("attributes:a AND attributes:b OR attributes:c", "need parentheses"),
            ("hasPrefix(attributes:a, \"b\")", "expected \".\" at byte 20"),
            ("(attributes:a", "expected \")\" at byte 13"),
            ("attributes.a = \"b", "no closing quote"),
            ("attributes.a = \"\\q\"", "escapes nothing known"),
            ("attributes.a = \"\\uD800\"", "an escaped code"),
            ("", "expected attributes at byte 0"),
        ] {
            let fault = Filter::parse(filter).unwrap_err();
            assert!(fault.message.contains(said), "{filter}: {}", fault.message);
        }
        let long = format!("attributes.a = \"{}\"", "b".repeat(240));
        assert!(Filter::parse(&long).unwrap_err().message.contains("longer than 256 bytes"));
    }
}
