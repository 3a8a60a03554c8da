//! The command line: what can be asked for, one file per subcommand.

mod at;
mod color;
mod demo;
mod env;
mod export;
mod fault;
mod fire;
mod history;
mod import;
mod name_value;
mod replay;
mod serve;
mod sign;
mod token;
mod values;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use emulator::Error;

/// Where `emulator serve` listens unless told otherwise.
const DEFAULT_PORT: u16 = 8800;

/// The URL of [`DEFAULT_PORT`].
const DEFAULT_URL: &str = "http://127.0.0.1:8800";

/// Google's side on a laptop: schedules, queues, topics and IAM behind its REST APIs, deliveries with signed tokens.
#[derive(Debug, Parser)]
#[command(name = "emulator", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve Google's APIs, and deliver as its senders do, until stopped.
    Serve(serve::Args),
    /// Print what points gcloud, client libraries and the receiver at a running emulator: eval "$(emulator env)".
    Env(env::Args),
    /// Print every attempt of every sender.
    History(history::Args),
    /// Make a delivery of the history again; exit 0 only if the sender would count it as done.
    Replay(replay::Args),
    /// Let something go wrong with the next deliveries; without a name, print what is set.
    Fault(fault::Args),
    /// Print all resources as one JSON document.
    Export(export::Args),
    /// Put such a document in the place of all resources.
    Import(import::Args),
    /// Print a token that a running emulator signs, whole or spoilt.
    Token(token::Args),
    /// Send one delivery as a sender does; exit 0 only if the sender would count it as done.
    Fire(Box<fire::Args>),
    /// Pass requests on to a receiver with a valid token added.
    Sign(sign::Args),
    /// Start a receiver, deliver everything to it, and check every record.
    Demo(demo::Args),
}

impl Cli {
    /// Does what was asked.
    pub(crate) async fn run(self) -> Result<ExitCode, Error> {
        match self.command {
            Command::Serve(args) => serve::run(args).await,
            Command::Env(args) => env::run(args).await,
            Command::History(args) => history::run(args).await,
            Command::Replay(args) => replay::run(args).await,
            Command::Fault(args) => fault::run(args).await,
            Command::Export(args) => export::run(args).await,
            Command::Import(args) => import::run(args).await,
            Command::Token(args) => token::run(args).await,
            Command::Fire(args) => fire::run(*args).await,
            Command::Sign(args) => sign::run(args).await,
            Command::Demo(args) => demo::run(args).await,
        }
    }
}

