//! Sends one delivery over HTTP as its sender does.

mod hang_up;
mod trickle;

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{
    Body, Client,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue},
    redirect,
};

use crate::{
    error::Error,
    run::PASS,
    senders::{Delivery, Method},
};

/// What the receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The start of the body, [`KEPT_ANSWER_BYTES`] at most.
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

/// One request that a courier takes along.
pub(crate) struct Parcel<'a> {
    pub(crate) url: &'a str,
    /// Method and headers; the token and the body are below.
    pub(crate) delivery: &'a Delivery,
    /// Put into `Authorization`, replacing what the delivery has there.
    pub(crate) token: Option<&'a str>,
    /// What a front end of Cloud Run here asks of senders; it goes no further.
    pub(crate) pass: Option<&'a str>,
    pub(crate) body: Bytes,
    pub(crate) pace: Pace,
    /// How long to wait for the whole answer.
    pub(crate) deadline: Duration,
}

/// How fast the body goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As fast as the connection takes it.
    AtOnce,
    /// In pieces with pauses: see [`trickle`].
    Trickled,
}

/// How much of an answer's body is kept, in bytes.
pub const KEPT_ANSWER_BYTES: usize = 1 << 20;

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
        self.deliver_within(delivery.sender.default_deadline(), url, delivery).await
    }

    /// The same with a deadline of choice.
    ///
    /// # Errors
    /// As [`deliver`](Courier::deliver).
    pub async fn deliver_within(
        &self,
        deadline: Duration,
        url: &str,
        delivery: &Delivery,
    ) -> Result<Answer, Error> {
        let body = delivery.body.clone();
        self.send(Parcel {
            url,
            delivery,
            token: None,
            pass: None,
            body,
            pace: Pace::AtOnce,
            deadline,
        })
        .await
    }

    /// Sends one request and waits for its answer.
    ///
    /// # Errors
    /// As [`deliver`](Courier::deliver).
    pub(crate) async fn send(&self, parcel: Parcel<'_>) -> Result<Answer, Error> {
        let Parcel { url, delivery, deadline, .. } = parcel;
        let client =
            if delivery.sender.follows_redirects() { &self.following } else { &self.straight };
        let began = Instant::now();
        let fault = |error: reqwest::Error| Error::no_answer(url, &error);
        let headers = header_map(&parcel)?;
        let body = match parcel.pace {
            Pace::AtOnce => Body::from(parcel.body),
            Pace::Trickled => trickle::body(parcel.body),
        };
        let mut response = client
            .request(http_method(delivery.method), url)
            .headers(headers)
            .body(body)
            .timeout(deadline)
            .send()
            .await
            .map_err(fault)?;
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.as_str().to_owned(), value.into_owned())
        });
        let headers = headers.collect();
        let mut body = Vec::new();
        // Read to its end, which is when the sender has its answer, and kept as far as anybody looks.
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            let room = KEPT_ANSWER_BYTES.saturating_sub(body.len());
            body.extend(chunk.into_iter().take(room));
        }
        Ok(Answer {
            status,
            headers,
            body,
            took: began.elapsed(),
            acknowledged: delivery.sender.acknowledged_by(status),
        })
    }

    /// Sends one whole request and closes the connection, so that no answer is read.
    ///
    /// # Errors
    /// [`Error::Header`] if a header cannot be sent, [`Error::NoAnswer`] if nobody is there to take the request.
    pub(crate) async fn send_and_hang_up(&self, parcel: Parcel<'_>) -> Result<(), Error> {
        let headers = header_map(&parcel)?;
        let no_answer = |reason: String, timed_out| Error::NoAnswer {
            url: parcel.url.to_owned(),
            reason,
            timed_out,
        };
        let sent = hang_up::send(parcel.url, parcel.delivery.method, &headers, &parcel.body);
        match tokio::time::timeout(parcel.deadline, sent).await {
            Ok(sent) => sent.map_err(|fault| no_answer(fault.to_string(), false)),
            Err(_) => Err(no_answer("the request could not be sent in time".to_owned(), true)),
        }
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

fn header_map(parcel: &Parcel<'_>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::with_capacity(parcel.delivery.headers.len() + 2);
    for (name, value) in &parcel.delivery.headers {
        let (key, value) = HeaderName::try_from(name.as_str())
            .ok()
            .zip(HeaderValue::from_bytes(value.as_bytes()).ok())
            .ok_or_else(|| Error::Header { name: name.clone() })?;
        headers.append(key, value);
    }
    if let Some(token) = parcel.token {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| Error::Header { name: "Authorization".to_owned() })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if let Some(pass) = parcel.pass {
        let fault = |_| Error::Header { name: PASS.to_owned() };
        headers.insert(PASS, HeaderValue::try_from(pass).map_err(fault)?);
    }
    let takes_body = parcel.delivery.method.takes_body();
    if takes_body && (parcel.body.is_empty() || parcel.pace == Pace::Trickled) {
        // The client would leave a zero out, which recordings of Cloud Scheduler have, and chunk what comes in pieces.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(parcel.body.len()));
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
