//! A fetched body as keys: a JWK set (RFC 7517 §5, RFC 7518 §6).

use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc;
use serde::Deserialize;
use serde_json::Value;

use super::source::FetchError;
use crate::{header::is_key_id, profile::Algorithm, refusal::shown};

/// RSA keys below are too weak; the cryptography library takes none above.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A public key that can verify, under the id that tokens call it by.
///
/// Tokens that have been verified hold on to their key and compare it by address, so a key that
/// comes again unchanged must stay the same [`Arc`].
pub(crate) struct Key {
    id: String,
    algorithm: Algorithm,
    /// `n` and `e`, or `x` and `y`.
    material: [Vec<u8>; 2],
    decoding: DecodingKey,
}

impl Key {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether `signature` (base64url) is this key's over `signed`.
    pub(crate) fn verifies(&self, signed: &str, signature: &str) -> bool {
        let algorithm = match self.algorithm {
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        };
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
            return false;
        };
        // The steps of `jsonwebtoken::crypto::verify` with the backend named: the process-wide
        // default panics as soon as some other dependency turns a second backend on.
        (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&algorithm, &self.decoding)
            .is_ok_and(|verifier| verifier.verify(signed.as_bytes(), &signature).is_ok())
    }

    fn same_as(&self, other: &Key) -> bool {
        (&self.id, self.algorithm, &self.material) == (&other.id, other.algorithm, &other.material)
    }
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

/// A JWK's fields that matter, for RSA and for elliptic curves.
#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Reads the keys that can be used. One that cannot is skipped and spoils nothing; a set with no
/// key that can be used is an error, so that it never replaces a good one. Keys that `old` has
/// already are taken from there.
pub(super) fn parse(
    body: &[u8],
    algorithm: Algorithm,
    old: &[Arc<Key>],
) -> Result<Vec<Arc<Key>>, FetchError> {
    // Serde's message is dropped: a body that is no key set may be anything.
    let set: JwkSet = serde_json::from_slice(body).map_err(|_| FetchError::NotAKeySet)?;
    let mut keys: Vec<Arc<Key>> = Vec::with_capacity(set.keys.len());
    for jwk in set.keys {
        let kid = jwk.get("kid").and_then(Value::as_str).map(shown);
        match read(jwk, algorithm) {
            Ok(key) if keys.iter().any(|earlier| earlier.id == key.id) => {
                tracing::trace!(kid, "Skipped a key whose id came before.");
            }
            Ok(key) => {
                let known = old.iter().find(|known| known.same_as(&key)).map(Arc::clone);
                keys.push(known.unwrap_or_else(|| Arc::new(key)));
            }
            Err(reason) => tracing::trace!(kid, reason, "Skipped a key that cannot be used."),
        }
    }
    if keys.is_empty() { Err(FetchError::NoUsableKey) } else { Ok(keys) }
}

/// Reads one key, or says why it cannot be used.
fn read(jwk: Value, algorithm: Algorithm) -> Result<Key, &'static str> {
    let jwk: Jwk = serde_json::from_value(jwk).map_err(|_| "a field is missing or ill-typed")?;
    if !is_key_id(&jwk.kid) {
        return Err("no token can name its kid");
    }
    if jwk.usage.is_some_and(|usage| usage != "sig") {
        return Err("it is not for signatures");
    }
    if jwk.alg.is_some_and(|alg| alg != algorithm.as_str()) {
        return Err("it is for another algorithm");
    }
    let (material, decoding) = match (algorithm, jwk.kty.as_str(), jwk.crv.as_deref()) {
        (Algorithm::Rs256, "RSA", _) => rsa(&bytes(jwk.n)?, &bytes(jwk.e)?)?,
        (Algorithm::Es256, "EC", Some("P-256")) => p256(bytes(jwk.x)?, bytes(jwk.y)?)?,
        _ => return Err("it is of another type"),
    };
    Ok(Key { id: jwk.kid, algorithm, material, decoding })
}

/// A modulus of 2048 bits or more and a public exponent that RSA can have.
fn rsa(n: &[u8], e: &[u8]) -> Result<([Vec<u8>; 2], DecodingKey), &'static str> {
    let [n, e] = [n, e].map(|number| {
        let zeros = number.iter().take_while(|&&b| b == 0).count();
        number.get(zeros..).unwrap_or_default()
    });
    let bits = n.first().map_or(0, |top| n.len() * 8 - top.leading_zeros() as usize);
    let odd = |number: &[u8]| number.last().is_some_and(|low| low % 2 == 1);
    if !RSA_BITS.contains(&bits) || !odd(n) {
        return Err("its modulus is too short, too long or even");
    }
    if !odd(e) || e == [1] || e.len() > size_of::<u64>() {
        return Err("its exponent is even, one or too long");
    }
    Ok(([n.to_vec(), e.to_vec()], DecodingKey::from_rsa_raw_components(n, e)))
}

/// A point on the curve, checked once here rather than with every token.
fn p256(x: Vec<u8>, y: Vec<u8>) -> Result<([Vec<u8>; 2], DecodingKey), &'static str> {
    if x.len() != 32 || y.len() != 32 {
        return Err("its coordinates are not of 32 bytes");
    }
    let point = [&[0x04], x.as_slice(), y.as_slice()].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).map_err(|_| "it is not on the curve")?;
    Ok(([x, y], DecodingKey::from_ec_der(&point)))
}

