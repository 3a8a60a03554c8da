//! A server that answers what a test says, in order, and keeps what it was asked.

use std::sync::{Arc, Mutex};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) struct TokenServer {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

/// A whole answer but for its length.
pub(crate) struct Scripted {
    status: u16,
    headers: String,
    body: String,
}

impl Scripted {
    pub(crate) fn new(status: u16, body: impl ToString) -> Scripted {
        Scripted { status, headers: String::new(), body: body.to_string() }
    }

    /// A token of an hour, which is told from others by its number.
    pub(crate) fn token(number: u32) -> Scripted {
        Scripted::new(
            200,
            json!({"id_token": id_token(number), "access_token": "access", "expires_in": 3600}),
        )
    }

    pub(crate) fn header(mut self, line: &str) -> Scripted {
        self.headers.push_str(&format!("{line}\r\n"));
        self
    }
}

/// As Google's, but that nobody signed it.
pub(crate) fn id_token(number: u32) -> String {
    let segment = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let iat = oidc::now_unix_secs();
    let claims = json!({
        "iss": "https://accounts.google.com", "aud": "a", "sub": number.to_string(),
        "iat": iat, "exp": iat + 3600,
    });
    format!("{}.{}.c2ln", segment(json!({"alg": "RS256", "kid": "k"})), segment(claims))
}

impl TokenServer {
    /// Answers so often, and never again.
    pub(crate) async fn answering(script: Vec<Scripted>) -> TokenServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            for answer in script {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read(&mut stream).await;
                seen.lock().unwrap().push(request);
                let Scripted { status, headers, body } = answer;
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        });
        TokenServer { url, asked }
    }

    /// Each request as it came.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        text.push_str(&String::from_utf8_lossy(&part[..read]));
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert_ne!(read, 0, "the request ends too early");
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return text;
        }
    }
}
