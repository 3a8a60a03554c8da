//! What the commands print.

use std::io::{self, Write as _};

use serde_json::Value;

/// One line on standard output.
pub(super) fn line(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// One JSON object on standard output.
pub(super) fn object(value: &Value) -> io::Result<()> {
    line(&value.to_string())
}

/// What should be known, and changes nothing.
pub(super) fn warn(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "oidc-caller: warning: {text}")
}
