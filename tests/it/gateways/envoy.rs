//! Envoy as a child process, and what stands for www.googleapis.com before it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use emulator::{Courier, Delivery};
use reqwest::Client;
use serde_json::Value;

use crate::harness::PATIENCE;

/// Who answers for Google's keys.
#[derive(Clone, Copy)]
pub(super) enum Keys {
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
    courier: Courier,
    client: Client,
}

impl Drop for Envoy {
    fn drop(&mut self) {
        for child in [&mut self.envoy, &mut self.keys] {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Envoy {
    /// In front of the receiver at `service`; `None`, and a line that says so, where it is not installed.
    #[expect(
        clippy::print_stderr,
        reason = "whoever runs the suite must see that this was skipped"
    )]
    pub(super) async fn start(
        service: &str,
        keys: Keys,
        jwks: &str,
        change: impl Fn(String) -> String,
    ) -> Option<Envoy> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/peers/python");
        let binary = std::fs::read_dir(python.join("lib")).ok().and_then(|versions| {
            let path = "site-packages/envoy/_bin/envoy";
            versions.flatten().map(|version| version.path().join(path)).find(|path| path.exists())
        });
        let Some(binary) = binary else {
            eprintln!("skipped: Envoy is not installed (scripts/peers)");
            return None;
        };
        let number = service.rsplit_once(':').unwrap().1;
        let folder = std::env::temp_dir().join(format!("envoy-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();

        let (name, authority) = match keys {
            Keys::Google => ("www.googleapis.com", "trusted"),
            Keys::OtherAuthority => ("www.googleapis.com", "another"),
            Keys::OtherName => ("www.example.com", "trusted"),
        };
        let mut serving = Command::new(python.join("bin/python"))
            .arg(root.join("tests/it/gateways/keys_server.py"))
            .arg(&folder)
            .args([name, authority])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(serving.stdin.as_mut().unwrap(), "{jwks}").unwrap();
        let mut port = String::new();
        BufReader::new(serving.stdout.take().unwrap()).read_line(&mut port).unwrap();

        let shipped = std::fs::read_to_string(root.join("gateways/envoy/envoy.yaml")).unwrap();
        let trusted = folder.join("trusted.pem");
        let mut config = change(shipped);
        for (ours, here) in [
            ("0.0.0.0, port_value: 8080", "127.0.0.1, port_value: 0".to_owned()),
            ("127.0.0.1, port_value: 8081", format!("127.0.0.1, port_value: {number}")),
            (
                "www.googleapis.com, port_value: 443",
                format!("127.0.0.1, port_value: {}", port.trim()),
            ),
            ("/etc/ssl/certs/ca-certificates.crt", trusted.to_string_lossy().into_owned()),
        ] {
            assert_eq!(config.matches(ours).count(), 1, "{ours}");
            config = config.replace(ours, &here);
        }
        // By which the test learns the port; what is shipped has none.
        assert!(!config.contains("admin:"));
        config
            .push_str("admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n");
        let file = folder.join("envoy.yaml");
        std::fs::write(&file, config).unwrap();
        let admin = folder.join("admin");
        let envoy = Command::new(binary)
            .arg("--config-path")
            .arg(&file)
            .arg("--admin-address-path")
            .arg(&admin)
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let client = Client::builder().no_proxy().build().unwrap();
        let mut started = Envoy {
            envoy,
            keys: serving,
            folder,
            url: String::new(),
            courier: Courier::new().unwrap(),
            client,
        };
        started.url = tokio::time::timeout(PATIENCE, started.listening(&admin)).await.unwrap();
        Some(started)
    }

    /// Where it listens, once it does.
    async fn listening(&mut self, admin: &Path) -> String {
        loop {
            assert!(self.envoy.try_wait().unwrap().is_none(), "Envoy has ended");
            if let Ok(address) = std::fs::read_to_string(admin)
                && let Ok(answer) =
                    self.client.get(format!("http://{address}/listeners?format=json")).send().await
                && let Ok(text) = answer.text().await
                && let Ok(listeners) = serde_json::from_str::<Value>(&text)
                && let Some(port) = listeners
                    .pointer("/listener_statuses/0/local_address/socket_address/port_value")
                && let Ok(ready) = self.client.get(format!("http://{address}/ready")).send().await
                && ready.status() == 200
            {
                return format!("http://127.0.0.1:{port}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The status of a delivery.
    pub(super) async fn send(&self, path: &str, delivery: &Delivery) -> u16 {
        self.courier.deliver(&format!("{}{path}", self.url), delivery).await.unwrap().status
    }

    pub(super) async fn get(&self, path: &str) -> u16 {
        self.client.get(format!("{}{path}", self.url)).send().await.unwrap().status().as_u16()
    }
}
