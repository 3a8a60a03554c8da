//! How each kind of value is read, shown and described.

use std::{
    fmt::{Debug, Display},
    net::IpAddr,
    str::FromStr,
    time::Duration,
};

use actix_web::http::{Uri, header::HeaderName};
use jiff::SignedDuration;
use tracing::level_filters::LevelFilter;

use super::{DedupStore, LogFormat};
use crate::outcome::GiveUp;

/// One kind of value.
pub(super) struct Value<T> {
    /// What is expected, as the end of "expected …".
    pub(super) expected: &'static str,
    pub(super) parse: fn(&str) -> Option<T>,
    pub(super) show: fn(&T) -> String,
}

pub(super) fn ip() -> Value<IpAddr> {
    Value {
        expected: "an IP address, such as 0.0.0.0 or 127.0.0.1",
        parse: |text| text.parse().ok(),
        show: IpAddr::to_string,
    }
}

pub(super) fn port() -> Value<u16> {
    Value {
        expected: "a port from 0 to 65535",
        parse: |text| text.parse().ok(),
        show: u16::to_string,
    }
}

/// A count that cannot be zero.
pub(super) fn count<T: FromStr + Display + PartialOrd + From<u16>>() -> Value<T> {
    Value {
        expected: "a whole number from 1 to 65535",
        parse: |text| {
            text.parse().ok().filter(|number| *number >= T::from(1) && *number <= T::from(u16::MAX))
        },
        show: T::to_string,
    }
}

pub(super) fn bytes() -> Value<usize> {
    Value {
        expected: "a size from 1KiB to 1GiB, such as 512KiB or 14MiB",
        parse: parse_bytes,
        show: |bytes| show_bytes(*bytes),
    }
}

fn parse_bytes(text: &str) -> Option<usize> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    let bytes = digits.parse::<usize>().ok()?.checked_mul(unit)?;
    (1 << 10..=1 << 30).contains(&bytes).then_some(bytes)
}

/// A size in the largest unit that leaves it whole.
pub(super) fn show_bytes(bytes: usize) -> String {
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    format!("{bytes}B")
}

pub(super) fn duration() -> Value<Duration> {
    Value {
        expected: "a time from 1s to 1h, such as 55s, 1500ms or 10m",
        parse: |text| {
            let duration = Duration::try_from(text.parse::<SignedDuration>().ok()?).ok()?;
            (Duration::from_secs(1)..=Duration::from_secs(3600))
                .contains(&duration)
                .then_some(duration)
        },
        show: |duration| show_duration(*duration),
    }
}

/// A time as settings write it.
pub(super) fn show_duration(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

pub(super) fn give_up() -> Value<GiveUp> {
    choice("ack or nack", |text| match text {
        "ack" => Some(GiveUp::Ack),
        "nack" => Some(GiveUp::Nack),
        _ => None,
    })
}

pub(super) fn dedup() -> Value<DedupStore> {
    choice("memory or off", |text| match text {
        "memory" => Some(DedupStore::Memory),
        "off" => Some(DedupStore::Off),
        _ => None,
    })
}

pub(super) fn log_format() -> Value<LogFormat> {
    choice("json or text", |text| match text {
        "json" => Some(LogFormat::Json),
        "text" => Some(LogFormat::Text),
        _ => None,
    })
}

/// A value that is shown as its variant's name in lower case.
fn choice<T: Debug>(expected: &'static str, parse: fn(&str) -> Option<T>) -> Value<T> {
    Value { expected, parse, show: |choice| format!("{choice:?}").to_lowercase() }
}

pub(super) fn level() -> Value<LevelFilter> {
    Value {
        expected: "error, warn, info, debug or trace",
        parse: |text| text.parse().ok().filter(|_| !text.bytes().all(|byte| byte.is_ascii_digit())),
        show: LevelFilter::to_string,
    }
}

pub(super) fn text() -> Value<String> {
    Value { expected: "a text", parse: |text| Some(text.to_owned()), show: String::clone }
}

/// `|`-separated, since a comma ends a value in gcloud's `--set-env-vars`.
pub(super) fn list() -> Value<Vec<String>> {
    Value {
        expected: "one or more values, separated by |",
        parse: |text| {
            let entries: Vec<String> = text
                .split('|')
                .map(str::trim)
                .filter(|entry| !entry.is_empty())
                .map(str::to_owned)
                .collect();
            (!entries.is_empty()).then_some(entries)
        },
        show: |entries| entries.join("|"),
    }
}

/// An absolute URL, on `http` for an emulator alone.
pub(super) fn url() -> Value<String> {
    Value {
        expected: "an absolute URL, such as https://www.googleapis.com/oauth2/v3/certs",
        parse: |text| {
            let uri: Uri = text.parse().ok()?;
            let is_absolute =
                matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
            is_absolute.then(|| text.to_owned())
        },
        show: String::clone,
    }
}

/// Whether this service verifies tokens itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    /// It does.
    Verify,
    /// A front end has.
    Platform,
}

pub(super) fn auth() -> Value<Auth> {
    choice("verify (check each ID token here) or platform (a front end has)", |text| match text {
        "verify" => Some(Auth::Verify),
        "platform" => Some(Auth::Platform),
        _ => None,
    })
}

/// Where a front end leaves the identity that it verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PlatformIdentity {
    /// Cloud Run's IAM check.
    CloudRun,
    /// IAP's signed assertion.
    Iap,
    /// A proxy's header.
    Header(HeaderName),
}

pub(super) fn platform_identity() -> Value<PlatformIdentity> {
    Value {
        expected: "cloud-run, iap, or the header that your proxy sets, which begins with x-, such as x-endpoint-api-userinfo, \
                   x-apigateway-api-userinfo or x-jwt-payload",
        parse: |text| match text {
            "cloud-run" => Some(PlatformIdentity::CloudRun),
            "iap" => Some(PlatformIdentity::Iap),
            // Anything shorter would take a typing mistake for a header.
            _ if text.to_ascii_lowercase().starts_with("x-") => {
                text.parse().ok().map(PlatformIdentity::Header)
            }
            _ => None,
        },
        show: |identity| match identity {
            PlatformIdentity::CloudRun => "cloud-run".to_owned(),
            PlatformIdentity::Iap => "iap".to_owned(),
            PlatformIdentity::Header(name) => name.to_string(),
        },
    }
}

/// `1` to allow, which is the only way to say so.
pub(super) fn switch() -> Value<bool> {
    Value {
        expected: "1, or nothing",
        parse: |text| (text == "1").then_some(true),
        show: |is_on| u8::from(*is_on).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_with_their_units_and_shown_the_same_way() {
        for (text, expected) in [
            ("14MiB", Some(14 << 20)),
            ("1024", Some(1024)),
            ("1 KiB", Some(1024)),
            ("1MB", None),
            ("0", None),
            ("2GiB", None),
            ("", None),
            ("99999999999999999999GiB", None),
        ] {
            assert_eq!((bytes().parse)(text), expected, "{text}");
        }
        assert_eq!(show_bytes(14 << 20), "14MiB");
        assert_eq!(show_bytes(1500), "1500B");
        for (text, expected) in [
            ("55s", Some(55_000)),
            ("1500ms", Some(1500)),
            ("10m", Some(600_000)),
            ("5", None),
            ("-5s", None),
            ("2h", None),
            ("soon", None),
        ] {
            assert_eq!((duration().parse)(text), expected.map(Duration::from_millis), "{text}");
        }
        assert_eq!(show_duration(Duration::from_millis(1500)), "1500ms");
    }
}
