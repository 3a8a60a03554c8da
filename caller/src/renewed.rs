//! One token that is always there: renewed ahead of its end, by one fetch at a time.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use tokio::time::Instant;

use crate::{error::Error, token::Token};

/// After a renewal that failed while the token still serves, no other for this long.
const PAUSE: Duration = Duration::from_secs(30);

/// Fetches a token.
pub(crate) type Fetch = Box<dyn Fn() -> BoxFuture<'static, Result<Token, Error>> + Send + Sync>;

type Landing = Shared<BoxFuture<'static, Result<Arc<Token>, Error>>>;

/// The token, and how the next one is had.
pub(crate) struct Renewed {
    held: ArcSwapOption<Token>,
    fetch: Fetch,
    flight: Mutex<Flight>,
}

/// The fetch under way, and when the last one failed.
#[derive(Default)]
struct Flight {
    landing: Option<Landing>,
    failed_at: Option<Instant>,
}

impl Renewed {
    pub(crate) fn new(fetch: Fetch) -> Arc<Renewed> {
        Arc::new(Renewed { held: ArcSwapOption::empty(), fetch, flight: Mutex::default() })
    }

    /// The token. One that is due but still serves is given at once, while the next one is fetched; all who come while
    /// there is none wait for one fetch, which goes on when they leave.
    pub(crate) async fn get(self: &Arc<Renewed>) -> Result<Arc<Token>, Error> {
        let held = self.held.load_full().filter(|token| token.serves());
        match held {
            Some(token) if !token.is_due() => Ok(token),
            Some(token) => {
                self.renew();
                Ok(token)
            }
            None => self.landing(true).await,
        }
    }

    /// Lets go of a token that was refused, if it is still the one that is held.
    pub(crate) fn forget(&self, refused: &Arc<Token>) {
        let none: Option<Arc<Token>> = None;
        self.held.compare_and_swap(refused, none);
    }

    /// Whether the token, if there is one, can still be sent.
    pub(crate) fn serves(&self) -> bool {
        self.held.load().as_ref().is_some_and(|token| token.serves())
    }

    fn renew(self: &Arc<Renewed>) {
        let failed_at = self.flight().failed_at;
        if failed_at.is_none_or(|at| at.elapsed() >= PAUSE) {
            drop(self.landing(false));
        }
    }

    /// The fetch under way; it is started if there is none.
    fn landing(self: &Arc<Renewed>, is_awaited: bool) -> Landing {
        let mut flight = self.flight();
        if let Some(landing) = &flight.landing {
            return landing.clone();
        }
        // Somebody may have landed since.
        if is_awaited && let Some(token) = self.held.load_full().filter(|token| token.serves()) {
            return async move { Ok(token) }.boxed().shared();
        }
        let (this, fetch) = (Arc::clone(self), (self.fetch)());
        let landing = async move {
            // One that panicked must not be waited for by all who come after.
            let fetched = AssertUnwindSafe(fetch).catch_unwind().await;
            let panicked = |_| Err(Error::Client("the fetch of a token panicked".to_owned()));
            this.land(fetched.unwrap_or_else(panicked))
        };
        let landing = landing.boxed().shared();
        flight.landing = Some(landing.clone());
        // It goes on when nobody waits for it any more.
        tokio::spawn(landing.clone());
        landing
    }

    fn land(&self, fetched: Result<Token, Error>) -> Result<Arc<Token>, Error> {
        let fetched = fetched.map(Arc::new);
        let mut flight = self.flight();
        flight.landing = None;
        flight.failed_at = fetched.is_err().then(Instant::now);
        if let Ok(token) = &fetched {
            self.held.store(Some(Arc::clone(token)));
        }
        fetched
    }

    fn flight(&self) -> std::sync::MutexGuard<'_, Flight> {
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// What fetches, how often it did, and how many fetches may land.
    struct Lab {
        renewed: Arc<Renewed>,
        fetches: Arc<AtomicU32>,
        may_land: Arc<Semaphore>,
    }

