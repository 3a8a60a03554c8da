//! A server under test: a child process with its standard output in a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use emulator::Issuer;

use crate::{AUDIENCE, CALLER, Result, WORKERS, client::Connection, plain};

/// How long a server may take until it listens.
const START_WITHIN: Duration = Duration::from_secs(10);

/// `USER_HZ`, the unit of `/proc/PID/stat`: 100 on every Linux that Rust's standard library runs on, but Alpha.
const TICKS_PER_SECOND: u32 = 100;

/// Each server's output has a file of its own.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// Killed when dropped.
pub(crate) struct Server {
    child: Child,
    output: PathBuf,
    address: SocketAddr,
}

/// The receiver as its users start it, with this issuer in Google's place.
pub(crate) fn service(binary: &Path, issuer: &Issuer) -> Command {
    service_of(binary, &issuer.url(), CALLER)
}

/// The same with whatever issues and serves its keys at that URL, and this one caller.
pub(crate) fn service_of(binary: &Path, issuer_url: &str, caller: &str) -> Command {
    let mut command = Command::new(binary);
    // What whoever runs this has set must not change what is measured.
    command.env_clear().envs([
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("WORKERS", &WORKERS.to_string()),
        ("LOG_FORMAT", "json"),
        ("AUTH", "verify"),
        ("AUDIENCE", AUDIENCE),
        ("OIDC_ISSUER", issuer_url),
        ("OIDC_KEYS_URL", &format!("{issuer_url}/oauth2/v3/certs")),
        ("SCHEDULER_CALLERS", caller),
        ("TASKS_CALLERS", caller),
        ("PUBSUB_CALLERS", caller),
        ("EVENTS_CALLERS", caller),
    ]);
    command
}

/// The plain handler: this program with another command.
pub(crate) fn plain(issuer: &Issuer) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let jwk = issuer.keys().jwks()["keys"][0].to_string();
    command.env_clear().args([plain::COMMAND, issuer.name(), &jwk]);
    Ok(command)
}

impl Server {
    /// Starts a server and waits until it says that it listens.
    ///
    /// # Errors
    ///
    /// A server that cannot be started, ends, or says nothing in time.
    pub(crate) fn start(mut command: Command) -> Result<Server> {
        let name = format!("bench-{}-{}.log", process::id(), STARTED.fetch_add(1, Relaxed));
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_file(&output);
        // Appending, so that the file can be emptied under the server.
        let file = OpenOptions::new().create(true).append(true).open(&output)?;
        let mut child = command.stdout(file).spawn()?;
        let until = Instant::now() + START_WITHIN;
        let address = loop {
            let mut line = String::new();
            BufReader::new(File::open(&output)?).read_line(&mut line)?;
            if line.ends_with('\n') {
                break address_in(&line);
            }
            if let Some(status) = child.try_wait()? {
                break Err(format!("the server ended with {status}").into());
            }
            if Instant::now() > until {
                break Err("the server does not say that it listens".into());
            }
            thread::sleep(Duration::from_millis(1));
        };
        match address {
            Ok(address) => Ok(Server { child, output, address }),
            Err(error) => {
                // What failed is told below; a child that cannot be killed has ended.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Starts a server, and gives the time until it has said that it listens.
    ///
    /// # Errors
    ///
    /// As [`Server::start`].
    pub(crate) fn time_to_listen(mut command: Command) -> Result<Duration> {
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the output is no pipe")?;
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        let taken = started.elapsed();
        child.kill()?;
        child.wait()?;
        read?;
        address_in(&line)?;
        Ok(taken)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has keys.
    ///
    /// # Errors
    ///
    /// A server that has none after a while.
    pub(crate) async fn is_ready(&self) -> Result<()> {
        let until = Instant::now() + START_WITHIN;
        let mut connection = Connection::open(self.address).await?;
        let request = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
        while connection.exchange(request).await? != 204 {
            if Instant::now() > until {
                return Err("the server does not get ready".into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// The CPU that it has used so far, in user and system mode, all threads together.
    ///
    /// # Errors
    ///
    /// A server that has ended.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name before the last parenthesis may hold spaces of its own.
        let (_, fields) = stat.rsplit_once(')').ok_or("no fields in stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u32 = ticks.map(str::parse::<u32>).sum::<std::result::Result<_, _>>()?;
        Ok(Duration::from_secs(1) * ticks / TICKS_PER_SECOND)
    }

    /// The memory that it has resident.
    ///
    /// # Errors
    ///
    /// A server that has ended.
    pub(crate) fn resident_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.ok_or("no VmRSS in status")?.parse::<f64>()? / 1024.0)
    }

    /// Empties its output, and says how many records of that outcome there were.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub(crate) fn take_records(&self, outcome: &str) -> Result<u64> {
        let file = OpenOptions::new().read(true).write(true).open(&self.output)?;
        let label = format!(r#""outcome":"{outcome}""#);
        let mut records = 0;
        for line in BufReader::new(&file).lines() {
            records += u64::from(line?.contains(&label));
        }
        file.set_len(0)?;
        Ok(records)
    }

    /// Empties its output, and says how many lines there were.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub(crate) fn take_lines(&self) -> Result<u64> {
        let mut file = OpenOptions::new().read(true).write(true).open(&self.output)?;
        let mut chunk = vec![0; 1 << 16];
        let mut lines = 0;
        loop {
            let bytes = file.read(&mut chunk)?;
            if bytes == 0 {
                break;
            }
            let newlines = chunk[..bytes].iter().filter(|byte| **byte == b'\n');
            lines += newlines.count() as u64;
        }
        file.set_len(0)?;
        Ok(lines)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which shows elsewhere.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.output);
    }
}

/// The address in a server's first line: `… listening on http://127.0.0.1:8080"…` of a receiver, `issuing as … on
/// http://127.0.0.1:8800, …` of the emulator.
fn address_in(line: &str) -> Result<SocketAddr> {
    let (_, rest) =
        line.split_once(" on http://").ok_or_else(|| format!("the server began with {line:?}"))?;
    let end = rest.find(['"', ',']).unwrap_or(rest.trim_end().len());
    Ok(rest[..end].parse()?)
}
