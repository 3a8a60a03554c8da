//! The figures, their limits, and which are over.

use std::fmt;

/// What a figure may be.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// This or less.
    AtMost(f64),
    /// Less than this.
    Under(f64),
    /// This alone.
    Exactly(f64),
}

/// Figures in the order that they were measured.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

enum Row {
    Section(String),
    Figure { name: String, value: String },
    Limited { name: String, value: String, limit: String, is_over: bool },
}

impl Limit {
    fn admits(self, value: f64) -> bool {
        match self {
            Limit::AtMost(limit) => value <= limit,
            Limit::Under(limit) => value < limit,
            Limit::Exactly(limit) => value == limit,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::AtMost(limit) => write!(f, "at most {limit}"),
            Limit::Under(limit) => write!(f, "under {limit}"),
            Limit::Exactly(limit) => write!(f, "exactly {limit}"),
        }
    }
}

impl Table {
    /// Begins a group of figures.
    pub(crate) fn section(&mut self, name: &str) {
        self.rows.push(Row::Section(name.to_owned()));
    }

    /// A figure that has no limit.
    pub(crate) fn figure(&mut self, name: &str, value: &str) {
        self.rows.push(Row::Figure { name: name.to_owned(), value: value.to_owned() });
    }

    /// A figure that has one.
    pub(crate) fn limit(&mut self, name: &str, value: f64, unit: &str, limit: Limit) {
        let decimals = if value.fract() == 0.0 { 0 } else { 2 };
        self.rows.push(Row::Limited {
            name: name.to_owned(),
            value: format!("{value:6.decimals$} {unit}"),
            limit: limit.to_string(),
            is_over: !limit.admits(value),
        });
    }

    /// Whether any figure is over its limit.
    pub(crate) fn is_over(&self) -> bool {
        let is_over = |row: &Row| matches!(row, Row::Limited { is_over: true, .. });
        self.rows.iter().any(is_over)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            match row {
                Row::Section(name) => writeln!(f, "\n{name}")?,
                Row::Figure { name, value } => writeln!(f, "  {name:34} {value}")?,
                Row::Limited { name, value, limit, is_over } => {
                    let mark = if *is_over { "OVER" } else { "ok" };
                    writeln!(f, "  {name:34} {value:12} {limit:14} {mark}")?;
                }
            }
        }
        Ok(())
    }
}
