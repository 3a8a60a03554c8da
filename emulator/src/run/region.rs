//! Where Cloud Run is.

use serde_json::{Value, json};

use crate::project::Project;

/// Its regions. Others can be deployed to here as well: the list is what clients are shown.
///
/// Source: <https://cloud.google.com/run/docs/locations>.
const REGIONS: [&str; 43] = [
    "africa-south1",
    "asia-east1",
    "asia-east2",
    "asia-northeast1",
    "asia-northeast2",
    "asia-northeast3",
    "asia-south1",
    "asia-south2",
    "asia-southeast1",
    "asia-southeast2",
    "asia-southeast3",
    "australia-southeast1",
    "australia-southeast2",
    "europe-central2",
    "europe-north1",
    "europe-north2",
    "europe-southwest1",
    "europe-west1",
    "europe-west10",
    "europe-west12",
    "europe-west2",
    "europe-west3",
    "europe-west4",
    "europe-west6",
    "europe-west8",
    "europe-west9",
    "me-central1",
    "me-central2",
    "me-west1",
    "northamerica-northeast1",
    "northamerica-northeast2",
    "northamerica-south1",
    "southamerica-east1",
    "southamerica-west1",
    "us-central1",
    "us-east1",
    "us-east4",
    "us-east5",
    "us-south1",
    "us-west1",
    "us-west2",
    "us-west3",
    "us-west4",
];

/// All regions as `projects.locations.list` answers them.
pub(super) fn all(project: &Project) -> impl ExactSizeIterator<Item = Value> {
    let project = project.name();
    REGIONS
        .iter()
        .map(move |id| json!({"name": format!("{project}/locations/{id}"), "locationId": id}))
}

/// The region that a host stands for: `us-central1-run.googleapis.com`, and here `us-central1-run.localhost`.
pub(super) fn of_host(host: &str) -> Option<&str> {
    host.split(['.', ':']).next()?.strip_suffix("-run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_s_first_label_names_the_region() {
        for (host, region) in [
            ("us-central1-run.localhost:8800", Some("us-central1")),
            ("europe-west1-run.googleapis.com", Some("europe-west1")),
            ("run.localhost:8800", None),
            ("127.0.0.1:8800", None),
        ] {
            assert_eq!(of_host(host), region);
        }
    }
}
