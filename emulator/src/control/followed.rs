//! The history as it comes, read from server-sent events.

use reqwest::Response;
use serde::de::DeserializeOwned;

use crate::{
    error::Error,
    history::{Entry, NextRetry},
};

/// Something new in the history.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An entry.
    Entry(Entry),
    /// When the sender of an earlier one tries again.
    NextRetry(NextRetry),
}

/// A history that is followed. Dropping it ends that.
#[derive(Debug)]
pub struct Followed {
    response: Response,
    /// What has come and is no whole event yet.
    buffer: Vec<u8>,
}

impl Followed {
    pub(super) fn new(response: Response) -> Followed {
        Followed { response, buffer: Vec::new() }
    }

    /// The next event; `None` once the emulator or the connection to it has ended.
    ///
    /// # Errors
    /// [`Error::Json`] if an event cannot be read.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            while let Some(block) = self.take_block() {
                if let Some(event) = event(&block)? {
                    return Ok(Some(event));
                }
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) => return Ok(None),
                // So it ends where the emulator stops.
                Err(_) => return Ok(None),
            }
        }
    }

    /// The lines of one event, without the empty one that ends it.
    fn take_block(&mut self) -> Option<String> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&block).into_owned())
    }
}

/// What a block says; `None` of a heartbeat, or of an event of a later version.
fn event(block: &str) -> Result<Option<Event>, Error> {
    let field = |name| block.lines().find_map(|line| line.strip_prefix(name));
    let data = field("data: ").unwrap_or_default();
    Ok(match field("event: ") {
        Some("entry") => Some(Event::Entry(read(data)?)),
        Some("next_retry") => Some(Event::NextRetry(read(data)?)),
        _ => None,
    })
}

fn read<T: DeserializeOwned>(data: &str) -> Result<T, Error> {
    serde_json::from_str(data).map_err(|source| Error::Json { what: "an event", source })
}
