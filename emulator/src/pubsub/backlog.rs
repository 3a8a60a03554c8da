//! The messages of a subscription that are not acknowledged, and which of them is next.
//!
//! Everything is by the time that is handed in: nothing waits here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;

use super::message::Message;

/// One delivery of one message.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// The message's place in the backlog.
    pub(super) sequence: u64,
    /// Which delivery of it this is, from 1.
    pub(super) attempt: u32,
    pub(super) message: Arc<Message>,
}

/// Unacknowledged messages. Each operation is logarithmic in their number.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Whether of an ordering key's messages only the oldest is delivered.
    is_ordered: bool,
    /// Oldest first.
    entries: BTreeMap<u64, Entry>,
    /// From when on each can be delivered.
    waiting: BTreeSet<(Timestamp, u64)>,
    /// Until when each is out.
    leases: BTreeSet<(Timestamp, u64)>,
    /// The messages of each ordering key. The first is waiting or out, the others are in neither set.
    keys: HashMap<String, VecDeque<u64>>,
    next_sequence: u64,
}

#[derive(Debug)]
struct Entry {
    message: Arc<Message>,
    /// So many times it was handed out.
    attempts: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// An older message has its ordering key.
    BehindItsKey,
    /// Can be delivered from that time on.
    Waiting(Timestamp),
    /// Is delivered, and taken for lost at that time.
    Out(Timestamp),
}

impl Backlog {
    /// An empty one.
    pub(super) fn new(is_ordered: bool) -> Backlog {
        Backlog { is_ordered, ..Backlog::default() }
    }

