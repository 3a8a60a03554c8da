//! A subscription at work: its settings, its messages and its pace.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    backlog::{Backlog, Delivery},
    filter::Filter,
    message::Message,
    name::DELETED_TOPIC,
    pace::Pace,
    subscription::Subscription,
};
use crate::{api::error::ApiError, clock::after};

/// One subscription, shared by the calls on it and by its task.
#[derive(Debug)]
pub(super) struct Running {
    /// `projects/PROJECT/subscriptions/ID`.
    pub(super) name: String,
    filter: Option<Filter>,
    state: Mutex<State>,
    /// Tells the task and waiting pulls that there may be something to do.
    changed: watch::Sender<()>,
}

/// What changes.
#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Arc<Subscription>,
    pub(super) backlog: Backlog,
    pub(super) pace: Pace,
    /// When it was last used; unused subscriptions expire.
    pub(super) used_at: Timestamp,
    is_deleted: bool,
}

/// What a subscription's task has to do.
#[derive(Debug)]
pub(super) enum Next {
    /// Push this message as the settings say.
    Push(Arc<Subscription>, Delivery),
    /// Look again at that time.
    Wait(Timestamp),
    /// Look again when something has changed.
    Rest,
    /// The subscription is deleted.
    End,
}

impl Running {
    /// A subscription without messages.
    ///
    /// # Errors
    /// 400 if its filter is none.
    pub(super) fn new(settings: Subscription, now: Timestamp) -> Result<Running, ApiError> {
        Ok(Running {
            name: settings.name.clone(),
            filter: settings.parsed_filter()?,
            state: Mutex::new(State {
                backlog: Backlog::new(settings.enable_message_ordering),
                settings: Arc::new(settings),
                pace: Pace::default(),
                used_at: now,
                is_deleted: false,
            }),
            changed: watch::Sender::new(()),
        })
    }

    /// The state, for one short look or change.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings as they are now.
    pub(super) fn settings(&self) -> Arc<Subscription> {
        Arc::clone(&self.state().settings)
    }

    /// Sees each [`notify`](Running::notify) from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Wakes whoever waits for a change.
    pub(super) fn notify(&self) {
        self.changed.send_replace(());
    }

    /// Adds what the filter lets through; the rest counts as acknowledged.
    pub(super) fn receive(&self, messages: &[Arc<Message>]) {
        let passes = |message: &&Arc<Message>| {
            self.filter.as_ref().is_none_or(|filter| filter.matches(&message.attributes))
        };
        let mut state = self.state();
        for message in messages.iter().filter(passes) {
            state.backlog.add(Arc::clone(message), 0);
        }
        drop(state);
        self.notify();
    }

    /// Replaces the settings. Another endpoint is given a fresh start.
    pub(super) fn replace(&self, settings: Subscription, now: Timestamp) {
        let mut state = self.state();
        if settings.push_config.push_endpoint != state.settings.push_config.push_endpoint {
            state.pace = Pace::default();
        }
        state.settings = Arc::new(settings);
        state.used_at = now;
        drop(state);
        self.notify();
    }

    /// Takes note that its topic is gone.
    pub(super) fn lose_topic(&self) {
        let mut state = self.state();
        Arc::make_mut(&mut state.settings).topic = DELETED_TOPIC.to_owned();
    }

    /// Ends its task once what is on its way has come back.
    pub(super) fn delete(&self) {
        self.state().is_deleted = true;
        self.notify();
    }

    /// Whether it was unused for longer than its expiration policy allows.
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        let state = self.state();
        let ttl = state.settings.expiration_policy.and_then(|policy| policy.ttl);
        ttl.is_some_and(|ttl| after(state.used_at, ttl.0) <= now)
    }

    /// What its task does next while `out` pushes are on their way.
    pub(super) fn next(&self, now: Timestamp, out: usize) -> Next {
        let mut state = self.state();
        if state.is_deleted {
            return Next::End;
        }
        // Pulled messages may still be out where pushing has begun.
        let overdue_at = state.backlog.overdue_at();
        let ready_at = state.backlog.ready_at().filter(|_| state.settings.push_config.is_push());
        let Some(ready_at) = ready_at else { return overdue_at.map_or(Next::Rest, Next::Wait) };
        if !state.pace.has_room(out) {
            return Next::Rest;
        }
        let go_at = ready_at.max(state.pace.stopped_until());
        if go_at > now {
            return Next::Wait(overdue_at.map_or(go_at, |overdue_at| overdue_at.min(go_at)));
        }
        // A push is out until its answer or the request's timeout, which its sender sees to.
        match state.backlog.take(now, Timestamp::MAX) {
            Some(delivery) => Next::Push(Arc::clone(&state.settings), delivery),
            None => Next::Rest,
        }
    }
}

impl State {
    /// Drops messages that were kept for as long as they are to be.
    pub(super) fn forget_old(&mut self, now: Timestamp) {
        let retention = self.settings.message_retention_duration.unwrap_or_default();
        if let Ok(oldest) = now.checked_sub(retention.0) {
            self.backlog.forget_before(oldest);
        }
    }
}
