//! What a fault does to a delivery before it goes out.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Order, send::Sending};
use crate::{
    account::Account, error::Error, faults::Fault, google::Google, senders::Sender, tokens::Auth,
};

/// Whom a token for the wrong audience is for.
const OTHER_AUDIENCE: &str = "https://wrong-audience.example";

/// The name of the account that a token of the wrong caller is of.
const OTHER_CALLER: &str = "wrong-caller";

/// The id of a key that is not published.
const UNKNOWN_KEY_ID: &str = "0000000000000000000000000000000000000000";

/// How long ago a token was issued that has expired, in seconds: it lived for an hour.
const EXPIRED_AGE_SECONDS: i64 = 7200;

/// How far ahead a skewed clock is, in seconds: more than any receiver should allow for.
const AHEAD_SECONDS: i64 = 300;

impl Google {
    /// Does what the faults say to keys, token and body.
    ///
    /// # Errors
    /// Why it cannot be done, for the history.
    pub(super) async fn spoil(&self, sending: &mut Sending) -> Result<(), String> {
        if sending.faults.contains(&Fault::KeyRotation) {
            self.replace_keys().await.map_err(|fault| fault.to_string())?;
            self.prove(sending).await?;
        }
        if sending.faults.iter().any(|fault| fault.is_of_token())
            && let Some(Auth::Oidc { email, audience }) = &sending.order.auth
        {
            let token = self.spoilt_token(email, audience, &sending.faults).await;
            sending.token = Some(token.map_err(|fault| fault.to_string())?);
        }
        sending.spoilt_body = spoilt_body(&sending.order, &sending.faults);
        Ok(())
    }

    /// Two rotations: the key of the tokens in use is published no longer.
    async fn replace_keys(&self) -> Result<(), Error> {
        let keys = Arc::clone(self.authority.keys().await?);
        let rotated =
            tokio::task::spawn_blocking(move || keys.rotate().and_then(|()| keys.rotate()));
        rotated.await.map_err(|_| Error::Thread("generates the keys"))?
    }

    /// A fresh token, so that no other delivery gets it.
    async fn spoilt_token(
        &self,
        email: &str,
        audience: &str,
        faults: &[Fault],
    ) -> Result<Arc<str>, Error> {
        let (mut token, key) = self.id_token(email, audience).await?;
        for fault in faults {
            token = match fault {
                Fault::Expired => token.aged(EXPIRED_AGE_SECONDS),
                Fault::SkewedClock => token.aged(-AHEAD_SECONDS),
                Fault::WrongAudience => token.claim("aud", OTHER_AUDIENCE),
                Fault::WrongCaller => {
                    let project = &self.project.id;
                    let email = format!("{OTHER_CALLER}@{project}.iam.gserviceaccount.com");
                    let Account { email, unique_id } = Account::new(email);
                    token.claim("email", email).claim("sub", &*unique_id).claim("azp", unique_id)
                }
                Fault::UnknownKid => token.header("kid", UNKNOWN_KEY_ID),
                _ => token,
            };
        }
        let signed = if faults.contains(&Fault::Unsigned) {
            token.unsigned()
        } else if faults.contains(&Fault::StrippedSignature) {
            token.signature_removed()
        } else {
            token.sign(&key)
        };
        signed.map(Arc::from)
    }
}

/// The body that goes out instead, where the faults say so.
fn spoilt_body(order: &Order, faults: &[Fault]) -> Option<Bytes> {
    let mut body = order.delivery.body.clone();
    let is_malformed = faults.contains(&Fault::MalformedEnvelope);
    let is_oversize = faults.contains(&Fault::Oversize);
    if is_malformed {
        body.truncate(body.len() / 2);
    }
    if is_oversize {
        let bytes = body_limit_bytes(order.delivery.sender) + 1;
        let mut padded = BytesMut::from(&*body);
        padded.resize(bytes.max(body.len()), b' ');
        body = padded.freeze();
    }
    (is_malformed || is_oversize).then_some(body)
}

/// The largest body that a receiver takes from that sender.
fn body_limit_bytes(sender: Sender) -> usize {
    match sender {
        Sender::Scheduler | Sender::Tasks => 1 << 20,
        Sender::PubSub | Sender::Eventarc => 14 << 20,
    }
}
