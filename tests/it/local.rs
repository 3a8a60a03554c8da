//! `scripts/local`, as whoever reads the README starts it.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

/// The script with everything that it started, stopped when dropped as Ctrl-C does.
struct Local(Child);

impl Drop for Local {
    fn drop(&mut self) {
        // The shell's own kill: a bare machine has no program of that name.
        let kill = format!("kill -INT -{}", self.0.id());
        let _ = Command::new("sh").args(["-c", &kill]).status();
        let _ = self.0.wait();
    }
}

/// The receiver and the emulator of `scripts/local` on free ports, and the commands that it prints.
struct Printed {
    port: String,
    emulator_port: String,
    commands: String,
    _local: Local,
}

fn start() -> Printed {
    // Both at once, so that they differ.
    let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [port, emulator_port] =
        free.map(|listener| listener.local_addr().unwrap().port().to_string());
    let mut script = Command::new("scripts/local")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("PORT", &port)
        .env("EMULATOR_PORT", &emulator_port)
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let lines = BufReader::new(script.stdout.take().unwrap()).lines();
    let _local = Local(script);
    let mut commands = String::new();
    let mut running = 0;
    for line in lines {
        let line = line.unwrap();
        running += i32::from(line.contains("listening on") || line.contains("issuing as"));
        if running == 2 {
            break;
        }
        if line.starts_with("  ") {
            commands += &line;
            commands.push('\n');
        }
    }
    Printed { port, emulator_port, commands, _local }
}

/// Runs lines of shell in the project's folder: whether they ended well, and what they printed.
fn shell(lines: &str) -> (bool, String) {
    let mut bash = Command::new("bash");
    let output = bash.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-euc", lines]).output();
    let output = output.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.success(), text)
}

#[test]
fn the_commands_that_scripts_local_prints_deliver_a_task_and_lead_a_shell_to_the_emulator() {
    let printed = start();
    let (fire, eval) = printed.commands.rsplit_once("  eval").unwrap();
    let (_, text) = shell(fire);
    // Let in: done, or no such job where the example has been deleted.
    assert!(["\n204 in ", "\n404 in "].iter().any(|line| text.contains(line)), "{fire}{text}");
    let (is_well, text) = shell(&format!("eval{eval}echo $CLOUDSDK_CORE_PROJECT"));
    assert!(is_well && text.trim() == "demo-project", "{eval}{text}");
}

/// The commands of a section of the README, a block of them after the other.
pub(crate) fn readme(section: &str) -> Vec<&'static str> {
    let text = include_str!("../../README.md");
    let (_, section) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    section.split("```").filter_map(|block| block.strip_prefix("sh\n")).collect()
}

#[test]
#[expect(clippy::print_stderr, reason = "whoever runs the suite must see that this was skipped")]
fn the_readme_s_commands_enqueue_a_task_that_the_history_shows() {
    if Command::new("gcloud").arg("--version").output().is_err() {
        eprintln!("skipped: gcloud is not installed (google-cloud-cli)");
        return;
    }
    let block = [readme("Google's side on a laptop")[0], readme("The other end")[0]].concat();
    let printed = start();
    let (port, emulator_port) = (&printed.port, &printed.emulator_port);
    // As the README says it, but for the ports, which are fixed there, and for where cargo builds.
    let folder = std::env::temp_dir().join(format!("readme-{emulator_port}"));
    std::fs::create_dir_all(&folder).unwrap();
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().and_then(Path::parent).unwrap();
    let block = block.replace("$PWD/target/debug", built.to_str().unwrap()).replace("8080", port);
    let folder = folder.display();
    // Not where somebody's own may be.
    let block = block.replace("key.json", &format!("{folder}/key.json"));
    let lines = format!(
        "export TMPDIR={folder} CLOUDSDK_CONFIG={folder}/none
emulator() {{ command emulator \"$@\" --emulator-url http://127.0.0.1:{emulator_port}; }}
{block}
grep --max-count=1 receipts < <(emulator history --follow)
gcloud tasks queues purge receipts --location=us-central1 --quiet
emulator fault expired --next=1
emulator export > {folder}/state.json
emulator import {folder}/state.json
emulator replay 1 || true
rm -rf {folder}"
    );
    let (is_well, text) = shell(&lines);
    assert!(is_well && text.contains("queues/receipts"), "{lines}\n{text}");
    for said in ["email           caller@demo-project", "\naccepted\n", "queues/receipts/tasks/"] {
        assert!(text.contains(said), "{lines}\n{text}");
    }
    // The fault was set for the next delivery, which the replay is.
    assert!(text.contains("401"), "{text}");
}