    /// Adds a message that was handed out so many times already.
    pub(super) fn add(&mut self, message: Arc<Message>, attempts: u32) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let is_first = match self.key(&message) {
            None => true,
            Some(key) => {
                let key = self.keys.entry(key.to_owned()).or_default();
                key.push_back(sequence);
                key.len() == 1
            }
        };
        let place = Place::BehindItsKey;
        let ready_at = message.publish_time;
        self.entries.insert(sequence, Entry { message, attempts, place });
        if is_first {
            self.place(sequence, Place::Waiting(ready_at));
        }
    }

    /// Hands out the message that has waited longest, for as long as `until`.
    pub(super) fn take(&mut self, now: Timestamp, until: Timestamp) -> Option<Delivery> {
        let (ready_at, sequence) = *self.waiting.first()?;
        if ready_at > now {
            return None;
        }
        self.place(sequence, Place::Out(until));
        let entry = self.entries.get_mut(&sequence)?;
        entry.attempts = entry.attempts.saturating_add(1);
        Some(entry.delivery(sequence))
    }

    /// Removes a message, and so lets the next one of its ordering key go. Says whether it was there.
    pub(super) fn remove(&mut self, sequence: u64) -> bool {
        let Some(entry) = self.entries.remove(&sequence) else { return false };
        self.lift(sequence, entry.place);
        let Some(key) = self.key(&entry.message) else { return true };
        let Some(sequences) = self.keys.get_mut(key) else { return true };
        let was_first = sequences.front() == Some(&sequence);
        sequences.retain(|other| *other != sequence);
        let next = sequences.front().copied().filter(|_| was_first);
        if sequences.is_empty() {
            self.keys.remove(key);
        }
        if let Some(next) = next
            && let Some(entry) = self.entries.get(&next)
        {
            self.place(next, Place::Waiting(entry.message.publish_time));
        }
        true
    }

    /// Takes a message that is out back, to be delivered from `ready_at` on.
    pub(super) fn put_back(&mut self, sequence: u64, ready_at: Timestamp) {
        if let Some(Entry { place: Place::Out(_), .. }) = self.entries.get(&sequence) {
            self.place(sequence, Place::Waiting(ready_at));
        }
    }

    /// The delivery of that number, if the message is still out for it.
    pub(super) fn out(&self, sequence: u64, attempt: u32) -> Option<Delivery> {
        let entry = self.entries.get(&sequence).filter(|entry| entry.attempts == attempt)?;
        matches!(entry.place, Place::Out(_)).then(|| entry.delivery(sequence))
    }

    /// Leaves a message out until another time.
    pub(super) fn extend(&mut self, sequence: u64, until: Timestamp) {
        if let Some(Entry { place: Place::Out(_), .. }) = self.entries.get(&sequence) {
            self.place(sequence, Place::Out(until));
        }
    }

    /// The deliveries that were out for too long. They stay out until they are put back or removed.
    pub(super) fn overdue(&self, now: Timestamp) -> Vec<Delivery> {
        let overdue = self.leases.iter().take_while(|(until, _)| *until <= now);
        overdue
            .filter_map(|(_, sequence)| Some(self.entries.get(sequence)?.delivery(*sequence)))
            .collect()
    }

    /// Drops what was published before `oldest`.
    pub(super) fn forget_before(&mut self, oldest: Timestamp) {
        while let Some((sequence, entry)) = self.entries.first_key_value()
            && entry.message.publish_time < oldest
        {
            let sequence = *sequence;
            self.remove(sequence);
        }
    }

    /// When the next message can be delivered.
    pub(super) fn ready_at(&self) -> Option<Timestamp> {
        self.waiting.first().map(|(ready_at, _)| *ready_at)
    }

    /// When the next delivery is overdue.
    pub(super) fn overdue_at(&self) -> Option<Timestamp> {
        self.leases.first().map(|(until, _)| *until).filter(|until| *until < Timestamp::MAX)
    }

    /// All messages and how many times each was handed out, oldest first.
    pub(super) fn messages(&self) -> impl Iterator<Item = (&Message, u32)> {
        self.entries.values().map(|entry| (&*entry.message, entry.attempts))
    }

    /// Whether everything is acknowledged or given up.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether no message is out.
    #[cfg(test)]
    pub(super) fn is_all_back(&self) -> bool {
        self.leases.is_empty()
    }

    /// The ordering key that a message is bound to.
    fn key<'m>(&self, message: &'m Message) -> Option<&'m str> {
        (self.is_ordered && !message.ordering_key.is_empty()).then_some(&message.ordering_key)
    }

    fn place(&mut self, sequence: u64, place: Place) {
        let Some(entry) = self.entries.get_mut(&sequence) else { return };
        let old = std::mem::replace(&mut entry.place, place);
        self.lift(sequence, old);
        match place {
            Place::BehindItsKey => {}
            Place::Waiting(ready_at) => self.waiting.extend([(ready_at, sequence)]),
            Place::Out(until) => self.leases.extend([(until, sequence)]),
        }
    }

    fn lift(&mut self, sequence: u64, place: Place) {
        match place {
            Place::BehindItsKey => false,
            Place::Waiting(ready_at) => self.waiting.remove(&(ready_at, sequence)),
            Place::Out(until) => self.leases.remove(&(until, sequence)),
        };
    }
}

