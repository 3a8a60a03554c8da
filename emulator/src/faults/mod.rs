//! Faults by name, for the next deliveries or until cleared.

mod fault;
mod lane;

pub use fault::Fault;
pub(crate) use lane::HeldBack;

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

use self::lane::Lanes;
use crate::{
    api::error::ApiError,
    attempts::Order,
    google::Google,
    issuer::{Authority, KeyAnswer},
    senders::Sender,
};

/// How late slow keys come: later than a receiver should let a request wait for them.
const KEYS_DELAY: Duration = Duration::from_secs(3);

/// A fault that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetFault {
    /// What goes wrong.
    pub fault: Fault,
    /// For how many deliveries more; until cleared where there is no number.
    #[serde(default)]
    pub next: Option<u32>,
    /// With whose deliveries; with everybody's where there is none.
    #[serde(default)]
    pub sender: Option<Sender>,
}

/// The faults that are set.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Read by every delivery, where the lock would be taken for nothing most of the time.
    is_any: AtomicBool,
    set: Mutex<Vec<SetFault>>,
    lanes: Lanes,
}

impl Google {
    /// Sets a fault, in the place of the same one of the same sender.
    ///
    /// # Errors
    /// 400 for no deliveries at all.
    pub(crate) fn set_fault(&self, fault: SetFault) -> Result<(), ApiError> {
        if fault.next == Some(0) {
            return Err(ApiError::invalid_field(
                "next",
                "is 0; give the number of deliveries, or leave it out for a fault that stays until it is cleared",
            ));
        }
        let mut set = self.faults.set();
        set.retain(|other| (other.fault, other.sender) != (fault.fault, fault.sender));
        set.push(fault);
        self.faults.changed(&set, &self.authority);
        Ok(())
    }

    /// Clears every fault.
    pub(crate) fn clear_faults(&self) {
        let mut set = self.faults.set();
        set.clear();
        self.faults.changed(&set, &self.authority);
    }
}

impl Faults {
    /// What is set, oldest first.
    pub(crate) fn list(&self) -> Vec<SetFault> {
        self.set().clone()
    }

    /// The faults of the delivery that is made now, each counted down. Those of the keys count when it
    /// [`ended`](Faults::ended), because they last as long as it does.
    pub(crate) fn take(&self, order: &Order) -> Vec<Fault> {
        if !self.is_any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut taken = Vec::new();
        let mut set = self.set();
        for one in set.iter_mut().filter(|one| one.is_of(order)) {
            let is_free =
                one.fault != Fault::Reorder || self.lanes.of(order.delivery.sender).take();
            if is_free && !taken.contains(&one.fault) {
                taken.push(one.fault);
                if !one.fault.is_of_keys() {
                    one.count_down();
                }
            }
        }
        self.drop_used(&mut set);
        taken
    }

    /// The delivery that `taken` befell was made.
    pub(crate) fn ended(&self, sender: Sender, taken: &[Fault], authority: &Authority) {
        self.lanes.of(sender).pass();
        if !taken.iter().any(|fault| fault.is_of_keys()) {
            return;
        }
        let mut set = self.set();
        for fault in taken.iter().filter(|fault| fault.is_of_keys()) {
            let counts = |one: &&mut SetFault| {
                one.fault == *fault && one.sender.is_none_or(|only| only == sender)
            };
            if let Some(one) = set.iter_mut().find(counts) {
                one.count_down();
            }
        }
        self.drop_used(&mut set);
        self.changed(&set, authority);
    }

    /// The hold on a delivery that [`Fault::Reorder`] was taken for.
    pub(crate) fn hold_back(&self, sender: Sender) -> HeldBack<'_> {
        self.lanes.of(sender).hold_back()
    }

    fn drop_used(&self, set: &mut Vec<SetFault>) {
        set.retain(|one| one.next != Some(0));
        self.is_any.store(!set.is_empty(), Ordering::Release);
    }

    /// Makes the key endpoints answer as the last fault of theirs says.
    fn changed(&self, set: &[SetFault], authority: &Authority) {
        self.is_any.store(!set.is_empty(), Ordering::Release);
        let answer = match set.iter().rev().map(|one| one.fault).find(|fault| fault.is_of_keys()) {
            Some(Fault::KeysDown) => KeyAnswer::Status(503),
            Some(Fault::KeysSlow) => KeyAnswer::Slow(KEYS_DELAY),
            Some(Fault::KeysCorrupt) => {
                KeyAnswer::Body(r#"{"keys": [{"kty": "RSA", "al"#.to_owned())
            }
            _ => KeyAnswer::Keys,
        };
        authority.key_page.answer.send_if_modified(|current| {
            let is_other = *current != answer;
            *current = answer;
            is_other
        });
    }

    fn set(&self) -> MutexGuard<'_, Vec<SetFault>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SetFault {
    fn is_of(&self, order: &Order) -> bool {
        self.sender.is_none_or(|only| only == order.delivery.sender) && self.fault.can_befall(order)
    }

    fn count_down(&mut self) {
        self.next = self.next.map(|left| left.saturating_sub(1));
    }
}
