//! The record as one line for people.

use std::io::Write;

use jiff::Timestamp;

use super::{
    Attempt, State,
    entry::{cut, reason},
};
use crate::outcome::Severity;

const DIM: &str = "2";
const BOLD: &str = "1";

/// Writes the record of an attempt, without a newline.
pub(super) fn write(line: &mut Vec<u8>, state: &State, attempt: &Attempt, is_coloured: bool) {
    let Some((outcome, status)) = state.outcome.as_ref().zip(state.status) else {
        return;
    };
    let colour = match outcome.severity() {
        Severity::Debug | Severity::Info => "32",
        Severity::Warning => "33",
        Severity::Error => "31",
    };
    let paint = |colour: &str, text: &str| {
        // What others wrote must not move the cursor or change colours.
        let text: String =
            text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        if is_coloured { format!("\x1b[{colour}m{text}\x1b[0m") } else { text }
    };
    let caller = state.caller.as_ref().map(|caller| caller.email().unwrap_or(caller.subject()));
    let mut parts = vec![
        paint(DIM, &Timestamp::now().strftime("%H:%M:%S%.3f").to_string()),
        paint(BOLD, &format!("{}/{}", attempt.route.sender, cut(&state.job(), 64))),
        paint(colour, &format!("{} {}", outcome.as_str(), status.as_u16())),
        paint(DIM, &format!("{} ms", state.duration_ms)),
    ];
    parts.extend(
        state
            .id
            .as_ref()
            .map(|id| cut(&id.to_string(), 128).into_owned())
            .map(|id| paint("0", &id)),
    );
    parts.extend(state.attempt.map(|attempt| paint("0", &format!("attempt {attempt}"))));
    parts.extend(caller.map(|caller| paint(DIM, caller)));
    parts.extend(reason(outcome).map(|reason| paint(colour, &reason)));
    // Writing to memory cannot fail.
    let _ = write!(line, "{}", parts.join("  "));
}
