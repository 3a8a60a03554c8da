//! Traces and metrics as a collector gets them.

mod collector;

mod rotel;

use std::{sync::Arc, time::Instant};

use emulator::{
    Courier, Emulator, Issuer, KeyAnswer, Options,
    senders::{pubsub::Push, scheduler::Run, tasks::Attempt},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse},
    metrics::v1::metric::Data,
    trace::v1::Span,
};
use prost::Message;
use serde_json::{Value, json};

use self::{
    collector::{Collector, attributes, hex},
    rotel::Rotel,
};
use crate::{
    harness::{AUDIENCE, PATIENCE, Seen, Service, TASKS, jobs},
    lifecycle::{Process, slow_jobs},
    peers::installed,
    seed_story::{BIND, CALLER, SUBSCRIBE, Story, still},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER_SPAN: &str = "00f067aa0ba902b7";
const PUBLISHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn traceparent(is_sampled: bool) -> String {
    format!("00-{TRACE}-{CALLER_SPAN}-0{}", u8::from(is_sampled))
}

async fn service(collector: &Collector, changes: &[(&str, &str)]) -> Service {
    let mut all = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    all.extend(changes);
    Service::with(jobs(&Seen::default()), &all).await
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_a_server_s_span_with_its_parts_under_the_sender_s() {
    let mut collector = Collector::start();
    let mut service = service(&collector, &[]).await;
    // One token for both: another second would give another.
    let token = service.token(TASKS);
    let delivery = Attempt::first("receipts", "42").delivery().bearer(&token);
    let delivery = delivery.header("traceparent", &traceparent(true));
    let (_, record) = service.send("/tasks/done", &delivery).await;
    let spans = collector.attempt();
    let server = &spans[0];
    assert_eq!((hex(&server.trace_id).as_str(), server.name.as_str()), (TRACE, "POST /tasks/done"));
    assert_eq!(hex(&server.parent_span_id), CALLER_SPAN);
    assert!(
        server.links.is_empty() && server.status.as_ref().is_none_or(|status| status.code == 0)
    );
    let said = attributes(&server.attributes);
    for (name, value) in [
        ("http.request.method", json!("POST")),
        ("http.route", json!("/tasks/done")),
        ("http.response.status_code", json!(204)),
        ("faas.trigger", json!("http")),
        ("faas.invocation_id", record["invocation"]["id"].clone()),
        ("invocation.sender", json!("tasks")),
        ("invocation.outcome", json!("done")),
        ("tasks.queue", json!("receipts")),
        ("tasks.task", json!("42")),
    ] {
        assert_eq!(said[name], value, "{name}");
    }
    // The record stands under the server's span.
    assert_eq!(record["logging.googleapis.com/spanId"], hex(&server.span_id));
    for part in ["verify", "claim", "job"] {
        let part = named(&spans, part);
        assert_eq!(part.parent_span_id, server.span_id, "{}", part.name);
        let (from, to) = (part.start_time_unix_nano, part.end_time_unix_nano);
        assert!(server.start_time_unix_nano <= from && from <= to, "{}", part.name);
        assert!(to <= server.end_time_unix_nano, "{}", part.name);
    }
    let remembered = |spans: &[Span]| attributes(&named(spans, "verify").attributes);
    assert_eq!(remembered(&spans)["token.remembered"], false);
    let delivery = Attempt::first("receipts", "43").delivery().bearer(&token);
    service.send("/tasks/done", &delivery).await;
    let spans = collector.attempt();
    assert_eq!(remembered(&spans)["token.remembered"], true);
    // The keys were there, and nothing else has a span.
    assert_eq!(spans.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_keys_is_a_span_within_the_verification() {
    let mut collector = Collector::start();
    let issuer = Arc::new(Issuer::start(0).await.unwrap());
    let changes = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("{}/v1/traces", collector.url))];
    let changes = changes.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut service = Service::of(Arc::clone(&issuer), jobs(&Seen::default()), &changes);
    service.deliver("/tasks/done", &Attempt::first("receipts", "1").delivery()).await;
    collector.attempt();
    // A token of a key that is not known yet has the keys fetched again.
    issuer.keys().rotate().unwrap();
    issuer.answer_keys_with(KeyAnswer::Hold);
    let delivery = Attempt::first("receipts", "2").delivery().bearer(&service.token(TASKS));
    let waiting = tokio::spawn(service.post("/tasks/done", delivery));
    while issuer.key_fetches() < 2 {
        tokio::task::yield_now().await;
    }
    issuer.answer_keys_with(KeyAnswer::Keys);
    assert_eq!(waiting.await.unwrap().status, 204);
    service.records(1).await;
    let spans = collector.attempt();
    let (verify, wait) = (named(&spans, "verify"), named(&spans, "wait for keys"));
    assert_eq!(wait.parent_span_id, verify.span_id);
    assert!(verify.start_time_unix_nano <= wait.start_time_unix_nano);
    assert!(wait.end_time_unix_nano <= verify.end_time_unix_nano);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_of_the_metadata_server_goes_along_where_google_is_told() {
    let google = Emulator::start(Options::default()).await.unwrap();
    let metadata_host = google.url().replace("http://", "");
    let collector = Collector::start();
    let changes = [("TELEMETRY_AUTH", "google"), ("GCE_METADATA_HOST", &*metadata_host)];
    let mut service = service(&collector, &changes).await;
    service.deliver("/tasks/done", &Attempt::first("receipts", "1").delivery()).await;
    let authorization = collector.request().authorization.unwrap_or_default();
    // Not shown when it is another: it is a token.
    assert!(authorization.starts_with("Bearer ya29."), "{} bytes", authorization.len());
    drop(service);

    // Where there is no token nothing is sent without one, and no invocation is the worse for it.
    let collector = Collector::start();
    let changes = [("TELEMETRY_AUTH", "google"), ("GCE_METADATA_HOST", "127.0.0.1:1")];
    let mut service = self::service(&collector, &changes).await;
    let delivery = Attempt::first("receipts", "1").delivery();
    assert_eq!(service.deliver("/tasks/done", &delivery).await.0.status, 204);
    service.stopped().await;
    assert_eq!(collector.all(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_s_span_is_linked_or_the_parent_where_the_request_has_none() {
    let mut collector = Collector::start();
    let mut service = service(&collector, &[]).await;
    let push = Push::new("projects/p/subscriptions/s", "1", "1");
    let push = push.attribute("googclient_traceparent", PUBLISHER);
    service.deliver("/pubsub/done", &push.wrapped()).await;
    let spans = collector.attempt();
    assert_eq!(hex(&spans[0].trace_id), PUBLISHER[3..35]);
    assert_eq!(hex(&spans[0].parent_span_id), PUBLISHER[36..52]);
    let said = attributes(&spans[0].attributes);
    for (name, value) in [
        ("messaging.system", "gcp_pubsub"),
        ("messaging.operation.type", "process"),
        ("messaging.message.id", "1"),
        ("faas.trigger", "pubsub"),
    ] {
        assert_eq!(said[name], value, "{name}");
    }
    // Cloud Run adds one of its own.
    let push = Push::new("projects/p/subscriptions/s", "2", "1");
    let push = push.attribute("googclient_traceparent", PUBLISHER);
    let delivery = push.wrapped().header("traceparent", &traceparent(true));
    service.deliver("/pubsub/done", &delivery).await;
    let spans = collector.attempt();
    assert_eq!(hex(&spans[0].parent_span_id), CALLER_SPAN);
    let [link] = spans[0].links.as_slice() else { panic!("{:?}", spans[0].links) };
    assert_eq!(
        (hex(&link.trace_id), hex(&link.span_id)),
        (PUBLISHER[3..35].into(), PUBLISHER[36..52].into())
    );
}

/// From gcloud's publishing to the job, by way of the emulator.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_published_with_a_trace_context_ends_in_that_trace_or_in_one_that_is_joined_to_it()
 {
    let mut collector = Collector::start();
    let endpoint = format!("{}/v1/traces", collector.url);
    let changes = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
    ];
    let Some(mut story) = Story::begin(still(), &changes).await else { return };
    let attribute = format!("--message=7 --attribute=googclient_traceparent={PUBLISHER}");
    let subscribe = SUBSCRIBE.replace("--message=PAYLOAD-MARKER", &attribute);
    assert_ne!(subscribe, SUBSCRIBE);
    story.type_in(&format!("{BIND}{subscribe}")).await;
    let record = story.service.record().await;
    let through_cloud_run = collector.attempt();
    // Cloud Run's front end began a trace of its own.
    let server = &through_cloud_run[0];
    let trace = hex(&server.trace_id);
    assert_ne!(trace, PUBLISHER[3..35]);
    assert_ne!(server.parent_span_id, [] as [u8; 0]);
    let [link] = server.links.as_slice() else { panic!("{server:?}") };
    assert_eq!(hex(&link.trace_id), PUBLISHER[3..35]);
    assert_eq!(hex(&link.span_id), PUBLISHER[36..52]);
    assert_eq!(record["logging.googleapis.com/trace"], format!("projects/example/traces/{trace}"));

    // Pub/Sub itself begins none.
    let straight = format!(
        "gcloud pubsub subscriptions modify-push-config psub --push-endpoint={}/pubsub/done \
         --push-auth-service-account={CALLER} --push-auth-token-audience=$URL
         gcloud pubsub topics publish runtopic {attribute}",
        story.service.url
    );
    story.type_in(&straight).await;
    let record = story.service.record().await;
    let straight = collector.attempt();
    assert_eq!(hex(&straight[0].parent_span_id), PUBLISHER[36..52]);
    let trace = &PUBLISHER[3..35];
    assert_eq!(record["logging.googleapis.com/trace"], format!("projects/example/traces/{trace}"));
    for spans in [through_cloud_run, straight] {
        assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id), "{spans:#?}");
        for part in ["verify", "job"] {
            assert_eq!(named(&spans, part).parent_span_id, spans[0].span_id, "{part}");
        }
    }
}

/// The real one, which prints what it gets.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_collector_gets_the_spans_and_the_metrics() {
    let Some(folder) = installed() else { return };
    let rotel = Rotel::start(&folder);
    let changes = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*rotel.url),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("TELEMETRY_WAIT", "1000"),
    ];
    let mut service = Service::with(jobs(&Seen::default()), &changes).await;
    let push = Push::new("projects/p/subscriptions/s", "1", "1");
    let delivery = push.wrapped().header("traceparent", &traceparent(true));
    let (answer, record) = service.deliver("/pubsub/done", &delivery).await;
    assert_eq!(answer.status, 204);
    service.stopped().await;
    let said = rotel.ended();
    let span = record["logging.googleapis.com/spanId"].as_str().unwrap();
    for part in [
        TRACE,
        CALLER_SPAN,
        span,
        "POST /pubsub/done",
        "SPAN_KIND_SERVER",
        "messaging.system",
        "gcp_pubsub",
        "faas.trigger",
        "http.response.status_code",
        "verify",
        "service.instance.id",
        "invocation.count",
        "invocation.duration",
        "ExponentialHistogram",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_header_s_decimal_span_is_the_parent() {
    let mut collector = Collector::start();
    let mut service = service(&collector, &[]).await;
    let delivery = Run::new("report").delivery();
    let cloud = format!("{TRACE}/67667974448284343;o=1");
    let delivery = delivery.header("X-Cloud-Trace-Context", &cloud);
    service.deliver("/scheduler/done", &delivery).await;
    let spans = collector.attempt();
    assert_eq!(
        (hex(&spans[0].trace_id), hex(&spans[0].parent_span_id)),
        (TRACE.into(), CALLER_SPAN.into())
    );
    assert_eq!(attributes(&spans[0].attributes)["faas.trigger"], "timer");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_decides_what_is_sampled_and_failures_can_be_kept() {
    let collector = Collector::start();
    let mut service = service(&collector, &[("KEEP_FAILED_TRACES", "1")]).await;
    let with = |task: &str| {
        Attempt::first("receipts", task).delivery().header("traceparent", &traceparent(false))
    };
    let (_, done) = service.deliver("/tasks/done", &with("1")).await;
    let (_, gave_up) = service.deliver("/tasks/give-up", &with("2")).await;
    let (_, refused) = service.send("/tasks/done", &with("3")).await;
    service.stopped().await;
    // A record says whether its trace is there.
    let sampled = "logging.googleapis.com/trace_sampled";
    let sampled = [done, gave_up, refused].map(|record| record[sampled].clone());
    assert_eq!(sampled, [false, true, true]);
    let all = collector.all();
    let servers: Vec<_> = all.iter().filter(|span| span.kind == 2).collect();
    let outcomes: Vec<Value> = servers
        .iter()
        .map(|span| attributes(&span.attributes)["invocation.outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["gave_up", "refused"]);
    assert_eq!(attributes(&servers[1].attributes)["invocation.reason"], "missing");
    assert_eq!(servers[0].status.as_ref().unwrap().code, 2, "the job's fault is an error");
    assert!(servers[1].status.as_ref().is_none_or(|status| status.code == 0), "a refusal is none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampler_that_keeps_nothing_sends_nothing() {
    let collector = Collector::start();
    let mut service = service(&collector, &[("OTEL_TRACES_SAMPLER", "always_off")]).await;
    let delivery = Attempt::first("receipts", "1").delivery();
    service.deliver("/tasks/done", &delivery.header("traceparent", &traceparent(true))).await;
    service.stopped().await;
    assert_eq!(collector.all(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_trace_headers_harm_nothing() {
    let mut collector = Collector::start();
    let mut service = service(&collector, &[]).await;
    let zero = format!("00-{}-{CALLER_SPAN}-01", "0".repeat(32));
    let long = "0".repeat(5000);
    let version = format!("ff-{TRACE}-{CALLER_SPAN}-01");
    for (number, header) in [&*zero, &long, &version, "", "nonsense"].into_iter().enumerate() {
        let delivery = Attempt::first("receipts", &number.to_string()).delivery();
        let (answer, _) =
            service.deliver("/tasks/done", &delivery.header("traceparent", header)).await;
        assert_eq!(answer.status, 204, "{header}");
        assert_eq!(collector.attempt()[0].parent_span_id, [] as [u8; 0], "{header}");
    }
    let twice = Attempt::first("receipts", "twice").delivery();
    let twice = twice.also("traceparent", &traceparent(true)).also("traceparent", PUBLISHER);
    assert_eq!(service.deliver("/tasks/done", &twice).await.0.status, 204);
    assert_eq!(collector.attempt()[0].parent_span_id, [] as [u8; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_yet_handed_over_is_at_the_end() {
    let collector = Collector::start();
    let mut service = service(&collector, &[("OTEL_BSP_SCHEDULE_DELAY", "3600000")]).await;
    for number in 0..20 {
        let delivery = Attempt::first("receipts", &number.to_string()).delivery();
        service.deliver("/tasks/done", &delivery).await;
    }
    service.stopped().await;
    assert_eq!(collector.all().iter().filter(|span| span.kind == 2).count(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_can_wait_for_its_spans() {
    let collector = Collector::start();
    let changes = [("OTEL_BSP_SCHEDULE_DELAY", "3600000"), ("TELEMETRY_WAIT", "1000")];
    let mut service = service(&collector, &changes).await;
    // What the exporter has to do once takes no part of the second.
    service.deliver("/tasks/done", &Attempt::first("receipts", "1").delivery()).await;
    assert_eq!(collector.request().path, "/v1/traces");
    service.deliver("/tasks/done", &Attempt::first("receipts", "2").delivery()).await;
    // Nothing is left to wait for.
    assert_eq!(collector.all().iter().filter(|span| span.kind == 2).count(), 1);
    service.no_record();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_collector_costs_an_invocation_anything() {
    let refusing = Collector::answering("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let garbage = Collector::answering("nonsense\r\n\r\n");
    let silent = Collector::answering("");
    for url in ["http://127.0.0.1:1", &*refusing.url, &*garbage.url, &*silent.url] {
        let changes = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1"),
            // Longer than any attempt here may take: whoever waited for it would be found out.
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "120000"),
        ];
        let mut service = Service::with(jobs(&Seen::default()), &changes).await;
        for number in 0..20 {
            let delivery = Attempt::first("receipts", &number.to_string()).delivery();
            let (answer, record) = service.deliver("/tasks/done", &delivery).await;
            assert_eq!(answer.status, 204, "{url}: {record}");
        }
        let begun = Instant::now();
        assert_eq!(service.stopped().await, [] as [Value; 0]);
        // Cloud Run kills at ten seconds; nothing was in flight here.
        assert!(begun.elapsed().as_secs() < 8, "{url}: {:?}", begun.elapsed());
    }
}

/// A 200 that says how many spans of the request were not taken
/// (<https://opentelemetry.io/docs/specs/otlp/#partial-success-1>).
fn refusing_some(rejected_spans: i64, error_message: &str) -> Vec<u8> {
    let partial = ExportTracePartialSuccess { rejected_spans, error_message: error_message.into() };
    let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.into_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_does_not_take_is_said_once() {
    let refusing = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    for (answer, said) in [
        (refusing_some(3, "too old"), "refused 3 of a request: too old"),
        (refusing.into(), "answered 400 Bad Request"),
    ] {
        let collector = Collector::answering(answer);
        let changes = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("TELEMETRY_WAIT", "1000"),
        ];
        let issuer = Issuer::start(0).await.unwrap();
        let process = Process::start(slow_jobs(), &issuer, &changes);
        let token = issuer.token(AUDIENCE, TASKS).unwrap();
        for task in ["1", "2"] {
            let delivery = Attempt::first("receipts", task).delivery().body("1").bearer(&token);
            let url = format!("{}/tasks/sleep", process.url);
            assert_eq!(Courier::new().unwrap().deliver(&url, &delivery).await.unwrap().status, 204);
            assert_eq!(collector.request().path, "/v1/traces");
        }
        process.terminate();
        let of_exporter = |line: &Value| line["target"] == "receiver::telemetry::exporter";
        let lines: Vec<Value> = process.lines.iter().filter(of_exporter).collect();
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line["severity"], "WARNING", "{line}");
        assert_eq!(line["message"], "telemetry is lost until this takes it");
        assert_eq!((&line["to"], &line["reason"]), (&json!("127.0.0.1/v1/traces"), &json!(said)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_a_collector_does_not_take_are_counted() {
    let refusing = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
    for (answer, are_all_lost) in [(refusing_some(2, ""), false), (refusing.into(), true)] {
        let (traces, metrics) = (Collector::answering(answer), Collector::start());
        let changes = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &*format!("{}/v1/traces", traces.url)),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &*format!("{}/v1/metrics", metrics.url)),
            ("OTEL_METRIC_EXPORT_INTERVAL", "20"),
        ];
        let mut service = Service::with(jobs(&Seen::default()), &changes).await;
        let delivery = Attempt::first("receipts", "1").delivery();
        assert_eq!(service.deliver("/tasks/done", &delivery).await.0.status, 204);
        let begun = Instant::now();
        let lost = loop {
            assert!(begun.elapsed() < PATIENCE, "nothing was counted");
            let sums = metrics.request().metrics();
            let dropped = sums.iter().find(|metric| metric.name == "telemetry.spans.dropped");
            let Some(Data::Sum(sum)) = dropped.and_then(|dropped| dropped.data.as_ref()) else {
                panic!("{sums:?}")
            };
            match number(sum.data_points[0].value.as_ref()) {
                0 => {}
                lost => break lost,
            }
        };
        service.stopped().await;
        let sent = traces.all().len() as u64;
        assert_ne!(sent, 0);
        assert_eq!(lost, if are_all_lost { sent } else { 2 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_bounded_labels_and_exponential_histograms() {
    let collector = Collector::start();
    let changes =
        [("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", format!("{}/v1/metrics", collector.url))];
    let changes: Vec<(&str, &str)> =
        changes.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut service = Service::with(jobs(&Seen::default()), &changes).await;
    service.deliver("/tasks/done", &Attempt::first("receipts", "1").delivery()).await;
    service.deliver("/tasks/done", &Attempt::first("receipts", "1").delivery()).await;
    service.deliver("/tasks/strangers-path", &Attempt::first("receipts", "2").delivery()).await;
    service.send("/tasks/done", &Attempt::first("receipts", "3").delivery()).await;
    service.deliver("/scheduler/done", &Run::new("report").delivery()).await;
    for retry_count in [8, 9, 10] {
        let often = Attempt { retry_count, ..Attempt::first("receipts", "4") };
        service.deliver("/tasks/retry", &often.delivery()).await;
    }
    service.stopped().await;

    let metrics = collector.metrics();
    let mut names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    names.sort_unstable();
    let mut expected = receiver::telemetry::metrics::NAMES;
    expected.sort_unstable();
    assert_eq!(names, expected);
    let mut points: Vec<(Value, u64)> = Vec::new();
    for metric in &metrics {
        assert!(!metric.unit.is_empty() && metric.description.ends_with('.'), "{metric:?}");
        match metric.data.as_ref().unwrap() {
            Data::ExponentialHistogram(histogram) => {
                let count: u64 = histogram.data_points.iter().map(|point| point.count).sum();
                assert!(count >= 1, "{}", metric.name);
            }
            Data::Sum(sum) if metric.name == "invocation.count" => {
                points = sum
                    .data_points
                    .iter()
                    .map(|point| (attributes(&point.attributes), number(point.value.as_ref())))
                    .collect();
            }
            // The tenth attempt and the eleventh.
            Data::Sum(sum) if metric.name == "invocation.stuck" => {
                let counts = sum.data_points.iter().map(|point| number(point.value.as_ref()));
                assert_eq!(counts.sum::<u64>(), 2);
            }
            Data::Sum(_) | Data::Gauge(_) => {}
            other => panic!("{}: {other:?}", metric.name),
        }
    }
    let point = |sender: &str, job: &str, outcome: &str, reason: &str| json!({"sender": sender, "job_name": job, "outcome": outcome, "reason": reason});
    // Counts that alerts wait for begin at zero, so that the first of them is growth.
    let zero = point("scheduler", "done", "gave_up", "");
    assert!(points.contains(&(zero, 0)), "{points:#?}");
    points.retain(|(_, count)| *count > 0);
    points.sort_by_key(|(labels, _)| labels.to_string());
    let mut expected = [
        (point("tasks", "done", "done", ""), 1),
        (point("tasks", "done", "duplicate", ""), 1),
        (point("tasks", "retry", "retry", ""), 3),
        (point("tasks", "", "no_such_job", ""), 1),
        (point("tasks", "", "refused", "missing"), 1),
        (point("scheduler", "done", "done", ""), 1),
    ];
    expected.sort_by_key(|(labels, _)| labels.to_string());
    assert_eq!(points, expected);
}

fn number(
    value: Option<&opentelemetry_proto::tonic::metrics::v1::number_data_point::Value>,
) -> u64 {
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
    match value {
        Some(Value::AsInt(number)) => u64::try_from(*number).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_traces_and_logs_is_within_its_attempt() {
    let mut collector = Collector::start();
    let issuer = Issuer::start(0).await.unwrap();
    let changes = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    let process = Process::start(slow_jobs(), &issuer, &changes);
    let delivery = Attempt::first("receipts", "1").delivery().body("1");
    let delivery = delivery.header("traceparent", &traceparent(true));
    let delivery = delivery.bearer(&issuer.token(AUDIENCE, TASKS).unwrap());
    let url = format!("{}/tasks/sleep", process.url);
    assert_eq!(Courier::new().unwrap().deliver(&url, &delivery).await.unwrap().status, 204);
    let spans = collector.attempt();
    let (job, asleep) = (named(&spans, "job"), named(&spans, "asleep"));
    assert_eq!(asleep.parent_span_id, job.span_id);
    assert_eq!(attributes(&asleep.attributes), json!({"milliseconds": 1, "round": 2}));
    assert_eq!(asleep.attributes.len(), 2, "a field recorded again has its last value alone");
    assert!(spans.iter().all(|span| span.name != "detail"), "it is below LOG_LEVEL: {spans:#?}");

    let line = |message: &str| {
        let lines = process.lines.iter();
        lines.into_iter().find(|line| line["message"].as_str().unwrap().contains(message)).unwrap()
    };
    let lines = [line("begun"), line("slept"), line("done, 204")];
    for line in &lines {
        for (name, value) in [
            ("logging.googleapis.com/trace", json!(format!("projects/example/traces/{TRACE}"))),
            ("logging.googleapis.com/spanId", json!(hex(&spans[0].span_id))),
            ("logging.googleapis.com/trace_sampled", json!(true)),
        ] {
            assert_eq!(line[name], value, "{line}");
        }
        let labels = &line["logging.googleapis.com/labels"];
        assert_eq!((&labels["sender"], &labels["job"]), (&json!("tasks"), &json!("sleep")));
    }
    // Cloud Logging would take these for the entry's own.
    assert_eq!((&lines[1]["timestamp"], &lines[1]["httpRequest"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&lines[1]["field.timestamp"], &lines[1]["field.httpRequest"]),
        (&json!(1), &json!(2))
    );
    let long = lines[1]["long"].as_str().unwrap();
    assert!(long.ends_with("… [cut]") && long.len() < 40_000, "{}", long.len());
    process.terminate();
    assert!(process.ended().0.success());
}
