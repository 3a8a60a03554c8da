//! Log lines as Cloud Logging reads them: one JSON object a line
//! (<https://cloud.google.com/logging/docs/structured-logging>).

use std::{
    collections::BTreeMap,
    fmt::{self, Debug},
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::outcome::Severity;

/// One event as one line.
pub(super) struct CloudLogging;

#[derive(Serialize)]
struct Line<'a> {
    severity: Severity,
    message: &'a str,
    time: Timestamp,
    target: &'a str,
    #[serde(flatten)]
    fields: &'a BTreeMap<&'static str, Value>,
}

impl<S, N> FormatEvent<S, N> for CloudLogging
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line {
            severity: match *event.metadata().level() {
                Level::ERROR => Severity::Error,
                Level::WARN => Severity::Warning,
                Level::INFO => Severity::Info,
                Level::DEBUG | Level::TRACE => Severity::Debug,
            },
            message: &fields.message,
            time: Timestamp::now(),
            target: event.metadata().target(),
            fields: &fields.fields,
        };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

/// An event's fields; those that would repeat a member of the line are kept under another name.
#[derive(Default)]
struct Fields {
    message: String,
    fields: BTreeMap<&'static str, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        let name = match field.name() {
            "message" => "field.message",
            "severity" => "field.severity",
            "time" => "field.time",
            "target" => "field.target",
            "invocation" => "field.invocation",
            name => name,
        };
        self.fields.insert(name, value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.add(field, format!("{value:?}").into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.add(field, value.into()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // Not a number becomes null: JSON has no other word for it.
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}
