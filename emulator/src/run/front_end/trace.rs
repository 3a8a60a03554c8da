//! The trace that a request belongs to, in both spellings that Cloud Run sends.
//!
//! Sources: <https://cloud.google.com/trace/docs/trace-context>, <https://www.w3.org/TR/trace-context/>.

use aws_lc_rs::rand;
use reqwest::header::HeaderMap;

use super::forwarded::set;

const TRACEPARENT: &str = "traceparent";
const CLOUD_TRACE: &str = "x-cloud-trace-context";

/// One span of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceContext {
    /// Never 0.
    trace_id: u128,
    /// Never 0: hexadecimal in `traceparent`, decimal in Google's own header.
    span_id: u64,
    sampled: bool,
}

impl TraceContext {
    /// A span of the front end in the trace that the client is in, or else in a new one, which is sampled. `None`
    /// without a random source: such a request goes on without.
    pub(super) fn continued(headers: &HeaderMap) -> Option<TraceContext> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let sent = text(TRACEPARENT)
            .and_then(read_traceparent)
            .or_else(|| text(CLOUD_TRACE).and_then(read_cloud_trace));
        let (trace_id, sampled) = match sent {
            Some(sent) => sent,
            None => (u128::from_be_bytes(random()?) | 1, true),
        };
        Some(TraceContext { trace_id, span_id: u64::from_be_bytes(random()?) | 1, sampled })
    }

    /// Writes both headers.
    pub(super) fn write(&self, headers: &mut HeaderMap) {
        let TraceContext { trace_id, span_id, sampled } = self;
        let flag = u8::from(*sampled);
        set(headers, TRACEPARENT, &format!("00-{trace_id:032x}-{span_id:016x}-{flag:02x}"));
        set(headers, CLOUD_TRACE, &format!("{trace_id:032x}/{span_id};o={flag}"));
    }
}

/// `00-TRACE-SPAN-FLAGS`: the trace, and whether it is sampled.
fn read_traceparent(text: &str) -> Option<(u128, bool)> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_whole = version == "00" && parts.next().is_none() && hex(span, 16)? != 0;
    let trace_id = hex(trace, 32).filter(|_| is_whole)?;
    Some((trace_id, hex(flags, 2)? & 1 == 1)).filter(|_| trace_id != 0)
}

/// `TRACE[/SPAN][;o=FLAG]`: the same.
fn read_cloud_trace(text: &str) -> Option<(u128, bool)> {
    let (context, options) = text.split_once(";o=").unwrap_or((text, "0"));
    let (trace, _) = context.split_once('/').unwrap_or((context, ""));
    let trace_id = hex(trace, 32)?;
    Some((trace_id, options == "1")).filter(|_| trace_id != 0)
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

fn random<const BYTES: usize>() -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn written(sent: &[(&'static str, &str)]) -> (String, String) {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            set(&mut headers, name, value);
        }
        TraceContext::continued(&headers).unwrap().write(&mut headers);
        let text = |name| headers[name].to_str().unwrap().to_owned();
        (text(TRACEPARENT), text(CLOUD_TRACE))
    }

    #[test]
    fn both_headers_name_the_same_span() {
        let (traceparent, cloud_trace) = written(&[]);
        let parts: Vec<&str> = traceparent.split('-').collect();
        let span_id = u64::from_str_radix(parts[2], 16).unwrap();
        assert_eq!((parts[0], parts[3]), ("00", "01"));
        assert_eq!(cloud_trace, format!("{}/{span_id};o=1", parts[1]));
        assert_ne!(written(&[]).0, traceparent, "each request has its own");
    }

    #[test]
    fn a_client_s_trace_goes_on_with_another_span() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let unsampled = format!("00-{TRACE}-00f067aa0ba902b7-00");
        let other = format!("{}/1;o=1", "a".repeat(32));
        let google_s = format!("{TRACE}/1;o=1");
        for (sent, sampled) in [
            (vec![(TRACEPARENT, parent.as_str())], "01"),
            (vec![(TRACEPARENT, unsampled.as_str()), (CLOUD_TRACE, other.as_str())], "00"),
            (vec![(CLOUD_TRACE, google_s.as_str())], "01"),
            (vec![(CLOUD_TRACE, TRACE)], "00"),
        ] {
            let (traceparent, cloud_trace) = written(&sent);
            assert!(traceparent.starts_with(&format!("00-{TRACE}-")), "{sent:?}");
            assert!(traceparent.ends_with(sampled), "{sent:?}");
            assert!(!traceparent.contains("00f067aa0ba902b7"), "{sent:?}");
            assert!(cloud_trace.starts_with(&format!("{TRACE}/")), "{sent:?}");
        }
    }

    #[test]
    fn what_is_no_trace_context_begins_a_new_trace() {
        for parent in [
            "",
            "00-xyz-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        ] {
            let (traceparent, _) = written(&[(TRACEPARENT, parent)]);
            assert!(!traceparent.contains("4bf92f35"), "{parent}");
            assert_eq!(traceparent.len(), 55, "{parent}");
        }
    }
}
