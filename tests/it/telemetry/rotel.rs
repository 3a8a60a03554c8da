//! Rotel, a collector that nobody here wrote (`scripts/peers`).

use std::{
    io::Read,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Instant,
};

use crate::harness::PATIENCE;

/// One that listens, and writes what it gets to its standard output.
pub(super) struct Rotel {
    pub(super) url: String,
    child: Child,
}

impl Rotel {
    pub(super) fn start(peers: &Path) -> Rotel {
        // It takes no port 0: these were free a moment ago.
        let free = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [http, grpc] = free.map(|listener| listener.local_addr().unwrap().to_string());
        let python = peers.join("python/lib");
        let versions = python.read_dir().unwrap();
        let agent = versions
            .map(|version| version.unwrap().path().join("site-packages/rotel/rotel-agent"))
            .find(|agent| agent.exists())
            .unwrap();
        let child = Command::new(agent)
            .args(["start", "--otlp-http-endpoint", &http, "--otlp-grpc-endpoint", &grpc])
            .args(["--exporter", "blackhole"])
            .args(["--debug-log", "traces", "--debug-log", "metrics"])
            .args(["--debug-log-verbosity", "detailed"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let rotel = Rotel { url: format!("http://{http}"), child };
        let begun = Instant::now();
        while std::net::TcpStream::connect(&http).is_err() {
            assert!(begun.elapsed() < PATIENCE, "rotel does not listen");
            thread::yield_now();
        }
        rotel
    }

    /// Stops it, and gives all that it wrote.
    pub(super) fn ended(mut self) -> String {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let mut said = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        self.child.wait().unwrap();
        said
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}