impl Entry {
    fn delivery(&self, sequence: u64) -> Delivery {
        Delivery { sequence, attempt: self.attempts, message: Arc::clone(&self.message) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::after;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(seconds: u64) -> Timestamp {
        after(START, Duration::from_secs(seconds))
    }

    /// Messages named `1`, `2`, … with these ordering keys, published a second apart from the start on.
    fn backlog(keys: &[&str]) -> Backlog {
        let mut backlog = Backlog::new(true);
        for (second, key) in (0_u64..).zip(keys) {
            let message = Message {
                message_id: (second + 1).to_string(),
                ordering_key: (*key).to_owned(),
                publish_time: at(second),
                ..Message::default()
            };
            backlog.add(Arc::new(message), 0);
        }
        backlog
    }

    /// Takes all that can be taken and gives the ids and attempts.
    fn taken(backlog: &mut Backlog, now: Timestamp) -> Vec<(String, u32)> {
        let take = || backlog.take(now, after(now, Duration::from_secs(10)));
        std::iter::from_fn(take)
            .map(|delivery| (delivery.message.message_id.clone(), delivery.attempt))
            .collect()
    }

    fn ids(expected: &[(&str, u32)]) -> Vec<(String, u32)> {
        expected.iter().map(|(id, attempt)| ((*id).to_owned(), *attempt)).collect()
    }

    #[test]
    fn messages_go_oldest_first_and_once_until_they_come_back() {
        let mut backlog = backlog(&["", "", ""]);
        assert_eq!(taken(&mut backlog, at(5)), ids(&[("1", 1), ("2", 1), ("3", 1)]));
        assert_eq!(taken(&mut backlog, at(9)), []);
        backlog.put_back(1, at(20));
        backlog.put_back(0, at(21));
        assert_eq!(backlog.ready_at(), Some(at(20)));
        assert_eq!(taken(&mut backlog, at(19)), []);
        assert_eq!(taken(&mut backlog, at(20)), ids(&[("2", 2)]));
        assert_eq!(taken(&mut backlog, at(21)), ids(&[("1", 2)]));
        for sequence in 0..3 {
            assert!(backlog.remove(sequence));
            assert!(!backlog.remove(sequence), "it is gone");
        }
        assert_eq!((backlog.ready_at(), backlog.overdue_at()), (None, None));
        assert_eq!(backlog.messages().count(), 0);
    }

    #[test]
    fn one_message_of_an_ordering_key_is_out_and_holds_the_others_back() {
        let mut backlog = backlog(&["a", "a", "b", "", "a"]);
        assert_eq!(taken(&mut backlog, at(9)), ids(&[("1", 1), ("3", 1), ("4", 1)]));
        backlog.put_back(0, at(30));
        backlog.remove(2);
        assert_eq!(taken(&mut backlog, at(29)), [], "a refused message holds its key back");
        assert_eq!(taken(&mut backlog, at(30)), ids(&[("1", 2)]));
        backlog.remove(0);
        assert_eq!(taken(&mut backlog, at(30)), ids(&[("2", 1)]));
        backlog.remove(1);
        assert_eq!(taken(&mut backlog, at(30)), ids(&[("5", 1)]));
        backlog.remove(4);
        assert!(backlog.keys.is_empty());
    }

    #[test]
    fn keys_of_a_subscription_without_ordering_hold_nothing_back() {
        let mut backlog = Backlog { is_ordered: false, ..Backlog::default() };
        for _ in 0..2 {
            let message = Message { ordering_key: "a".to_owned(), ..Message::default() };
            backlog.add(Arc::new(message), 0);
        }
        assert_eq!(taken(&mut backlog, START).len(), 2);
    }

    #[test]
    fn a_delivery_is_overdue_at_its_deadline_and_not_after_it_is_extended() {
        let mut backlog = backlog(&["", ""]);
        taken(&mut backlog, at(1));
        assert_eq!(backlog.overdue_at(), Some(at(11)));
        backlog.extend(1, at(60));
        assert!(backlog.overdue(at(10)).is_empty());
        let overdue = backlog.overdue(at(11));
        assert_eq!(overdue.iter().map(|one| one.sequence).collect::<Vec<_>>(), [0]);
        backlog.put_back(0, at(11));
        assert_eq!(taken(&mut backlog, at(11)), ids(&[("1", 2)]));
        assert!(backlog.out(0, 1).is_none(), "the first delivery is over");
        assert!(backlog.out(0, 2).is_some());
    }

    #[test]
    fn what_is_too_old_is_dropped_with_what_it_held_back_let_go() {
        let mut backlog = backlog(&["a", "a", ""]);
        backlog.forget_before(at(1));
        assert_eq!(taken(&mut backlog, at(9)), ids(&[("2", 1), ("3", 1)]));
        backlog.forget_before(at(3));
        assert_eq!(backlog.messages().count(), 0);
        backlog.put_back(1, at(9));
        assert_eq!(backlog.ready_at(), None, "what was dropped while it was out stays dropped");
    }

    #[test]
    fn a_late_acknowledgement_of_a_waiting_message_counts() {
        let mut backlog = backlog(&["a", "a"]);
        taken(&mut backlog, at(1));
        backlog.put_back(0, at(60));
        assert!(backlog.remove(0));
        assert_eq!(taken(&mut backlog, at(1)), ids(&[("2", 1)]));
    }
}
