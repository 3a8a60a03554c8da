//! What a process writes: each line is logged, and passed on to the emulator's own output for whoever watches that.

use std::{
    io::{Write as _, stderr, stdout},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Child,
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use super::name::ServiceName;
use crate::{
    google::Google,
    logging::{Logging, Origin, Stream},
};

/// The longest line, in bytes; what is longer goes on as another. An entry of Google's is no longer.
///
/// Source: <https://cloud.google.com/logging/quotas>.
const LONGEST_LINE: usize = 256 << 10;

/// How long the end of the output is waited for once the process has ended: what it started itself may hold it open.
const END_WITHIN: Duration = Duration::from_secs(1);

/// The output of one process, followed to its end.
#[derive(Debug)]
pub(super) struct Output(Vec<JoinHandle<()>>);

impl Output {
    /// Follows what `child` writes, as far as it is piped.
    pub(super) fn follow(
        google: &Google,
        child: &mut Child,
        service: &ServiceName,
        revision: &str,
    ) -> Output {
        let origin = |stream| Origin {
            service: service.id.clone(),
            revision: revision.to_owned(),
            region: service.region.clone(),
            stream,
        };
        let logging = || Arc::clone(&google.logging);
        let out = child
            .stdout
            .take()
            .map(|out| google.spawn(follow(out, logging(), origin(Stream::Stdout))));
        let err = child
            .stderr
            .take()
            .map(|err| google.spawn(follow(err, logging(), origin(Stream::Stderr))));
        Output(out.into_iter().chain(err).collect())
    }

    /// Waits, after the process has ended, until the last it wrote has been logged.
    pub(super) async fn end(self) {
        for following in self.0 {
            // Late or broken off: there is nothing more to wait for.
            let _ = timeout(END_WITHIN, following).await;
        }
    }
}

async fn follow(output: impl AsyncRead + Unpin, logging: Arc<Logging>, origin: Origin) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while let Ok(true) = read_line(&mut output, &mut line).await {
        let text = String::from_utf8_lossy(&line);
        logging.line(&origin, text.trim_end_matches(['\n', '\r']));
        drop(text);
        let passed_on = std::mem::take(&mut line);
        // Whoever reads the emulator's output may stop to: neither that nor its end is the process's business.
        let _ = spawn_blocking(move || pass_on(origin.stream, &passed_on)).await;
    }
}

/// Reads up to and with the end of a line, or as much as a line may have; `false` at the end of the output.
async fn read_line(
    output: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    loop {
        let read = output.fill_buf().await?;
        if read.is_empty() {
            return Ok(!line.is_empty());
        }
        let room = LONGEST_LINE - line.len();
        let end = read.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let taken = end.unwrap_or(read.len()).min(room);
        line.extend_from_slice(read.get(..taken).unwrap_or_default());
        output.consume(taken);
        if line.ends_with(b"\n") || line.len() == LONGEST_LINE {
            return Ok(true);
        }
    }
}

fn pass_on(stream: Stream, line: &[u8]) -> std::io::Result<()> {
    match stream {
        Stream::Stdout => stdout().lock().write_all(line),
        Stream::Stderr => stderr().lock().write_all(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_one_by_one_and_the_longest_in_parts() {
        let long = "x".repeat(LONGEST_LINE + 5);
        let text = format!("one\n\n{long}\r\nlast");
        let mut output = BufReader::new(text.as_bytes());
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        while read_line(&mut output, &mut line).await.unwrap() {
            lines.push(String::from_utf8(std::mem::take(&mut line)).unwrap());
        }
        let (head, tail) = long.split_at(LONGEST_LINE);
        assert_eq!(lines, ["one\n", "\n", head, &format!("{tail}\r\n"), "last"]);
    }
}
