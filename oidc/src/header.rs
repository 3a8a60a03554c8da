//! The first segment of a token; all it yields is the key id.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::{profile::Algorithm, reason::Reason, refusal::Refusal, token::is_json_object};

/// Google's key ids are 40 hex digits, IAP's six characters.
const MAX_KEY_ID_BYTES: usize = 128;

/// The header's fields that matter, of any type, present or not. Serde refuses duplicates of them.
#[derive(Deserialize)]
pub(crate) struct RawHeader {
    #[serde(default, deserialize_with = "present")]
    alg: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) kid: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    jwk: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    jku: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    x5u: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    x5c: Option<Value>,
}

/// Keeps `null` as a value: a field that is there with a wrong type is not a field that is missing.
pub(crate) fn present<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(field).map(Some)
}

impl RawHeader {
    /// Parses a decoded header.
    pub(crate) fn parse(json: &[u8]) -> Result<RawHeader, Refusal> {
        // Serde's message could quote the header, so it is dropped.
        Some(json)
            .filter(|json| is_json_object(json))
            .and_then(|json| serde_json::from_slice(json).ok())
            .ok_or_else(|| {
                Refusal::new(Reason::Malformed)
                    .with_expected("a header that is a JSON object with each field once")
            })
    }

    /// Checks the header against the one algorithm that is accepted, and yields the key id.
    ///
    /// The header is the attacker's to write: nothing in it chooses an algorithm or a key source
    /// ([RFC 8725 §3.1, §3.10](https://www.rfc-editor.org/rfc/rfc8725)).
    pub(crate) fn key_id(self, algorithm: Algorithm) -> Result<String, Refusal> {
        let expected = algorithm.as_str();
        match self.alg {
            Some(Value::String(alg)) if alg == expected => {}
            Some(Value::String(alg)) => {
                let refusal = Refusal::new(Reason::UnsupportedAlgorithm);
                return Err(refusal.with_found(&alg).with_expected(expected));
            }
            _ => return Err(Refusal::new(Reason::UnsupportedAlgorithm).with_expected(expected)),
        }
        if [self.jwk, self.jku, self.x5u, self.x5c].iter().any(Option::is_some) {
            return Err(Reason::EmbeddedKey.into());
        }
        if self.crit.is_some() {
            return Err(Reason::CriticalHeader.into());
        }
        match self.kid {
            None => Err(Reason::KeyIdMissing.into()),
            Some(Value::String(kid)) if is_key_id(&kid) => Ok(kid),
            Some(_) => Err(Reason::KeyIdInvalid.into()),
        }
    }
}

/// Whether a key id is short and plain, so that it can go into lookups, logs and paths unharmed.
pub(crate) fn is_key_id(kid: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    !kid.is_empty()
        && kid.len() <= MAX_KEY_ID_BYTES
        && kid.bytes().all(plain)
        && !kid.contains("..")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key_id(header: &Value) -> Result<String, Reason> {
        let header = RawHeader::parse(header.to_string().as_bytes()).map_err(|r| r.reason)?;
        header.key_id(Algorithm::Rs256).map_err(|r| r.reason)
    }

    #[test]
    fn one_fault_in_a_header_gives_its_reason() {
        let valid = json!({"alg": "RS256", "kid": "9b0f6c1d", "typ": "JWT", "x5t": "dGh1bWI"});
        assert_eq!(key_id(&valid), Ok("9b0f6c1d".to_owned()));
        let too_long = "k".repeat(129);
        let table = [
            ("alg", json!("none"), Reason::UnsupportedAlgorithm),
            ("alg", json!("rs256"), Reason::UnsupportedAlgorithm),
            ("alg", json!("HS256"), Reason::UnsupportedAlgorithm),
            ("alg", json!("RS384"), Reason::UnsupportedAlgorithm),
            ("alg", json!("ES256"), Reason::UnsupportedAlgorithm),
            ("alg", json!(["RS256"]), Reason::UnsupportedAlgorithm),
            ("alg", json!(null), Reason::UnsupportedAlgorithm),
            ("jwk", json!({"kty": "RSA"}), Reason::EmbeddedKey),
            ("jwk", json!(null), Reason::EmbeddedKey),
            ("jku", json!("https://evil.example/keys"), Reason::EmbeddedKey),
            ("x5u", json!("https://evil.example/cert"), Reason::EmbeddedKey),
            ("x5c", json!([]), Reason::EmbeddedKey),
            ("crit", json!(["b64"]), Reason::CriticalHeader),
            ("crit", json!([]), Reason::CriticalHeader),
            ("kid", json!(null), Reason::KeyIdInvalid),
            ("kid", json!(7), Reason::KeyIdInvalid),
            ("kid", json!(""), Reason::KeyIdInvalid),
            ("kid", json!(too_long), Reason::KeyIdInvalid),
            ("kid", json!("a/b"), Reason::KeyIdInvalid),
            ("kid", json!("../etc"), Reason::KeyIdInvalid),
            ("kid", json!("a..b"), Reason::KeyIdInvalid),
            ("kid", json!("a b"), Reason::KeyIdInvalid),
            ("kid", json!("ä"), Reason::KeyIdInvalid),
            ("kid", json!("a\n"), Reason::KeyIdInvalid),
        ];
        for (field, value, reason) in table {
            let mut header = valid.clone();
            header[field] = value.clone();
            assert_eq!(key_id(&header), Err(reason), "{field}: {value}");
        }
        for (field, reason) in
            [("alg", Reason::UnsupportedAlgorithm), ("kid", Reason::KeyIdMissing)]
        {
            let mut header = valid.clone();
            header.as_object_mut().unwrap().remove(field);
            assert_eq!(key_id(&header), Err(reason), "without {field}");
        }
    }

    #[test]
    fn a_header_that_is_no_object_or_has_a_field_twice_is_malformed() {
        let texts = [
            "",
            "null",
            r#"["RS256","k",null,null,null,null,null]"#,
            r#""RS256""#,
            r#"{"alg":"RS256","kid":"k"} trailing"#,
            r#"{"alg":"none","alg":"RS256","kid":"k"}"#,
            r#"{"alg":"RS256","kid":"k","kid":"k"}"#,
            "{\"alg\":\"RS256\",\"kid\":\"k\",}",
        ];
        for text in texts {
            let refusal = RawHeader::parse(text.as_bytes()).map(|_| ()).unwrap_err();
            assert_eq!(refusal.reason, Reason::Malformed, "{text}");
        }
    }

    #[test]
    fn a_key_id_may_have_128_bytes_and_single_dots() {
        for kid in ["k".repeat(128).as_str(), "a.b-c_D9", "."] {
            assert!(is_key_id(kid), "{kid}");
        }
    }
}
