//! Google's side on a laptop, as a program: `emulator --help`.

mod cli;

use std::{io::ErrorKind, process::ExitCode};

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(source) => Err(emulator::Error::System { what: "start the async runtime", source }),
    };
    match ended {
        Ok(code) => code,
        // Whoever reads has read enough, as `head` does.
        Err(emulator::Error::Output(fault)) if fault.kind() == ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(fault) => {
            complain(&fault);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a program's last word to the person who started it")]
fn complain(fault: &emulator::Error) {
    eprintln!("emulator: {fault}");
}
