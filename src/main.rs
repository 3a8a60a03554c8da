//! The receiver's binary: the jobs of `src/jobs`, served by the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    receiver::command::main(receiver::jobs::jobs())
}
