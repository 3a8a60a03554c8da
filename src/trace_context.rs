//! The trace that a request belongs to, so that its record stands beside Cloud Run's own request log.
//!
//! W3C: <https://www.w3.org/TR/trace-context/#traceparent-header>; the older header:
//! <https://cloud.google.com/trace/docs/trace-context#http-requests>.

use actix_web::http::header::HeaderMap;

use crate::telemetry::spans::Remote;

/// A trace and the span that called. Malformed headers are as good as none: tracing never fails work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    trace_id: u128,
    span_id: u64,
    /// Whether the caller records its trace; `None` where it leaves that to others.
    pub(crate) is_sampled: Option<bool>,
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

    /// As a span of somebody else's.
    pub(crate) fn remote(&self) -> Remote {
        let is_sampled = self.is_sampled.unwrap_or(false);
        Remote { trace_id: self.trace_id, span_id: self.span_id, is_sampled }
    }

    /// `00-<32 hex>-<16 hex>-<2 hex>`; versions above 00 may append fields.
    pub(crate) fn from_traceparent(value: &str) -> Option<Self> {
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
        let is_sampled = options.strip_prefix("o=").map(|options| options == "1");
        let context = Self { trace_id, span_id: span_id.parse().ok()?, is_sampled };
        (trace_id != 0).then_some(context)
    }

    fn of(trace_id: u128, span_id: u64, is_sampled: bool) -> Option<Self> {
        (trace_id != 0 && span_id != 0).then_some(Self {
            trace_id,
            span_id,
            is_sampled: Some(is_sampled),
        })
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
        let trace_id = u128::from_str_radix(TRACE, 16).unwrap();
        let expected = Remote { trace_id, span_id: 0x00f0_67aa_0ba9_02b7, is_sampled: true };
        assert_eq!(w3c.remote(), expected);
        let bare = TraceContext::from_cloud(TRACE).unwrap();
        assert_eq!(bare.remote(), Remote { trace_id, span_id: 0, is_sampled: false });
        assert_eq!(bare.is_sampled, None, "it leaves that to others");
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