    /// Tokens of an hour, called after the fetch that they came by; fetches whose number is in `failing` fail.
    fn lab(failing: &'static [u32], landing: usize) -> Lab {
        let (fetches, may_land) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(landing)));
        let (count, gate) = (Arc::clone(&fetches), Arc::clone(&may_land));
        let renewed = Renewed::new(Box::new(move || {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                if failing.contains(&number) {
                    return Err(Error::NoAudience);
                }
                Ok(Token::new(&number.to_string(), Duration::from_secs(3600)).unwrap())
            }
            .boxed()
        }));
        Lab { renewed, fetches, may_land }
    }

    impl Lab {
        async fn token(&self) -> String {
            self.renewed.get().await.unwrap().as_str().to_owned()
        }

        fn fetches(&self) -> u32 {
            self.fetches.load(Ordering::SeqCst)
        }

        /// Lets what was spawned come to its end.
        async fn settle(&self) {
            let landing = self.renewed.flight().landing.clone();
            if let Some(landing) = landing {
                let _ = landing.await;
            }
        }
    }

    #[tokio::test]
    async fn all_who_come_at_once_share_one_fetch() {
        let lab = lab(&[], 0);
        let asking = futures_util::future::join_all((0..50).map(|_| lab.token()));
        // Nothing lands before all have asked.
        let (tokens, ()) = tokio::join!(asking, async { lab.may_land.add_permits(1) });
        assert!(tokens.iter().all(|token| token == "1") && lab.fetches() == 1);
        assert_eq!(lab.token().await, "1");
        assert_eq!(lab.fetches(), 1);
    }

    #[tokio::test]
    async fn all_who_come_at_once_hear_of_one_failure_and_the_next_one_tries_again() {
        let lab = lab(&[1], 0);
        let asking = futures_util::future::join_all((0..50).map(|_| lab.renewed.get()));
        let (answers, ()) = tokio::join!(asking, async { lab.may_land.add_permits(2) });
        assert!(answers.iter().all(Result::is_err) && lab.fetches() == 1);
        assert_eq!(lab.token().await, "2");
    }

    #[tokio::test]
    async fn a_fetch_goes_on_when_who_asked_for_it_has_left() {
        let lab = lab(&[], 0);
        assert!(lab.renewed.get().now_or_never().is_none());
        lab.may_land.add_permits(1);
        lab.settle().await;
        assert_eq!((lab.token().await.as_str(), lab.fetches()), ("1", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_while_it_still_serves_and_nobody_waits() {
        let lab = lab(&[], 1);
        lab.token().await;
        tokio::time::advance(Duration::from_secs(3301)).await;
        assert_eq!(lab.token().await, "1");
        assert_eq!(lab.token().await, "1");
        assert_eq!(lab.fetches(), 2);
        lab.may_land.add_permits(1);
        lab.settle().await;
        assert_eq!(lab.token().await, "2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_fails_takes_nothing_away_and_is_not_repeated_at_once() {
        let lab = lab(&[2, 3], 9);
        lab.token().await;
        tokio::time::advance(Duration::from_secs(3301)).await;
        for (pass_secs, fetches) in [(0, 2), (1, 2), (30, 3), (29, 3)] {
            tokio::time::advance(Duration::from_secs(pass_secs)).await;
            assert_eq!(lab.token().await, "1");
            lab.settle().await;
            assert_eq!(lab.fetches(), fetches, "{pass_secs}");
        }
        // At its end everybody waits for the next one.
        tokio::time::advance(Duration::from_secs(250)).await;
        assert_eq!(lab.token().await, "4");
    }

    #[tokio::test]
    async fn a_token_that_was_refused_is_fetched_anew_once() {
        let lab = lab(&[], 9);
        let refused = lab.renewed.get().await.unwrap();
        lab.renewed.forget(&refused);
        assert_eq!(lab.token().await, "2");
        // Whoever comes late with the old one takes nothing from the others.
        lab.renewed.forget(&refused);
        assert_eq!((lab.token().await.as_str(), lab.fetches()), ("2", 2));
    }
}
