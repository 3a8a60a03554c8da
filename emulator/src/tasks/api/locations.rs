//! Locations. gcloud asks for them when a command has no `--location`.

use serde_json::{Value, json};

use super::Ask;
use crate::api::{error::ApiError, page};

/// Some of Cloud Tasks' regions; a queue may be created in any other, too.
const LOCATIONS: [&str; 6] =
    ["asia-northeast1", "europe-west1", "europe-west3", "us-central1", "us-east1", "us-west1"];

impl Ask<'_> {
    pub(super) fn list_locations(&self) -> Result<Value, ApiError> {
        self.require("cloudtasks.locations.list", &self.google.project.name())?;
        page::list(self.call, "locations", LOCATIONS.iter().map(|id| self.location(id)))
    }

    pub(super) fn get_location(&self, id: &str) -> Result<Value, ApiError> {
        self.require("cloudtasks.locations.get", &self.google.project.name())?;
        Ok(self.location(id))
    }

    fn location(&self, id: &str) -> Value {
        json!({
            "name": format!("{}/locations/{id}", self.google.project.name()),
            "locationId": id,
            "labels": {"cloud.googleapis.com/region": id},
        })
    }
}
