//! What is counted and measured. Every label is of a bounded set: a stranger's path or key id never becomes one.
//!
//! Google's limits and units: <https://opentelemetry.io/docs/specs/semconv/general/metrics/>.

use std::sync::Weak;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, MeterProvider as _},
};
use opentelemetry_otlp::{MetricExporter, Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, InstrumentKind, PeriodicReader, SdkMeterProvider, Stream, Temporality,
};

use super::exporter::{Exporter, resource};
use crate::{
    config::telemetry::{Destination, TelemetryConfig},
    dispatch::Shared,
    outcome::Outcome,
    senders::Sender,
};

/// What each metric is called, for dashboards and alerts; tests hold those to this list.
pub const NAMES: [&str; 12] = [
    INVOCATIONS,
    STUCK,
    DURATION,
    LAG,
    BODY_SIZE,
    IN_FLIGHT,
    KEY_FETCHES,
    KEY_AGE,
    KEYS_USABLE,
    TOKENS_REMEMBERED,
    DUPLICATES,
    SPANS_DROPPED,
];

const INVOCATIONS: &str = "invocation.count";
const STUCK: &str = "invocation.stuck";
const DURATION: &str = "invocation.duration";
const LAG: &str = "invocation.lag";
const BODY_SIZE: &str = "invocation.body.size";
const IN_FLIGHT: &str = "invocation.in_flight";
const KEY_FETCHES: &str = "keys.fetches";
const KEY_AGE: &str = "keys.age";
const KEYS_USABLE: &str = "keys.usable";
const TOKENS_REMEMBERED: &str = "tokens.remembered";
const DUPLICATES: &str = "invocation.duplicates";
const SPANS_DROPPED: &str = "telemetry.spans.dropped";

/// What the labels are called. A job's is not `job`, since that is the service's own in Google's managed Prometheus
/// (<https://cloud.google.com/stackdriver/docs/reference/telemetry/v1.metrics>).
pub const LABELS: [&str; 4] = [SENDER, JOB, OUTCOME, REASON];

const SENDER: &str = "sender";
const JOB: &str = "job_name";
const OUTCOME: &str = "outcome";
const REASON: &str = "reason";

/// From which attempt on one that comes back counts as stuck.
pub const STUCK_FROM: u32 = 10;

/// The instruments that attempts write to.
pub(crate) struct Metrics {
    invocations: Counter<u64>,
    stuck: Counter<u64>,
    duration: Histogram<f64>,
    lag: Histogram<f64>,
    body_size: Histogram<u64>,
    duplicates: Counter<u64>,
    provider: SdkMeterProvider,
}

/// What an attempt adds.
pub(crate) struct Measured<'a> {
    pub(crate) sender: Sender,
    /// Of the job table, so that labels stay few.
    pub(crate) job: Option<&'a str>,
    pub(crate) outcome: &'static str,
    /// Of a fixed list: the guard's reasons.
    pub(crate) reason: Option<&'static str>,
    pub(crate) duration_secs: f64,
    pub(crate) lag_secs: Option<f64>,
    pub(crate) body_bytes: usize,
    pub(crate) is_duplicate: bool,
    /// Whether the sender has tried often, and will try again.
    pub(crate) is_stuck: bool,
}

