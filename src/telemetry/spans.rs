//! The spans of one attempt, made of what is known at its end.
//!
//! Names: <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>,
//! <https://opentelemetry.io/docs/specs/semconv/faas/faas-spans/>,
//! <https://opentelemetry.io/docs/specs/semconv/messaging/gcp-pubsub/>,
//! <https://opentelemetry.io/docs/specs/semconv/cloudevents/cloudevents-spans/>.

use std::{borrow::Cow, time::SystemTime};

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{Link, SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// Whose span an attempt is the child of, or is linked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) trace_id: u128,
    pub(crate) span_id: u64,
    pub(crate) is_sampled: bool,
}

/// The ids of an attempt's own spans, chosen at its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnSpan {
    pub(crate) trace_id: u128,
    /// Of the server's span.
    pub(crate) span_id: u64,
    /// Of the job's span, of which the job's own are children.
    pub(crate) job_span_id: u64,
    pub(crate) parent: Option<Remote>,
    /// The publisher's, where the request has a parent of its own.
    pub(crate) link: Option<Remote>,
    pub(crate) is_sampled: bool,
}

impl Remote {
    /// As OpenTelemetry has it.
    pub(crate) fn context(&self) -> SpanContext {
        context(self.trace_id, self.span_id, self.is_sampled, true)
    }
}

impl OwnSpan {
    /// The job's span, for what the job does.
    pub(crate) fn job_context(&self) -> SpanContext {
        context(self.trace_id, self.job_span_id, self.is_sampled, true)
    }
}

fn context(trace_id: u128, span_id: u64, is_sampled: bool, is_remote: bool) -> SpanContext {
    let flags = TraceFlags::default().with_sampled(is_sampled);
    SpanContext::new(
        TraceId::from(trace_id),
        SpanId::from(span_id),
        flags,
        is_remote,
        TraceState::NONE,
    )
}

/// What one span is to say.
pub(crate) struct Spanned {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: SpanKind,
    pub(crate) span_id: u64,
    /// The span that it is within; of the server's, the caller's.
    pub(crate) within: Option<u64>,
    pub(crate) start: SystemTime,
    pub(crate) end: SystemTime,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) status: Status,
}

impl OwnSpan {
    /// A span of this attempt. One that is kept at the end was not sampled at the beginning, and is by now.
    pub(crate) fn data(&self, one: Spanned) -> SpanData {
        let is_server = one.kind == SpanKind::Server;
        let mut links = SpanLinks::default();
        if let (true, Some(link)) = (is_server, &self.link) {
            links.links.push(Link::with_context(link.context()));
        }
        SpanData {
            span_context: context(self.trace_id, one.span_id, true, false),
            parent_span_id: one.within.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: is_server,
            span_kind: one.kind,
            name: one.name,
            start_time: one.start,
            end_time: one.end,
            attributes: one.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: one.status,
            instrumentation_scope: InstrumentationScope::builder("receiver")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}
