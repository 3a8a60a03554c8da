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

use crate::{outcome::Severity, record::current, senders::Sender};

/// One event as one line.
pub(super) struct CloudLogging;

#[derive(Serialize)]
struct Line<'a> {
    severity: Severity,
    message: &'a str,
    time: Timestamp,
    target: &'a str,
    #[serde(rename = "logging.googleapis.com/trace", skip_serializing_if = "Option::is_none")]
    trace: Option<&'a str>,
    #[serde(rename = "logging.googleapis.com/spanId", skip_serializing_if = "Option::is_none")]
    span_id: Option<&'a str>,
    #[serde(
        rename = "logging.googleapis.com/trace_sampled",
        skip_serializing_if = "Option::is_none"
    )]
    trace_sampled: Option<bool>,
    #[serde(rename = "logging.googleapis.com/labels", skip_serializing_if = "Option::is_none")]
    labels: Option<Labels<'a>>,
    #[serde(flatten)]
    fields: &'a BTreeMap<&'static str, Value>,
}

/// As the attempt's record has them, but for the outcome, which is not known yet.
#[derive(Serialize)]
struct Labels<'a> {
    sender: Sender,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
}

/// The longest text that all fields of a line have together, in bytes; escaped it stays under the 256 KiB of an entry
/// (<https://cloud.google.com/logging/quotas#log-limits>).
const MOST_TEXT_BYTES: usize = 32 << 10;

/// Where a text was cut.
const CUT: &str = "… [cut]";

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
        let mut fields = Fields { room: MOST_TEXT_BYTES, ..Fields::default() };
        event.record(&mut fields);
        let marks = current::marks();
        let marks = marks.as_ref();
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
            trace: marks.and_then(|marks| marks.trace.as_deref()),
            span_id: marks.and_then(|marks| marks.span_id.as_deref()),
            trace_sampled: marks.and_then(|marks| marks.is_sampled),
            labels: marks.map(|marks| Labels { sender: marks.sender, job: marks.job.as_deref() }),
            fields: &fields.fields,
        };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

/// An event's fields; those that would repeat a member of the line, or that Cloud Logging would take for its own, are kept
/// under another name.
#[derive(Default)]
struct Fields {
    message: String,
    fields: BTreeMap<&'static str, Value>,
    /// How many bytes of text there is still room for.
    room: usize,
}

impl Fields {
    /// The text as far as there is room for it.
    fn text(&mut self, text: &str) -> String {
        if text.len() <= self.room {
            self.room -= text.len();
            return text.to_owned();
        }
        let end = (0..=self.room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.room = 0;
        format!("{}{CUT}", &text[..end])
    }

    fn add(&mut self, field: &Field, value: Value) {
        let name = match field.name() {
            "message" => "field.message",
            "severity" => "field.severity",
            "time" => "field.time",
            "timestamp" => "field.timestamp",
            "timestampSeconds" => "field.timestampSeconds",
            "timestampNanos" => "field.timestampNanos",
            "httpRequest" => "field.httpRequest",
            "target" => "field.target",
            "invocation" => "field.invocation",
            name => name,
        };
        self.fields.insert(name, value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text = self.text(value);
        match field.name() {
            "message" => self.message = text,
            _ => self.add(field, text.into()),
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
