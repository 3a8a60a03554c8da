//! Hands spans and metrics over, on a thread of its own: whatever becomes of a collector, no attempt waits for it longer
//! than it was told to.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use prost::Message;
use reqwest::{StatusCode, header::AUTHORIZATION};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};

use crate::{
    config::telemetry::{Destination, TelemetryConfig},
    metadata_server::MetadataServer,
};

/// How many spans go in one request.
const BATCH: usize = 512;

/// No answer of a collector is longer.
const MOST_ANSWER_BYTES: usize = 64 << 10;

/// The way to the thread that exports spans.
#[derive(Clone)]
pub(crate) struct Exporter {
    spans: mpsc::Sender<Vec<SpanData>>,
    flushes: mpsc::UnboundedSender<oneshot::Sender<()>>,
    sends: mpsc::UnboundedSender<Relayed>,
    dropped: Arc<AtomicU64>,
}

/// A request of the metrics' exporter, which runs on a thread without a runtime.
struct Relayed {
    request: Request<Bytes>,
    answer: oneshot::Sender<Result<Response<Bytes>, HttpError>>,
}

impl Exporter {
    /// Starts the thread. Nothing is sent, and no client is built, before there is something to send.
    ///
    /// # Errors
    /// What the system says where there can be no thread, and the library of an exporter that cannot be.
    pub(crate) fn start(config: &TelemetryConfig) -> Result<Exporter, String> {
        let (spans, queue) = mpsc::channel(config.queue);
        let (flushes, flushed) = mpsc::unbounded_channel();
        let (sends, sent) = mpsc::unbounded_channel();
        let dropped = Arc::default();
        let span_exporter = match &config.traces {
            Some(destination) => Some(CountedExporter::start(destination, config, &dropped)?),
            None => None,
        };
        let delay = config.delay;
        // What becomes of metrics is counted nowhere: the next ones say all that these did.
        let client =
            config.metrics.as_ref().map(|metrics| SameThread::new(metrics, config, Arc::default()));
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(async {
                    // Beside the spans: neither waits for the other.
                    tokio::join!(
                        serve(queue, flushed, span_exporter, delay),
                        send_all(sent, client)
                    )
                });
            }
        };
        thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(run)
            .map_err(|e| e.to_string())?;
        Ok(Exporter { spans, flushes, sends, dropped })
    }

    /// Takes the spans of one attempt along, or drops them where too many wait already.
    pub(crate) fn take(&self, spans: Vec<SpanData>) {
        let count = spans.len() as u64;
        if self.spans.try_send(spans).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How many spans were lost: dropped, or not taken by a collector.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends when what there was is handed over, or after `within`.
    pub(crate) async fn flush(&self, within: Duration) {
        let (done, is_done) = oneshot::channel();
        if self.flushes.send(done).is_ok() {
            let _ = timeout(within, is_done).await;
        }
    }

    /// For the metrics' exporter.
    pub(crate) fn client(&self) -> OtherThread {
        OtherThread(self.sends.clone())
    }
}

/// Counts the spans that do not arrive.
struct CountedExporter {
    exporter: SpanExporter,
    dropped: Arc<AtomicU64>,
}

impl CountedExporter {
    fn start(
        destination: &Destination,
        config: &TelemetryConfig,
        dropped: &Arc<AtomicU64>,
    ) -> Result<CountedExporter, String> {
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(SameThread::new(destination, config, dropped.clone()))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&destination.url)
            .with_headers(destination.headers.clone().into_iter().collect())
            .with_timeout(destination.timeout)
            .build()
            .map_err(|error| error.to_string())?;
        exporter.set_resource(&resource(config));
        Ok(CountedExporter { exporter, dropped: dropped.clone() })
    }

    async fn export(&self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        if let Err(error) = self.exporter.export(batch).await {
            self.dropped.fetch_add(count, Ordering::Relaxed);
            tracing::debug!(error = %error, "spans could not be handed over");
        }
    }
}

/// What all spans and metrics are of.
pub(crate) fn resource(config: &TelemetryConfig) -> Resource {
    let attributes = config
        .resource
        .iter()
        .map(|(name, value)| opentelemetry::KeyValue::new(name.clone(), value.clone()));
    Resource::builder().with_attributes(attributes).build()
}

/// Collects spans and sends them off, a batch at a time and one batch after the other.
async fn serve(
    mut queue: mpsc::Receiver<Vec<SpanData>>,
    mut flushes: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    exporter: Option<CountedExporter>,
    delay: Duration,
) {
    let mut waiting: Vec<SpanData> = Vec::new();
    let mut due: Option<Instant> = None;
    loop {
        let is_due = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            flush = flushes.recv() => match flush {
                // Whoever asked has not waited.
                Some(done) if done.is_closed() => {}
                Some(done) => {
                    while let Ok(spans) = queue.try_recv() {
                        waiting.extend(spans);
                    }
                    export(exporter.as_ref(), &mut waiting).await;
                    due = None;
                    let _ = done.send(());
                }
                None => return,
            },
            spans = queue.recv(), if waiting.len() < BATCH => match spans {
                Some(spans) => {
                    waiting.extend(spans);
                    due.get_or_insert_with(|| Instant::now() + delay);
                }
                None => return,
            },
            () = is_due => {
                export(exporter.as_ref(), &mut waiting).await;
                due = None;
            }
        }
        if waiting.len() >= BATCH {
            export(exporter.as_ref(), &mut waiting).await;
            due = None;
        }
    }
}

