//! Deliveries that must be refused: each whole but for one thing.

use serde_json::json;

use super::{AUDIENCE, Act, Expected, Step, genuine};
use crate::{
    account::Account,
    error::Error,
    keys::{KeyRing, SigningKey},
    senders::{Delivery, Sender, tasks::Attempt},
    token::IdToken,
};

/// Every forgery, in the order of the token policy.
///
/// # Errors
/// [`Error::Crypto`] if a token cannot be signed.
pub(super) fn steps(issuer: &str, keys: &KeyRing) -> Result<Vec<Step>, Error> {
    let google = keys.current();
    let stranger = SigningKey::generate()?;
    let account = Account::new(genuine::caller(Sender::Tasks));
    let whole = IdToken::new(issuer, AUDIENCE, &account, google.id());
    let by_google = |token: IdToken| token.sign(&google);
    let as_other =
        |email: &str| by_google(IdToken::new(issuer, AUDIENCE, &Account::new(email), google.id()));
    let valid = by_google(whole.clone())?;
    // Assembled, so that no secret scanner takes it for a real one.
    let access_token = format!("{}.{}", "ya29", "a0AfB_emulator-has-no-access-tokens");

    let mut steps = vec![
        refused("no token", "missing", task("f-01")),
        refused(
            "two Authorization headers",
            "several_tokens",
            task("f-02").bearer(&valid).also("Authorization", &format!("Bearer {valid}")),
        ),
    ];
    let forgeries = [
        ("an OAuth access token", "access_token", access_token),
        ("no signature at all", "unsupported_algorithm", whole.unsigned()?),
        ("alg none", "unsupported_algorithm", by_google(whole.clone().header("alg", "none"))?),
        (
            "HS256 with the public key",
            "unsupported_algorithm",
            whole.hs256_with_public_key(&google)?,
        ),
        ("RS512", "unsupported_algorithm", whole.rs512(&google)?),
        ("signature removed", "signature_removed", whole.signature_removed()?),
        ("key in the header", "embedded_key", whole.embedded_key(&stranger)?),
        (
            "signed by the account",
            "self_signed",
            whole.clone().self_signed(&account).sign(&stranger)?,
        ),
        (
            "unknown key id",
            "unknown_key",
            whole.clone().header("kid", stranger.id()).sign(&stranger)?,
        ),
        ("signed with another key", "bad_signature", whole.sign(&stranger)?),
        (
            "another issuer",
            "wrong_issuer",
            by_google(whole.clone().claim("iss", "https://issuer.example"))?,
        ),
        (
            "for another audience",
            "wrong_audience",
            by_google(whole.clone().claim("aud", "https://other.example"))?,
        ),
        ("expired", "expired", by_google(whole.clone().aged(7200))?),
        ("issued in the future", "not_yet_valid", by_google(whole.clone().aged(-600))?),
        (
            "email not verified",
            "email_unverified",
            by_google(whole.clone().claim("email_verified", false))?,
        ),
        (
            "another sender's account",
            "caller_not_allowed",
            as_other(genuine::caller(Sender::PubSub))?,
        ),
        ("a stranger's account", "caller_not_allowed", as_other("stranger@example.com")?),
    ];
    for (index, (about, reason, token)) in forgeries.into_iter().enumerate() {
        let delivery = task(&format!("f-{:02}", index + 3)).bearer(&token);
        steps.push(refused(about, reason, delivery));
    }
    Ok(steps)
}

/// A good task under a name of its own, so that dedup has no part in the refusal.
fn task(name: &str) -> Delivery {
    let body = json!({"order": "A-1003", "email": "ada@example.com"});
    Attempt::first("receipts", name).delivery().body(body.to_string())
}

fn refused(about: &'static str, reason: &'static str, delivery: Delivery) -> Step {
    // A good token of the wrong account is forbidden; everything else is not authenticated.
    let status = match reason {
        "email_unverified" | "caller_not_allowed" => 403,
        _ => 401,
    };
    Step {
        about,
        job: "send-receipt",
        sender: Sender::Tasks,
        act: Act::Deliver(delivery),
        expected: Expected { outcome: "refused", status, reason: Some(reason), caller: None },
    }
}
