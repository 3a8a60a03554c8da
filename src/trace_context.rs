//! The trace that a request belongs to, so that its record stands beside Cloud Run's own request log.
//!
//! W3C: <https://www.w3.org/TR/trace-context/#traceparent-header>; the older header:
//! <https://cloud.google.com/trace/docs/trace-context#http-requests>.

use actix_web::http::header::HeaderMap;

/// A trace and the span that called. Malformed headers are as good as none: tracing never fails work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    trace_id: u128,
    span_id: u64,
    /// Whether the caller records its trace.
    pub(crate) is_sampled: bool,
}

impl TraceContext {
    /// From `traceparent`, else from `X-Cloud-Trace-Context`.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let single = |name| {
            let mut values = headers.get_all(name);
            values.next().filter(|_| values.next().is_none())?.to_str().ok()
        };
        single("traceparent")
            .and_then(Self::from_traceparent)
            .or_else(|| single("x-cloud-trace-context").and_then(Self::from_cloud))
    }

    /// 32 lower-case hexadecimal digits.
    pub(crate) fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }

    /// 16 lower-case hexadecimal digits.
    pub(crate) fn span_id(&self) -> String {
        format!("{:016x}", self.span_id)
    }

    /// `00-<32 hex>-<16 hex>-<2 hex>`; versions above 00 may append fields.
    fn from_traceparent(value: &str) -> Option<Self> {
        let mut fields = value.split('-');
        let version = hex(fields.next()?, 2)?;
        let trace_id = hex(fields.next()?, 32)?;
        let span_id = hex(fields.next()?, 16)?;
        let flags = hex(fields.next()?, 2)?;
        if version == 0xff || (version == 0 && fields.next().is_some()) {
            return None;
        }
        Self::of(trace_id, u64::try_from(span_id).ok()?, flags & 1 == 1)
    }

    /// `<32 hex>/<decimal>;o=1`; the span and the options may be absent.
    fn from_cloud(value: &str) -> Option<Self> {
        let (ids, options) = value.split_once(';').unwrap_or((value, ""));
        let (trace_id, span_id) = ids.split_once('/').unwrap_or((ids, "0"));
        let trace_id = hex(&trace_id.to_ascii_lowercase(), 32)?;
        let context =
            Self { trace_id, span_id: span_id.parse().ok()?, is_sampled: options == "o=1" };
        (trace_id != 0).then_some(context)
    }

    fn of(trace_id: u128, span_id: u64, is_sampled: bool) -> Option<Self> {
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, is_sampled })
    }

    /// Whether the caller named its span.
    pub(crate) fn has_span(&self) -> bool {
        self.span_id != 0
    }
}

/// Exactly `digits` lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(is_digit))
        .then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn both_headers_name_the_same_trace_and_span() {
        let w3c =
            TraceContext::from_traceparent(&format!("00-{TRACE}-00f067aa0ba902b7-01")).unwrap();
        let cloud = TraceContext::from_cloud(&format!("{TRACE}/67667974448284343;o=1")).unwrap();
        assert_eq!(w3c, cloud);
        assert_eq!((w3c.trace_id().as_str(), w3c.span_id().as_str()), (TRACE, "00f067aa0ba902b7"));
        assert!(w3c.is_sampled && w3c.has_span());
        let bare = TraceContext::from_cloud(TRACE).unwrap();
        assert!(!bare.has_span() && !bare.is_sampled);
    }

    #[test]
    fn malformed_contexts_are_as_good_as_none() {
        for value in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::from_traceparent(value), None, "{value}");
        }
        for value in [
            "",
            "xyz/1;o=1",
            "4bf92f3577b34da6a3ce929d0e0e4736/-1",
            "00000000000000000000000000000000/1",
        ] {
            assert_eq!(TraceContext::from_cloud(value), None, "{value}");
        }
    }
}
