//! `--color`.

use std::io::IsTerminal;

use clap::ValueEnum;

/// When to use colours.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Whether to use them on `out`.
    pub(super) fn is_on(self, out: &impl IsTerminal) -> bool {
        match self {
            Color::Auto => out.is_terminal(),
            Color::Always => true,
            Color::Never => false,
        }
    }
}
