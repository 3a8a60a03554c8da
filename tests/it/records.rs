//! What stands in a record, and what never does.

use emulator::{
    Emulator, Method, Options,
    senders::{pubsub::Push, tasks::Attempt},
};
use receiver::{
    config::Config,
    record::{Format, Records},
    server::Server,
};
use serde_json::{Value, json};

use crate::harness::{self, AUDIENCE, MARKER, PATIENCE, Seen, Service, TASKS, field, jobs};

fn task(name: &str) -> emulator::Delivery {
    Attempt { body: MARKER.into(), ..Attempt::first("receipts", name) }.delivery()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_record_has_exactly_the_documented_members_and_no_more() {
    let mut service = Service::start(jobs(&Seen::default())).await;
    let (_, record) = service.deliver("/tasks/done", &task("1")).await;
    let names =
        |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&record), "invocation logging.googleapis.com/labels message severity time");
    assert_eq!(
        names(&record["invocation"]),
        "attempt caller duration_ms first_due id job lag_ms outcome request_bytes sender status tasks"
    );
    assert_eq!(record["invocation"]["request_bytes"], MARKER.len());
    assert!(record["invocation"]["duration_ms"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn a_record_stands_in_its_requests_trace() {
    let mut service = Service::with(jobs(&Seen::default()), &[("DEDUP", "off")]).await;
    let cloud = format!("{TRACE}/67667974448284343;o=1");
    let w3c = format!("00-{TRACE}-00f067aa0ba902b7-00");
    for (headers, span, sampled) in [
        (vec![("X-Cloud-Trace-Context", &*cloud)], json!("00f067aa0ba902b7"), true),
        (vec![("traceparent", &w3c)], json!("00f067aa0ba902b7"), false),
        (
            vec![
                ("traceparent", &w3c),
                ("X-Cloud-Trace-Context", "0af7651916cd43dd8448eb211c80319c/1;o=1"),
            ],
            json!("00f067aa0ba902b7"),
            false,
        ),
        (vec![("traceparent", "nonsense"), ("X-Cloud-Trace-Context", TRACE)], Value::Null, false),
    ] {
        let delivery =
            headers.iter().fold(task("1"), |delivery, (name, value)| delivery.header(name, value));
        let (_, record) = service.deliver("/tasks/done", &delivery).await;
        assert_eq!(
            record["logging.googleapis.com/trace"],
            format!("projects/example/traces/{TRACE}")
        );
        assert_eq!(record["logging.googleapis.com/spanId"], span);
        assert_eq!(record["logging.googleapis.com/trace_sampled"], sampled);
    }
    for traceparent in ["", "00-0-0-00", &"0".repeat(5000)] {
        let (_, record) =
            service.deliver("/tasks/done", &task("1").header("traceparent", traceparent)).await;
        assert_eq!(record["logging.googleapis.com/trace"], Value::Null);
    }
}

#[tokio::test]
async fn without_a_project_no_trace_is_named_but_the_span_is() {
    let mut service = Service::with(jobs(&Seen::default()), &[("GOOGLE_CLOUD_PROJECT", "")]).await;
    let delivery = task("1").header("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let (_, record) = service.deliver("/tasks/done", &delivery).await;
    assert_eq!(record["logging.googleapis.com/trace"], Value::Null);
    assert_eq!(record["logging.googleapis.com/spanId"], "00f067aa0ba902b7");
}

#[tokio::test]
async fn on_cloud_run_the_metadata_server_says_the_project() {
    let google = Emulator::start(Options::default()).await.unwrap();
    let changes = [
        ("GOOGLE_CLOUD_PROJECT", ""),
        ("K_SERVICE", "receiver"),
        ("ALLOW_TEST_ISSUER", "1"),
        ("GCE_METADATA_HOST", &google.url().replace("http://", "")),
    ];
    let mut service = Service::with(jobs(&Seen::default()), &changes).await;
    let found = async {
        for number in 0.. {
            let delivery = task(&number.to_string());
            let delivery =
                delivery.header("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"));
            // Answered all the while: the start has not waited for it.
            let (answer, record) = service.deliver("/tasks/done", &delivery).await;
            assert_eq!(answer.status, 204);
            if let Some(trace) = record["logging.googleapis.com/trace"].as_str() {
                return trace.to_owned();
            }
        }
        unreachable!()
    };
    let found = tokio::time::timeout(PATIENCE, found).await.unwrap();
    assert_eq!(found, format!("projects/demo-project/traces/{TRACE}"));
}

#[tokio::test]
async fn what_others_make_long_or_full_of_control_characters_is_cut_and_stays_one_line() {
    let hostile = "\u{1}\n\r\u{7f}\u{2028}\"\\é".repeat(2000);
    let names = (0..40).map(|number| format!("k{number}")).collect::<Vec<_>>();
    let mut service =
        Service::with(jobs(&Seen::default()), &[("RECORD_ATTRIBUTES", &names.join("|"))]).await;
    let push = names
        .iter()
        .fold(Push::new(&hostile, &hostile, MARKER), |push, name| push.attribute(name, &hostile));
    let (answer, record) = service.deliver("/pubsub/give-up", &push.wrapped()).await;
    assert_eq!(answer.status, 200);
    let subscription = record["invocation"]["pubsub"]["subscription"].as_str().unwrap();
    assert!(
        subscription.starts_with(&hostile[..100]) && subscription.ends_with("bytes cut]"),
        "{subscription}"
    );
    assert_eq!(record["invocation"]["pubsub"]["attributes"].as_object().unwrap().len(), 16);

    let long = "x".repeat(10_000);
    let token = service
        .issuer
        .id_token(AUDIENCE, TASKS)
        .claim("email", &*long)
        .claim("aud", "\u{1}".repeat(2000));
    let token = service.secret(service.issuer.sign(&token).unwrap());
    let (_, record) = service.send("/tasks/done", &task("1").bearer(&token)).await;
    assert_eq!(field(&record, "outcome"), "refused");
    let (_, record) = service.deliver(&format!("/tasks/{long}"), &task("1")).await;
    assert!(field(&record, "job").ends_with("x…"), "{record}");
}

#[tokio::test]
async fn attributes_stand_in_a_record_only_where_the_setting_allows() {
    let push = Push::new("projects/example/subscriptions/s", "1", "x")
        .attribute("kind", "order")
        .attribute("mail", MARKER);
    let mut silent = Service::start(jobs(&Seen::default())).await;
    let mut allowed =
        Service::with(jobs(&Seen::default()), &[("RECORD_ATTRIBUTES", "kind|other")]).await;
    for (service, expected) in
        [(&mut silent, Value::Null), (&mut allowed, json!({"kind": "order"}))]
    {
        let (_, record) = service.deliver("/pubsub/done", &push.wrapped()).await;
        assert_eq!(record["invocation"]["pubsub"]["attributes"], expected);
    }
}

#[tokio::test]
async fn for_people_a_record_is_one_line_with_and_without_colour() {
    for is_coloured in [false, true] {
        let issuer = emulator::Issuer::start(0).await.unwrap();
        let settings = harness::settings(&issuer);
        let table = jobs(&Seen::default());
        let config =
            Config::from_lookup(&table.senders(), |name| settings.get(name).cloned()).unwrap();
        let (sink, lines) = std::sync::mpsc::channel();
        let records =
            Records::to(Format::Text { is_coloured }, config.about.clone(), move |line| {
                sink.send(String::from_utf8(line.to_vec()).unwrap()).unwrap();
            });
        let server = Server::bind(config, table, records).unwrap();
        let url = format!("http://{}/tasks/retry", server.address());
        let delivery = Attempt { method: Method::Post, ..Attempt::first("q\u{9b}", "1") }
            .delivery()
            .header("X-CloudTasks-QueueName", "q")
            .bearer(&issuer.token(AUDIENCE, TASKS).unwrap());
        let courier = emulator::Courier::new().unwrap();
        let stop =
            async { assert_eq!(courier.deliver(&url, &delivery).await.unwrap().status, 500) };
        server.run(stop).await.unwrap();
        let line = lines.try_iter().collect::<Vec<_>>().concat();
        assert_eq!(line.lines().count(), 1, "{line}");
        for part in ["tasks/retry", "retry 500", "q/1", "attempt 1", TASKS, "smtp timeout"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert_eq!(line.contains('\x1b'), is_coloured, "{line}");
    }
}
