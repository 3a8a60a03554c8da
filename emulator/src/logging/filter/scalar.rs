//! Values that can be compared, of the types that fields have.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use serde_json::Value;

use crate::logging::severity::Severity;

/// A field's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Truth,
    Time,
    Duration,
    Severity,
    /// Whatever an entry has there, as in a payload.
    AsFound,
}

/// A value of one of those types. Values of two types are not ordered.
#[derive(Debug, PartialEq, PartialOrd)]
pub(super) enum Scalar {
    /// In lower case.
    Text(String),
    Number(f64),
    Truth(bool),
    Time(Timestamp),
    Duration(SignedDuration),
    Severity(Severity),
}

impl Kind {
    /// What an error calls it.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Kind::Text | Kind::AsFound => "a text",
            Kind::Number => "a number",
            Kind::Truth => "true or false",
            Kind::Time => "a time such as \"2026-01-31T23:59:59Z\" or \"2026-01-31\"",
            Kind::Duration => "a duration such as \"1.5s\" or \"20ms\"",
            Kind::Severity => {
                "one of DEFAULT, DEBUG, INFO, NOTICE, WARNING, ERROR, CRITICAL, ALERT, EMERGENCY"
            }
        }
    }

    /// What an entry without such a field has.
    pub(super) fn default(self) -> Scalar {
        match self {
            Kind::Text | Kind::AsFound => Scalar::Text(String::new()),
            Kind::Number => Scalar::Number(0.0),
            Kind::Truth => Scalar::Truth(false),
            Kind::Time => Scalar::Time(Timestamp::UNIX_EPOCH),
            Kind::Duration => Scalar::Duration(SignedDuration::ZERO),
            Kind::Severity => Scalar::Severity(Severity::Default),
        }
    }

    /// `text` as a value of this type, if it can be one.
    pub(super) fn read(self, text: &str) -> Option<Scalar> {
        match self {
            Kind::Text | Kind::AsFound => Some(Scalar::Text(folded(text))),
            Kind::Number => text.parse().ok().map(Scalar::Number),
            Kind::Truth => folded(text).parse().ok().map(Scalar::Truth),
            Kind::Time => time(text).map(Scalar::Time),
            Kind::Duration => duration(text).map(Scalar::Duration),
            Kind::Severity => Severity::named(text).map(Scalar::Severity),
        }
    }

    /// The type that a value of a field of this type is compared as.
    pub(super) fn of(self, value: &Value) -> Kind {
        match (self, value) {
            (Kind::AsFound, Value::Number(_)) => Kind::Number,
            (Kind::AsFound, Value::Bool(_)) => Kind::Truth,
            (Kind::AsFound, _) => Kind::Text,
            (kind, _) => kind,
        }
    }
}

/// RFC 3339, or ISO 8601 without an offset, which is UTC.
fn time(text: &str) -> Option<Timestamp> {
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    text.parse().ok().or_else(|| text.parse().ok().and_then(utc))
}

/// A decimal number and its unit.
fn duration(text: &str) -> Option<SignedDuration> {
    let units = [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let read = |(unit, seconds): (&str, f64)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        SignedDuration::try_from_secs_f64(number * seconds).ok()
    };
    units.into_iter().find_map(read)
}

/// Case is ignored by comparing in lower case.
pub(super) fn folded(text: &str) -> String {
    text.to_lowercase()
}

/// A scalar as text; `None` for what is none.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether a value, or anything in it, has `wanted`: as a part of a text, or as another scalar's value.
pub(super) fn contains(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Array(members) => members.iter().any(|member| contains(member, wanted)),
        Value::Object(members) => members.values().any(|member| contains(member, wanted)),
        Value::String(text) => folded(text).contains(&folded(wanted)),
        scalar => {
            let kind = Kind::AsFound.of(scalar);
            let read = |text: &str| kind.read(text);
            text(scalar).is_some_and(|found| read(&found) == read(wanted))
        }
    }
}
