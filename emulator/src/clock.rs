//! The time that Google's side goes by: the system's, or one that a test moves.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

/// A laptop's timers stand still while it is suspended, and its clock may be set: the time is looked at again.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// What schedules, queues and back-offs read the time from. Clones share it.
///
/// Tokens and deadlines do not: they are checked by a receiver that has a clock of its own.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// `None` is the system's time.
    moved: Option<watch::Sender<Timestamp>>,
}

impl Clock {
    /// The system's time.
    pub fn system() -> Clock {
        Clock::default()
    }

    /// Stands at `start` until it is moved.
    pub fn standing_at(start: Timestamp) -> Clock {
        Clock { moved: Some(watch::Sender::new(start)) }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        match &self.moved {
            None => Timestamp::now(),
            Some(moved) => *moved.borrow(),
        }
    }

    /// Moves a standing clock and wakes what waits for that time; the system's cannot be moved.
    pub fn move_to(&self, time: Timestamp) {
        if let Some(moved) = &self.moved {
            moved.send_replace(time);
        }
    }

    /// Moves a standing clock by so much.
    pub fn advance(&self, by: Duration) {
        self.move_to(after(self.now(), by));
    }

    /// Ends when it is `time` or later.
    pub(crate) async fn until(&self, time: Timestamp) {
        match &self.moved {
            None => loop {
                let left = Timestamp::now().duration_until(time);
                if !left.is_positive() {
                    return;
                }
                tokio::time::sleep(left.unsigned_abs().min(LONGEST_SLEEP)).await;
            },
            Some(moved) => {
                // An error would say that the clock is gone; it lives in `self`.
                let _ = moved.subscribe().wait_for(|now| *now >= time).await;
            }
        }
    }
}

/// `time` and so much more; the end of time where that is too much.
pub(crate) fn after(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| time.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_standing_clock_wakes_at_the_time_and_not_before() {
        let start: Timestamp = "2026-03-29T00:59:00Z".parse().unwrap();
        let clock = Clock::standing_at(start);
        let waiting = clock.clone();
        let due = after(start, Duration::from_secs(60));
        let woken = tokio::spawn(async move { waiting.until(due).await });
        clock.advance(Duration::from_secs(59));
        tokio::task::yield_now().await;
        assert!(!woken.is_finished());
        clock.advance(Duration::from_secs(1));
        woken.await.unwrap();
        assert_eq!(clock.now(), due);
    }

    #[test]
    fn the_end_of_time_is_no_overflow() {
        assert_eq!(after(Timestamp::now(), Duration::MAX), Timestamp::MAX);
    }
}
