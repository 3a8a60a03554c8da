//! Which share of a service's requests each revision gets, and under which tags.
//!
//! Source: <https://cloud.google.com/run/docs/reference/rest/v1/TrafficTarget>.

use serde::{Deserialize, Serialize};

use crate::api::error::ApiError;

/// One line of a service's traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct TrafficTarget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision_name: Option<String>,
    /// Whether it is the newest revision that is ready, whichever that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latest_revision: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) percent: Option<i64>,
    /// Gives the revision an address of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<String>,
}

/// That every line says where it leads, the shares make a whole, and no tag comes twice. No line at all is the server's
/// to fill in.
///
/// # Errors
/// 400 that says what is wrong.
pub(super) fn check(traffic: &[TrafficTarget]) -> Result<(), ApiError> {
    let refused = |fault: String| Err(ApiError::invalid_field("spec.traffic", fault));
    let mut whole = 0;
    for (at, target) in traffic.iter().enumerate() {
        let is_named = target.revision_name.as_ref().is_some_and(|name| !name.is_empty());
        if is_named == (target.latest_revision == Some(true)) {
            return refused(format!(
                "line {at} names a revision and the latest, or neither; expected one of revisionName and latestRevision."
            ));
        }
        let percent = target.percent.unwrap_or_default();
        if !(0..=100).contains(&percent) {
            return refused(format!("has {percent} percent; expected between 0 and 100."));
        }
        whole += percent;
        if let Some(tag) = &target.tag {
            if !is_tag(tag) {
                return refused(format!(
                    "has the tag {tag:?}; expected lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
                ));
            }
            let (before, _) = traffic.split_at(at);
            if before.iter().any(|other| other.tag.as_ref() == Some(tag)) {
                return refused(format!("has the tag {tag:?} twice; a tag leads to one revision."));
            }
        }
    }
    if !traffic.is_empty() && whole != 100 {
        return refused(format!("adds up to {whole} percent; expected 100."));
    }
    Ok(())
}

/// Whether a tag can stand in a host name, in front of the service's.
///
/// Source: <https://cloud.google.com/run/docs/rollouts-rollbacks-traffic-migration#tags>.
fn is_tag(tag: &str) -> bool {
    let bytes = tag.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last() != Some(&b'-')
        && bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn fault(traffic: Value) -> Option<String> {
        let traffic: Vec<TrafficTarget> = serde_json::from_value(traffic).unwrap();
        check(&traffic).err().map(|fault| fault.message)
    }

    #[test]
    fn shares_make_a_whole_and_each_line_leads_to_one_revision() {
        let whole = json!([
            {"revisionName": "s-1", "percent": 90},
            {"latestRevision": true, "percent": 10, "tag": "candidate"},
            {"revisionName": "s-2", "tag": "previous"},
        ]);
        assert_eq!(fault(whole.clone()), None);
        assert_eq!(fault(json!([])), None);
        for (pointer, value, said) in [
            ("/0/percent", json!(89), "adds up to 99 percent"),
            ("/0/percent", json!(101), "has 101 percent"),
            ("/0/percent", json!(-10), "has -10 percent"),
            ("/0/revisionName", json!(""), "line 0 names a revision and the latest, or neither"),
            ("/1/revisionName", json!("s-1"), "line 1 names a revision and the latest, or neither"),
            ("/2/tag", json!("candidate"), "has the tag \"candidate\" twice"),
            ("/2/tag", json!("No"), "has the tag \"No\""),
            ("/2/tag", json!("1st"), "has the tag \"1st\""),
            ("/2/tag", json!("a-"), "has the tag \"a-\""),
            ("/2/tag", json!(""), "has the tag \"\""),
        ] {
            let mut spoilt = whole.clone();
            match spoilt.pointer_mut(pointer) {
                Some(field) => *field = value,
                None => spoilt[1]["revisionName"] = value,
            }
            let fault = fault(spoilt).unwrap();
            assert!(fault.starts_with(&format!("spec.traffic: {said}")), "{fault}");
        }
    }
}
