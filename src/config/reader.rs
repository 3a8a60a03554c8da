//! Reads settings one by one and keeps every fault, so that one start reports them all.

use std::fmt::Debug;

use super::{Fault, Faults, Setting, values::Value};

pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    faults: Vec<Fault>,
    effective: Vec<Setting>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, faults: Vec::new(), effective: Vec::new() }
    }

    /// The value as it stands; an empty one is as good as none.
    pub(super) fn raw(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A setting that has a default.
    pub(super) fn parsed<T: Debug>(&mut self, name: &str, default: T, value: Value<T>) -> T {
        match self.read(name, &value) {
            Some(read) => read,
            None => {
                if self.raw(name).is_none() {
                    self.took(name, (value.show)(&default), true);
                }
                default
            }
        }
    }

    /// A setting that may be left out.
    pub(super) fn optional<T>(&mut self, name: &str, value: Value<T>) -> Option<T> {
        self.read(name, &value)
    }

    fn read<T>(&mut self, name: &str, value: &Value<T>) -> Option<T> {
        let raw = self.raw(name)?;
        match (value.parse)(&raw) {
            Some(parsed) => {
                self.took(name, (value.show)(&parsed), false);
                Some(parsed)
            }
            None => {
                self.fault(name, Some(&raw), value.expected, "correct it or leave it out");
                None
            }
        }
    }

    pub(super) fn took(&mut self, name: &str, value: String, is_default: bool) {
        // Shared settings are read once for each sender.
        if self.effective.iter().all(|setting| setting.name != name) {
            self.effective.push(Setting { name: name.to_owned(), value, is_default });
        }
    }

    pub(super) fn fault(&mut self, name: &str, value: Option<&str>, expected: &str, remedy: &str) {
        let fault = Fault {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            expected: expected.to_owned(),
            remedy: remedy.to_owned(),
        };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    pub(super) fn finish(self) -> Result<Vec<Setting>, Faults> {
        if self.faults.is_empty() { Ok(self.effective) } else { Err(Faults(self.faults)) }
    }
}
