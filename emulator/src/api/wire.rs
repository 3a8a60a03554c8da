//! How protocol buffers look in JSON (<https://protobuf.dev/programming-guides/json/>): durations, bytes, 64-bit numbers,
//! and enums by name or by number.

use std::{fmt, time::Duration};

use base64::{
    Engine,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// `"3.5s"`: a duration that is not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WireDuration(pub(crate) Duration);

impl WireDuration {
    pub(crate) const fn seconds(seconds: u64) -> WireDuration {
        WireDuration(Duration::from_secs(seconds))
    }

    pub(crate) const fn milliseconds(milliseconds: u64) -> WireDuration {
        WireDuration(Duration::from_millis(milliseconds))
    }
}

impl Serialize for WireDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (seconds, nanoseconds) = (self.0.as_secs(), self.0.subsec_nanos());
        // Google writes 0, 3, 6 or 9 digits.
        let text = match nanoseconds {
            0 => format!("{seconds}s"),
            n if n % 1_000_000 == 0 => format!("{seconds}.{:03}s", n / 1_000_000),
            n if n % 1000 == 0 => format!("{seconds}.{:06}s", n / 1000),
            n => format!("{seconds}.{n:09}s"),
        };
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for WireDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WireDuration, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(WireDuration).ok_or_else(|| {
            D::Error::custom(format!("{text:?} is no duration; expected seconds, such as \"3.5s\""))
        })
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (seconds, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    // `google.protobuf.Duration` ends at ten thousand years.
    let seconds = seconds.parse().ok().filter(|seconds| *seconds <= 315_576_000_000)?;
    Some(Duration::new(seconds, nanoseconds))
}

/// Bytes as base64; read in both alphabets, padded or not, and written in the standard one.
///
/// Its `Debug` shows how many, for they may be a payload.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct WireBytes(pub(crate) Bytes);

impl fmt::Debug for WireBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD_BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL_SAFE_BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

impl Serialize for WireBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for WireBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WireBytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD_BASE64
            .decode(&text)
            .or_else(|_| URL_SAFE_BASE64.decode(&text))
            .map(|bytes| WireBytes(bytes.into()))
            // Without the text: it may be a payload.
            .map_err(|_| D::Error::custom("bytes that are no base64"))
    }
}

/// A 64-bit number: written as a string, read as either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Int64(pub(crate) i64);

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Int64, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(i64),
            Text(String),
        }
        match Either::deserialize(deserializer)? {
            Either::Number(number) => Ok(Int64(number)),
            Either::Text(text) => text
                .parse()
                .map(Int64)
                .map_err(|_| D::Error::custom(format!("{text:?} is no 64-bit number"))),
        }
    }
}

/// An enum of protocol buffers: read by name or by number, written by name; the default is number 0.
macro_rules! wire_enum {
    ($(#[$about:meta])* $name:ident { $($(#[$note:meta])* $variant:ident = $number:literal $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name { $($(#[$note])* $variant),+ }

        impl $name {
            /// The name on the wire.
            pub(crate) const fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl Default for $name {
            fn default() -> $name {
                [$(($number, $name::$variant)),+]
                    .into_iter()
                    .find_map(|(number, value)| (number == 0_i64).then_some(value))
                    .unwrap_or([$($name::$variant),+][0])
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                $crate::api::wire::read_enum(
                    deserializer,
                    &[$(($number, $word, $name::$variant)),+],
                )
            }
        }
    };
}
pub(crate) use wire_enum;

/// What [`wire_enum`] reads with.
pub(crate) fn read_enum<'de, D: Deserializer<'de>, T: Copy>(
    deserializer: D,
    known: &[(i64, &str, T)],
) -> Result<T, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Name(String),
    }
    let given = Either::deserialize(deserializer)?;
    let found = known.iter().find(|(number, name, _)| match &given {
        Either::Number(given) => given == number,
        Either::Name(given) => given == name,
    });
    found.map(|(_, _, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(_, name, _)| *name).collect();
        let given = match given {
            Either::Number(number) => number.to_string(),
            Either::Name(name) => format!("{name:?}"),
        };
        D::Error::custom(format!("{given} is not one of {}", names.join(", ")))
    })
}

wire_enum! {
    /// `google.cloud.{scheduler.v1,tasks.v2}.HttpMethod`.
    HttpMethod {
        Unspecified = 0 "HTTP_METHOD_UNSPECIFIED",
        Post = 1 "POST",
        Get = 2 "GET",
        Head = 3 "HEAD",
        Put = 4 "PUT",
        Delete = 5 "DELETE",
        Patch = 6 "PATCH",
        Options = 7 "OPTIONS",
    }
}

impl From<HttpMethod> for crate::senders::Method {
    /// What is not specified is a POST (`target.proto` of both).
    fn from(method: HttpMethod) -> crate::senders::Method {
        use crate::senders::Method;
        match method {
            HttpMethod::Unspecified | HttpMethod::Post => Method::Post,
            HttpMethod::Get => Method::Get,
            HttpMethod::Head => Method::Head,
            HttpMethod::Put => Method::Put,
            HttpMethod::Delete => Method::Delete,
            HttpMethod::Patch => Method::Patch,
            HttpMethod::Options => Method::Options,
        }
    }
}

/// Whether a field holds its type's default and is left out, as Google does.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::*;

    #[test]
    fn durations_are_read_and_written_as_protobuf_does() {
        for (text, milliseconds) in [("3.500s", 3500), ("60s", 60_000), ("0s", 0), ("0.100s", 100)]
        {
            let duration: WireDuration = from_value(json!(text)).unwrap();
            assert_eq!(duration, WireDuration(Duration::from_millis(milliseconds)));
            assert_eq!(to_value(duration).unwrap(), text);
        }
        for text in ["60", "-1s", "s", "1.0000000001s", "1e3s", "banana"] {
            assert!(from_value::<WireDuration>(json!(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_are_read_in_either_alphabet() {
        for text in ["-_8=", "-_8", "+/8=", "+/8"] {
            let bytes: WireBytes = from_value(json!(text)).unwrap();
            assert_eq!(format!("{bytes:?}"), "2 bytes");
            assert_eq!(to_value(bytes).unwrap(), "+/8=");
        }
        assert!(from_value::<WireBytes>(json!("?")).is_err());
    }

    #[test]
    fn enums_are_read_by_name_and_by_number() {
        for value in [json!("GET"), json!(2)] {
            assert_eq!(from_value::<HttpMethod>(value).unwrap(), HttpMethod::Get);
        }
        assert_eq!(to_value(HttpMethod::Get).unwrap(), "GET");
        assert_eq!(HttpMethod::default(), HttpMethod::Unspecified);
        let fault = from_value::<HttpMethod>(json!("get")).unwrap_err().to_string();
        assert!(
            fault.starts_with("\"get\" is not one of HTTP_METHOD_UNSPECIFIED, POST"),
            "{fault}"
        );
    }

    #[test]
    fn numbers_of_64_bits_are_strings() {
        for value in [json!("5"), json!(5)] {
            assert_eq!(to_value(from_value::<Int64>(value).unwrap()).unwrap(), Value::from("5"));
        }
    }
}
