//! The X.509 certificates of Google's PEM key map.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};
use rcgen::{
    CertificateParams, DnType, KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm,
    SigningKey, date_time_ymd,
};

use crate::error::Error;

/// The subject of Google's own certificates there.
const COMMON_NAME: &str = "federated-signon.system.gserviceaccount.com";

/// A self-signed certificate over `pair`, as PEM.
pub(super) fn self_signed_pem(pair: &KeyPair) -> Result<String, Error> {
    let key = CertificateKey { public_der: pair.public_key().as_ref(), pair };
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let day = |date: Date| date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    params.not_before = day(today.saturating_sub(Span::new().days(1)));
    params.not_after = day(today.saturating_add(Span::new().days(16)));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params.self_signed(&key)?.pem())
}

/// Lends the key to rcgen, which would otherwise want its private half as PKCS#8.
struct CertificateKey<'a> {
    public_der: &'a [u8],
    pair: &'a KeyPair,
}

impl PublicKeyData for CertificateKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.public_der
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl SigningKey for CertificateKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| rcgen::Error::RingUnspecified)?;
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use base64::{
        Engine,
        prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
    };

    use crate::keys::SigningKey;

    #[test]
    fn the_certificate_is_pem_over_the_same_modulus_as_the_jwk() {
        let key = SigningKey::generate().unwrap();
        let pem = key.certificate_pem().unwrap();
        let body: String = pem
            .trim()
            .strip_prefix("-----BEGIN CERTIFICATE-----")
            .unwrap()
            .strip_suffix("-----END CERTIFICATE-----")
            .unwrap()
            .split_whitespace()
            .collect();
        let der = BASE64_STANDARD.decode(body).unwrap();
        let jwk = key.jwk();
        let modulus = BASE64_URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
        let has = |needle: &[u8]| der.windows(needle.len()).any(|window| window == needle);
        assert!(has(&modulus));
        assert!(has(super::COMMON_NAME.as_bytes()));
        // DER: one SEQUENCE whose two-byte length covers the rest.
        assert_eq!(der[..2], [0x30, 0x82]);
        assert_eq!(usize::from(u16::from_be_bytes([der[2], der[3]])), der.len() - 4);
    }
}
