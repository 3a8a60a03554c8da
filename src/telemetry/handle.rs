//! Traces and metrics as an attempt sees them: off, and free of cost, unless an endpoint is set.

use std::{sync::Arc, time::Duration};

use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SpanData};
use tokio::time::Instant;

use super::{
    exporter::Exporter,
    metrics::Metrics,
    spans::{OwnSpan, Remote},
};
use crate::{
    config::telemetry::{Sampler, TelemetryConfig},
    dispatch::Shared,
    senders::Sender,
    trace_context::TraceContext,
};

/// How long the last spans and metrics may take at the end
/// (<https://cloud.google.com/run/docs/container-contract#instance-shutdown>).
const LAST_FLUSH: Duration = Duration::from_millis(1500);

/// Traces and metrics. Clones share.
#[derive(Clone, Default)]
pub(crate) struct Telemetry(Option<Arc<Inner>>);

struct Inner {
    exporter: Exporter,
    has_traces: bool,
    sampler: Sampler,
    keeps_failed: bool,
    wait: Duration,
    metrics: Option<Metrics>,
}

impl Telemetry {
    /// Begins to export what is asked for. What cannot be is logged, and the service goes on without it.
    pub(crate) fn start(config: Option<&TelemetryConfig>) -> Telemetry {
        let Some(config) = config else { return Telemetry::default() };
        let started = Exporter::start(config).and_then(|exporter| {
            let metrics = match &config.metrics {
                Some(destination) => Some(Metrics::start(destination, config, &exporter)?),
                None => None,
            };
            Ok(Inner {
                exporter,
                has_traces: config.traces.is_some(),
                sampler: config.sampler,
                keeps_failed: config.keeps_failed,
                wait: config.wait,
                metrics,
            })
        });
        match started {
            Ok(inner) => Telemetry(Some(Arc::new(inner))),
            Err(error) => {
                tracing::error!(error, "no traces and no metrics: their export cannot begin");
                Telemetry::default()
            }
        }
    }

    /// Lets the metrics see what is not of one attempt.
    pub(crate) fn watch<'a>(
        &self,
        shared: &Arc<Shared>,
        verifiers: &[oidc::Verifier],
        jobs: impl Iterator<Item = (Sender, &'a str)>,
    ) {
        if let Some(metrics) = self.metrics() {
            metrics.watch(Arc::downgrade(shared), verifiers.to_vec());
            jobs.for_each(|(sender, job)| metrics.begin_at_zero(sender, job));
        }
    }

    /// The spans that an attempt begins, if traces are exported.
    pub(crate) fn begin(&self, caller: Option<&TraceContext>) -> Option<OwnSpan> {
        let inner = self.0.as_ref().filter(|inner| inner.has_traces)?;
        let ids = RandomIdGenerator::default();
        let parent = caller.map(TraceContext::remote);
        let trace_id = match &parent {
            Some(parent) => parent.trace_id,
            None => u128::from_be_bytes(ids.new_trace_id().to_bytes()),
        };
        Some(OwnSpan {
            trace_id,
            span_id: self.new_span_id(),
            job_span_id: self.new_span_id(),
            parent,
            link: None,
            is_sampled: inner.sampler.keeps(trace_id, caller.and_then(|caller| caller.is_sampled)),
        })
    }

    /// One that no other span has.
    pub(crate) fn new_span_id(&self) -> u64 {
        u64::from_be_bytes(RandomIdGenerator::default().new_span_id().to_bytes())
    }

    /// The publisher's span becomes the parent where the request has none, else a link.
    pub(crate) fn published_by(&self, own: &mut OwnSpan, publisher: Remote) {
        let Some(inner) = &self.0 else { return };
        if own.parent.is_some() {
            own.link = Some(publisher);
            return;
        }
        own.trace_id = publisher.trace_id;
        own.parent = Some(publisher);
        own.is_sampled = inner.sampler.keeps(publisher.trace_id, Some(publisher.is_sampled));
    }

    /// Whether the spans of an attempt that begins may go out.
    pub(crate) fn may_keep(&self, own: &OwnSpan, sender: Sender) -> bool {
        // Its publisher may decide, where nobody else has.
        let is_open = own.parent.is_none() && matches!(sender, Sender::Pubsub | Sender::Events);
        is_open || self.keeps(own, true)
    }

    /// Whether the spans of an attempt that ended so go out.
    pub(crate) fn keeps(&self, own: &OwnSpan, has_failed: bool) -> bool {
        self.0.as_ref().is_some_and(|inner| own.is_sampled || (has_failed && inner.keeps_failed))
    }

    /// Takes the spans of one attempt along.
    pub(crate) fn take(&self, spans: Vec<SpanData>) {
        if let Some(inner) = &self.0 {
            inner.exporter.take(spans);
        }
    }

    pub(crate) fn metrics(&self) -> Option<&Metrics> {
        self.0.as_ref()?.metrics.as_ref()
    }

    /// Ends when the spans so far are handed over, or after `TELEMETRY_WAIT`.
    pub(crate) async fn handed_over(&self) {
        if let Some(inner) = self.0.as_ref().filter(|inner| !inner.wait.is_zero()) {
            inner.exporter.flush(inner.wait).await;
        }
    }

    /// Hands over what is left, within [`LAST_FLUSH`] and no later than `until`.
    pub(crate) async fn end(&self, until: Instant) {
        let Some(inner) = self.0.clone() else { return };
        let of_metrics = Arc::clone(&inner);
        let (flushed, is_flushed) = tokio::sync::oneshot::channel();
        // A thread that nobody waits for longer than this: not one of the runtime's, whose end would wait for it.
        let metrics =
            std::thread::Builder::new().name("last metrics".to_owned()).spawn(move || {
                if let Some(metrics) = &of_metrics.metrics {
                    metrics.end();
                }
                let _ = flushed.send(());
            });
        if let Err(error) = metrics {
            tracing::debug!(error = %error, "the last metrics are not handed over");
        }
        let until = until.min(Instant::now() + LAST_FLUSH);
        let all = async { tokio::join!(inner.exporter.flush(LAST_FLUSH), is_flushed) };
        let _ = tokio::time::timeout_at(until, all).await;
    }
}