impl Metrics {
    /// Begins to export.
    ///
    /// # Errors
    /// What the library says of an exporter that cannot be.
    pub(crate) fn start(
        destination: &Destination,
        config: &TelemetryConfig,
        exporter: &Exporter,
    ) -> Result<Metrics, String> {
        let metric_exporter = MetricExporter::builder()
            .with_http()
            .with_http_client(exporter.client())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&destination.url)
            .with_headers(destination.headers.clone().into_iter().collect())
            .with_timeout(destination.timeout)
            .with_temporality(Temporality::Cumulative)
            .build()
            .map_err(|error| error.to_string())?;
        let reader =
            PeriodicReader::builder(metric_exporter).with_interval(config.interval).build();
        let provider = SdkMeterProvider::builder()
            .with_reader(reader)
            .with_resource(resource(config))
            .with_view(exponential)
            .build();
        let meter = provider.meter("receiver");
        let dropped = exporter.clone();
        meter
            .u64_observable_counter(SPANS_DROPPED)
            .with_unit("{span}")
            .with_description(
                "Spans that were lost: too many waited, or a collector did not take them.",
            )
            .with_callback(move |observer| observer.observe(dropped.dropped(), &[]))
            .build();
        Ok(Metrics {
            invocations: meter
                .u64_counter(INVOCATIONS)
                .with_unit("{attempt}")
                .with_description("Attempts that were answered, by what became of them.")
                .build(),
            stuck: meter
                .u64_counter(STUCK)
                .with_unit("{attempt}")
                .with_description("Attempts that failed and come again, from the tenth on.")
                .build(),
            duration: meter
                .f64_histogram(DURATION)
                .with_unit("s")
                .with_description("How long attempts took, from head to answer.")
                .build(),
            lag: meter
                .f64_histogram(LAG)
                .with_unit("s")
                .with_description("How long after it was first due an attempt arrived.")
                .build(),
            body_size: meter
                .u64_histogram(BODY_SIZE)
                .with_unit("By")
                .with_description("How large the bodies of attempts were.")
                .build(),
            duplicates: meter
                .u64_counter(DUPLICATES)
                .with_unit("{attempt}")
                .with_description("Attempts at what had been done before.")
                .build(),
            provider,
        })
    }

    /// Watches what is not of one attempt.
    pub(crate) fn watch(&self, shared: Weak<Shared>, verifiers: Vec<oidc::Verifier>) {
        let meter = self.provider.meter("receiver");
        meter
            .u64_observable_gauge(IN_FLIGHT)
            .with_unit("{attempt}")
            .with_description("Attempts that have begun and are not over.")
            .with_callback(move |observer| {
                if let Some(shared) = shared.upgrade() {
                    observer.observe(shared.in_flight.count() as u64, &[]);
                }
            })
            .build();
        let of_keys = verifiers.clone();
        meter
            .u64_observable_counter(KEY_FETCHES)
            .with_unit("{fetch}")
            .with_description("Fetches of the issuers' keys.")
            .with_callback(move |observer| {
                observer.observe(of_keys.iter().map(oidc::Verifier::fetches).sum(), &[]);
            })
            .build();
        let of_keys = verifiers.clone();
        meter
            .f64_observable_gauge(KEY_AGE)
            .with_unit("s")
            .with_description("How long ago the oldest key set in use was fetched.")
            .with_callback(move |observer| {
                if let Some(age) = of_keys.iter().filter_map(age_secs).reduce(f64::max) {
                    observer.observe(age, &[]);
                }
            })
            .build();
        let of_keys = verifiers.clone();
        meter
            .u64_observable_gauge(KEYS_USABLE)
            .with_unit("1")
            .with_description("1 while every token could be judged; 0 in a key outage.")
            .with_callback(move |observer| {
                let is_usable = !of_keys.iter().any(is_out);
                observer.observe(u64::from(is_usable), &[]);
            })
            .build();
        meter
            .u64_observable_counter(TOKENS_REMEMBERED)
            .with_unit("{token}")
            .with_description("Tokens that had been verified before, and skipped the signature.")
            .with_callback(move |observer| {
                observer.observe(verifiers.iter().map(oidc::Verifier::recalls).sum(), &[]);
            })
            .build();
    }

    /// Begins the counts that alerts wait for: a count that begins at one has not grown, as Prometheus sees it.
    pub(crate) fn begin_at_zero(&self, sender: Sender, job: &str) {
        let labels = |job: &str, outcome: &'static str, reason: &'static str| {
            [
                KeyValue::new(SENDER, sender.as_str()),
                KeyValue::new(JOB, job.to_owned()),
                KeyValue::new(OUTCOME, outcome),
                KeyValue::new(REASON, reason),
            ]
        };
        for outcome in [Outcome::GaveUp(String::new()), Outcome::Unreadable(String::new())] {
            self.invocations.add(0, &labels(job, outcome.as_str(), ""));
        }
        let outage = oidc::Reason::KeysUnavailable;
        let refused = Outcome::Refused(outage).as_str();
        self.invocations.add(0, &labels("", refused, outage.as_str()));
        self.stuck.add(0, &labels(job, "", "")[..2]);
    }

    /// Adds an attempt.
    pub(crate) fn add(&self, measured: &Measured<'_>) {
        let sender = KeyValue::new(SENDER, measured.sender.as_str());
        let job = KeyValue::new(JOB, measured.job.unwrap_or("").to_owned());
        let outcome = KeyValue::new(OUTCOME, measured.outcome);
        let reason = KeyValue::new(REASON, measured.reason.unwrap_or(""));
        let of_job = [sender, job];
        let [sender, job] = of_job.clone();
        self.invocations.add(1, &[sender, job, outcome, reason]);
        self.duration.record(measured.duration_secs, &of_job);
        if let Some(lag_secs) = measured.lag_secs {
            self.lag.record(lag_secs.max(0.0), &of_job);
        }
        self.body_size.record(measured.body_bytes as u64, &of_job);
        if measured.is_stuck {
            self.stuck.add(1, &of_job);
        }
        if measured.is_duplicate {
            self.duplicates.add(1, &of_job);
        }
    }

    /// Hands over what there is, and ends; it blocks.
    pub(crate) fn end(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(error = %error, "metrics could not be handed over");
        }
    }
}

/// How old a verifier's keys are; `None` where it has none that count.
fn age_secs(verifier: &oidc::Verifier) -> Option<f64> {
    match verifier.keys_status() {
        oidc::KeysStatus::Usable { age, .. } => Some(age.as_secs_f64()),
        oidc::KeysStatus::Unusable { .. } => None,
    }
}

/// Whether a verifier has no keys that count because they cannot be had; whoever was idle for long fetches with the next
/// request.
fn is_out(verifier: &oidc::Verifier) -> bool {
    matches!(verifier.keys_status(), oidc::KeysStatus::Unusable { last_error: Some(_) })
}

/// Histograms with buckets that grow with the value, so that milliseconds and hours are told apart alike.
fn exponential(instrument: &Instrument) -> Option<Stream> {
    if instrument.kind() != InstrumentKind::Histogram {
        return None;
    }
    let aggregation = Aggregation::Base2ExponentialHistogram {
        max_size: 160,
        max_scale: 20,
        record_min_max: true,
    };
    Stream::builder().with_aggregation(aggregation).build().ok()
}
