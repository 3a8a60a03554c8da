//! Envoy as a child process, and what stands for www.googleapis.com before it.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use emulator::{Courier, Delivery};
use reqwest::Client;
use serde_json::Value;

use crate::harness::PATIENCE;

/// What is shipped.
pub(super) const SHIPPED: &str = include_str!("../../../gateways/envoy/envoy.yaml");

/// Who answers for Google's keys.
#[derive(Clone, Copy)]
pub(super) enum KeysOf {
    /// Whom the trusted authority vouches for.
    Google,
    /// Somebody with the right name, of an authority that is not trusted.
    OtherAuthority,
    /// Somebody whom the trusted authority vouches for, by another name.
    OtherName,
}

/// A running Envoy. It is killed when dropped, with its files.
pub(super) struct Envoy {
    envoy: Child,
    keys: Child,
    folder: PathBuf,
    url: String,
    admin: String,
    courier: Courier,
    client: Client,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        for child in [&mut self.envoy, &mut self.keys] {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where `scripts/peers` has put Python and Envoy; `None`, and a line that says so, where it has not.
#[expect(clippy::print_stderr, reason = "whoever runs the suite must see that this was skipped")]
pub(super) fn installed() -> Option<(PathBuf, PathBuf)> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/python");
    let versions = fs::read_dir(peers.join("lib")).into_iter().flatten().flatten();
    let path = "site-packages/envoy/_bin/envoy";
    let envoy = versions.map(|version| version.path().join(path)).find(|path| path.exists());
    if envoy.is_none() {
        eprintln!("skipped: Envoy is not installed (scripts/peers)");
    }
    Some((peers.join("bin/python"), envoy?))
}

impl Envoy {
    /// In front of the receiver at `service`, with `config` as far as it need not be of this machine; `None` where it
    /// is not installed.
    pub(super) async fn start(
        service: &str,
        keys: KeysOf,
        jwks: &str,
        config: String,
    ) -> Option<Self> {
        let (python, envoy) = installed()?;
        let port = service.rsplit_once(':').unwrap().1;
        let folder = std::env::temp_dir().join(format!("envoy-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (keys, keys_port) = serve_keys(&python, &folder, keys, jwks);

        let mut config = config;
        let authority = folder.join("trusted.pem").display().to_string();
        for (shipped, here) in [
            ("0.0.0.0, port_value: 8080", "127.0.0.1, port_value: 0"),
            ("127.0.0.1, port_value: 8081", &format!("127.0.0.1, port_value: {port}")),
            ("www.googleapis.com, port_value: 443", &format!("127.0.0.1, port_value: {keys_port}")),
            ("/etc/ssl/certs/ca-certificates.crt", &authority),
        ] {
            // A test may have taken the last away.
            let count = config.matches(shipped).count();
            assert!(count == 1 || shipped.starts_with("/etc"), "{count} of {shipped}");
            config = config.replace(shipped, here);
        }
        // By which the test learns the port; what is shipped has none.
        assert!(!config.contains("admin:"));
        config += "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n";
        fs::write(folder.join("envoy.yaml"), config).unwrap();
        let child = Command::new(envoy)
            .arg("--config-path")
            .arg(folder.join("envoy.yaml"))
            .arg("--admin-address-path")
            .arg(folder.join("admin"))
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"])
            .stdout(File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut started = Self {
            envoy: child,
            keys,
            folder,
            url: String::new(),
            admin: String::new(),
            courier: Courier::new().unwrap(),
            client: Client::builder().no_proxy().build().unwrap(),
        };
        tokio::time::timeout(PATIENCE, started.listening()).await.expect("Envoy listens in time");
        Some(started)
    }

    /// Waits until it answers, which is once it has tried to fetch the keys.
    async fn listening(&mut self) {
        while self.url.is_empty() {
            assert!(self.envoy.try_wait().unwrap().is_none(), "Envoy has ended");
            tokio::time::sleep(Duration::from_millis(10)).await;
            let Ok(admin) = fs::read_to_string(self.folder.join("admin")) else { continue };
            self.admin = format!("http://{admin}");
            let port = "/listener_statuses/0/local_address/socket_address/port_value";
            if self.asked("/ready").await.as_deref() == Some("LIVE\n")
                && let Some(listeners) = self.asked("/listeners?format=json").await
                && let Ok(listeners) = serde_json::from_str::<Value>(&listeners)
                && let Some(port) = listeners.pointer(port)
            {
                self.url = format!("http://127.0.0.1:{port}");
            }
        }
    }

    /// What the admin port says.
    async fn asked(&self, path: &str) -> Option<String> {
        self.client.get(format!("{}{path}", self.admin)).send().await.ok()?.text().await.ok()
    }

    /// How often it has counted what has this name.
    pub(super) async fn counter(&self, name: &str) -> u64 {
        let text = self.asked(&format!("/stats?filter=^{name}$")).await.unwrap();
        let count = text.trim().strip_prefix(&format!("{name}: "));
        count.unwrap_or_else(|| panic!("{name}: {text:?}")).parse().unwrap()
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The status of a delivery.
    pub(super) async fn send(&self, path: &str, delivery: &Delivery) -> u16 {
        self.courier.deliver(&format!("{}{path}", self.url), delivery).await.unwrap().status
    }

    /// The status of a probe.
    pub(super) async fn get(&self, path: &str) -> u16 {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap().status().as_u16()
    }

    /// Ends it, and gives what it has logged.
    pub(super) fn stopped(mut self) -> String {
        // The shell's own kill: a bare machine has no program of that name.
        let kill = format!("kill -TERM {}", self.envoy.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(self.envoy.wait().unwrap().success());
        fs::read_to_string(self.folder.join("log")).unwrap()
    }
}

/// Starts a server of `jwks`, and gives its port.
fn serve_keys(python: &Path, folder: &Path, keys: KeysOf, jwks: &str) -> (Child, String) {
    let (name, authority) = match keys {
        KeysOf::Google => ("www.googleapis.com", "trusted"),
        KeysOf::OtherAuthority => ("www.googleapis.com", "another"),
        KeysOf::OtherName => ("www.example.com", "trusted"),
    };
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/gateways/keys_server.py");
    let mut serving = Command::new(python)
        .arg(program)
        .arg(folder)
        .args([name, authority])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(serving.stdin.as_mut().unwrap(), "{jwks}").unwrap();
    let mut port = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut port).unwrap();
    (serving, port.trim().to_owned())
}
