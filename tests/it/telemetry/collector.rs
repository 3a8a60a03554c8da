//! A collector that reads what it is sent by the published protobuf messages.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, mpsc},
    thread,
};

use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value::Value as Any},
    metrics::v1::Metric,
    trace::v1::Span,
};
use prost::Message;
use serde_json::{Value, json};

use crate::harness::PATIENCE;

pub(super) struct Collector {
    pub(super) url: String,
    requests: mpsc::Receiver<Request>,
    spans: Vec<Span>,
}

impl Collector {
    /// One that takes everything.
    pub(super) fn start() -> Collector {
        Collector::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    }

    /// One that answers everything like this.
    pub(super) fn answering(answer: impl Into<Vec<u8>>) -> Collector {
        let answer: Arc<[u8]> = answer.into().into();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sink, requests) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, sink, answer) = (stream.unwrap(), sink.clone(), answer.clone());
                thread::spawn(move || serve(stream, &sink, &answer));
            }
        });
        Collector { url, requests, spans: Vec::new() }
    }

    /// The spans of the attempt whose server span is the next one, that one first.
    pub(super) fn attempt(&mut self) -> Vec<Span> {
        loop {
            let server = self.spans.iter().position(|span| span.kind == 2);
            if let Some(at) = server {
                let server = self.spans.remove(at);
                let (own, rest) = std::mem::take(&mut self.spans)
                    .into_iter()
                    .partition(|span: &Span| span.trace_id == server.trace_id);
                self.spans = rest;
                return [vec![server], own].concat();
            }
            let request = self.request();
            if request.path == "/v1/traces" {
                self.spans.extend(spans(&request.body));
            }
        }
    }

    /// The next request.
    pub(super) fn request(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).expect("a request in time")
    }

    /// All spans that came, once whoever sent them has ended: what was answered is here by then.
    pub(super) fn all(self) -> Vec<Span> {
        let mut all = self.spans;
        for request in self.requests.try_iter() {
            if request.path == "/v1/traces" {
                all.extend(spans(&request.body));
            }
        }
        all
    }

    /// The last state of each metric, once whoever sent them has ended.
    pub(super) fn metrics(self) -> Vec<Metric> {
        let mut last = Vec::new();
        for request in self.requests.try_iter() {
            if request.path == "/v1/metrics" {
                last = request.metrics();
            }
        }
        last
    }
}

fn spans(body: &[u8]) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request.resource_spans.into_iter().flat_map(|one| one.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn serve(mut stream: TcpStream, sink: &mpsc::Sender<Request>, answer: &[u8]) {
    let mut text = Vec::new();
    let mut part = [0; 65_536];
    while let Ok(read) = stream.read(&mut part) {
        if read == 0 {
            return;
        }
        text.extend_from_slice(&part[..read]);
        let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(text[..end].to_vec()).unwrap();
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_lowercase().starts_with(name))?;
            Some(line[name.len()..].trim_start_matches([':', ' ']).to_owned())
        };
        let length: usize = header("content-length").unwrap().parse().unwrap();
        if text.len() < end + 4 + length {
            continue;
        }
        let body = text[end + 4..end + 4 + length].to_vec();
        text.drain(..end + 4 + length);
        let path = head.split(' ').nth(1).unwrap().to_owned();
        // The test may have seen enough.
        let _ = sink.send(Request { path, authorization: header("authorization"), body });
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

/// One request as it came.
pub(super) struct Request {
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    body: Vec<u8>,
}

impl Request {
    /// What it says, where it is one of metrics.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let request = ExportMetricsServiceRequest::decode(&*self.body).unwrap();
        let scopes = request.resource_metrics.into_iter().flat_map(|one| one.scope_metrics);
        scopes.flat_map(|scope| scope.metrics).collect()
    }
}

/// Attributes as a JSON object.
pub(super) fn attributes(of: &[KeyValue]) -> Value {
    let pairs = of.iter().map(|pair| {
        let value = match pair.value.as_ref().unwrap().value.as_ref().unwrap() {
            Any::StringValue(text) => json!(text),
            Any::BoolValue(is) => json!(is),
            Any::IntValue(number) => json!(number),
            Any::DoubleValue(number) => json!(number),
            other => panic!("{other:?}"),
        };
        (pair.key.clone(), value)
    });
    Value::Object(pairs.collect())
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
