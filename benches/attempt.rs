//! One attempt over loopback, from the request's first byte to the answer's last: remembered token, first use,
//! refused, and a probe as the floor under all of them.
//!
//! `cargo bench --bench attempt`. One connection waits for each answer, so this is latency, not throughput:
//! `scripts/bench` has that.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]

#[path = "load/request.rs"]
mod request;

use std::{
    cell::Cell,
    hint::black_box,
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use divan::Bencher;
use emulator::Issuer;
use receiver::{
    config::Config,
    record::{Format, Records},
    server::Server,
};
use request::Request;

const AUDIENCE: &str = "https://receiver.example.run.app";
const CALLER: &str = "pubsub@example.iam.gserviceaccount.com";

/// Samples and requests a sample of the bench that needs a token for each.
const SAMPLES: u32 = 100;
const SAMPLE_SIZE: u32 = 10;

fn main() {
    divan::main();
}

#[divan::bench]
fn probe(bencher: Bencher<'_, '_>) {
    let mut setup = Setup::new();
    let request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    bencher.bench_local(|| setup.exchange(request, b"204"));
}

#[divan::bench]
fn remembered_token(bencher: Bencher<'_, '_>) {
    let mut setup = Setup::new();
    let mut request = Request::pubsub(&setup.issuer.token(AUDIENCE, CALLER).unwrap());
    bencher.bench_local(|| {
        request.set_id(setup.next_id());
        setup.exchange(request.bytes(), b"204");
    });
}

#[divan::bench(sample_count = SAMPLES, sample_size = SAMPLE_SIZE)]
fn first_use(bencher: Bencher<'_, '_>) {
    let mut setup = Setup::new();
    let key = setup.issuer.keys().current();
    let token = setup.issuer.id_token(AUDIENCE, CALLER);
    let sign = |number: u32| token.clone().claim("azp", format!("1{number:020}")).sign(&key);
    // One sample more, for a first one that is thrown away.
    let mut tokens = (0..=SAMPLES * SAMPLE_SIZE + SAMPLE_SIZE).map(|number| sign(number).unwrap());
    let mut request = Request::pubsub(&tokens.next().unwrap());
    let mut tokens: Vec<String> = tokens.collect();
    bencher.bench_local(|| {
        request.set_id(setup.next_id());
        request.set_token(&tokens.pop().unwrap());
        setup.exchange(request.bytes(), b"204");
    });
}

#[divan::bench]
fn refused_garbage(bencher: Bencher<'_, '_>) {
    let mut setup = Setup::new();
    let request = Request::pubsub(&"garbage".repeat(100));
    bencher.bench_local(|| setup.exchange(request.bytes(), b"401"));
}

/// A receiver on a thread of its own whose records go nowhere, and a connection to it.
struct Setup {
    issuer: Issuer,
    connection: TcpStream,
    answer: Vec<u8>,
    last_id: Cell<u64>,
}

impl Setup {
    fn new() -> Setup {
        let runtime = runtime();
        let issuer = runtime.block_on(Issuer::start(0)).unwrap();
        let jobs = receiver::jobs::jobs();
        let settings = [
            ("HOST", "127.0.0.1"),
            ("PORT", "0"),
            ("WORKERS", "1"),
            ("AUTH", "verify"),
            ("AUDIENCE", AUDIENCE),
            ("OIDC_ISSUER", issuer.name()),
            ("OIDC_KEYS_URL", &issuer.keys_url()),
            ("SCHEDULER_CALLERS", CALLER),
            ("TASKS_CALLERS", CALLER),
            ("PUBSUB_CALLERS", CALLER),
            ("EVENTS_CALLERS", CALLER),
        ];
        let config = Config::from_lookup(&jobs.senders(), |name| {
            let setting = settings.iter().find(|(setting, _)| *setting == name);
            setting.map(|(_, value)| (*value).to_owned())
        });
        let config = config.unwrap();
        let records = Records::to(Format::Json, config.about.clone(), |line| {
            black_box(line);
        });
        let server = Server::bind(config, jobs, records).unwrap();
        let connection = TcpStream::connect(server.address()).unwrap();
        connection.set_nodelay(true).unwrap();
        thread::spawn(move || runtime.block_on(server.run(std::future::pending())));
        Setup { issuer, connection, answer: vec![0; 4096], last_id: Cell::new(0) }
    }

    fn next_id(&self) -> u64 {
        self.last_id.set(self.last_id.get() + 1);
        self.last_id.get()
    }

    /// Answers here are small enough to come in one piece.
    fn exchange(&mut self, request: &[u8], status: &[u8]) {
        self.connection.write_all(request).unwrap();
        let bytes = self.connection.read(&mut self.answer).unwrap();
        assert_eq!(self.answer[..bytes].get(9..12), Some(status));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
