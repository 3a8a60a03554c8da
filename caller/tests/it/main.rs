//! The other end against Google's side: every source of tokens, every command, and Google's own client beside it.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed; helpers here are outside of test functions"
)]

mod lab;

mod token_server;

mod sources;

mod client;

mod enqueue;

mod commands;

mod verify;

mod google_auth;

mod fan_out;

#[cfg(feature = "federation")]
mod federation;
