//! The load: keep-alive connections that take turns with one request each, on one thread.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{Result, request::Request};

/// No two requests of a whole run are the same message.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What to send.
pub(crate) struct Load {
    /// To whom.
    pub(crate) address: SocketAddr,
    /// Over how many connections.
    pub(crate) connections: usize,
    /// How many requests over all of them.
    pub(crate) requests: u64,
    /// Ends it earlier.
    pub(crate) stop: Arc<AtomicBool>,
    /// What each request is.
    pub(crate) request: Request,
    /// A token for each request, instead of the one in it.
    pub(crate) tokens: Option<Arc<[String]>>,
    /// The status that is right.
    pub(crate) expected: u16,
}

/// What came back.
#[derive(Default)]
pub(crate) struct Report {
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Microseconds of each request, in any order.
    latencies_us: Vec<u32>,
    /// Answers with another status.
    pub(crate) unexpected: u64,
}

impl Load {
    /// A load of this one request.
    pub(crate) fn of(request: &Request, address: SocketAddr, requests: u64) -> Load {
        Load {
            address,
            connections: crate::CONNECTIONS,
            requests,
            stop: Arc::default(),
            request: request.clone(),
            tokens: None,
            expected: 204,
        }
    }

    /// Sends it.
    ///
    /// # Errors
    ///
    /// A connection that fails, or an answer that is no HTTP.
    pub(crate) async fn run(self) -> Result<Report> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Connection::open(self.address).await?);
        }
        let load = Arc::new(self);
        let sent = Arc::new(AtomicU64::new(0));
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for connection in connections {
            tasks.spawn(drive(connection, Arc::clone(&load), Arc::clone(&sent)));
        }
        let mut report = Report::default();
        while let Some(part) = tasks.join_next().await {
            report.add(part??);
        }
        report.elapsed = started.elapsed();
        Ok(report)
    }
}

/// One connection's share.
async fn drive(
    mut connection: Connection,
    load: Arc<Load>,
    sent: Arc<AtomicU64>,
) -> Result<Report> {
    let mut request = load.request.clone();
    let mut report = Report::default();
    loop {
        let number = sent.fetch_add(1, Ordering::Relaxed);
        if number >= load.requests || load.stop.load(Ordering::Relaxed) {
            return Ok(report);
        }
        request.set_id(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        if let Some(tokens) = &load.tokens {
            let token = usize::try_from(number).ok().and_then(|at| tokens.get(at));
            request.set_token(token.ok_or("there are fewer tokens than requests")?);
        }
        let started = Instant::now();
        let status = connection.exchange(request.bytes()).await?;
        let taken_us = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
        report.latencies_us.push(taken_us);
        report.unexpected += u64::from(status != load.expected);
    }
}

impl Report {
    /// Counts another report in, as if one had followed the other.
    pub(crate) fn add(&mut self, other: Report) {
        self.elapsed += other.elapsed;
        self.unexpected += other.unexpected;
        self.latencies_us.extend(other.latencies_us);
    }

    /// Requests a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies_us.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// How many were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.latencies_us.len() as u64
    }

    /// The time within which so many of a hundred were answered.
    pub(crate) fn percentile_us(&self, percent: usize) -> f64 {
        let mut latencies_us = self.latencies_us.clone();
        let at = (latencies_us.len() * percent).div_ceil(100).saturating_sub(1);
        if at >= latencies_us.len() {
            return f64::NAN;
        }
        f64::from(*latencies_us.select_nth_unstable(at).1)
    }

    /// The report itself, unless an answer had another status: then there is nothing to compare.
    pub(crate) fn all_as_expected(self) -> Result<Report> {
        match self.unexpected {
            0 => Ok(self),
            some => Err(format!("{some} answers had another status than expected").into()),
        }
    }
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, answer: Vec::with_capacity(4096) })
    }

    /// Sends a request, reads the whole answer, and gives its status.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        loop {
            if let Some(status) = status_of(&self.answer)? {
                return Ok(status);
            }
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
    }
}

/// The status of an answer that is there in full, `None` of one that is not yet.
fn status_of(answer: &[u8]) -> Result<Option<u16>> {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&answer[..head])?;
    let status = text.get(9..12).ok_or("an answer without a status")?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = length.transpose()?.unwrap_or(0);
    let is_whole = answer.len() >= head + 4 + length;
    Ok(is_whole.then_some(status.parse()?))
}
