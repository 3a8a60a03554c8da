//! OpenTelemetry's own variables, and three beside them
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>,
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>).

use std::{collections::BTreeMap, time::Duration};

use actix_web::http::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

use super::{
    reader::Reader,
    values::{self, Value},
};
use crate::record::About;

/// The resource attribute of the project.
pub(super) const PROJECT: &str = "gcp.project_id";

/// Where traces and metrics go, and which of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TelemetryConfig {
    pub(crate) traces: Option<Destination>,
    pub(crate) metrics: Option<Destination>,
    /// What the service is called, and whatever else is said of it.
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) sampler: Sampler,
    /// Whether the spans of refused and failed attempts are kept whatever the sampler says: `KEEP_FAILED_TRACES`.
    pub(crate) keeps_failed: bool,
    /// How long spans wait for others to go with: `OTEL_BSP_SCHEDULE_DELAY`.
    pub(crate) delay: Duration,
    /// How much waits at most, an attempt's spans or one of a job's own each: `OTEL_BSP_MAX_QUEUE_SIZE`.
    pub(crate) queue: usize,
    /// How often metrics go out: `OTEL_METRIC_EXPORT_INTERVAL`.
    pub(crate) interval: Duration,
    /// How long an answer waits at most until the spans of its attempt are handed over: `TELEMETRY_WAIT`.
    pub(crate) wait: Duration,
    /// The metadata server, for the access tokens of what goes to Google.
    pub(crate) metadata_host: String,
}

/// Where one kind goes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) url: String,
    /// They may hold a key, so no `Debug` shows them.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) timeout: Duration,
    /// Whether an access token of the service's account goes with it: `TELEMETRY_AUTH`.
    pub(crate) has_token: bool,
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Destination").field("url", &without_keys(&self.url)).finish_non_exhaustive()
    }
}

/// `OTEL_TRACES_SAMPLER` with its argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sampler {
    /// Whether a caller's decision counts before this one.
    pub(crate) is_parent_based: bool,
    /// The share of traces that begin here and are kept, from 0 to 1.
    pub(crate) ratio: f64,
}

/// Reads all of it; `None` where nothing is to be exported.
pub(super) fn read(
    reader: &mut Reader<'_>,
    about: &About,
    metadata_host: &str,
) -> Option<TelemetryConfig> {
    let is_disabled = reader.optional("OTEL_SDK_DISABLED", boolean()).unwrap_or(false);
    let traces = destination(reader, "TRACES", "v1/traces");
    let metrics = destination(reader, "METRICS", "v1/metrics");
    let mut resource: BTreeMap<String, String> =
        reader.optional("OTEL_RESOURCE_ATTRIBUTES", pairs()).unwrap_or_default();
    if let Some(name) = reader.optional("OTEL_SERVICE_NAME", values::text()) {
        resource.insert("service.name".to_owned(), name);
    }
    let mut say = |name: &str, value: &str| {
        resource.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    };
    if let Some(service) = &about.service {
        say("service.name", service);
    }
    if let Some(revision) = &about.revision {
        say("service.version", revision);
    }
    if let Some(project) = about.project.id() {
        // Google's own endpoint asks for it: https://cloud.google.com/trace/docs/migrate-to-otlp-endpoints
        say(PROJECT, project);
    }
    if about.service.is_some() {
        say("cloud.provider", "gcp");
        // As Google's endpoint knows it: https://cloud.google.com/stackdriver/docs/reference/telemetry/v1.metrics
        say("cloud.platform", "gcp_cloud_run");
    }
    // Without it, what two instances count would be taken for one's.
    say("service.instance.id", &RandomIdGenerator::default().new_trace_id().to_string());
    let config = TelemetryConfig {
        traces,
        metrics,
        resource,
        sampler: sampler(reader),
        keeps_failed: reader.optional("KEEP_FAILED_TRACES", values::switch()).unwrap_or(false),
        delay: reader
            .optional("OTEL_BSP_SCHEDULE_DELAY", millis())
            .unwrap_or(Duration::from_secs(1)),
        queue: reader.optional("OTEL_BSP_MAX_QUEUE_SIZE", values::count()).unwrap_or(4096),
        interval: reader
            .optional("OTEL_METRIC_EXPORT_INTERVAL", positive_millis())
            .unwrap_or(Duration::from_secs(60)),
        wait: reader.optional("TELEMETRY_WAIT", wait()).unwrap_or_default(),
        metadata_host: metadata_host.to_owned(),
    };
    (!is_disabled && (config.traces.is_some() || config.metrics.is_some())).then_some(config)
}

