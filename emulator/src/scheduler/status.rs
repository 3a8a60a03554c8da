//! What came of a job's last attempt, as the job shows it.

use serde::{Deserialize, Serialize};

use crate::{api::wire::is_default, attempts::End};

/// `google.rpc.Status` with the code alone; it is left out when it is 0.
///
/// Codes: <https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Status {
    #[serde(default, skip_serializing_if = "is_default")]
    code: i32,
}

impl Status {
    /// Of an attempt that ended. Recorded jobs and logs show 400 as 3, 401 as 16, 403 as 7, 404 as 5, 500 as 13 and
    /// a missed deadline as 4; the rest is how `code.proto` maps HTTP.
    pub(super) fn of(end: &End) -> Status {
        let code = match end.status {
            _ if end.acknowledged => 0,
            _ if end.timed_out => 4,
            Some(400) => 3,
            Some(401) => 16,
            Some(403) => 7,
            Some(404) => 5,
            Some(409) => 10,
            Some(429) => 8,
            Some(499) => 1,
            Some(501) => 12,
            Some(504) => 4,
            Some(503) | None => 14,
            Some(500..=599) => 13,
            Some(_) => 2,
        };
        Status { code }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{json, to_value};

    use super::*;
    use crate::{history::EntryId, senders::Sender};

    fn end(status: Option<u16>, timed_out: bool) -> End {
        End {
            status,
            timed_out,
            acknowledged: status.is_some_and(|status| Sender::Scheduler.acknowledged_by(status)),
            retry_after: None,
            took: Duration::ZERO,
            entry: EntryId::default(),
        }
    }

    #[test]
    fn each_answer_has_its_code_and_success_has_none() {
        assert_eq!(to_value(Status::of(&end(Some(204), false))).unwrap(), json!({}));
        for (status, timed_out, code) in [
            (Some(500), false, 13),
            (Some(502), false, 13),
            (Some(503), false, 14),
            (Some(404), false, 5),
            (Some(418), false, 2),
            (Some(302), false, 2),
            (None, true, 4),
            (None, false, 14),
        ] {
            let shown = to_value(Status::of(&end(status, timed_out))).unwrap();
            assert_eq!(shown, json!({"code": code}), "{status:?}");
        }
    }
}
