//! Freshness, joining, cooldown, backoff: all on paused time.

use tokio::task::JoinSet;
use tokio::time::advance;

use super::*;
use crate::testing::{Answer, FakeServer, KID, LIFETIME, other_rsa_key, rsa_jwk, rsa_key};

const SECOND: Duration = Duration::from_secs(1);
const STALE_FOR: Duration = Duration::from_secs(6 * 60 * 60);

fn google(server: &FakeServer) -> Keys {
    server.clone().into_keys(Profile::google())
}

/// Keys that have been fetched already.
async fn warm(server: &FakeServer) -> Keys {
    let keys = google(server);
    keys.find(KID, &mut Notes::default()).await.unwrap();
    assert_eq!(keys.fetches(), 1);
    keys
}

/// Looks a key up; gives the result and how long it took.
async fn timed(keys: &Keys, kid: &str) -> (Result<(), Reason>, Duration) {
    let started = Instant::now();
    let found = keys.find(kid, &mut Notes::default()).await;
    (found.map(|_| ()), started.elapsed())
}

/// Lets a fetch that nobody waits for land.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

fn is_stale(keys: &Keys) -> bool {
    matches!(keys.status(), KeysStatus::Usable { stale: true, .. })
}

#[tokio::test(start_paused = true)]
async fn sixty_four_cold_lookups_share_one_fetch() {
    let server = FakeServer::good();
    server.delay(SECOND);
    let keys = google(&server);
    let mut lookups = JoinSet::new();
    for _ in 0..64 {
        let keys = keys.clone();
        lookups.spawn(async move { keys.find(KID, &mut Notes::default()).await.is_ok() });
    }
    assert!(lookups.join_all().await.into_iter().all(|found| found));
    assert_eq!(keys.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_prefetch_spares_the_first_lookup_its_fetch() {
    let keys = google(&FakeServer::good());
    assert_eq!(keys.status(), KeysStatus::Unusable { last_error: None });
    keys.prefetch();
    settle().await;
    let age = Duration::ZERO;
    assert_eq!(keys.status(), KeysStatus::Usable { keys: 1, age, stale: false });
    assert_eq!((timed(&keys, KID).await, keys.fetches()), ((Ok(()), Duration::ZERO), 1));
}

#[test]
fn a_prefetch_without_a_runtime_does_nothing() {
    let keys = google(&FakeServer::good());
    keys.prefetch();
    assert_eq!(keys.fetches(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_request_does_not_cancel_the_fetch() {
    let server = FakeServer::good();
    server.delay(SECOND);
    let keys = google(&server);
    assert!(timeout(SECOND / 2, keys.find(KID, &mut Notes::default())).await.is_err());
    assert_eq!(timed(&keys, KID).await, (Ok(()), SECOND / 2));
    assert_eq!(keys.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_join_wait() {
    let keys = google(&FakeServer::new(Answer::Hang));
    assert_eq!(timed(&keys, KID).await, (Err(Reason::KeysUnavailable), 2 * SECOND));
    assert_eq!(timed(&keys, KID).await, (Err(Reason::KeysUnavailable), 2 * SECOND));
    assert_eq!(keys.fetches(), 1, "the second one joined the first one's fetch");
    advance(2 * SECOND).await;
    settle().await;
    let KeysStatus::Unusable { last_error: Some(error) } = keys.status() else { panic!() };
    assert_eq!(error, "the fetch took longer than 5s");
}

#[tokio::test(start_paused = true)]
async fn keys_are_refreshed_ahead_of_time_and_nobody_waits() {
    let server = FakeServer::good();
    let keys = warm(&server).await;
    server.delay(SECOND);
    advance(LIFETIME / 5 * 4 - SECOND).await;
    keys.find(KID, &mut Notes::default()).await.unwrap();
    assert_eq!(keys.fetches(), 1, "too early");
    advance(SECOND).await;
    for _ in 0..5 {
        assert_eq!(timed(&keys, KID).await, (Ok(()), Duration::ZERO));
    }
    assert_eq!(keys.fetches(), 2);
    settle().await;
    advance(SECOND).await;
    settle().await;
    advance(LIFETIME / 2).await;
    assert_eq!((timed(&keys, KID).await.0, keys.fetches()), (Ok(()), 2), "fresh again");
}

#[tokio::test(start_paused = true)]
async fn stale_keys_serve_when_no_new_ones_can_be_had_and_recover() {
    let server = FakeServer::good();
    let keys = warm(&server).await;
    server.answer(Answer::Hang);
    advance(LIFETIME).await;
    assert_eq!(timed(&keys, KID).await, (Ok(()), 2 * SECOND), "joins, then takes the stale one");
    assert!(is_stale(&keys));
    advance(4 * SECOND).await;
    settle().await;
    server.answer(Answer::Fail);
    advance(SECOND).await;
    assert_eq!(timed(&keys, KID).await, (Ok(()), Duration::ZERO), "fails at once");
    assert_eq!(timed(&keys, KID).await, (Ok(()), Duration::ZERO), "backoff");
    assert_eq!(keys.fetches(), 3);
    server.answer(FakeServer::keys(&[rsa_jwk(KID, rsa_key())]));
    advance(2 * SECOND).await;
    assert_eq!(timed(&keys, KID).await, (Ok(()), Duration::ZERO));
    assert!(!is_stale(&keys));
}

#[tokio::test(start_paused = true)]
async fn stale_keys_serve_no_longer_than_their_grace() {
    let server = FakeServer::good();
    let keys = warm(&server).await;
    server.answer(Answer::Fail);
    advance(LIFETIME + STALE_FOR - SECOND).await;
    assert_eq!(timed(&keys, KID).await.0, Ok(()));
    advance(SECOND).await;
    assert_eq!(timed(&keys, KID).await.0, Err(Reason::KeysUnavailable));
    let last_error = Some("the request failed: connection refused".to_owned());
    assert_eq!(keys.status(), KeysStatus::Unusable { last_error });
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_nobody_waits_meanwhile() {
    let keys = google(&FakeServer::new(Answer::Fail));
    let mut fetches = 0;
    for pause_secs in [1, 2, 4, 8, 16, 30, 30] {
        for _ in 0..3 {
            let unavailable = (Err(Reason::KeysUnavailable), Duration::ZERO);
            assert_eq!(timed(&keys, KID).await, unavailable);
        }
        fetches += 1;
        assert_eq!(keys.fetches(), fetches, "before a pause of {pause_secs} s");
        advance(Duration::from_secs(pause_secs) - Duration::from_millis(1)).await;
        assert_eq!(timed(&keys, KID).await.0, Err(Reason::KeysUnavailable));
        assert_eq!(keys.fetches(), fetches, "within a pause of {pause_secs} s");
        advance(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_unknown_kids_cost_one_fetch_per_cooldown() {
    let server = FakeServer::good();
    let keys = warm(&server).await;
    server.delay(SECOND);
    let mut lookups = JoinSet::new();
    for n in 0..10_000 {
        let keys = keys.clone();
        lookups.spawn(async move {
            keys.find(&format!("garbage-{n}"), &mut Notes::default()).await.err()
        });
    }
    while let Some(found) = lookups.join_next().await {
        assert_eq!(found.unwrap(), Some(Reason::UnknownKey));
        assert_eq!(timed(&keys, KID).await, (Ok(()), Duration::ZERO));
    }
    assert_eq!(keys.fetches(), 2);
    advance(28 * SECOND).await;
    assert_eq!(timed(&keys, "garbage").await, (Err(Reason::UnknownKey), Duration::ZERO));
    assert_eq!(keys.fetches(), 2, "within the cooldown");
    advance(SECOND).await;
    assert_eq!(timed(&keys, "garbage").await, (Err(Reason::UnknownKey), SECOND));
    assert_eq!(keys.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_is_found_by_the_token_that_needs_it() {
    let server = FakeServer::good();
    let keys = warm(&server).await;
    let rotated = [rsa_jwk(KID, rsa_key()), rsa_jwk("next", other_rsa_key())];
    server.answer(FakeServer::keys(&rotated));
    assert_eq!(timed(&keys, "next").await.0, Ok(()));
    assert_eq!(keys.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kid_is_not_called_unknown_while_the_server_fails() {
    let server = FakeServer::good();
    let keys = warm(&server).await;
    server.answer(Answer::Fail);
    assert_eq!(timed(&keys, "next").await.0, Err(Reason::KeysUnavailable));
    assert_eq!(timed(&keys, "next").await.0, Err(Reason::KeysUnavailable), "backoff");
    assert_eq!(timed(&keys, KID).await, (Ok(()), Duration::ZERO));
    server.answer(Answer::Hang);
    advance(SECOND).await;
    assert_eq!(timed(&keys, "next").await, (Err(Reason::KeysUnavailable), 2 * SECOND));
    server.answer(FakeServer::keys(&[rsa_jwk("next", rsa_key())]));
    advance(5 * SECOND).await;
    settle().await;
    advance(2 * SECOND).await;
    assert_eq!(timed(&keys, "next").await.0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kid_is_not_called_unknown_while_the_server_hangs() {
    let server = FakeServer::good();
    let keys = warm(&server).await;
    server.answer(Answer::Hang);
    let unavailable = (Err(Reason::KeysUnavailable), 2 * SECOND);
    assert_eq!(timed(&keys, "next").await, unavailable);
    assert_eq!(timed(&keys, KID).await, (Ok(()), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_bad_set_never_replaces_a_good_one() {
    let bodies: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("html", b"<html>Sign in to the network</html>"),
        ("no keys", br#"{"keys":[]}"#),
        ("no key of ours", br#"{"keys":[{"kty":"OKP","kid":"a","crv":"Ed25519","x":"AA"}]}"#),
        ("another shape", br#"{"9b0f6c1d":"-----BEGIN CERTIFICATE-----"}"#),
        ("keys of another type", br#"{"keys":{"kid":"a"}}"#),
    ];
    for (name, body) in bodies {
        let server = FakeServer::good();
        let keys = warm(&server).await;
        server.answer(Answer::Body(body.to_vec(), Some(LIFETIME)));
        advance(LIFETIME).await;
        assert_eq!(timed(&keys, KID).await.0, Ok(()), "{name}");
        assert!(is_stale(&keys), "{name}");
        let cold = google(&server);
        assert_eq!(timed(&cold, KID).await.0, Err(Reason::KeysUnavailable), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_again_unchanged_stays_the_same() {
    let server = FakeServer::good();
    let keys = warm(&server).await;
    let first = keys.find(KID, &mut Notes::default()).await.unwrap();
    let both = [rsa_jwk("other", other_rsa_key()), rsa_jwk(KID, rsa_key())];
    server.answer(FakeServer::keys(&both));
    advance(LIFETIME).await;
    assert!(Arc::ptr_eq(&first, &keys.find(KID, &mut Notes::default()).await.unwrap()));
    server.answer(FakeServer::keys(&[rsa_jwk(KID, other_rsa_key())]));
    advance(LIFETIME).await;
    assert!(!Arc::ptr_eq(&first, &keys.find(KID, &mut Notes::default()).await.unwrap()));
    assert_eq!(keys.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_panics_wedges_nothing() {
    let server = FakeServer::new(Answer::Panic);
    let keys = google(&server);
    assert_eq!(timed(&keys, KID).await, (Err(Reason::KeysUnavailable), Duration::ZERO));
    let last_error = Some(FetchError::Dropped.to_string());
    assert_eq!(keys.status(), KeysStatus::Unusable { last_error });
    server.answer(FakeServer::keys(&[rsa_jwk(KID, rsa_key())]));
    advance(SECOND).await;
    assert_eq!(timed(&keys, KID).await.0, Ok(()));
}

#[test]
fn a_runtime_that_goes_away_mid_fetch_wedges_nothing() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let server = FakeServer::new(Answer::Hang);
    let keys = google(&server);
    let first = runtime().unwrap();
    let gone = first.handle().clone();
    first.block_on(async { keys.prefetch() });
    drop(first);
    let dropped = KeysStatus::Unusable { last_error: Some(FetchError::Dropped.to_string()) };
    assert_eq!(keys.status(), dropped);

    // A spawn on a runtime that is gone drops the task at once, on the spawning thread.
    let keys = google(&server);
    let entered = gone.enter();
    keys.prefetch();
    drop(entered);
    assert_eq!((keys.status(), keys.fetches()), (dropped, 1));

    server.answer(FakeServer::keys(&[rsa_jwk(KID, rsa_key())]));
    runtime().unwrap().block_on(async {
        advance(2 * SECOND).await;
        assert_eq!(timed(&keys, KID).await.0, Ok(()));
    });
}

#[test]
fn a_fetch_on_a_runtime_that_does_not_run_is_replaced_and_has_no_say() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (blocked, running) = (runtime(), runtime());
    let server = FakeServer::good();
    let keys = google(&server);
    let entered = blocked.enter();
    keys.prefetch();
    drop(entered);
    running.block_on(async {
        tokio::time::pause();
        assert_eq!(timed(&keys, KID).await.0, Err(Reason::KeysUnavailable));
        assert_eq!(keys.fetches(), 1, "joined");
        advance(4 * SECOND).await;
        server.delay(SECOND);
        assert!(timeout(SECOND / 2, keys.find(KID, &mut Notes::default())).await.is_err());
        assert_eq!(keys.fetches(), 2, "replaced");
    });
    // The first one runs at last, with an old set, while the second one is still on its way.
    server.delay(Duration::ZERO);
    server.answer(FakeServer::keys(&[rsa_jwk("old", other_rsa_key())]));
    blocked.block_on(settle());
    assert_eq!(keys.status(), KeysStatus::Unusable { last_error: None });
    running.block_on(async {
        assert_eq!(timed(&keys, KID).await.0, Ok(()));
        assert!(keys.look("old", Instant::now()).1.is_none());
    });
    assert_eq!(keys.fetches(), 2, "the second one was joined");
}

#[tokio::test(start_paused = true)]
async fn limits_beyond_all_reason_overflow_nothing() {
    let limits = Limits { stale_for: Duration::MAX, ..Limits::default() };
    let server = Box::new(FakeServer::good());
    let keys = Keys::with_source(Profile::google(), limits, server.clone());
    keys.find(KID, &mut Notes::default()).await.unwrap();
    server.answer(Answer::Fail);
    advance(Duration::from_secs(365 * 24 * 60 * 60)).await;
    assert_eq!(timed(&keys, KID).await.0, Ok(()));
}
