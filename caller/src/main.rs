//! The other end of an authenticated service, as a program: `oidc-caller --help`.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
