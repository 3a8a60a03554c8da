//! The fields of an entry, by their paths.

use serde_json::Value;

use super::{reader::Word, scalar::Kind};

/// A field that an entry may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    path: Vec<String>,
    pub(super) kind: Kind,
    /// Where it is absent it is compared as if it had the default of its type; what a payload or a label lacks matches
    /// nothing.
    pub(super) is_defaulted: bool,
}

/// What a name stands for.
enum Shape {
    Value(Kind),
    Fields(&'static [(&'static str, Shape)]),
    /// Texts under names that somebody chose.
    Labels,
    /// One of those texts.
    Label,
    /// Whatever a program put there, at any depth.
    Free,
}

/// Source: <https://cloud.google.com/logging/docs/view/logging-query-language#field_path_identifiers>.
const FIELDS: [(&str, Shape); 17] = [
    ("httpRequest", Shape::Fields(&HTTP_REQUEST)),
    ("insertId", Shape::Value(Kind::Text)),
    ("jsonPayload", Shape::Free),
    ("labels", Shape::Labels),
    ("logName", Shape::Value(Kind::Text)),
    ("metadata", Shape::Free),
    ("operation", Shape::Fields(&OPERATION)),
    ("protoPayload", Shape::Free),
    ("receiveTimestamp", Shape::Value(Kind::Time)),
    ("resource", Shape::Fields(&[("type", Shape::Value(Kind::Text)), ("labels", Shape::Labels)])),
    ("severity", Shape::Value(Kind::Severity)),
    ("sourceLocation", Shape::Fields(&SOURCE_LOCATION)),
    ("spanId", Shape::Value(Kind::Text)),
    ("textPayload", Shape::Value(Kind::Text)),
    ("timestamp", Shape::Value(Kind::Time)),
    ("trace", Shape::Value(Kind::Text)),
    ("traceSampled", Shape::Value(Kind::Truth)),
];

const HTTP_REQUEST: [(&str, Shape); 15] = [
    ("cacheFillBytes", Shape::Value(Kind::Number)),
    ("cacheHit", Shape::Value(Kind::Truth)),
    ("cacheLookup", Shape::Value(Kind::Truth)),
    ("cacheValidatedWithOriginServer", Shape::Value(Kind::Truth)),
    ("latency", Shape::Value(Kind::Duration)),
    ("protocol", Shape::Value(Kind::Text)),
    ("referer", Shape::Value(Kind::Text)),
    ("remoteIp", Shape::Value(Kind::Text)),
    ("requestMethod", Shape::Value(Kind::Text)),
    ("requestSize", Shape::Value(Kind::Number)),
    ("requestUrl", Shape::Value(Kind::Text)),
    ("responseSize", Shape::Value(Kind::Number)),
    ("serverIp", Shape::Value(Kind::Text)),
    ("status", Shape::Value(Kind::Number)),
    ("userAgent", Shape::Value(Kind::Text)),
];

const OPERATION: [(&str, Shape); 4] = [
    ("first", Shape::Value(Kind::Truth)),
    ("id", Shape::Value(Kind::Text)),
    ("last", Shape::Value(Kind::Truth)),
    ("producer", Shape::Value(Kind::Text)),
];

const SOURCE_LOCATION: [(&str, Shape); 3] = [
    ("file", Shape::Value(Kind::Text)),
    ("function", Shape::Value(Kind::Text)),
    ("line", Shape::Value(Kind::Number)),
];

impl Field {
    /// The field of that path.
    ///
    /// # Errors
    /// A sentence that says which names there are.
    pub(super) fn of(words: Vec<Word>) -> Result<Field, String> {
        let mut path: Vec<String> = words.into_iter().map(|word| word.text).collect();
        let mut shape = &Shape::Fields(&FIELDS);
        let mut of = "an entry".to_owned();
        for at in path.iter_mut() {
            match shape {
                Shape::Value(_) => return Err(format!("{of} has no fields, so no {at:?}")),
                Shape::Fields(fields) => {
                    let Some((name, next)) = fields.iter().find(|(name, _)| is_same(name, at))
                    else {
                        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                        let names = names.join(", ");
                        return Err(format!("{of} has no field {at:?}; expected one of {names}"));
                    };
                    (*name).clone_into(at);
                    shape = next;
                }
                Shape::Labels => shape = &Shape::Label,
                Shape::Label => {
                    return Err(format!(
                        "{of} has no field {at:?}; a label with dots needs quotes"
                    ));
                }
                Shape::Free => {}
            }
            at.clone_into(&mut of);
        }
        let (kind, is_defaulted) = match shape {
            Shape::Value(kind) => (*kind, true),
            Shape::Label => (Kind::Text, false),
            Shape::Fields(_) | Shape::Labels | Shape::Free => (Kind::AsFound, false),
        };
        Ok(Field { path, kind, is_defaulted })
    }

    /// Its values in an entry: none, one, or those of an array.
    pub(super) fn values<'a>(&self, entry: &'a Value) -> Vec<&'a Value> {
        let mut values = Vec::new();
        reach(entry, &self.path, &mut values);
        values
    }
}

fn reach<'a>(value: &'a Value, path: &[String], values: &mut Vec<&'a Value>) {
    match (value, path) {
        (Value::Array(members), _) => {
            members.iter().for_each(|member| reach(member, path, values));
        }
        (found, []) => values.push(found),
        (Value::Object(members), [next, rest @ ..]) => {
            if let Some(member) = members.get(next) {
                reach(member, rest, values);
            }
        }
        _ => {}
    }
}

/// The entry's own names are known in any case and with underscores as well.
fn is_same(name: &str, given: &str) -> bool {
    name.eq_ignore_ascii_case(&given.replace('_', ""))
}
