//! A field compared with a value.

use std::cmp::Ordering;

use regex_lite::Regex;
use serde_json::Value;

use super::{
    field::Field,
    reader::Word,
    scalar::{Kind, Scalar, contains, folded, text},
};

/// `field operator wanted`.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) field: Field,
    pub(super) operator: Operator,
    pub(super) wanted: Wanted,
}

/// How they are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equals,
    Differs,
    Less,
    AtMost,
    Greater,
    AtLeast,
    /// The field has the value as a part.
    Has,
    Matches,
    MatchesNot,
}

/// The right of a comparison.
#[derive(Debug)]
pub(super) enum Wanted {
    /// `*`: the field is there at all.
    Anything,
    /// `NULL_VALUE`: JSON's `null`.
    Null,
    /// Converted to the type of what is found.
    Value(String),
    Pattern(Regex),
}

impl Wanted {
    /// `*`.
    ///
    /// # Errors
    /// A sentence, where the operator is not `:`.
    pub(super) fn anything(operator: Operator) -> Result<Wanted, String> {
        match operator {
            Operator::Has => Ok(Wanted::Anything),
            _ => Err("expected a value, since only : takes *, found *".to_owned()),
        }
    }

    /// A value to compare `field` with. Google lets the comparison fail where the value is not of the field's type;
    /// here that is said.
    ///
    /// # Errors
    /// A sentence that says what such a field takes.
    pub(super) fn of(word: Word, field: &Field, operator: Operator) -> Result<Wanted, String> {
        let Word { text, is_quoted } = word;
        match operator {
            Operator::Matches | Operator::MatchesNot
                if !matches!(field.kind, Kind::Text | Kind::AsFound) =>
            {
                Err("expected a field of text, since =~ and !~ compare nothing else".to_owned())
            }
            Operator::Matches | Operator::MatchesNot => {
                let refused = |fault| {
                    format!("{text:?} is no regular expression (RE2, without \\p): {fault}")
                };
                Regex::new(&text).map(Wanted::Pattern).map_err(refused)
            }
            _ if text == "NULL_VALUE" && !is_quoted => Ok(Wanted::Null),
            _ if field.kind.read(&text).is_none() => {
                Err(format!("expected {}, found {text:?}", field.kind.about()))
            }
            _ => Ok(Wanted::Value(text)),
        }
    }
}

impl Comparison {
    /// Whether it holds for an entry: for one member at least, where the field is an array.
    pub(super) fn holds(&self, entry: &Value) -> bool {
        let found = self.field.values(entry);
        match &self.wanted {
            Wanted::Anything => !found.is_empty(),
            _ if found.is_empty() => {
                self.field.is_defaulted
                    && self.holds_for(&Value::from(""), self.field.kind.default())
            }
            _ => found.into_iter().any(|value| {
                let kind = self.field.kind.of(value);
                let scalar = text(value).and_then(|found| kind.read(&found));
                match scalar {
                    Some(scalar) => self.holds_for(value, scalar),
                    None => self.holds_for_no_scalar(value),
                }
            }),
        }
    }

    fn holds_for(&self, value: &Value, found: Scalar) -> bool {
        let wanted = match &self.wanted {
            Wanted::Value(wanted) => wanted,
            Wanted::Pattern(pattern) => {
                let is_match = value.as_str().map(|text| pattern.is_match(text));
                return is_match.is_some_and(|is| is == (self.operator == Operator::Matches));
            }
            // What is a scalar is there, and is not null.
            Wanted::Anything => return true,
            Wanted::Null => return self.operator == Operator::Differs,
        };
        if let (Scalar::Text(found), Operator::Has) = (&found, self.operator) {
            return found.contains(&folded(wanted));
        }
        let kind = found.kind();
        let order = kind.read(wanted).and_then(|wanted| found.partial_cmp(&wanted));
        order.is_some_and(|order| self.operator.allows(order))
    }

    /// An object or `null`.
    fn holds_for_no_scalar(&self, value: &Value) -> bool {
        match (&self.wanted, self.operator) {
            (Wanted::Value(wanted), Operator::Has) => contains(value, wanted),
            (Wanted::Null, Operator::Equals | Operator::Has) => value.is_null(),
            (Wanted::Null, Operator::Differs) => !value.is_null(),
            _ => false,
        }
    }
}

impl Operator {
    fn allows(self, order: Ordering) -> bool {
        match self {
            Operator::Equals | Operator::Has => order.is_eq(),
            Operator::Differs => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::AtMost => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::AtLeast => order.is_ge(),
            Operator::Matches | Operator::MatchesNot => false,
        }
    }
}

impl Scalar {
    fn kind(&self) -> Kind {
        match self {
            Scalar::Text(_) => Kind::Text,
            Scalar::Number(_) => Kind::Number,
            Scalar::Truth(_) => Kind::Truth,
            Scalar::Time(_) => Kind::Time,
            Scalar::Duration(_) => Kind::Duration,
            Scalar::Severity(_) => Kind::Severity,
        }
    }
}
