//! Tasks that are created through the API, and what is said when they are not.

use std::time::Duration;

use caller::{Credentials, EnqueueError, Enqueuer, Environment, Queue, Task, TaskId};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    lab::{CALLER, Lab},
    token_server::{Scripted, TokenServer},
};

const QUEUE: &str = "projects/demo-project/locations/us-central1/queues/receipts";
const ENQUEUER: &str = "roles/cloudtasks.enqueuer";
const ACT_AS: &str = "roles/iam.serviceAccountUser";

/// Of the caller's key file, with its queue and all that it takes.
async fn enqueuer(lab: &Lab) -> Enqueuer {
    let queue = lab.create_queue().await;
    lab.bind(CALLER).await;
    lab.let_enqueue(&queue, CALLER).await;
    of_caller(lab).await
}

async fn of_caller(lab: &Lab) -> Enqueuer {
    let credentials = Credentials::key_file(&lab.key_file(CALLER).await).unwrap();
    Enqueuer::new(QUEUE.parse().unwrap(), credentials, &lab.environment())
}

fn member() -> String {
    format!("serviceAccount:{CALLER}")
}

fn receipt(lab: &Lab, id: &str) -> Task {
    let url = format!("{}/tasks/send-receipt", lab.url);
    Task::new(TaskId::of_key(id), &url, &lab.url, CALLER)
        .json(&json!({"order": "A-1001", "email": "ada@example.com"}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_delivered_with_a_token_that_the_receiver_verifies() {
    let lab = Lab::start().await;
    let enqueuer = enqueuer(&lab).await;
    let name = enqueuer.enqueue(&receipt(&lab, "one")).await.unwrap();
    assert_eq!(name, format!("{QUEUE}/tasks/{}", TaskId::of_key("one")));
    let record = lab.record().await;
    let invocation = &record["invocation"];
    assert_eq!(
        (&invocation["outcome"], &invocation["job"]),
        (&"done".into(), &"send-receipt".into())
    );
    assert_eq!(invocation["caller"]["email"], CALLER);
    assert_eq!(record["invocation"]["tasks"]["task"], TaskId::of_key("one").to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_task_of_a_key_is_told_to_exist_and_nothing_comes_twice() {
    let lab = Lab::start().await;
    let enqueuer = enqueuer(&lab).await;
    let name = enqueuer.enqueue(&receipt(&lab, "one")).await.unwrap();
    lab.record().await;
    let again = enqueuer.enqueue(&receipt(&lab, "one")).await.unwrap_err();
    assert_eq!(again, EnqueueError::Exists { name });
    enqueuer.enqueue(&receipt(&lab, "two")).await.unwrap();
    lab.record().await;
    lab.no_record();
}

#[tokio::test(flavor = "multi_thread")]
async fn time_deadline_method_and_headers_are_the_task_s() {
    let lab = Lab::start().await;
    let enqueuer = enqueuer(&lab).await;
    let mut task = receipt(&lab, "later");
    let at = Timestamp::now() + Duration::from_secs(3600);
    task.schedule_time = Some(at);
    task.dispatch_deadline = Some(Duration::from_secs(90));
    task.method = caller::enqueuer::Method::Put;
    task.headers.push(("X-Tenant".into(), "t1".into()));
    let name = enqueuer.enqueue(&task).await.unwrap();
    let made =
        lab.api("GET", &format!("cloudtasks/v2/{name}?responseView=FULL"), Value::Null).await;
    assert_eq!(made["dispatchDeadline"], "90s");
    let due: Timestamp = made["scheduleTime"].as_str().unwrap().parse().unwrap();
    assert!((due.as_second() - at.as_second()).abs() <= 1, "{due} {at}");
    let request = &made["httpRequest"];
    assert_eq!(request["httpMethod"], "PUT");
    assert_eq!(request["headers"]["X-Tenant"], "t1");
    assert_eq!(request["oidcToken"], json!({"serviceAccountEmail": CALLER, "audience": lab.url}));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_missing_part_is_named_with_the_command_that_adds_it() {
    let lab = Lab::start().await;
    let enqueuer = of_caller(&lab).await;
    let said = async || enqueuer.enqueue(&receipt(&lab, "one")).await.unwrap_err();
    // Google says of a queue that is not there, to who may not create tasks, that the permission is missing.
    let fault = said().await;
    assert!(matches!(fault, EnqueueError::PermissionMissing { .. }), "{fault}");
    lab.grant("cloudresourcemanager/v1/projects/demo-project", ENQUEUER, &member()).await;
    let fault = said().await;
    assert!(matches!(fault, EnqueueError::QueueMissing { .. }), "{fault}");
    let create =
        "gcloud tasks queues create receipts --location=us-central1 --project=demo-project";
    assert!(fault.to_string().ends_with(create), "{fault}");
    lab.create_queue().await;
    let fault = said().await;
    assert_eq!(fault, EnqueueError::ActAsMissing { who: member(), account: CALLER.to_owned() });
    let grant = format!(
        "gcloud iam service-accounts add-iam-policy-binding {CALLER} --member=serviceAccount:{CALLER} --role={ACT_AS}"
    );
    assert!(fault.to_string().ends_with(&grant), "{fault}");
    lab.grant_on(CALLER, ACT_AS, &member()).await;
    enqueuer.enqueue(&receipt(&lab, "one")).await.unwrap();
    let mut stranger = receipt(&lab, "two");
    stranger.service_account = "gone@demo-project.iam.gserviceaccount.com".to_owned();
    let fault = enqueuer.enqueue(&stranger).await.unwrap_err();
    assert!(matches!(fault, EnqueueError::AccountMissing { .. }), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cloud_tasks_would_refuse_is_refused_before_it_is_asked() {
    let lab = Lab::start().await;
    let nowhere = Environment::from_lookup(|_| None);
    let key_file = lab.key_file(CALLER).await;
    let queue: Queue = QUEUE.parse().unwrap();
    let enqueuer = Enqueuer::new(queue, Credentials::key_file(&key_file).unwrap(), &nowhere);
    let whole = receipt(&lab, "one");
    let far = Timestamp::now() + Duration::from_secs(31 * 24 * 3600);
    let cases: Vec<(Task, &str)> = vec![
        (Task { url: "receiver/tasks".into(), ..whole.clone() }, "the URL is"),
        (
            Task { url: format!("https://a/{}", "a".repeat(2083)), ..whole.clone() },
            "2083 characters",
        ),
        (Task { audience: String::new(), ..whole.clone() }, "needs an audience"),
        (
            Task { service_account: "caller".into(), ..whole.clone() },
            "the email of a service account",
        ),
        (
            Task { method: caller::enqueuer::Method::Get, ..whole.clone() },
            "a task of GET has no body",
        ),
        (Task { schedule_time: Some(far), ..whole.clone() }, "more than 30 days ahead"),
        (Task { dispatch_deadline: Some(Duration::from_secs(14)), ..whole.clone() }, "is 14 s"),
        (Task { dispatch_deadline: Some(Duration::from_secs(1801)), ..whole.clone() }, "is 1801 s"),
        (Task { body: vec![0; 1 << 20].into(), ..whole.clone() }, "the task would have"),
        (
            Task { headers: vec![("a".into(), "b".repeat(90_000))], ..whole },
            "the headers would have",
        ),
    ];
    for (task, expected) in cases {
        let fault = enqueuer.enqueue(&task).await.unwrap_err();
        assert!(fault.to_string().contains(expected) && !fault.is_transient(), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_task_that_is_let_through_is_taken() {
    let lab = Lab::start().await;
    let enqueuer = enqueuer(&lab).await;
    let mut task = receipt(&lab, "large");
    task.schedule_time = Some(Timestamp::now() + Duration::from_secs(3600));
    // The longest name that a task can have, so that the bound is right for all.
    let mut number = 0..;
    let mut long_id = || format!("{:0>500}", number.next().unwrap()).parse().unwrap();
    let sized = |body: usize, id| Task { id, body: vec![0; body].into(), ..task.clone() };
    let (mut fits, mut too_large) = (1_000_000, 1 << 20);
    while too_large - fits > 1 {
        let middle = usize::midpoint(fits, too_large);
        // Only what is refused here costs nothing to ask.
        match enqueuer.enqueue(&sized(middle, long_id())).await {
            Ok(_) => fits = middle,
            Err(EnqueueError::TooLarge { .. }) => too_large = middle,
            Err(fault) => panic!("{middle} bytes: {fault}"),
        }
    }
    assert!(fits > 1_040_000, "{fits}");
}

/// Tokens and answers of a Cloud Tasks that is played.
async fn scripted(lab: &Lab, answers: Vec<Scripted>) -> (Enqueuer, TokenServer) {
    let tasks = TokenServer::answering(answers).await;
    let credentials = Credentials::key_file(&lab.key_file(CALLER).await).unwrap();
    let mut environment = lab.environment();
    environment.cloud_tasks_url = tasks.url.clone();
    (Enqueuer::new(QUEUE.parse().unwrap(), credentials, &environment), tasks)
}

fn exists() -> Scripted {
    Scripted::new(
        409,
        json!({"error": {"status": "ALREADY_EXISTS", "message": "Requested entity already exists"}}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_exists_after_a_lost_answer_is_the_one_that_was_created() {
    let lab = Lab::start().await;
    let (enqueuer, tasks) = scripted(&lab, vec![Scripted::new(503, ""), exists()]).await;
    assert!(enqueuer.enqueue(&receipt(&lab, "one")).await.is_ok());
    let asked = tasks.asked();
    let body = |request: &str| request.split_once("\r\n\r\n").unwrap().1.to_owned();
    assert_eq!(body(&asked[0]), body(&asked[1]), "it is the same task");

    // The renewal of the access token in between changes nothing.
    let script = vec![Scripted::new(503, ""), Scripted::new(401, ""), exists()];
    let (enqueuer, _) = scripted(&lab, script).await;
    assert!(enqueuer.enqueue(&receipt(&lab, "one")).await.is_ok());

    // Nor did one that was told to come later create anything.
    for script in [vec![exists()], vec![Scripted::new(429, ""), exists()]] {
        let (enqueuer, _) = scripted(&lab, script).await;
        let fault = enqueuer.enqueue(&receipt(&lab, "one")).await.unwrap_err();
        assert!(matches!(fault, EnqueueError::Exists { .. }), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_gone_is_known_however_it_is_said() {
    let lab = Lab::start().await;
    for (status, message) in [
        (404, "Queue does not exist. If you just created the queue, wait at least a minute."),
        (400, "Queue does not exist."),
        (400, "The queue no longer exists, though a queue with this name existed recently."),
    ] {
        let refusal = Scripted::new(status, json!({"error": {"message": message}}));
        let (enqueuer, _) = scripted(&lab, vec![refusal]).await;
        let fault = enqueuer.enqueue(&receipt(&lab, "one")).await.unwrap_err();
        assert!(matches!(fault, EnqueueError::QueueMissing { .. }), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_that_is_refused_is_renewed_once() {
    let lab = Lab::start().await;
    let (enqueuer, tasks) =
        scripted(&lab, vec![Scripted::new(401, ""), Scripted::new(200, "{}")]).await;
    assert!(enqueuer.enqueue(&receipt(&lab, "one")).await.is_ok());
    assert_eq!(tasks.asked().len(), 2);
    let refused = vec![Scripted::new(401, ""), Scripted::new(401, "")];
    let (enqueuer, _) = scripted(&lab, refused).await;
    let fault = enqueuer.enqueue(&receipt(&lab, "one")).await.unwrap_err();
    assert!(fault.to_string().contains("answered 401"), "{fault}");
}