/// Returns on Ctrl-C or SIGTERM, or when the terminal is closed.
async fn stopped() -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let fault = |source| Error::System { what: "wait for signals", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(fault)?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(fault),
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert!(DEFAULT_URL.ends_with(&format!(":{DEFAULT_PORT}")));
    }

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    /// What is said of a line that must be refused, with the exit code of a fault of usage.
    fn refusal(line: &str) -> String {
        let fault = parsed(line).unwrap_err();
        assert_eq!(fault.exit_code(), 2, "{line}");
        fault.to_string()
    }

    const TO: &str = "--url http://127.0.0.1:8080/x --audience a --email b";

    #[test]
    fn urls_are_checked() {
        for line in [
            "emulator fire tasks --audience a --email b --url localhost:8080/tasks/x",
            "emulator fire tasks --url http://a --audience a --email b --issuer-url localhost:8800",
            "emulator token --audience a --email b --issuer-url nonsense",
            "emulator sign --audience a --email b --forward nonsense",
            "emulator sign --audience a --email b --forward http://a --issuer-url /x",
        ] {
            let said = refusal(line);
            let expected = "expected an absolute URL, such as http://127.0.0.1:8080";
            assert!(said.contains(expected), "{line}: {said}");
        }
        assert!(parsed(&format!("emulator fire tasks {TO}")).is_ok());
        assert!(parsed("emulator sign --audience a --email b --forward https://a").is_ok());
    }

    #[test]
    fn a_running_emulator_goes_by_one_name_and_by_its_former_one() {
        for line in [
            format!("emulator fire tasks {TO}"),
            "emulator token --audience a --email b".to_owned(),
            "emulator sign --audience a --email b --forward http://a".to_owned(),
            "emulator env".to_owned(),
            "emulator history".to_owned(),
            "emulator replay 1".to_owned(),
            "emulator fault".to_owned(),
            "emulator export".to_owned(),
            "emulator import state.json".to_owned(),
        ] {
            for option in ["--emulator-url", "--issuer-url"] {
                assert!(parsed(&format!("{line} {option} http://a:1")).is_ok(), "{line} {option}");
                assert!(refusal(&format!("{line} {option} a:1")).contains("--emulator-url"));
            }
        }
    }

    #[test]
    fn what_is_served_is_checked() {
        let line = "emulator serve --port 0 --project demo --project-number 42 --legacy-agents \
                    --run a=http://127.0.0.1:1 --run b=http://127.0.0.1:2 --state state.json";
        assert!(parsed(line).is_ok());
        for line in ["--run-builds --build-tools /a", "--no-apis --no-billing"] {
            assert!(parsed(&format!("emulator serve {line}")).is_ok(), "{line}");
        }
        for (arguments, expected) in [
            ("--build-tools /a", "--run-builds"),
            ("--run a", "expected NAME=URL"),
            ("--run a=localhost:1", "the program localhost:1"),
            ("--run a=ftp://localhost", "expected an absolute URL"),
            ("--issuer nonsense", "expected an absolute URL"),
            ("--project-number x", "--project-number"),
        ] {
            let said = refusal(&format!("emulator serve {arguments}"));
            assert!(said.contains(expected), "{arguments}: {said}");
        }
    }

    #[test]
    fn faults_and_senders_are_words_of_a_list() {
        for line in [
            "emulator fault",
            "emulator fault expired",
            "emulator fault concurrent-duplicate --next 3 --sender pubsub",
            "emulator fault --clear",
            "emulator history --follow --json --sender tasks --resource q --since 4",
        ] {
            assert!(parsed(line).is_ok(), "{line}");
        }
        for (line, expected) in [
            ("emulator fault no-such", "possible values: duplicate, concurrent-duplicate, expired"),
            ("emulator fault expired --next 0", "--next"),
            ("emulator fault --next 3", "<NAME>"),
            ("emulator fault expired --clear", "cannot be used with"),
            ("emulator fault expired --sender cron", "use scheduler, tasks, pubsub or eventarc"),
            ("emulator history --sender cron", "use scheduler, tasks, pubsub or eventarc"),
            ("emulator replay x", "ID"),
        ] {
            let said = refusal(line);
            assert!(said.contains(expected), "{line}: {said}");
        }
    }

    #[test]
    fn an_address_to_listen_on_is_an_ip_and_a_port() {
        let said = refusal("emulator sign --audience a --email b --forward http://a --listen 80");
        assert!(said.contains("'--listen <IP:PORT>'"), "{said}");
        assert!(said.contains("expected an IP address and a port, such as 127.0.0.1:0"), "{said}");
    }

    #[test]
    fn an_event_takes_the_options_of_a_message_with_pubsub_alone() {
        for option in [
            "--attribute a=b",
            "--message-id 1",
            "--subscription s",
            "--delivery-attempt 2",
            "--ordering-key k",
            "--topic t",
        ] {
            let line = format!("emulator fire events {TO} {option}");
            let said = refusal(&line);
            assert!(said.contains("--pubsub"), "{line}: {said}");
            assert!(parsed(&format!("{line} --pubsub")).is_ok(), "{line}");
        }
        assert!(parsed(&format!("emulator fire events {TO} --data {{}}")).is_ok());
        assert!(parsed(&format!("emulator fire pubsub {TO} --attribute a=b")).is_ok());
    }

    #[test]
    fn claims_are_checked() {
        let line = "emulator token --audience a --email b --claim";
        assert!(refusal(&format!("{line} aud=[\"a\"")).contains("has to be JSON"));
        assert!(refusal(&format!("{line} aud")).contains("expected NAME=JSON"));
        assert!(parsed(&format!("{line} aud=[\"a\"] --claim sub=x")).is_ok());
    }

    #[test]
    fn times_and_methods_are_checked() {
        for (arguments, expected) in [
            ("scheduler --schedule-time yesterday", "expected an RFC 3339 time"),
            ("scheduler --method put", "use GET, POST, PUT"),
            ("tasks --method put", "use GET, POST, PUT"),
            ("tasks --eta yesterday", "--eta"),
        ] {
            let said = refusal(&format!("emulator fire {arguments} {TO}"));
            assert!(said.contains(expected), "{arguments}: {said}");
        }
        let line = "--schedule-time 2026-10-05T01:41:00-07:00 --method PUT";
        assert!(parsed(&format!("emulator fire scheduler {TO} {line}")).is_ok());
    }
}
