//! A server for tests that keeps what came over the wire, byte by byte.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
    time::{Duration, Instant},
};

/// One request as it came.
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// From the head to the body's end.
    pub(crate) body_took: Duration,
    /// Whether the sender closed the connection before it was answered.
    pub(crate) hung_up: bool,
}

impl Received {
    /// The token's segments.
    pub(crate) fn token(&self) -> Option<Vec<String>> {
        let value =
            self.head.lines().find_map(|line| line.strip_prefix("authorization: Bearer "))?;
        Some(value.split('.').map(str::to_owned).collect())
    }
}

pub(crate) struct Recorder {
    pub(crate) url: String,
    received: mpsc::UnboundedReceiver<Received>,
    answer: Arc<Mutex<String>>,
    /// One permit for each answer.
    gate: Arc<Semaphore>,
    /// How many requests have come, answered or not.
    arrived: watch::Sender<usize>,
}

impl Recorder {
    /// Answers 204 to all.
    pub(crate) async fn start() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/job?a=b", listener.local_addr().unwrap());
        let (tell, received) = mpsc::unbounded_channel();
        let answer = Arc::new(Mutex::new("HTTP/1.1 204 No Content\r\n\r\n".to_owned()));
        let gate = Arc::new(Semaphore::new(1000));
        let arrived = watch::Sender::new(0);
        let recorder = Recorder { url, received, answer, gate, arrived };
        let (answer, gate, arrived) =
            (recorder.answer.clone(), recorder.gate.clone(), recorder.arrived.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, gate, arrived) = (answer.clone(), gate.clone(), arrived.clone());
                tokio::spawn(serve(stream, tell.clone(), answer, gate, arrived));
            }
        });
        recorder
    }

    /// Answers nobody until it is opened.
    pub(crate) fn shut(&self) {
        self.gate.forget_permits(1000);
    }

    /// Answers as many as wait or come.
    pub(crate) fn open(&self, answers: usize) {
        self.gate.add_permits(answers);
    }

    /// Ends when so many requests have come since the start.
    pub(crate) async fn arrived(&self, requests: usize) {
        self.arrived.subscribe().wait_for(|count| *count >= requests).await.unwrap();
    }

    /// Answers this from now on; an `ECHO` in it is the request's head.
    pub(crate) fn answer(&self, answer: &str) {
        answer.clone_into(&mut self.answer.lock().unwrap());
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Received {
        self.received.recv().await.unwrap()
    }

    /// That there is none.
    pub(crate) fn none(&mut self) {
        assert!(self.received.try_recv().is_err());
    }
}

async fn serve(
    mut stream: TcpStream,
    tell: mpsc::UnboundedSender<Received>,
    answer: Arc<Mutex<String>>,
    gate: Arc<Semaphore>,
    arrived: watch::Sender<usize>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            // A connection that was kept and is closed.
            Err(_) => return,
        }
    }
    let began = Instant::now();
    let head = String::from_utf8(head).unwrap();
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ").map(|value| value.parse().unwrap()));
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.unwrap();
    let body_took = began.elapsed();
    arrived.send_modify(|count| *count += 1);
    // Whoever is held at the gate has time to hang up.
    let hung_up = tokio::select! {
        biased;
        read = stream.read_u8() => read.is_err(),
        permit = gate.acquire() => {
            permit.unwrap().forget();
            false
        }
    };
    let text = answer.lock().unwrap().replace("ECHO", &head.replace("\r\n", " "));
    tell.send(Received { head, body, body_took, hung_up }).ok();
    if !hung_up {
        let text = text.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        stream.write_all(text.as_bytes()).await.ok();
    }
}
