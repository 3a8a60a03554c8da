//! The other end of an authenticated service: obtains Google ID tokens, explains them, calls with them, and enqueues
//! Cloud Tasks that carry them.
//!
//! ```no_run
//! # async fn example() -> Result<(), caller::Error> {
//! use caller::{Client, Credentials, Environment, IdTokenSource};
//!
//! let credentials = Credentials::application_default(&Environment::read())?;
//! let client = Client::new(reqwest::Client::new(), IdTokenSource::new(credentials));
//! let url = "https://receiver-123456789012.europe-west1.run.app/tasks/send-receipt";
//! let audience = caller::audience_of(url)?.value;
//! let answer = client.send(client.http().post(url).body("{}"), &audience).await?;
//! # Ok(())
//! # }
//! ```
//!
//! It needs a tokio runtime with time and I/O.
//!
//! # Map
//!
//! In reading order:
//!
//! - `credentials`: who one is: a key file, a login of gcloud's, an account that is impersonated, a machine's own.
//! - `id_token_source`: ID tokens by audience; `renewed` keeps each ahead of its end.
//! - `client`: requests that carry them.
//! - `audience`: which audience a URL's service takes.
//! - `enqueuer`: tasks whose deliveries carry them.
//! - `explanation`: every check that the receiver makes of a token, and what became of it.
//! - `token`: a token and for how long it serves.
//! - `environment`: what Google's own variables say.
//! - `error`, `google_fault`: what can go wrong, each with its remedy, and Google's words for it.
//! - [`clock`]: whether this machine is to be believed about the time.
//! - `trace`: the trace that a request is sent within, which goes on.
//! - `http`: one request, tried again where that can help.

mod credentials;

mod id_token_source;

mod renewed;

mod client;

mod audience;

pub mod enqueuer;

pub mod clock;

pub mod explanation;

mod token;

mod trace;

mod environment;

mod error;

mod google_fault;

mod http;

pub use audience::{Audience, audience_of, doubted};
pub use client::Client;
pub use credentials::Credentials;
pub use enqueuer::{EnqueueError, Enqueuer, Queue, Task, TaskId};
pub use environment::Environment;
pub use error::{Error, FileFault};
pub use id_token_source::IdTokenSource;
pub use token::Token;
