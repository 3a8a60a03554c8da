//! Arguments of one value that are checked before anything starts.

use std::net::SocketAddr;

use jiff::Timestamp;
use reqwest::Url;

/// An absolute `http` or `https` URL, as it was written.
pub(super) fn url(argument: &str) -> Result<String, &'static str> {
    match Url::parse(argument) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(argument.to_owned()),
        _ => Err("expected an absolute URL, such as http://127.0.0.1:8080"),
    }
}

/// Where to listen.
pub(super) fn address(argument: &str) -> Result<SocketAddr, &'static str> {
    argument.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:0")
}

/// An RFC 3339 time with any offset, as it was written.
pub(super) fn rfc_3339(argument: &str) -> Result<String, &'static str> {
    // Jiff also reads other forms of ISO 8601, which a sender would not write.
    if argument.parse::<Timestamp>().is_ok() && has_rfc_3339_shape(argument) {
        return Ok(argument.to_owned());
    }
    Err("expected an RFC 3339 time, such as 2026-10-05T01:41:00-07:00")
}

/// Whether the seconds, the `T` and both parts of the offset are there.
fn has_rfc_3339_shape(time: &str) -> bool {
    let Some((date_and_time, rest)) = time.split_at_checked(19) else {
        return false;
    };
    let offset = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    has_shape(date_and_time, "0000-00-00T00:00:00")
        && ["Z", "+00:00", "-00:00"].iter().any(|shape| has_shape(offset, shape))
}

/// Whether `text` is `shape` with any digits for its zeros.
fn has_shape(text: &str, shape: &str) -> bool {
    let fits = |(byte, pattern): (u8, u8)| match pattern {
        b'0' => byte.is_ascii_digit(),
        _ => byte == pattern,
    };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_of_http_and_a_host() {
        for good in ["http://127.0.0.1:8080", "https://a.example/b?c=d", "http://[::1]:1/"] {
            assert_eq!(url(good).unwrap(), good);
        }
        for bad in ["", "nonsense", "localhost:8080/x", "/x", "ftp://a", "http://", "http://a:x"] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_rfc_3339_and_kept_as_written() {
        for good in [
            "2026-10-05T01:41:00Z",
            "2026-10-05T01:41:00-07:00",
            "2026-10-05T01:41:00.123456+05:30",
        ] {
            assert_eq!(rfc_3339(good).unwrap(), good);
        }
        for bad in [
            "",
            "yesterday",
            "2026-10-05",
            "2026-10-05T01:41:00",
            "2026-10-05 01:41:00Z",
            "2026-10-05T01:41Z",
            "2026-10-05T01:41:00-07",
            "2026-10-05T01:41:00-0700",
            "2026-10-05T01:41:00Z[Etc/UTC]",
            "2026-13-05T01:41:00Z",
            "2026-10-05T01:41:0é",
        ] {
            assert!(rfc_3339(bad).is_err(), "{bad}");
        }
    }
}
