//! Hands spans and metrics over, on a thread of its own: whatever becomes of a collector, no attempt waits for it longer
//! than it was told to.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
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
    orders: mpsc::UnboundedSender<Order>,
    dropped: Arc<AtomicU64>,
}

enum Order {
    /// Hand over what there is, and say so.
    Flush(oneshot::Sender<()>),
    /// Send a request of the metrics' exporter, which runs on a thread without a runtime.
    Send(Box<Request<Bytes>>, oneshot::Sender<Result<Response<Bytes>, HttpError>>),
}

impl Exporter {
    /// Starts the thread. Nothing is sent, and no client is built, before there is something to send.
    ///
    /// # Errors
    /// What the system says where there can be no thread, and the library of an exporter that cannot be.
    pub(crate) fn start(config: &TelemetryConfig) -> Result<Exporter, String> {
        let (spans, queue) = mpsc::channel(config.queue);
        let (orders, ordered) = mpsc::unbounded_channel();
        let span_exporter = match &config.traces {
            Some(destination) => Some(span_exporter(destination, config)?),
            None => None,
        };
        let delay = config.delay;
        let client = config.metrics.as_ref().map(|metrics| SameThread::new(metrics, config));
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(serve(queue, ordered, span_exporter, client, delay));
            }
        };
        thread::Builder::new()
            .name("telemetry".to_owned())
            .spawn(run)
            .map_err(|e| e.to_string())?;
        Ok(Exporter { spans, orders, dropped: Arc::default() })
    }

    /// Takes the spans of one attempt along, or drops them where too many wait already.
    pub(crate) fn take(&self, spans: Vec<SpanData>) {
        let count = spans.len() as u64;
        if self.spans.try_send(spans).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// How many spans were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Ends when what there was is handed over, or after `within`.
    pub(crate) async fn flush(&self, within: Duration) {
        let (done, is_done) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).is_ok() {
            let _ = timeout(within, is_done).await;
        }
    }

    /// For the metrics' exporter.
    pub(crate) fn client(&self) -> OtherThread {
        OtherThread(self.orders.clone())
    }
}

fn span_exporter(
    destination: &Destination,
    config: &TelemetryConfig,
) -> Result<SpanExporter, String> {
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(SameThread::new(destination, config))
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&destination.url)
        .with_headers(destination.headers.clone().into_iter().collect())
        .with_timeout(destination.timeout)
        .build()
        .map_err(|error| error.to_string())?;
    exporter.set_resource(&resource(config));
    Ok(exporter)
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
    mut orders: mpsc::UnboundedReceiver<Order>,
    exporter: Option<SpanExporter>,
    client: Option<SameThread>,
    delay: Duration,
) {
    let mut waiting: Vec<SpanData> = Vec::new();
    let mut due: Option<Instant> = None;
    let mut is_failing = false;
    loop {
        let is_due = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(Order::Flush(done)) => {
                    while let Ok(spans) = queue.try_recv() {
                        waiting.extend(spans);
                    }
                    export(exporter.as_ref(), &mut waiting, &mut is_failing).await;
                    due = None;
                    let _ = done.send(());
                }
                Some(Order::Send(request, answer)) => {
                    let Some(client) = client.clone() else { continue };
                    // Beside the spans: neither waits for the other.
                    tokio::spawn(async move {
                        let _ = answer.send(client.send_bytes(*request).await);
                    });
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
                export(exporter.as_ref(), &mut waiting, &mut is_failing).await;
                due = None;
            }
        }
        if waiting.len() >= BATCH {
            export(exporter.as_ref(), &mut waiting, &mut is_failing).await;
            due = None;
        }
    }
}

/// What cannot be handed over is let go of: there is always more to come. It is said once, until it goes well again.
async fn export(
    exporter: Option<&SpanExporter>,
    waiting: &mut Vec<SpanData>,
    is_failing: &mut bool,
) {
    let spans = std::mem::take(waiting);
    let (Some(exporter), false) = (exporter, spans.is_empty()) else { return };
    match exporter.export(spans).await {
        Ok(()) => *is_failing = false,
        Err(error) if *is_failing => {
            tracing::debug!(error = %error, "spans could not be handed over");
        }
        Err(error) => {
            *is_failing = true;
            tracing::warn!(
                error = %error,
                "spans could not be handed over, and are lost until a collector takes them"
            );
        }
    }
}

/// Sends on the thread that it is polled on, which has a runtime.
#[derive(Clone)]
struct SameThread {
    client: Arc<OnceLock<reqwest::Client>>,
    timeout: Duration,
    /// Where the access tokens are from that go along, if any do.
    tokens: Option<Arc<MetadataServer>>,
}

impl SameThread {
    fn new(destination: &Destination, config: &TelemetryConfig) -> SameThread {
        let tokens = || Arc::new(MetadataServer::at(&config.metadata_host));
        SameThread {
            client: Arc::default(),
            timeout: destination.timeout,
            tokens: destination.has_token.then(tokens),
        }
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
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
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
}

/// Has the telemetry thread send, from one that has no runtime.
pub(crate) struct OtherThread(mpsc::UnboundedSender<Order>);

impl fmt::Debug for OtherThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtherThread")
    }
}

#[async_trait::async_trait]
impl HttpClient for OtherThread {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (answer, answered) = oneshot::channel();
        self.0
            .send(Order::Send(Box::new(request), answer))
            .map_err(|_| "the telemetry thread has ended")?;
        answered.await?
    }
}