/// A signal's own variable counts before the one of all signals.
fn destination(reader: &mut Reader<'_>, signal: &str, path: &str) -> Option<Destination> {
    let exporter = reader.optional(&format!("OTEL_{signal}_EXPORTER"), exporter());
    let own = endpoint(reader, &format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"));
    let base = endpoint(reader, "OTEL_EXPORTER_OTLP_ENDPOINT");
    for name in
        [format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"), "OTEL_EXPORTER_OTLP_PROTOCOL".to_owned()]
    {
        reader.optional(&name, protocol());
    }
    reader.optional(&format!("OTEL_EXPORTER_OTLP_{signal}_COMPRESSION"), compression());
    reader.optional("OTEL_EXPORTER_OTLP_COMPRESSION", compression());
    let mut headers = secret_pairs(reader, "OTEL_EXPORTER_OTLP_HEADERS");
    headers.extend(secret_pairs(reader, &format!("OTEL_EXPORTER_OTLP_{signal}_HEADERS")));
    let timeout = reader
        .optional(&format!("OTEL_EXPORTER_OTLP_{signal}_TIMEOUT"), positive_millis())
        .or_else(|| reader.optional("OTEL_EXPORTER_OTLP_TIMEOUT", positive_millis()));
    let url = own.or_else(|| base.map(|base| below(&base, path)))?;
    let has_token = has_token(reader, &url);
    exporter.unwrap_or(true).then(|| Destination {
        url,
        headers,
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        has_token,
    })
}

/// A URL of which no key is shown, not even where it is wrong. One before the host is refused: it would not be sent.
fn endpoint(reader: &mut Reader<'_>, name: &str) -> Option<String> {
    let raw = reader.raw(name)?;
    let shown = without_keys(&raw);
    let has_user = |uri: Uri| uri.authority().is_some_and(|at| at.as_str().contains('@'));
    let read = (values::url().parse)(&raw).filter(|url| !url.parse().is_ok_and(has_user));
    match read {
        Some(_) => reader.took(name, shown, false),
        None => reader.fault(
            name,
            Some(&shown),
            "an absolute URL without user and password, such as http://localhost:4318",
            "correct it or leave it out; a key belongs into OTEL_EXPORTER_OTLP_HEADERS",
        ),
    }
    read
}

/// What is before the host and in the query may be a key.
fn without_keys(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    if scheme.is_empty() { rest.to_owned() } else { format!("{scheme}://{rest}") }
}

/// The path below a URL's own; a query stays behind it.
fn below(url: &str, path: &str) -> String {
    let (url, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    format!("{}/{path}{query}", url.trim_end_matches('/'))
}

/// Whether an access token goes along. One in the clear would be anybody's.
fn has_token(reader: &mut Reader<'_>, url: &str) -> bool {
    let wanted = reader.optional("TELEMETRY_AUTH", auth());
    let Some(url) = url.parse::<Uri>().ok() else { return false };
    let has_token = wanted.unwrap_or(url.host() == Some("telemetry.googleapis.com"));
    let is_near = matches!(url.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if has_token && url.scheme_str() != Some("https") && !is_near {
        reader.fault(
            "TELEMETRY_AUTH",
            Some("google"),
            "an https endpoint, since an access token goes with what is sent",
            "use one, or a collector beside the service and TELEMETRY_AUTH=none",
        );
    }
    has_token
}

fn sampler(reader: &mut Reader<'_>) -> Sampler {
    let ratio = reader.optional("OTEL_TRACES_SAMPLER_ARG", ratio());
    let (is_parent_based, fixed) =
        reader.optional("OTEL_TRACES_SAMPLER", sampler_name()).unwrap_or((true, Some(1.0)));
    Sampler { is_parent_based, ratio: fixed.or(ratio).unwrap_or(1.0) }
}

fn millis() -> Value<Duration> {
    Value {
        expected: "milliseconds, from 0 to 3600000",
        parse: |text| {
            let millis = text.parse().ok().filter(|millis| *millis <= 3_600_000)?;
            Some(Duration::from_millis(millis))
        },
        show: |duration| duration.as_millis().to_string(),
    }
}

fn positive_millis() -> Value<Duration> {
    Value {
        expected: "milliseconds, from 1 to 3600000",
        parse: |text| (millis().parse)(text).filter(|millis| !millis.is_zero()),
        show: millis().show,
    }
}

/// Longer would outlast what a sender waits, and the drain.
fn wait() -> Value<Duration> {
    Value {
        expected: "milliseconds, from 0 to 1000",
        parse: |text| (millis().parse)(text).filter(|wait| *wait <= Duration::from_secs(1)),
        show: millis().show,
    }
}

fn boolean() -> Value<bool> {
    Value {
        expected: "true or false",
        parse: |text| match text.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        },
        show: bool::to_string,
    }
}

fn exporter() -> Value<bool> {
    Value {
        expected: "otlp or none",
        parse: |text| match text {
            "otlp" => Some(true),
            "none" => Some(false),
            _ => None,
        },
        show: |is_on| if *is_on { "otlp".to_owned() } else { "none".to_owned() },
    }
}

fn compression() -> Value<()> {
    Value {
        expected: "none, since nothing is compressed here",
        parse: |text| (text == "none").then_some(()),
        show: |()| "none".to_owned(),
    }
}

/// Whether it is Google's.
fn auth() -> Value<bool> {
    Value {
        expected: "google or none",
        parse: |text| match text {
            "google" => Some(true),
            "none" => Some(false),
            _ => None,
        },
        show: |is_google| if *is_google { "google".to_owned() } else { "none".to_owned() },
    }
}

fn protocol() -> Value<()> {
    Value {
        expected: "http/protobuf, which is the one protocol that is spoken here; a collector takes it at port 4318, and gRPC at 4317",
        parse: |text| (text == "http/protobuf").then_some(()),
        show: |()| "http/protobuf".to_owned(),
    }
}

fn ratio() -> Value<f64> {
    Value {
        expected: "a number from 0 to 1, such as 0.01",
        parse: |text| text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)),
        show: f64::to_string,
    }
}

/// Whether it is parent-based, and its ratio unless the argument says that.
fn sampler_name() -> Value<(bool, Option<f64>)> {
    Value {
        expected: "always_on, always_off, traceidratio, or one of them with parentbased_ before it",
        parse: |text| {
            let name = text.strip_prefix("parentbased_");
            let ratio = match name.unwrap_or(text) {
                "always_on" => Some(1.0),
                "always_off" => Some(0.0),
                "traceidratio" => None,
                _ => return None,
            };
            Some((name.is_some(), ratio))
        },
        show: |(is_parent_based, ratio)| {
            let name = match ratio {
                None => "traceidratio",
                Some(ratio) if *ratio > 0.0 => "always_on",
                Some(_) => "always_off",
            };
            format!("{}{name}", if *is_parent_based { "parentbased_" } else { "" })
        },
    }
}

/// `name=value,name=value`, values percent-encoded (W3C baggage without its properties).
fn pairs() -> Value<BTreeMap<String, String>> {
    Value {
        expected: "name=value pairs, separated by commas",
        parse: |text| {
            text.split(',')
                .map(str::trim)
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let (name, value) = pair.split_once('=')?;
                    let value =
                        percent_encoding::percent_decode_str(value.trim()).decode_utf8().ok()?;
                    (!name.trim().is_empty()).then(|| (name.trim().to_owned(), value.into_owned()))
                })
                .collect()
        },
        show: |pairs| {
            let pairs: Vec<_> =
                pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            pairs.join(",")
        },
    }
}

/// The same, of which no value is shown, not even a wrong one.
fn secret_pairs(reader: &mut Reader<'_>, name: &str) -> BTreeMap<String, String> {
    let Some(raw) = reader.raw(name) else { return BTreeMap::new() };
    let is_header = |(name, value): (&String, &String)| {
        HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok()
    };
    let read = (pairs().parse)(&raw).filter(|pairs| pairs.iter().all(is_header));
    let Some(read) = read else {
        let expected = "name=value pairs of HTTP headers, separated by commas";
        reader.fault(name, Some("…"), expected, "correct it or leave it out");
        return BTreeMap::new();
    };
    let names: Vec<_> = read.keys().map(|name| format!("{name}=…")).collect();
    reader.took(name, names.join(","), false);
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_s_path_stands_below_the_base_s_own_and_before_its_query() {
        for (base, whole) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("https://a.example/otlp/", "https://a.example/otlp/v1/traces"),
            ("https://a.example/otlp?key=1", "https://a.example/otlp/v1/traces?key=1"),
        ] {
            assert_eq!(below(base, "v1/traces"), whole);
        }
    }
}
