//! Deliveries that must be refused: each whole but for one thing.

use super::{AUDIENCE, Expected, Step, genuine};
use crate::{
    account::Account,
    error::Error,
    issuer::Issuer,
    keys::SigningKey,
    senders::{Delivery, Sender},
    token::IdToken,
};

/// Every forgery, in the order of the token policy.
///
/// # Errors
/// [`Error::Crypto`] if a token cannot be signed.
pub(super) fn steps(issuer: &Issuer) -> Result<Vec<Step>, Error> {
    let email = genuine::caller(Sender::Tasks);
    let whole = issuer.id_token(AUDIENCE, email);
    let google = issuer.keys().current();
    let stranger = SigningKey::generate()?;
    let account = Account::new(email);
    let by_google = |token: IdToken| token.sign(&google);
    let as_other = |email: &str| issuer.token(AUDIENCE, email);
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
    genuine::receipt(name, "A-1003", "ada@example.com").delivery()
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
        delivery,
        expected: Expected { outcome: "refused", status, reason: Some(reason), caller: None },
    }
}
