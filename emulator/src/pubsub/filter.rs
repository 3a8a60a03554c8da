//! Filters of subscriptions: which messages are delivered, by their attributes.
//!
//! Source: <https://cloud.google.com/pubsub/docs/subscription-message-filter#filtering_syntax>.

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
        let mut parser = Parser { text, rest: text };
        let condition = parser.condition().and_then(|condition| match parser.peek() {
            None => Ok(condition),
            Some(_) => Err(parser.expected("AND, OR or the end")),
        });
        condition.map(Filter).map_err(refused)
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

/// Reads from the left. Faults say what was expected; the length of a filter bounds how deep it nests.
struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    fn condition(&mut self) -> Result<Condition, String> {
        let first = self.term()?;
        let (word, other) = match (self.word("AND"), self.word("OR")) {
            (true, _) => ("AND", "OR"),
            (_, true) => ("OR", "AND"),
            _ => return Ok(first),
        };
        let mut terms = vec![first, self.term()?];
        while self.word(word) {
            terms.push(self.term()?);
        }
        if self.word(other) {
            return Err("AND and OR beside each other need parentheses".to_owned());
        }
        Ok(if word == "AND" { Condition::All(terms) } else { Condition::Any(terms) })
    }

    fn term(&mut self) -> Result<Condition, String> {
        if self.word("NOT") || self.symbol("-") {
            return Ok(Condition::Not(Box::new(self.term()?)));
        }
        if self.symbol("(") {
            let condition = self.condition()?;
            return self.expect(")").map(|()| condition);
        }
        if self.word("hasPrefix") {
            self.expect("(")?;
            self.attributes()?;
            self.expect(".")?;
            let key = self.key()?;
            self.expect(",")?;
            let prefix = self.string()?;
            return self.expect(")").map(|()| Condition::Prefix(key, prefix));
        }
        self.attributes()?;
        if self.symbol(":") {
            return self.key().map(Condition::Has);
        }
        self.expect(".")?;
        let key = self.key()?;
        if self.symbol("!=") {
            // It holds for a message without the attribute as well.
            let value = self.string()?;
            return Ok(Condition::Not(Box::new(Condition::Equals(key, value))));
        }
        self.expect("=")?;
        Ok(Condition::Equals(key, self.string()?))
    }

    fn attributes(&mut self) -> Result<(), String> {
        if self.word("attributes") { Ok(()) } else { Err(self.expected("attributes")) }
    }

    /// Bare letters, digits, hyphens and underscores, or anything as a string.
    fn key(&mut self) -> Result<String, String> {
        if self.peek() == Some('"') {
            return self.string();
        }
        let end = self.rest.find(|letter| !is_bare(letter)).unwrap_or(self.rest.len());
        let (key, rest) = self.rest.split_at(end);
        if key.is_empty() {
            return Err(self.expected("the key of an attribute"));
        }
        self.rest = rest;
        Ok(key.to_owned())
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.symbol("\"") {
            return Err(self.expected("a string in double quotes"));
        }
        let mut string = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(string),
                Some('\\') => string.push(self.escaped()?),
                Some(letter) => string.push(letter),
                None => return Err("a string has no closing quote".to_owned()),
            }
        }
    }

    /// What a backslash stands for: a letter, or a code in hexadecimal (`\xHH`, `\uHHHH`) or octal (`\OOO`).
    fn escaped(&mut self) -> Result<char, String> {
        let before = self.rest;
        match self.next() {
            Some(letter @ ('"' | '\'' | '\\')) => Ok(letter),
            Some('n') => Ok('\n'),
            Some('r') => Ok('\r'),
            Some('t') => Ok('\t'),
            Some('x') => self.code(2, 16),
            Some('u') => self.code(4, 16),
            Some('0'..='7') => {
                self.rest = before;
                self.code(3, 8)
            }
            _ => Err("a backslash in a string escapes nothing known".to_owned()),
        }
    }

    fn code(&mut self, digits: usize, radix: u32) -> Result<char, String> {
        let code = self.rest.get(..digits).and_then(|code| u32::from_str_radix(code, radix).ok());
        let letter = code.and_then(char::from_u32);
        self.rest = self.rest.get(digits..).unwrap_or_default();
        letter.ok_or_else(|| "an escaped code in a string is none".to_owned())
    }

    fn word(&mut self, word: &str) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(word).filter(|rest| !rest.starts_with(is_bare));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(symbol);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.expected(&format!("{symbol:?}"))) }
    }

    fn expected(&self, what: &str) -> String {
        format!("expected {what} at byte {}", self.text.len() - self.rest.len())
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut letters = self.rest.chars();
        let letter = letters.next();
        self.rest = letters.as_str();
        letter
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

fn is_bare(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == '-'
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
