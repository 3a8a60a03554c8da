//! The trace that a request is sent within.

use opentelemetry::{Context, trace::TraceContextExt};

/// W3C's header (<https://www.w3.org/TR/trace-context/#traceparent-header>).
pub(crate) const TRACEPARENT: &str = "traceparent";

/// The header's value for the span that is current, if one is.
pub(crate) fn traceparent() -> Option<String> {
    Context::map_current(|context| {
        let span = context.span().span_context().clone();
        span.is_valid().then(|| {
            format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8())
        })
    })
}

#[cfg(test)]
mod tests {
    use opentelemetry::{
        SpanId, TraceFlags, TraceId,
        trace::{SpanContext, TraceState},
    };

    use super::*;

    #[test]
    fn the_current_span_is_named_as_w3c_has_it() {
        assert_eq!(traceparent(), None);
        let (trace_id, span_id) = (TraceId::from(0x0af7_u128), SpanId::from(0xb7ad_u64));
        let span = SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, true, TraceState::NONE);
        let _current = Context::new().with_remote_span_context(span).attach();
        let expected = "00-00000000000000000000000000000af7-000000000000b7ad-01";
        assert_eq!(traceparent().as_deref(), Some(expected));
    }
}
