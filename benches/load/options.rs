//! The command line.

use std::path::PathBuf;

use crate::Result;

/// What to measure, and how much of it.
pub(crate) struct Options {
    /// The receiver.
    pub(crate) service: PathBuf,
    /// The receiver without its guard, where it was built.
    pub(crate) unguarded: Option<PathBuf>,
    /// The emulator, where it was built.
    pub(crate) emulator: Option<PathBuf>,
    /// How much.
    pub(crate) volume: Volume,
}

/// How many of each; the whole takes minutes.
pub(crate) struct Volume {
    /// Requests of one run with a shared token.
    pub(crate) shared: u64,
    /// Requests of one run with tokens that are used once.
    pub(crate) single_use: u64,
    /// Requests of one run that is traced.
    pub(crate) traced: u64,
    /// Alternating runs.
    pub(crate) runs: usize,
    /// Requests after which memory is read for the first time; it must not grow in half as many more.
    pub(crate) memory: u64,
    /// How long the emulator's queues run at their full rate.
    pub(crate) dispatch_seconds: usize,
}

const FULL: Volume = Volume {
    shared: 100_000,
    single_use: 30_000,
    traced: 30_000,
    runs: 5,
    memory: 1_000_000,
    dispatch_seconds: 60,
};

const QUICK: Volume = Volume {
    shared: 20_000,
    single_use: 5_000,
    traced: 10_000,
    runs: 3,
    memory: 200_000,
    dispatch_seconds: 10,
};

impl Options {
    /// `None` where there is nothing to do: under `cargo test`, or with a filter that means another bench.
    ///
    /// # Errors
    ///
    /// An option that does not exist or lacks its value.
    pub(crate) fn parse(arguments: &[String]) -> Result<Option<Options>> {
        let mut options = Options {
            service: env!("CARGO_BIN_EXE_receiver").into(),
            unguarded: None,
            emulator: None,
            volume: FULL,
        };
        let mut is_bench = false;
        let mut is_wanted = true;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut path = || {
                let value = arguments.next().map(PathBuf::from);
                value.ok_or_else(|| format!("{argument} needs a path"))
            };
            match argument.as_str() {
                // `cargo bench` says so, `cargo test` does not.
                "--bench" => is_bench = true,
                "--quick" => options.volume = QUICK,
                "--service" => options.service = path()?,
                "--emulator" => options.emulator = Some(path()?),
                "--unguarded" => options.unguarded = Some(path()?),
                option if option.starts_with('-') => {
                    return Err(format!("there is no option {option}").into());
                }
                filter => is_wanted = "load".contains(filter),
            }
        }
        Ok((is_bench && is_wanted).then_some(options))
    }
}
