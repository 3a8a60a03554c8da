//! Every command that the scripts and the README use, through the real gcloud: it ends well, and what it made is as
//! asked for; a second `create` fails as Google's does.

use emulator::Options;
use serde_json::{Value, json};

use crate::gcloud::Gcloud;

const CALLER: &str = "schedulerunner@demo-project.iam.gserviceaccount.com";
const AGENT: &str = "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com";
const IN: &str = "--location=us-central1";

/// With the caller's account.
async fn gcloud() -> Option<Gcloud> {
    let gcloud = Gcloud::start(Options::default()).await?;
    gcloud.emulator.create_account("schedulerunner").unwrap();
    Some(gcloud)
}

/// Every field of `expected` is in `found`, at any depth.
fn check(found: &Value, expected: &Value) {
    match expected {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| check(&found[name.as_str()], value));
        }
        other => assert_eq!(found, other),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_makes_projects_accounts_and_their_policies() {
    let Some(gcloud) = gcloud().await else { return };
    assert_eq!(gcloud.ok("gcloud config get-value project").await, "demo-project");
    let number = gcloud.ok("gcloud projects describe demo-project --format='value(projectNumber)'");
    assert_eq!(number.await, "123456789012");
    let bound = gcloud
        .json(&format!(
            "gcloud projects add-iam-policy-binding demo-project --member=serviceAccount:{CALLER} --role=roles/cloudtasks.enqueuer --condition=None"
        ))
        .await;
    let member = format!("serviceAccount:{CALLER}");
    let names = |policy: &Value, role: &str, member: &str| {
        policy["bindings"].as_array().unwrap().iter().any(|binding| {
            binding["role"] == role
                && binding["members"].as_array().unwrap().contains(&json!(member))
        })
    };
    assert!(names(&bound, "roles/cloudtasks.enqueuer", &member), "{bound}");

    let create = "gcloud iam service-accounts create runner --display-name='A runner'";
    gcloud.ok(create).await;
    assert!(gcloud.refused(create).await.contains("already exists"));
    let email = "runner@demo-project.iam.gserviceaccount.com";
    let account = gcloud.json(&format!("gcloud iam service-accounts describe {email}")).await;
    check(
        &account,
        &json!({"email": email, "displayName": "A runner", "projectId": "demo-project"}),
    );
    let emails = gcloud.ok("gcloud iam service-accounts list --format='value(email)'").await;
    assert!(emails.contains(email) && emails.contains(CALLER), "{emails}");
    let policy = gcloud
        .json(&format!(
            "gcloud iam service-accounts add-iam-policy-binding {email} --member={AGENT} --role=roles/iam.serviceAccountTokenCreator"
        ))
        .await;
    assert!(names(&policy, "roles/iam.serviceAccountTokenCreator", AGENT), "{policy}");
    let read = gcloud.json(&format!("gcloud iam service-accounts get-iam-policy {email}")).await;
    assert_eq!(read, policy);
    gcloud.ok(&format!("gcloud iam service-accounts delete {email} --quiet")).await;
    let gone = gcloud.refused(&format!("gcloud iam service-accounts describe {email}")).await;
    assert!(gone.contains("NOT_FOUND"), "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_makes_scheduler_jobs() {
    let Some(gcloud) = gcloud().await else { return };
    let create = format!(
        "gcloud scheduler jobs create http report {IN} --schedule='*/5 * * * *' --uri=http://127.0.0.1:9/x --http-method=GET --oidc-service-account-email={CALLER} --oidc-token-audience=https://a.example --attempt-deadline=60s --max-retry-attempts=3"
    );
    gcloud.ok(&create).await;
    assert!(gcloud.refused(&create).await.contains("ALREADY_EXISTS"));
    let describe = format!("gcloud scheduler jobs describe report {IN}");
    check(
        &gcloud.json(&describe).await,
        &json!({
            "name": "projects/demo-project/locations/us-central1/jobs/report",
            "schedule": "*/5 * * * *",
            "timeZone": "Etc/UTC",
            "state": "ENABLED",
            "attemptDeadline": "60s",
            "retryConfig": {"retryCount": 3},
            "httpTarget": {
                "httpMethod": "GET",
                "uri": "http://127.0.0.1:9/x",
                "oidcToken": {"audience": "https://a.example", "serviceAccountEmail": CALLER},
            },
        }),
    );
    gcloud
        .ok(&format!("gcloud scheduler jobs create http post {IN} --schedule='0 0 1 1 *' --uri=http://127.0.0.1:9/x --message-body=hello --headers=Content-Type=text/plain"))
        .await;
    let posted = gcloud.json(&format!("gcloud scheduler jobs describe post {IN}")).await;
    check(
        &posted,
        &json!({"httpTarget": {
            "body": "aGVsbG8=",
            "httpMethod": "POST",
            "headers": {"Content-Type": "text/plain"},
        }}),
    );
    assert_eq!(posted["httpTarget"]["oidcToken"], Value::Null);
    gcloud
        .ok(&format!("gcloud scheduler jobs update http report {IN} --schedule='0 6 * * *' --uri=http://127.0.0.1:9/y --http-method=GET --oidc-service-account-email={CALLER} --oidc-token-audience=https://b.example"))
        .await;
    check(
        &gcloud.json(&describe).await,
        &json!({
            "schedule": "0 6 * * *",
            "attemptDeadline": "60s",
            "retryConfig": {"retryCount": 3},
            "httpTarget": {"uri": "http://127.0.0.1:9/y", "oidcToken": {"audience": "https://b.example"}},
        }),
    );
    gcloud.ok(&format!("gcloud scheduler jobs run report {IN}")).await;
    gcloud.ok(&format!("gcloud scheduler jobs pause report {IN}")).await;
    check(&gcloud.json(&describe).await, &json!({"state": "PAUSED"}));
    gcloud.ok(&format!("gcloud scheduler jobs resume report {IN}")).await;
    check(&gcloud.json(&describe).await, &json!({"state": "ENABLED"}));
    let listed = gcloud.json(&format!("gcloud scheduler jobs list {IN}")).await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    gcloud.ok(&format!("gcloud scheduler jobs delete report {IN} --quiet")).await;
    assert!(gcloud.refused(&describe).await.contains("NOT_FOUND"));
    let wrong = format!("gcloud scheduler jobs create http wrong {IN} --uri=http://127.0.0.1:9/x");
    for (arguments, said) in [
        ("--schedule=banana", "INVALID_ARGUMENT"),
        ("--schedule='* * * * *' --time-zone=Mars/Olympus", "INVALID_ARGUMENT"),
        ("--schedule='* * * * *' --attempt-deadline=2h", "INVALID_ARGUMENT"),
        (
            "--schedule='* * * * *' --oidc-service-account-email=nobody@demo-project.iam.gserviceaccount.com",
            "NOT_FOUND",
        ),
    ] {
        let refusal = gcloud.refused(&format!("{wrong} {arguments}")).await;
        assert!(refusal.contains(said), "{arguments}: {refusal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_makes_queues_and_tasks() {
    let Some(gcloud) = gcloud().await else { return };
    let create = format!(
        "gcloud tasks queues create receipts {IN} --max-attempts=5 --max-backoff=10s --min-backoff=1s --max-dispatches-per-second=10"
    );
    gcloud.ok(&create).await;
    assert!(gcloud.refused(&create).await.contains("already exists"));
    let describe = format!("gcloud tasks queues describe receipts {IN}");
    check(
        &gcloud.json(&describe).await,
        &json!({
            "name": "projects/demo-project/locations/us-central1/queues/receipts",
            "state": "RUNNING",
            "rateLimits": {"maxDispatchesPerSecond": 10.0, "maxConcurrentDispatches": 1000},
            "retryConfig": {"maxAttempts": 5, "maxBackoff": "10s", "minBackoff": "1s", "maxDoublings": 16},
        }),
    );
    gcloud.ok(&format!("gcloud tasks queues update receipts {IN} --max-attempts=7")).await;
    check(
        &gcloud.json(&describe).await,
        &json!({"retryConfig": {"maxAttempts": 7, "minBackoff": "1s"}}),
    );
    gcloud.ok(&format!("gcloud tasks queues pause receipts {IN}")).await;
    check(&gcloud.json(&describe).await, &json!({"state": "PAUSED"}));
    let task = format!(
        "gcloud tasks create-http-task order-1 --queue=receipts {IN} --url=http://127.0.0.1:9/x --method=POST --body-content='{{}}' --header=Content-Type:application/json --oidc-service-account-email={CALLER} --oidc-token-audience=https://a.example"
    );
    gcloud.ok(&task).await;
    assert!(gcloud.refused(&task).await.contains("ALREADY_EXISTS"));
    gcloud
        .ok(&format!(
            "gcloud tasks create-http-task --queue=receipts {IN} --url=http://127.0.0.1:9/x"
        ))
        .await;
    let found = gcloud.json(&format!("gcloud tasks describe order-1 --queue=receipts {IN}")).await;
    check(
        &found,
        &json!({"httpRequest": {
            "httpMethod": "POST",
            "url": "http://127.0.0.1:9/x",
            "headers": {"Content-Type": "application/json"},
            "oidcToken": {"audience": "https://a.example", "serviceAccountEmail": CALLER},
        }}),
    );
    let listed = gcloud.json(&format!("gcloud tasks list --queue=receipts {IN}")).await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    gcloud.ok(&format!("gcloud tasks delete order-1 --queue=receipts {IN} --quiet")).await;
    gcloud.ok(&format!("gcloud tasks queues purge receipts {IN} --quiet")).await;
    let listed = gcloud.json(&format!("gcloud tasks list --queue=receipts {IN}")).await;
    assert_eq!(listed, json!([]));
    gcloud.ok(&format!("gcloud tasks queues resume receipts {IN}")).await;
    check(&gcloud.json(&describe).await, &json!({"state": "RUNNING"}));
    gcloud.ok(&format!("gcloud tasks queues delete receipts {IN} --quiet")).await;
    assert!(gcloud.refused(&describe).await.contains("NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_makes_topics_and_subscriptions() {
    let Some(gcloud) = gcloud().await else { return };
    gcloud.ok("gcloud pubsub topics create orders").await;
    assert!(gcloud.refused("gcloud pubsub topics create orders").await.contains("already exists"));
    gcloud.ok("gcloud pubsub topics create dead-orders").await;
    let push = format!(
        "--push-endpoint=http://127.0.0.1:9/x --push-auth-service-account={CALLER} --push-auth-token-audience=https://a.example"
    );
    let create = format!(
        "gcloud pubsub subscriptions create pushed --topic=orders {push} --ack-deadline=30 --dead-letter-topic=dead-orders --max-delivery-attempts=5 --min-retry-delay=10s --max-retry-delay=600s"
    );
    gcloud.ok(&create).await;
    assert!(gcloud.refused(&create).await.contains("already exists"));
    let describe = "gcloud pubsub subscriptions describe pushed";
    check(
        &gcloud.json(describe).await,
        &json!({
            "name": "projects/demo-project/subscriptions/pushed",
            "topic": "projects/demo-project/topics/orders",
            "ackDeadlineSeconds": 30,
            "deadLetterPolicy": {
                "deadLetterTopic": "projects/demo-project/topics/dead-orders",
                "maxDeliveryAttempts": 5,
            },
            "retryPolicy": {"minimumBackoff": "10s", "maximumBackoff": "600s"},
            "pushConfig": {
                "pushEndpoint": "http://127.0.0.1:9/x",
                "oidcToken": {"audience": "https://a.example", "serviceAccountEmail": CALLER},
            },
        }),
    );
    gcloud
        .ok(&format!("gcloud pubsub subscriptions create raw --topic=orders {push} --push-no-wrapper --push-no-wrapper-write-metadata --enable-message-ordering"))
        .await;
    check(
        &gcloud.json("gcloud pubsub subscriptions describe raw").await,
        &json!({"enableMessageOrdering": true, "pushConfig": {"noWrapper": {"writeMetadata": true}}}),
    );
    // It replaces everything: the audience is gone unless it is repeated.
    gcloud
        .ok(&format!("gcloud pubsub subscriptions modify-push-config pushed --push-endpoint=http://127.0.0.1:9/y --push-auth-service-account={CALLER}"))
        .await;
    let modified = gcloud.json(describe).await;
    check(&modified, &json!({"pushConfig": {"pushEndpoint": "http://127.0.0.1:9/y"}}));
    assert_eq!(modified["pushConfig"]["oidcToken"]["audience"], Value::Null);
    gcloud.ok(&format!("gcloud pubsub subscriptions update pushed {push} --ack-deadline=60")).await;
    check(
        &gcloud.json(describe).await,
        &json!({"ackDeadlineSeconds": 60, "pushConfig": {"oidcToken": {"audience": "https://a.example"}}}),
    );
    let policy = gcloud
        .json(&format!("gcloud pubsub topics add-iam-policy-binding dead-orders --member={AGENT} --role=roles/pubsub.publisher"))
        .await;
    check(&policy["bindings"][0], &json!({"role": "roles/pubsub.publisher", "members": [AGENT]}));
    gcloud
        .ok(&format!("gcloud pubsub subscriptions add-iam-policy-binding pushed --member={AGENT} --role=roles/pubsub.subscriber"))
        .await;
    gcloud.ok("gcloud pubsub subscriptions create pulled --topic=dead-orders").await;
    let published = gcloud
        .json("gcloud pubsub topics publish dead-orders --message=hello --attribute=kind=order --ordering-key=a")
        .await;
    let id = published["messageIds"][0].as_str().unwrap();
    let pulled = gcloud.json("gcloud pubsub subscriptions pull pulled --auto-ack").await;
    check(
        &pulled[0]["message"],
        &json!({"messageId": id, "data": "aGVsbG8=", "attributes": {"kind": "order"}}),
    );
    let listed = gcloud.json("gcloud pubsub subscriptions list").await;
    assert_eq!(listed.as_array().unwrap().len(), 3);
    gcloud.ok("gcloud pubsub subscriptions delete pushed raw").await;
    assert!(gcloud.refused(describe).await.contains("NOT_FOUND"));
    gcloud.ok("gcloud pubsub topics delete orders").await;
    assert!(gcloud.refused("gcloud pubsub topics describe orders").await.contains("NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_deploys_services() {
    let Some(gcloud) = gcloud().await else { return };
    let region = "--region=us-central1";
    let deploy = format!("gcloud run deploy receiver --image=example/receiver {region}");
    gcloud.ok(&format!("{deploy} --no-allow-unauthenticated")).await;
    let describe = format!("gcloud run services describe receiver {region}");
    let url = gcloud.ok(&format!("{describe} --format='value(status.url)'")).await;
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    gcloud
        .ok(&format!(
            "{deploy} --no-allow-unauthenticated --add-custom-audiences=https://own.example"
        ))
        .await;
    let service = gcloud.json(&describe).await;
    check(
        &service,
        &json!({
            "metadata": {
                "annotations": {"run.googleapis.com/custom-audiences": "[\"https://own.example\"]"},
                "generation": 2,
            },
            "status": {"url": url, "observedGeneration": 2},
        }),
    );
    let policy = gcloud
        .json(&format!("gcloud run services add-iam-policy-binding receiver {region} --member=serviceAccount:{CALLER} --role=roles/run.invoker"))
        .await;
    check(
        &policy["bindings"][0],
        &json!({"role": "roles/run.invoker", "members": [format!("serviceAccount:{CALLER}")]}),
    );
    gcloud
        .ok(&format!("gcloud functions add-invoker-policy-binding receiver {region} --member=serviceAccount:{CALLER}"))
        .await;
    let mut exported = service;
    exported["spec"]["template"]["spec"]["timeoutSeconds"] = 60.into();
    exported["spec"]["template"]["metadata"]["name"] = Value::Null;
    exported["status"] = Value::Null;
    let file = gcloud.folder.join("service.yaml");
    std::fs::write(&file, exported.to_string()).unwrap();
    gcloud.ok(&format!("gcloud run services replace {} {region}", file.display())).await;
    let listed = gcloud.json(&format!("gcloud run services list {region}")).await;
    check(&listed[0], &json!({"spec": {"template": {"spec": {"timeoutSeconds": 60}}}}));
    gcloud.ok(&format!("gcloud run services delete receiver {region} --quiet")).await;
    assert!(gcloud.refused(&describe).await.contains("Cannot find service"));
}
