//! Google's signing keys as a set: two at a time, one of them signing.

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Map, Value, json};

use super::SigningKey;
use crate::error::Error;

/// Two keys at a time, as Google publishes; the first one signs.
///
/// Google rotates about every two weeks. Here [`rotate`](KeyRing::rotate) does it on demand.
#[derive(Debug)]
pub struct KeyRing {
    /// Newest first.
    keys: RwLock<[Arc<SigningKey>; 2]>,
}

impl KeyRing {
    /// Two fresh keys, made side by side.
    ///
    /// # Errors
    /// [`Error::Crypto`] if the random source fails.
    pub fn generate() -> Result<KeyRing, Error> {
        let other = std::thread::spawn(SigningKey::generate);
        let current = SigningKey::generate()?;
        let previous = other.join().map_err(|_| Error::Thread("generates a key"))??;
        Ok(KeyRing::new(Arc::new(current), Arc::new(previous)))
    }

    /// A ring over keys that exist already, so that many tests can share the time of making them.
    pub fn new(current: Arc<SigningKey>, previous: Arc<SigningKey>) -> KeyRing {
        KeyRing { keys: RwLock::new([current, previous]) }
    }

    /// The key that signs now.
    pub fn current(&self) -> Arc<SigningKey> {
        let [current, _] = self.both();
        current
    }

    /// Whether the key of that id is published now.
    pub(crate) fn publishes(&self, key_id: &str) -> bool {
        self.both().iter().any(|key| key.id() == key_id)
    }

    /// A fresh key signs from now on; the one that signed stays published, the older one leaves.
    ///
    /// # Errors
    /// [`Error::Crypto`] if the random source fails; the ring then stays as it is.
    pub fn rotate(&self) -> Result<(), Error> {
        let fresh = Arc::new(SigningKey::generate()?);
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let [current, _] = keys.clone();
        *keys = [fresh, current];
        Ok(())
    }

    /// `{"keys": [JWK, JWK]}`, the shape of <https://www.googleapis.com/oauth2/v3/certs>.
    pub fn jwks(&self) -> Value {
        json!({"keys": self.both().map(|key| key.jwk())})
    }

    /// `{kid: PEM, kid: PEM}`, the shape of <https://www.googleapis.com/oauth2/v1/certs>.
    ///
    /// # Errors
    /// [`Error::Certificate`] if a certificate cannot be built.
    pub fn certificates(&self) -> Result<Value, Error> {
        let mut certificates = Map::new();
        for key in self.both() {
            certificates.insert(key.id().to_owned(), key.certificate_pem()?.into());
        }
        Ok(certificates.into())
    }

    fn both(&self) -> [Arc<SigningKey>; 2] {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(jwks: &Value) -> Vec<String> {
        let keys = jwks["keys"].as_array().unwrap();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn rotation_keeps_two_keys_and_drops_the_oldest() {
        let ring = KeyRing::generate().unwrap();
        let before = ids(&ring.jwks());
        assert_eq!(before[0], ring.current().id());
        ring.rotate().unwrap();
        let after = ids(&ring.jwks());
        assert_eq!(after.len(), 2);
        assert_eq!(after[0], ring.current().id());
        assert_eq!(after[1], before[0], "the one that signed is still there");
        assert!(!before.contains(&after[0]), "a fresh one signs");
    }

    #[test]
    fn certificates_are_listed_under_the_same_ids_as_the_jwks() {
        let ring = KeyRing::generate().unwrap();
        let certificates = ring.certificates().unwrap();
        let mut expected = ids(&ring.jwks());
        expected.sort();
        let mut found: Vec<&String> = certificates.as_object().unwrap().keys().collect();
        found.sort();
        assert_eq!(found, expected.iter().collect::<Vec<_>>());
    }
}
