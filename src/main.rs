//! The receiver: configuration, telemetry, bind, run, drain. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    receiver::command::main(receiver::jobs::jobs())
}