/// What cannot be handed over is let go of: there is always more to come.
async fn export(exporter: Option<&CountedExporter>, waiting: &mut Vec<SpanData>) {
    while let (Some(exporter), false) = (exporter, waiting.is_empty()) {
        exporter.export(waiting.drain(..waiting.len().min(BATCH)).collect()).await;
    }
}

/// Sends what the metrics' exporter asks for.
async fn send_all(mut sends: mpsc::UnboundedReceiver<Relayed>, client: Option<SameThread>) {
    let Some(client) = client else { return };
    while let Some(Relayed { request, answer }) = sends.recv().await {
        let _ = answer.send(client.send_bytes(request).await);
    }
}

/// Sends on the thread that it is polled on, which has a runtime.
#[derive(Clone)]
struct SameThread {
    client: Arc<OnceLock<reqwest::Client>>,
    timeout: Duration,
    /// Where the access tokens are from that go along, if any do.
    tokens: Option<Arc<MetadataServer>>,
    /// What is not taken is said once, until it goes well again.
    is_failing: Arc<AtomicBool>,
    /// How much a collector refused of what it answered 200.
    refused: Arc<AtomicU64>,
}

impl SameThread {
    fn new(
        destination: &Destination,
        config: &TelemetryConfig,
        refused: Arc<AtomicU64>,
    ) -> SameThread {
        let tokens = || Arc::new(MetadataServer::at(&config.metadata_host));
        SameThread {
            client: Arc::default(),
            timeout: destination.timeout,
            tokens: destination.has_token.then(tokens),
            is_failing: Arc::default(),
            refused,
        }
    }

    async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if let Some(tokens) = &self.tokens {
            request.headers_mut().insert(AUTHORIZATION, tokens.authorization().await?);
        }
        let mut answer = self.client()?.execute(request.try_into()?).await?;
        if let (StatusCode::UNAUTHORIZED, Some(tokens)) = (answer.status(), &self.tokens) {
            tokens.forget().await;
        }
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await? {
            if body.len() + part.len() > MOST_ANSWER_BYTES {
                return Err("the collector's answer is longer than 64 KiB".into());
            }
            body.extend_from_slice(&part);
        }
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn client(&self) -> Result<&reqwest::Client, HttpError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        let client = builder.timeout(self.timeout).build()?;
        Ok(self.client.get_or_init(|| client))
    }
}

impl fmt::Debug for SameThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SameThread")
    }
}

#[async_trait::async_trait]
impl HttpClient for SameThread {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // Without its query, which may hold a key.
        let (host, path) = (request.uri().host().unwrap_or_default(), request.uri().path());
        let to = format!("{host}{path}");
        let sent = self.send(request).await;
        let fault = match &sent {
            Ok(response) if response.status().is_success() => {
                refused(response.body()).map(|partial| {
                    let ExportTracePartialSuccess { rejected_spans: count, error_message } =
                        partial;
                    self.refused.fetch_add(count.unsigned_abs(), Ordering::Relaxed);
                    format!("refused {count} of a request: {}", oidc::shown(&error_message))
                })
            }
            Ok(response) => Some(format!("answered {}", response.status())),
            Err(error) => Some(last_cause(error.as_ref())),
        };
        let was_failing = self.is_failing.swap(fault.is_some(), Ordering::Relaxed);
        if let (Some(reason), false) = (fault, was_failing) {
            tracing::warn!(to, reason, "telemetry is lost until this takes it");
        }
        sent
    }
}

/// How much of what it was sent a collector has not taken, though it answered 200. What it answers to spans is, but for
/// names, what it answers to metrics (<https://opentelemetry.io/docs/specs/otlp/#partial-success-1>).
fn refused(answer: &[u8]) -> Option<ExportTracePartialSuccess> {
    let partial = ExportTraceServiceResponse::decode(answer).ok()?.partial_success?;
    (partial.rejected_spans > 0).then_some(partial)
}

/// What lies at the bottom of a fault, which says more than what is wrapped around it.
fn last_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Has the telemetry thread send, from one that has no runtime.
pub(crate) struct OtherThread(mpsc::UnboundedSender<Relayed>);

impl fmt::Debug for OtherThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtherThread")
    }
}

#[async_trait::async_trait]
impl HttpClient for OtherThread {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Relayed { request, answer }).map_err(|_| "the telemetry thread has ended")?;
        answered.await?
    }
}
