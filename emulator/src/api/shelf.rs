//! Resources of one kind that are kept as the documents that they came as.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use super::{
    call::{Call, from_json},
    error::ApiError,
    page,
};
use crate::{google::Google, state};

/// The documents, by full name.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Mutex<BTreeMap<String, Value>>);

/// What was read of an export and can be put in place.
#[derive(Debug)]
pub(crate) struct Imported(BTreeMap<String, Value>);

impl Shelf {
    /// A page of all of them, in order of name.
    ///
    /// # Errors
    /// 400 if the page cannot be.
    pub(crate) fn list(&self, call: &Call, field: &str) -> Result<Value, ApiError> {
        let all: Vec<Value> = self.documents().values().cloned().collect();
        page::list(call, field, all.into_iter())
    }

    /// One of them.
    ///
    /// # Errors
    /// 404.
    pub(crate) fn get(&self, name: &str) -> Result<Value, ApiError> {
        self.documents().get(name).cloned().ok_or_else(|| ApiError::not_found(name))
    }

    /// Adds one.
    ///
    /// # Errors
    /// 409 if there is one of that name.
    pub(crate) fn add(&self, name: &str, document: Value) -> Result<Value, ApiError> {
        let mut documents = self.documents();
        if documents.contains_key(name) {
            return Err(ApiError::exists(name));
        }
        documents.insert(name.to_owned(), document.clone());
        Ok(document)
    }

    /// Replaces one by what `change` makes of it.
    ///
    /// # Errors
    /// 404, and what `change` refuses.
    pub(crate) fn change(
        &self,
        name: &str,
        change: impl FnOnce(&Value) -> Result<Value, ApiError>,
    ) -> Result<Value, ApiError> {
        let mut documents = self.documents();
        let document = documents.get_mut(name).ok_or_else(|| ApiError::not_found(name))?;
        *document = change(document)?;
        Ok(document.clone())
    }

    /// Removes one.
    ///
    /// # Errors
    /// 404.
    pub(crate) fn remove(&self, name: &str) -> Result<Value, ApiError> {
        self.documents().remove(name).ok_or_else(|| ApiError::not_found(name))?;
        Ok(json!({}))
    }

    pub(crate) fn export(&self) -> Value {
        json!(*self.documents())
    }

    /// Reads what was exported; nothing changes.
    ///
    /// # Errors
    /// 400 that names the resource which is none of the project's, or what `check` refuses.
    pub(crate) fn read(
        google: &Google,
        saved: Value,
        check: impl Fn(&Value) -> Result<(), ApiError>,
    ) -> Result<Imported, ApiError> {
        let read: BTreeMap<String, Value> = from_json(saved)?;
        for (name, document) in &read {
            if !name.starts_with(&format!("{}/", google.project.name())) {
                return Err(ApiError::invalid(format!("{name:?} is none of this project's.")));
            }
            check(document).map_err(|fault| state::refused(name, fault))?;
        }
        Ok(Imported(read))
    }

    /// Replaces all by what was read.
    pub(crate) fn put(&self, Imported(documents): Imported) {
        *self.documents() = documents;
    }

    fn documents(&self) -> MutexGuard<'_, BTreeMap<String, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A document's field that must be a text and not empty.
///
/// # Errors
/// 400 that names the field.
pub(crate) fn required<'a>(document: &'a Value, field: &str) -> Result<&'a str, ApiError> {
    match document.get(field).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(ApiError::invalid_field(field, "is required and must not be empty.")),
    }
}

/// That a document has no field but these.
///
/// # Errors
/// 400 that names the first which it has.
pub(crate) fn only(document: &Value, known: &[&str]) -> Result<(), ApiError> {
    let fields = document.as_object().ok_or_else(|| ApiError::invalid("Expected an object."))?;
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(field) => Err(ApiError::invalid(format!(
            "Invalid JSON payload received. Unknown name \"{field}\": Cannot find field."
        ))),
        None => Ok(()),
    }
}
