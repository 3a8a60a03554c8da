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

#[test]
fn the_command_that_scripts_local_prints_delivers_a_task_to_what_it_started() {
    // Both at once, so that they differ.
    let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [port, emulator_port] =
        free.map(|listener| listener.local_addr().unwrap().port().to_string());
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut script = Command::new("scripts/local")
        .current_dir(project)
        .env("PORT", port)
        .env("EMULATOR_PORT", emulator_port)
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let lines = BufReader::new(script.stdout.take().unwrap()).lines();
    let _local = Local(script);
    let mut command = String::new();
    let mut running = 0;
    for line in lines {
        let line = line.unwrap();
        running += i32::from(line.contains("listening on") || line.contains("issuing as"));
        if running == 2 {
            break;
        }
        if line.starts_with("  ") {
            command += &line;
            command.push('\n');
        }
    }
    let answer = Command::new("bash").current_dir(project).args(["-c", &command]).output().unwrap();
    let text = String::from_utf8([answer.stdout, answer.stderr].concat()).unwrap();
    // Let in: done, or no such job where the example has been deleted.
    assert!(["\n204 in ", "\n404 in "].iter().any(|line| text.contains(line)), "{command}{text}");
}
