//! A connection of our own, for what no HTTP client sends.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{PATIENCE, Service, TASKS};

/// A connection on which requests are written byte by byte.
pub(crate) struct Wire {
    stream: TcpStream,
    /// Presented with every head.
    pub(crate) token: String,
}

impl Wire {
    /// With a good token.
    pub(crate) async fn open(service: &Service) -> Self {
        Self::to(&service.url, service.token(TASKS)).await
    }

    /// To whatever listens at this URL, with a token of choice.
    pub(crate) async fn to(url: &str, token: String) -> Self {
        let address = url.strip_prefix("http://").unwrap();
        Self { stream: TcpStream::connect(address).await.unwrap(), token }
    }

    /// A request's head; `headers` are lines without the last break.
    pub(crate) async fn head(&mut self, request: &str, headers: &str) {
        let token = &self.token;
        let head = format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{headers}\r\n\r\n"
        );
        self.write(head.as_bytes()).await;
    }

    /// Bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next answer's status.
    pub(crate) async fn status(&mut self) -> u16 {
        self.answer().await.0
    }

    /// The next answer's status, or `None` where the connection is closed without one.
    pub(crate) async fn status_or_end(&mut self) -> Option<u16> {
        let has_more = timeout(PATIENCE, self.stream.peek(&mut [0])).await.expect("either in time");
        if matches!(has_more, Ok(1..)) { Some(self.status().await) } else { None }
    }

    /// The next answer's status, and its head in lower case.
    pub(crate) async fn answer(&mut self) -> (u16, String) {
        let mut seen = Vec::new();
        let head = async {
            while !seen.ends_with(b"\r\n\r\n") {
                seen.push(self.stream.read_u8().await.unwrap());
            }
        };
        timeout(PATIENCE, head).await.expect("an answer in time");
        let head = String::from_utf8(seen).unwrap().to_lowercase();
        let length =
            head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.stream.read_exact(&mut body).await.unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head)
    }

    /// Whether the connection answers one more good request; it is closed otherwise.
    pub(crate) async fn is_usable(&mut self) -> bool {
        let token = &self.token;
        let head = format!(
            "POST /tasks/done HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 2\r\n\r\nok"
        );
        if self.stream.write_all(head.as_bytes()).await.is_err() {
            return false;
        }
        let mut first = [0; 12];
        match timeout(PATIENCE, self.stream.read_exact(&mut first))
            .await
            .expect("an answer or an end in time")
        {
            Ok(_) => {
                assert_eq!(&first, b"HTTP/1.1 204");
                true
            }
            Err(_) => false,
        }
    }
}
