//! Pub/Sub: topics, subscriptions, and what is on its way between them.
//!
//! - [`api`]: the calls, in [`topics`], [`subscriptions`] and [`pull`].
//! - [`topic`], [`subscription`], [`push_config`], [`policies`], [`labels`], [`name`], [`filter`], [`message`]: the
//!   resources and what Google holds them to.
//! - [`running`]: a subscription at work, of a [`backlog`] and a [`pace`].
//! - [`pusher`]: its task. [`refusal`]: what becomes of a message that was not acknowledged.
//! - [`saved`]: export and import.
//!
//! Locks are taken in this order: the resources, then one subscription.

pub(crate) mod api;

mod topics;

mod subscriptions;

mod pull;

mod topic;

mod subscription;

mod push_config;

mod policies;

mod labels;

mod name;

mod filter;

mod message;

mod running;

mod backlog;

mod pace;

mod pusher;

mod refusal;

mod saved;

#[cfg(test)]
mod stand;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::Timestamp;

use self::{message::Message, running::Running, topic::Topic};
use crate::{api::error::ApiError, google::Google};

/// The topics and subscriptions.
#[derive(Debug, Default)]
pub(crate) struct PubSub {
    resources: Mutex<Resources>,
    /// Of the youngest message.
    last_message_id: AtomicU64,
}

/// By name.
#[derive(Debug, Default)]
struct Resources {
    topics: BTreeMap<String, Topic>,
    subscriptions: BTreeMap<String, Arc<Running>>,
}

impl Resources {
    /// That the topic exists.
    fn require_topic(&self, name: &str) -> Result<(), ApiError> {
        if self.topics.contains_key(name) { Ok(()) } else { Err(name::not_found(name)) }
    }

    /// The subscription of that name.
    fn subscription(&self, name: &str) -> Result<Arc<Running>, ApiError> {
        self.subscriptions.get(name).map(Arc::clone).ok_or_else(|| name::not_found(name))
    }

    /// The subscriptions of a topic.
    fn subscriptions_of(&self, topic: &str) -> Vec<Arc<Running>> {
        let all = self.subscriptions.values();
        all.filter(|running| running.settings().topic == topic).map(Arc::clone).collect()
    }
}

impl PubSub {
    /// Topics and subscriptions, for one short look or change.
    fn resources(&self) -> MutexGuard<'_, Resources> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives `messages` ids and a time and hands them to the topic's subscriptions. Returns the ids.
    fn publish(
        &self,
        topic: &str,
        messages: Vec<Message>,
        now: Timestamp,
    ) -> Result<Vec<String>, ApiError> {
        let resources = self.resources();
        resources.require_topic(topic)?;
        let subscriptions = resources.subscriptions_of(topic);
        drop(resources);
        // Cut off, not rounded: a message of the future would have to wait.
        let publish_time = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        let mut id = self.reserve_ids(messages.len() as u64, now);
        let stamped = |message: Message| {
            let message_id = id.to_string();
            id = id.saturating_add(1);
            Arc::new(Message { message_id, publish_time, ..message })
        };
        let messages: Vec<Arc<Message>> = messages.into_iter().map(stamped).collect();
        for subscription in subscriptions {
            subscription.receive(&messages);
        }
        Ok(messages.iter().map(|message| message.message_id.clone()).collect())
    }

    /// The first of `count` numbers that no message has: microseconds of now where that is later than all before, so
    /// that they are new after a restart as well, and of as many digits as Google's.
    fn reserve_ids(&self, count: u64, now: Timestamp) -> u64 {
        let now = u64::try_from(now.as_microsecond()).unwrap_or(0);
        let first = |last: u64| now.max(last.saturating_add(1));
        let reserve = |last| Some(first(last).saturating_add(count));
        let (Ok(last) | Err(last)) =
            self.last_message_id.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve);
        first(last)
    }

    /// Deletes the subscriptions that were unused for too long.
    fn expire(google: &Google) {
        let now = google.clock.now();
        google.pubsub.resources().subscriptions.retain(|name, running| {
            let expired = running.is_expired(now);
            if expired {
                running.delete();
                google.iam.forget(name);
            }
            !expired
        });
    }
}
