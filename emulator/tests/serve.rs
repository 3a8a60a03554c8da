//! `emulator serve` as a program: what it leaves behind when it is told to end.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed; helpers here are outside of test functions"
)]

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

#[test]
#[ignore = "is no test but the program that the test below runs as a revision"]
#[expect(clippy::disallowed_methods, reason = "a program reads its port from its environment")]
fn listens() {
    let address = ("127.0.0.1", env::var("PORT").unwrap().parse().unwrap());
    // A process of its own, as a program's wrapper has one. Both would outlive the test's patience.
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let _listener = TcpListener::bind(address).unwrap();
    child.wait().unwrap();
}

/// What `ps` says of processes.
fn ps(arguments: &[&str]) -> String {
    String::from_utf8(Command::new("ps").args(arguments).output().unwrap().stdout).unwrap()
}

/// Whether a process runs: one that is dead may wait for its new parent to take notice.
fn runs(id: u32) -> bool {
    let state = ps(&["-o", "stat=", "-p", &id.to_string()]);
    !state.trim().is_empty() && !state.starts_with('Z')
}

/// An emulator with this test program behind the service `receiver`, and where it is reached.
fn serve() -> (Child, String) {
    let program = env::current_exe().unwrap();
    let mut emulator = Command::new(env!("CARGO_BIN_EXE_emulator"))
        .args(["serve", "--port=0", "--run", &format!("receiver={}", program.display())])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(emulator.stdout.as_mut().unwrap()).lines();
    // "issuing as URL on URL, keys at URL"
    let line = lines.next().unwrap().unwrap();
    let url = line.split(' ').nth(2).unwrap().to_owned();
    (emulator, url)
}

async fn deploy(url: &str) {
    let service = json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "receiver"},
        "spec": {"template": {"spec": {"containers": [{
            "image": "image",
            "args": ["--exact", "listens", "--ignored"],
        }]}}},
    });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let path = "run/v1/projects/demo-project/locations/us-central1/services";
    let request = client.post(format!("{url}/{path}")).body(service.to_string());
    let answer = request.send().await.unwrap().bytes().await.unwrap();
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["status"]["conditions"][0]["status"], "True", "{answer}");
}

/// The processes whose parent is `id`.
fn children(id: u32) -> Vec<u32> {
    let listed = ps(&["-A", "-o", "ppid=,pid="]);
    let pairs = listed.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap());
        Some((numbers.next()?, numbers.next()?))
    });
    pairs.filter_map(|(parent, child): (u32, u32)| (parent == id).then_some(child)).collect()
}

#[tokio::test]
async fn whatever_ends_it_its_revisions_processes_end_with_it() {
    for told in ["TERM", "INT", "HUP"] {
        let (mut emulator, url) = serve();
        deploy(&url).await;
        let revision = children(emulator.id())[0];
        let below = children(revision)[0];
        for id in [revision, below] {
            assert!(runs(id));
        }
        let kill = format!("kill -{told} {}", emulator.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(emulator.wait().unwrap().success(), "{told}");
        let mut rest = String::new();
        emulator.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        for id in [revision, below] {
            assert!(!runs(id), "{told}: {id} runs on");
        }
    }
}
