//! The Logging query language: which entries are asked for.
//!
//! It has comparisons, `AND`, `OR`, `NOT`, parentheses, lists of values, texts that any field may hold, and `log_id`;
//! the other functions are refused by name. Letter case is ignored as far as lower case goes, where Google normalises
//! by NFKC; regular expressions are RE2's without Unicode classes.
//!
//! Source: <https://cloud.google.com/logging/docs/view/logging-query-language>.

mod comparison;
mod field;
mod parser;
mod reader;
mod scalar;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use self::{comparison::Comparison, scalar::contains};
use crate::api::error::ApiError;

/// In characters.
const LONGEST: usize = 20_000;

/// A filter that was read. The default is the empty one, which every entry matches.
#[derive(Debug)]
pub(super) struct Filter(Condition);

impl Default for Filter {
    fn default() -> Filter {
        Filter(Condition::All(Vec::new()))
    }
}

#[derive(Debug)]
enum Condition {
    Compares(Comparison),
    /// Some field holds this text.
    Somewhere(String),
    /// `log_id("run.googleapis.com/stdout")`.
    LogId(String),
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
        let refused = |fault: String| ApiError::invalid_field("filter", format!("{fault}."));
        if text.chars().count() > LONGEST {
            return Err(refused(format!("it is longer than {LONGEST} characters")));
        }
        parser::condition(text).map(Filter).map_err(refused)
    }

    /// Whether `entry`, a `LogEntry` in JSON, is asked for.
    pub(super) fn matches(&self, entry: &Value) -> bool {
        self.0.holds(entry)
    }
}

impl Condition {
    fn holds(&self, entry: &Value) -> bool {
        match self {
            Condition::Compares(comparison) => comparison.holds(entry),
            Condition::Somewhere(text) => contains(entry, text),
            Condition::LogId(id) => {
                let name = entry.get("logName").and_then(Value::as_str).unwrap_or_default();
                let of_name = name.rsplit_once("/logs/").map_or("", |(_, id)| id);
                percent_decode_str(of_name).decode_utf8_lossy().eq_ignore_ascii_case(id)
            }
            Condition::Not(condition) => !condition.holds(entry),
            Condition::All(conditions) => conditions.iter().all(|one| one.holds(entry)),
            Condition::Any(conditions) => conditions.iter().any(|one| one.holds(entry)),
        }
    }
}

#[cfg(test)]
mod tests;
