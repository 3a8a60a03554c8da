//! A job's own `tracing` spans, as children of the job's span.

use std::{fmt::Debug, time::SystemTime};

use opentelemetry::{
    KeyValue, Value,
    trace::{SpanKind, Status},
};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{
    handle::Telemetry,
    spans::{OwnSpan, Spanned},
};
use crate::record::current;

/// Takes spans along that are made within an attempt whose trace is kept; all others cost nothing.
pub(super) struct JobSpans;

/// A span that is open.
struct Open {
    telemetry: Telemetry,
    own: OwnSpan,
    span_id: u64,
    within: u64,
    start: SystemTime,
    attributes: Vec<KeyValue>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JobSpans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some((own, telemetry)) = current::kept() else { return };
        let Some(span) = context.span(id) else { return };
        let within = span
            .parent()
            .and_then(|parent| parent.extensions().get::<Open>().map(|open| open.span_id));
        let mut fields = Fields(Vec::new());
        attributes.record(&mut fields);
        span.extensions_mut().insert(Open {
            span_id: telemetry.new_span_id(),
            telemetry,
            own,
            within: within.unwrap_or(own.job_span_id),
            start: SystemTime::now(),
            attributes: fields.0,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            let mut fields = Fields(std::mem::take(&mut open.attributes));
            values.record(&mut fields);
            open.attributes = fields.0;
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        let data = open.own.data(Spanned {
            name: span.name().into(),
            kind: SpanKind::Internal,
            span_id: open.span_id,
            within: Some(open.within),
            start: open.start,
            end: SystemTime::now(),
            attributes: open.attributes,
            status: Status::Unset,
        });
        open.telemetry.take(vec![data]);
    }
}

struct Fields(Vec<KeyValue>);

impl Fields {
    /// A field that is recorded again has its last value: a span has each attribute once, and so no more than it was made
    /// with.
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|known| known.key.as_str() == field.name()) {
            Some(known) => known.value = value,
            None => self.0.push(KeyValue::new(field.name(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, oidc::shown(&format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, oidc::shown(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }
}
