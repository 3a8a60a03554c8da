//! In which order steps may run: `waitFor`.
//!
//! Source: <https://cloud.google.com/build/docs/configuring-builds/configure-build-step-order>, and Google's local
//! builder for what is refused
//! (<https://github.com/GoogleCloudPlatform/cloud-build-local/blob/master/validate/validate.go>).

use std::collections::BTreeSet;

use super::asked::{Step, invalid};
use crate::api::error::ApiError;

/// By this a step waits for nothing.
const START: &str = "-";

/// That each step waits for earlier ones only. The order of the document is then one of those that are allowed, and
/// that in which they are run here.
///
/// # Errors
/// 400 that names the step, and what it waits for or that its id is taken.
pub(super) fn check(steps: &[Step]) -> Result<(), ApiError> {
    let mut known = BTreeSet::from([START]);
    for (index, step) in steps.iter().enumerate() {
        let title = step.title(index);
        if let Some(missing) = step.wait_for.iter().find(|id| !known.contains(id.as_str())) {
            return Err(invalid(&format!(
                "invalid .steps field: {title} depends on {missing:?}, which has not been defined before it"
            )));
        }
        if !step.id.is_empty() && !known.insert(&step.id) {
            return Err(invalid(&format!("invalid .steps field: {title}: the ID is not unique")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, wait_for: &[&str]) -> Step {
        let wait_for = wait_for.iter().map(|id| (*id).to_owned()).collect();
        Step { id: id.to_owned(), name: "image".to_owned(), wait_for, ..Step::default() }
    }

    #[test]
    fn a_step_waits_for_earlier_ones_only() {
        check(&[step("a", &["-"]), step("", &[]), step("b", &["a"]), step("", &["a", "b"])])
            .unwrap();
        for (steps, said) in [
            (vec![step("a", &["b"]), step("b", &[])], "build step 0 \"a\" depends on \"b\""),
            (vec![step("a", &["a"])], "depends on \"a\""),
            (vec![step("a", &[]), step("a", &[])], "build step 1 \"a\": the ID is not unique"),
            (vec![step("-", &[])], "not unique"),
        ] {
            let fault = check(&steps).unwrap_err();
            assert!(fault.message.contains(said), "{}", fault.message);
        }
    }
}
