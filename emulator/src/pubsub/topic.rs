//! The topic resource.
//!
//! Source: `Topic` in `google/pubsub/v1/pubsub.proto`.

use serde::{Deserialize, Serialize};

use super::labels::Labels;
use crate::api::wire::is_default;

/// Fields of Google's that are refused here.
pub(super) const UNBUILT: [&str; 7] = [
    "messageStoragePolicy",
    "kmsKeyName",
    "schemaSettings",
    "messageRetentionDuration",
    "ingestionDataSourceSettings",
    "messageTransforms",
    "tags",
];

/// A topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Topic {
    /// `projects/PROJECT/topics/ID`.
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) labels: Labels,
}
