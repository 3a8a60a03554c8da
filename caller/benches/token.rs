//! What a request pays for its token when that is remembered, and how long a key file takes beyond the network.
//!
//! `cargo bench -p caller`; allocations are counted beside the times.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to measure")]

use std::{hint::black_box, path::PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use caller::{Credentials, IdTokenSource};
use divan::{AllocProfiler, Bencher};
use emulator::{Emulator, Options};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const AUDIENCE: &str = "https://receiver-123456789012.us-central1.run.app";

fn main() {
    divan::main();
}

/// The library's own part of a request: under 1 µs.
#[divan::bench]
fn remembered(bencher: Bencher<'_, '_>) {
    let setup = Setup::new();
    let tokens = IdTokenSource::new(Credentials::key_file(&setup.key_file).unwrap());
    let first = setup.runtime.block_on(tokens.id_token(AUDIENCE)).unwrap();
    let _guard = setup.runtime.enter();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    bencher.bench_local(|| {
        let asked = std::pin::pin!(tokens.id_token(black_box(AUDIENCE)));
        let std::task::Poll::Ready(Ok(token)) = asked.poll(&mut context) else {
            panic!("it is remembered");
        };
        assert_eq!(token.header(), first.header());
        token
    });
}

/// Reading a key file, signing, and the emulator's answer on loopback.
#[divan::bench(sample_count = 20)]
fn from_a_key_file(bencher: Bencher<'_, '_>) {
    let setup = Setup::new();
    bencher.bench_local(|| {
        let tokens = IdTokenSource::new(Credentials::key_file(&setup.key_file).unwrap());
        setup.runtime.block_on(tokens.id_token(AUDIENCE)).unwrap()
    });
}

/// An emulator with an account that has a key file.
struct Setup {
    runtime: Runtime,
    key_file: PathBuf,
    _emulator: Emulator,
}

impl Setup {
    fn new() -> Setup {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let emulator = runtime.block_on(Emulator::start(Options::default())).unwrap();
        let key_file =
            std::env::temp_dir().join(format!("caller-bench-{}.json", std::process::id()));
        let written = runtime.block_on(new_key_file(&emulator));
        std::fs::write(&key_file, written).unwrap();
        Setup { runtime, key_file, _emulator: emulator }
    }
}

/// The key file of an account that is made for it, as gcloud has it made.
async fn new_key_file(emulator: &Emulator) -> Vec<u8> {
    let account = emulator.create_account("benched").unwrap();
    let url =
        format!("{}/iam/v1/projects/-/serviceAccounts/{}/keys", emulator.url(), account.email);
    let request = reqwest::Client::new().post(url).bearer_auth("developer").body("{}");
    let answer = request.send().await.unwrap().bytes().await.unwrap();
    let key: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    BASE64_STANDARD.decode(key["privateKeyData"].as_str().unwrap()).unwrap()
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.key_file);
    }
}