fn bytes(field: Option<String>) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD
        .decode(field.ok_or("a number is missing")?)
        .map_err(|_| "a number is unreadable")
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::RsaKeyPair;
    use serde_json::json;

    use super::*;
    use crate::testing::{b64, ec_jwk, ec_key, jwks, rsa_jwk, rsa_key};

    fn ids(body: &[u8], algorithm: Algorithm) -> Vec<String> {
        let keys = parse(body, algorithm, &[]).unwrap_or_default();
        keys.iter().map(|key| key.id().to_owned()).collect()
    }

    #[test]
    fn one_fault_makes_a_key_unusable_and_spoils_no_other() {
        let valid = rsa_jwk("valid", rsa_key());
        let (short, _) = valid["n"].as_str().unwrap().split_at(340);
        let table = [
            ("kty", json!("EC")),
            ("kty", json!("oct")),
            ("kty", json!("ML-DSA")),
            ("kty", json!(null)),
            ("use", json!("enc")),
            ("use", json!(7)),
            ("alg", json!("RS512")),
            ("alg", json!("RSA256")),
            ("kid", json!("")),
            ("kid", json!("a/b")),
            ("kid", json!(7)),
            ("kid", json!(null)),
            ("n", json!(short)),
            ("n", json!("")),
            ("n", json!("not base64url!")),
            ("n", json!(b64([0xff; 1025]))),
            ("n", json!(b64([0xfe; 256]))),
            ("n", json!(null)),
            ("e", json!("AA")),
            ("e", json!("AQ")),
            ("e", json!("AQAA")),
            ("e", json!(b64([0xff; 9]))),
            ("e", json!(null)),
        ];
        for (field, value) in table {
            let mut spoiled = rsa_jwk("spoiled", rsa_key());
            spoiled[field] = value.clone();
            let set = jwks(&[spoiled.clone(), valid.clone()]);
            assert_eq!(ids(&set, Algorithm::Rs256), ["valid"], "{field}: {value}");
            let alone = parse(&jwks(&[spoiled]), Algorithm::Rs256, &[]);
            assert!(matches!(alone, Err(FetchError::NoUsableKey)), "{field}: {value}");
        }
        for odd in [json!(null), json!(7), json!("key"), json!([]), json!({})] {
            assert_eq!(ids(&jwks(&[odd, valid.clone()]), Algorithm::Rs256), ["valid"]);
        }
    }

    #[test]
    fn fields_that_may_be_absent_may_be_absent() {
        for field in ["use", "alg"] {
            let mut key = rsa_jwk("a", rsa_key());
            key.as_object_mut().unwrap().remove(field);
            assert_eq!(ids(&jwks(&[key]), Algorithm::Rs256), ["a"], "{field}");
        }
    }

    #[test]
    fn a_modulus_with_leading_zeros_is_the_same_key() {
        let plain = parse(&jwks(&[rsa_jwk("a", rsa_key())]), Algorithm::Rs256, &[]).unwrap();
        let mut padded = rsa_jwk("a", rsa_key());
        let n = URL_SAFE_NO_PAD.decode(padded["n"].as_str().unwrap()).unwrap();
        padded["n"] = json!(b64([&[0, 0], n.as_slice()].concat()));
        let again = parse(&jwks(&[padded]), Algorithm::Rs256, &plain).unwrap();
        assert!(Arc::ptr_eq(&plain[0], &again[0]));
    }

    #[test]
    fn a_larger_key_will_do() {
        let key = RsaKeyPair::generate(KeySize::Rsa3072).unwrap();
        assert_eq!(ids(&jwks(&[rsa_jwk("a", &key)]), Algorithm::Rs256), ["a"]);
    }

    #[test]
    fn of_two_keys_with_one_id_the_first_counts() {
        let twins = jwks(&[rsa_jwk("a", rsa_key()), rsa_jwk("a", crate::testing::other_rsa_key())]);
        let first = parse(&jwks(&[rsa_jwk("a", rsa_key())]), Algorithm::Rs256, &[]).unwrap();
        let keys = parse(&twins, Algorithm::Rs256, &first).unwrap();
        assert!(keys.len() == 1 && Arc::ptr_eq(&keys[0], &first[0]));
    }

    #[test]
    fn a_curve_point_is_checked_and_each_algorithm_takes_its_own_keys() {
        let valid = ec_jwk("valid", ec_key());
        let mixed = jwks(&[rsa_jwk("rsa", rsa_key()), valid.clone()]);
        assert_eq!(ids(&mixed, Algorithm::Es256), ["valid"]);
        assert_eq!(ids(&mixed, Algorithm::Rs256), ["rsa"]);
        let table = [
            ("crv", json!("P-384")),
            ("crv", json!(null)),
            ("x", json!(b64([1; 32]))),
            ("x", json!(b64([0; 33]))),
            ("y", json!("")),
            ("y", json!(null)),
            ("kty", json!("RSA")),
            ("use", json!("enc")),
            ("alg", json!("ES384")),
        ];
        for (field, value) in table {
            let mut spoiled = ec_jwk("spoiled", ec_key());
            spoiled[field] = value.clone();
            let set = jwks(&[spoiled, valid.clone()]);
            assert_eq!(ids(&set, Algorithm::Es256), ["valid"], "{field}: {value}");
        }
    }
}
