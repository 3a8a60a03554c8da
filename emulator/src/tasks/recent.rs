//! Names that are still taken, though what bore them is gone.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use crate::clock::after;

/// Names of what was deleted or done, each kept for the same time.
#[derive(Debug)]
pub(super) struct Recent {
    kept: Duration,
    /// When each was last in use.
    ended: BTreeMap<Arc<str>, Timestamp>,
    /// The same in order of time, to forget the oldest.
    order: VecDeque<(Timestamp, Arc<str>)>,
}

impl Recent {
    /// None yet.
    pub(super) fn new(kept: Duration) -> Recent {
        Recent { kept, ended: BTreeMap::new(), order: VecDeque::new() }
    }

    /// What bore `name` is gone at `now`.
    pub(super) fn add(&mut self, name: Arc<str>, now: Timestamp) {
        self.forget(now);
        self.ended.insert(Arc::clone(&name), now);
        self.order.push_back((now, name));
    }

    /// Whether `name` is still taken.
    pub(super) fn has(&self, name: &str, now: Timestamp) -> bool {
        self.ended.get(name).is_some_and(|ended| after(*ended, self.kept) > now)
    }

    /// When each name was last in use, the oldest first; some may be free by now.
    pub(super) fn names(&self) -> Vec<(String, Timestamp)> {
        let is_last = |(ended, name): &&(Timestamp, Arc<str>)| self.ended.get(name) == Some(ended);
        self.order.iter().filter(is_last).map(|(ended, name)| (name.to_string(), *ended)).collect()
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some((ended, name)) = self.order.front()
            && after(*ended, self.kept) <= now
        {
            // A name that was taken and given up again has a later entry too.
            if self.ended.get(name) == Some(ended) {
                self.ended.remove(name);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_name_is_free_again_after_its_time_and_is_forgotten() {
        let mut recent = Recent::new(Duration::from_secs(3600));
        recent.add("a".into(), at(0));
        assert!(recent.has("a", at(3599)));
        assert!(!recent.has("a", at(3600)));
        assert!(!recent.has("b", at(0)));
        recent.add("b".into(), at(3600));
        assert_eq!(recent.ended.len(), 1);
        assert_eq!(recent.order.len(), 1);
    }

    #[test]
    fn a_name_that_is_given_up_twice_is_kept_from_the_second_time() {
        let mut recent = Recent::new(Duration::from_secs(10));
        recent.add("a".into(), at(0));
        recent.add("a".into(), at(9));
        recent.add("b".into(), at(11));
        assert!(recent.has("a", at(18)));
        assert_eq!(recent.names(), [("a".to_owned(), at(9)), ("b".to_owned(), at(11))]);
    }
}
