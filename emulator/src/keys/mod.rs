//! The keys that sign: Google's RSA keys, two at a time, and IAP's elliptic one.

mod certificate;
mod iap_key;
mod key_ring;
mod signing_key;

pub use iap_key::IapKey;
pub use key_ring::KeyRing;
pub use signing_key::SigningKey;

use aws_lc_rs::digest;

/// The start of a public key's SHA-256 as lower-case hex: the same key always has the same id.
fn fingerprint(public_key: &[u8], bytes: usize) -> String {
    digest::digest(&digest::SHA256, public_key)
        .as_ref()
        .iter()
        .take(bytes)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
