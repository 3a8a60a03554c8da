//! Sends one delivery over HTTP as its sender does.

use std::time::{Duration, Instant};

use reqwest::{
    Client,
    header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue},
    redirect,
};

use crate::{
    error::Error,
    senders::{Delivery, Method},
};

/// What the receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
    /// From the first byte sent to the last one received.
    pub took: Duration,
    /// Whether the sender counts it as done and will not deliver again.
    pub acknowledged: bool,
}

impl Answer {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(other, _)| other == name)?;
        Some(value)
    }

    /// The body as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Delivers to any number of URLs over kept connections.
#[derive(Clone, Debug)]
pub struct Courier {
    straight: Client,
    following: Client,
}

impl Courier {
    /// A client that uses no proxy: what it delivers to runs here.
    ///
    /// # Errors
    /// [`Error::Client`] if it cannot be built.
    pub fn new() -> Result<Courier, Error> {
        let client = |policy| {
            let builder = Client::builder().no_proxy().redirect(policy);
            builder.build().map_err(Error::Client)
        };
        Ok(Courier {
            straight: client(redirect::Policy::none())?,
            following: client(redirect::Policy::default())?,
        })
    }

    /// Sends `delivery` to `url` and waits as long as its sender would by default.
    ///
    /// # Errors
    /// [`Error::Header`] if a header cannot be sent, [`Error::NoAnswer`] if nobody answers in time.
    pub async fn deliver(&self, url: &str, delivery: &Delivery) -> Result<Answer, Error> {
        let client =
            if delivery.sender.follows_redirects() { &self.following } else { &self.straight };
        let began = Instant::now();
        let fault = |error: reqwest::Error| Error::no_answer(url, &error);
        let response = client
            .request(http_method(delivery.method), url)
            .headers(header_map(delivery)?)
            .body(delivery.body.clone())
            .timeout(delivery.sender.default_deadline())
            .send()
            .await
            .map_err(fault)?;
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.as_str().to_owned(), value.into_owned())
        });
        Ok(Answer {
            status,
            headers: headers.collect(),
            body: response.bytes().await.map_err(fault)?.to_vec(),
            took: began.elapsed(),
            acknowledged: delivery.sender.acknowledged_by(status),
        })
    }
}

fn http_method(method: Method) -> reqwest::Method {
    match method {
        Method::Post => reqwest::Method::POST,
        Method::Get => reqwest::Method::GET,
        Method::Head => reqwest::Method::HEAD,
        Method::Put => reqwest::Method::PUT,
        Method::Delete => reqwest::Method::DELETE,
        Method::Patch => reqwest::Method::PATCH,
        Method::Options => reqwest::Method::OPTIONS,
    }
}

fn header_map(delivery: &Delivery) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in &delivery.headers {
        let pair = HeaderName::try_from(name.as_str())
            .ok()
            .zip(HeaderValue::from_bytes(value.as_bytes()).ok());
        let (key, value) = pair.ok_or_else(|| Error::Header { name: name.clone() })?;
        headers.append(key, value);
    }
    if delivery.method.takes_body() && delivery.body.is_empty() {
        // The client would leave it out; recordings of Cloud Scheduler have it.
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::senders::{Sender, pubsub::Push, scheduler::Run};

    /// Answers one connection with `answer` and gives back what it was sent.
    async fn deliver(delivery: Delivery, answer: &str) -> (String, Result<Answer, Error>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/scheduler/x?y=z", listener.local_addr().unwrap());
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 4096];
            let length = stream.read(&mut buffer).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        let courier = Courier::new().unwrap();
        tokio::join!(served, courier.deliver(&url, &delivery))
    }

    #[tokio::test]
    async fn the_request_is_the_delivery_and_two_tokens_stay_two() {
        let delivery = Run::new("x").delivery().bearer("one").also("Authorization", "Bearer two");
        let (request, answer) =
            deliver(delivery, "HTTP/1.1 201 Created\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi")
                .await;
        let answer = answer.unwrap();
        assert!(request.starts_with("POST /scheduler/x?y=z HTTP/1.1\r\n"));
        let request = request.to_ascii_lowercase();
        assert!(request.contains("\r\nauthorization: bearer one\r\n"));
        assert!(request.contains("\r\nauthorization: bearer two\r\n"));
        assert!(request.contains("\r\ncontent-length: 0\r\n"), "as in recordings");
        assert_eq!(
            (answer.status, answer.text(), answer.header("x-a")),
            (201, "hi".to_owned(), Some("b"))
        );
        assert!(answer.acknowledged);
    }

    #[tokio::test]
    async fn a_redirect_of_a_push_is_its_answer_and_no_acknowledgement() {
        let push = Push::new("projects/p/subscriptions/s", "1", "hi").wrapped();
        let (_, answer) = deliver(
            push,
            "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.acknowledged), (302, false));
    }

    #[tokio::test]
    async fn a_header_that_cannot_be_sent_is_named_without_its_value() {
        let delivery = Run::new("x").delivery().bearer("secret\n");
        let fault = Courier::new().unwrap().deliver("http://127.0.0.1:9", &delivery).await;
        let fault = fault.unwrap_err().to_string();
        assert!(fault.contains("\"Authorization\"") && !fault.contains("secret"));
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_that_names_the_url() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let delivery = Run::new("x").delivery();
        assert_eq!(delivery.sender, Sender::Scheduler);
        let fault = Courier::new().unwrap().deliver(&url, &delivery).await.unwrap_err();
        assert!(fault.to_string().contains(&url));
    }
}
