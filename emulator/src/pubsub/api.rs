//! The calls of Pub/Sub's API, v1.
//!
//! Methods: <https://cloud.google.com/pubsub/docs/reference/rest>. Permissions:
//! <https://cloud.google.com/pubsub/docs/access-control#required_permissions>.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{PubSub, name::Kind, pull, subscriptions, topics};
use crate::{
    api::{call::Call, error::ApiError},
    google::Google,
};

/// Answers one call.
///
/// # Errors
/// As Google does; 400 that says so for what it has and this emulator has not.
pub(crate) async fn answer(google: &Arc<Google>, call: &Call) -> Result<Value, ApiError> {
    PubSub::expire(google);
    let (method, segments, verb) = call.route();
    let ["v1", "projects", _, path @ ..] = segments.as_slice() else { return Err(call.unknown()) };
    match (method, path, verb) {
        ("PUT", ["topics", id], "") => topics::create(google, call, id),
        ("GET", ["topics", id], "") => topics::get(google, call, id),
        ("GET", ["topics"], "") => topics::list(google, call),
        ("PATCH", ["topics", id], "") => topics::patch(google, call, id),
        ("DELETE", ["topics", id], "") => topics::delete(google, call, id),
        ("POST", ["topics", id], "publish") => topics::publish(google, call, id),
        ("GET", ["topics", id, "subscriptions"], "") => topics::subscriptions(google, call, id),
        ("PUT", ["subscriptions", id], "") => subscriptions::create(google, call, id),
        ("GET", ["subscriptions", id], "") => subscriptions::get(google, call, id),
        ("GET", ["subscriptions"], "") => subscriptions::list(google, call),
        ("PATCH", ["subscriptions", id], "") => subscriptions::patch(google, call, id),
        ("DELETE", ["subscriptions", id], "") => subscriptions::delete(google, call, id),
        ("POST", ["subscriptions", id], "modifyPushConfig") => {
            subscriptions::modify_push_config(google, call, id)
        }
        ("POST", ["subscriptions", id], "pull") => pull::pull(google, call, id).await,
        ("POST", ["subscriptions", id], "acknowledge") => pull::acknowledge(google, call, id),
        ("POST", ["subscriptions", id], "modifyAckDeadline") => {
            pull::modify_ack_deadline(google, call, id)
        }
        (_, ["topics", id], _) => policy(google, call, Kind::Topic, id),
        (_, ["subscriptions", id], _) => policy(google, call, Kind::Subscription, id),
        (_, ["snapshots" | "schemas", ..] | ["topics", _, "snapshots"], _) => {
            Err(unbuilt("snapshots and schemas"))
        }
        _ => Err(call.unknown()),
    }
}

/// `getIamPolicy`, `setIamPolicy` and `testIamPermissions`, and the verbs that are not built.
fn policy(google: &Google, call: &Call, kind: Kind, id: &str) -> Result<Value, ApiError> {
    let name = kind.name(&google.project, id);
    let (get, set) = match kind {
        Kind::Topic => ("pubsub.topics.getIamPolicy", "pubsub.topics.setIamPolicy"),
        Kind::Subscription => {
            ("pubsub.subscriptions.getIamPolicy", "pubsub.subscriptions.setIamPolicy")
        }
    };
    let (method, _, verb) = call.route();
    match (method, verb) {
        ("GET" | "POST", "getIamPolicy") => {
            let policy = google.iam.get_policy(call, get, &name)?;
            exists(google, kind, &name).map(|()| policy)
        }
        ("POST", "setIamPolicy") => {
            google.iam.require(&call.principal, set, &name)?;
            exists(google, kind, &name)?;
            google.iam.set_policy(call, set, &name)
        }
        ("POST", "testIamPermissions") => {
            exists(google, kind, &name)?;
            test_permissions(google, call, &name)
        }
        ("POST", "seek" | "detach") => Err(unbuilt(verb)),
        _ => Err(call.unknown()),
    }
}

fn exists(google: &Google, kind: Kind, name: &str) -> Result<(), ApiError> {
    let resources = google.pubsub.resources();
    match kind {
        Kind::Topic => resources.require_topic(name),
        Kind::Subscription => resources.subscription(name).map(drop),
    }
}

fn test_permissions(google: &Google, call: &Call, name: &str) -> Result<Value, ApiError> {
    #[derive(Deserialize)]
    struct Request {
        #[serde(default)]
        permissions: Vec<String>,
    }
    let Request { mut permissions } = call.json()?;
    permissions.retain(|permission| google.iam.allows(&call.principal, permission, name));
    Ok(if permissions.is_empty() { json!({}) } else { json!({"permissions": permissions}) })
}

/// Google's answer to what it does not have.
fn unbuilt(what: &str) -> ApiError {
    ApiError::invalid(format!("This emulator does not have {what} of Pub/Sub."))
}

/// That a resource sets none of the fields that Google has and this emulator has not.
pub(super) fn refuse_unbuilt(
    resource: &Map<String, Value>,
    fields: &[&str],
) -> Result<(), ApiError> {
    match fields.iter().find(|field| resource.contains_key(**field)) {
        Some(field) => Err(ApiError::invalid_field(
            field,
            "This emulator does not have this field; leave it out.",
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        Emulator,
        api::error::Code,
        emulator::Options,
        iam::Principal,
        pubsub::stand::{Received, Stand, Subscriber},
    };

    /// Status and body of one call over HTTP.
    async fn over_http(
        client: &reqwest::Client,
        method: &str,
        url: &str,
        body: Value,
    ) -> (u16, Value) {
        let request = client.request(method.parse().unwrap(), url);
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    /// The calls of `gcloud pubsub topics create`, `subscriptions create` and `topics publish`, and then each status
    /// of <https://cloud.google.com/pubsub/docs/push#receive_push> that a server can end an answer with.
    #[tokio::test]
    async fn only_the_documented_statuses_acknowledge_a_push() {
        let emulator = Emulator::start(Options::default()).await.unwrap();
        let subscriber =
            Subscriber::answering(|request, _| request.path[1..].parse().unwrap()).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let base = format!("{}/pubsub/v1/projects/demo-project", emulator.url());
        let topic = "projects/demo-project/topics/orders";
        let url = format!("{base}/topics/orders?alt=json");
        let created = over_http(&client, "PUT", &url, json!({"name": topic})).await;
        assert_eq!(created, (200, json!({"name": topic})));
        let (status, refused) = over_http(&client, "PUT", &url, json!({"name": topic})).await;
        assert_eq!((status, &refused["error"]["status"]), (409, &json!("ALREADY_EXISTS")));
        let acknowledging = [200, 201, 202, 204];
        let refusing = [203, 205, 206, 301, 302, 400, 401, 403, 404, 408, 429, 500, 503];
        for code in acknowledging.iter().chain(&refusing) {
            let url = format!("{base}/subscriptions/status-{code}");
            let config = json!({"pushEndpoint": format!("{}/{code}", subscriber.url)});
            let body = json!({"topic": topic, "pushConfig": config, "ackDeadlineSeconds": 30});
            assert_eq!(over_http(&client, "PUT", &url, body).await.0, 200);
        }
        let publish = json!({"messages": [{"data": "MQ=="}]});
        let url = format!("{base}/topics/orders:publish");
        let (status, published) = over_http(&client, "POST", &url, publish).await;
        assert_eq!(status, 200);
        assert!(published["messageIds"][0].as_str().unwrap().parse::<u64>().is_ok());
        let count = |received: &[Received], code: &u16| {
            received.iter().filter(|request| request.path == format!("/{code}")).count()
        };
        // Once the slowest was refused twice, whatever was to come again would have come.
        let mut so_far = subscriber.received(1).await;
        while refusing.iter().any(|code| count(&so_far, code) < 3) {
            so_far = subscriber.received(so_far.len() + 1).await;
        }
        for code in &acknowledging {
            assert_eq!(count(&so_far, code), 1, "{code}");
        }
        emulator.stop().await;
    }

    #[tokio::test]
    async fn a_subscription_is_made_shown_listed_changed_and_deleted() {
        let stand = Stand::new().await;
        let name = "projects/demo-project/subscriptions/mailer";
        let created = stand.subscribe("mailer", json!({"labels": {"env": "test"}})).await;
        assert_eq!((&created["name"], &created["ackDeadlineSeconds"]), (&json!(name), &json!(10)));
        let shown = stand.call("GET", "subscriptions/mailer", json!({})).await.unwrap();
        assert_eq!(shown, created);
        let listed = stand.call("GET", "subscriptions?pageSize=100", json!({})).await.unwrap();
        assert_eq!(listed, json!({"subscriptions": [created]}));
        let of_topic = stand.call("GET", "topics/orders/subscriptions", json!({})).await.unwrap();
        assert_eq!(of_topic, json!({"subscriptions": [name]}));
        let config = json!({"pushEndpoint": "https://receiver.example/x"});
        let patch = json!({"subscription": {"pushConfig": config}, "updateMask": "pushConfig"});
        let patched = stand.call("PATCH", "subscriptions/mailer", patch).await.unwrap();
        assert_eq!(patched["pushConfig"]["pushEndpoint"], "https://receiver.example/x");
        assert_eq!(patched["labels"], created["labels"], "what the mask does not name stays");
        stand.call("DELETE", "subscriptions/mailer", json!({})).await.unwrap();
        let gone = stand.call("GET", "subscriptions/mailer", json!({})).await.unwrap_err();
        assert_eq!(
            (gone.code, gone.message.as_str()),
            (Code::NotFound, "Resource not found (resource=mailer).")
        );
    }

    #[tokio::test]
    async fn modify_push_config_replaces_the_whole() {
        let stand = Stand::new().await;
        let email = stand.google.iam.create_account("pusher").unwrap().email;
        let endpoint = "https://receiver.example/x";
        let token = json!({"serviceAccountEmail": email, "audience": "a"});
        let config = json!({"pushEndpoint": endpoint, "oidcToken": token, "noWrapper": {}});
        stand.subscribe("mailer", json!({"pushConfig": config})).await;
        let config = json!({"pushConfig": {"pushEndpoint": endpoint}});
        let path = "subscriptions/mailer:modifyPushConfig";
        assert_eq!(stand.call("POST", path, config).await.unwrap(), json!({}));
        let shown = stand.call("GET", "subscriptions/mailer", json!({})).await.unwrap();
        let version = json!({"x-goog-version": "v1"});
        assert_eq!(shown["pushConfig"], json!({"pushEndpoint": endpoint, "attributes": version}));
    }

    #[tokio::test]
    async fn a_topic_s_labels_are_changed_and_its_subscriptions_outlive_it() {
        let stand = Stand::new().await;
        stand.subscribe("mailer", json!({})).await;
        stand.publish(json!([{"data": "MQ=="}])).await;
        let patch = json!({"topic": {"labels": {"env": "test"}}, "updateMask": "labels"});
        let patched = stand.call("PATCH", "topics/orders", patch).await.unwrap();
        assert_eq!(patched["labels"], json!({"env": "test"}));
        assert_eq!(stand.call("GET", "topics/orders", json!({})).await.unwrap(), patched);
        assert_eq!(
            stand.call("GET", "topics", json!({})).await.unwrap(),
            json!({"topics": [patched]})
        );
        stand.call("DELETE", "topics/orders", json!({})).await.unwrap();
        let shown = stand.call("GET", "subscriptions/mailer", json!({})).await.unwrap();
        assert_eq!(shown["topic"], "_deleted-topic_");
        assert_eq!(stand.pull("mailer").await.len(), 1, "what was published stays");
        stand.call("PUT", "topics/orders", json!({})).await.unwrap();
        stand.publish(json!([{"data": "Mg=="}])).await;
        assert_eq!(
            stand.pull("mailer").await.len(),
            0,
            "another topic of that name is another one"
        );
        let patch =
            json!({"subscription": {"ackDeadlineSeconds": 20}, "updateMask": "ackDeadlineSeconds"});
        let patched = stand.call("PATCH", "subscriptions/mailer", patch).await.unwrap();
        assert_eq!(patched["topic"], "_deleted-topic_");
    }

    #[tokio::test]
    async fn a_filter_lets_through_what_it_says() {
        let stand = Stand::new().await;
        stand.subscribe("some", json!({"filter": "attributes.kind = \"a\""})).await;
        let message = |kind: &str| json!({"attributes": {"kind": kind}});
        let ids = stand.publish(json!([message("a"), message("b")])).await;
        let received = stand.pull("some").await;
        assert_eq!(received.len(), 1);
        assert_eq!(received[0]["message"]["messageId"], ids[0].as_str());
    }

    #[tokio::test]
    async fn each_fault_has_google_s_status_and_names_what_is_wrong() {
        let stand = Stand::new().await;
        stand.subscribe("mailer", json!({})).await;
        let orders = "projects/demo-project/topics/orders";
        let push = |config: Value| json!({"topic": orders, "pushConfig": config});
        let token = json!({"serviceAccountEmail": "nobody@demo-project.iam.gserviceaccount.com"});
        let patch = |mask: &str| json!({"subscription": {}, "updateMask": mask});
        for (method, path, body, status, said) in [
            ("PUT", "topics/ab", json!({}), 400, "(name=projects/demo-project/topics/ab)"),
            ("PUT", "topics/orders", json!({}), 409, "already exists"),
            ("PUT", "topics/other", json!({"labels": {"A": ""}}), 400, "\"A\""),
            ("PUT", "topics/other", json!({"colour": 1}), 400, "unknown field `colour`"),
            ("PUT", "topics/other", json!({"schemaSettings": {}}), 400, "schemaSettings"),
            ("GET", "topics/missing", json!({}), 404, "(resource=missing)"),
            ("DELETE", "topics/missing", json!({}), 404, "(resource=missing)"),
            ("PATCH", "topics/orders", json!({"updateMask": "name"}), 400, "cannot be changed"),
            (
                "POST",
                "topics/missing:publish",
                json!({"messages": [{"data": "MQ=="}]}),
                404,
                "(resource=missing)",
            ),
            ("POST", "topics/orders:publish", json!({"messages": [{"data": "?"}]}), 400, "base64"),
            ("POST", "topics/orders:publish", json!({"messages": [{}]}), 400, "is empty"),
            ("POST", "topics/orders:frobnicate", json!({}), 404, "is no method"),
            ("PUT", "subscriptions/mailer", json!({"topic": orders}), 409, "(resource=mailer)"),
            ("PUT", "subscriptions/goog-s", json!({"topic": orders}), 400, "goog-s"),
            ("PUT", "subscriptions/other", json!({}), 400, "Invalid resource name"),
            (
                "PUT",
                "subscriptions/other",
                json!({"topic": "projects/demo-project/topics/missing"}),
                404,
                "(resource=missing)",
            ),
            (
                "PUT",
                "subscriptions/other",
                json!({"topic": orders, "bigqueryConfig": {}}),
                400,
                "bigqueryConfig",
            ),
            ("PUT", "subscriptions/other", push(json!({"pushEndpoint": "x"})), 400, "(endpoint=x)"),
            (
                "PUT",
                "subscriptions/other",
                push(json!({"pushEndpoint": "http://x", "oidcToken": token})),
                404,
                "nobody@",
            ),
            (
                "PUT",
                "subscriptions/other",
                json!({"topic": orders, "deadLetterPolicy": {"deadLetterTopic": "projects/demo-project/topics/missing"}}),
                404,
                "(resource=missing)",
            ),
            ("PATCH", "subscriptions/mailer", patch("filter"), 400, "cannot be changed"),
            ("PATCH", "subscriptions/mailer", patch("colour"), 400, "does not exist"),
            ("PATCH", "subscriptions/mailer", patch(""), 400, "at least one field"),
            ("PATCH", "subscriptions/missing", patch("labels"), 404, "(resource=missing)"),
            ("DELETE", "subscriptions/missing", json!({}), 404, "(resource=missing)"),
            (
                "POST",
                "subscriptions/missing:pull",
                json!({"maxMessages": 1}),
                404,
                "(resource=missing)",
            ),
            ("POST", "subscriptions/mailer:seek", json!({}), 400, "seek"),
            ("POST", "subscriptions/mailer:detach", json!({}), 400, "detach"),
            ("GET", "subscriptions/missing:getIamPolicy", json!({}), 404, "(resource=missing)"),
            ("PUT", "snapshots/one", json!({}), 400, "snapshots"),
            ("GET", "topics?pageSize=x", json!({}), 400, "pageSize"),
        ] {
            let fault = stand.call(method, path, body.clone()).await.unwrap_err();
            assert_eq!(fault.http_status(), status, "{method} {path} {body}: {}", fault.message);
            assert!(fault.message.contains(said), "{method} {path} {body}: {}", fault.message);
        }
        let listed = stand.call("GET", "subscriptions", json!({})).await.unwrap();
        assert_eq!(listed["subscriptions"].as_array().unwrap().len(), 1, "nothing came of them");
    }

    #[tokio::test]
    async fn each_call_needs_its_permission() {
        let stand = Stand::new().await;
        stand.subscribe("mailer", json!({})).await;
        let email = stand.google.iam.create_account("stranger").unwrap().email;
        let stranger = Principal::Account(email);
        let topic = json!({"topic": "projects/demo-project/topics/orders"});
        for (method, path, body, permission) in [
            ("PUT", "topics/other", json!({}), "pubsub.topics.create"),
            ("GET", "topics/orders", json!({}), "pubsub.topics.get"),
            ("GET", "topics", json!({}), "pubsub.topics.list"),
            ("PATCH", "topics/orders", json!({}), "pubsub.topics.update"),
            ("DELETE", "topics/orders", json!({}), "pubsub.topics.delete"),
            ("POST", "topics/orders:publish", json!({}), "pubsub.topics.publish"),
            ("GET", "topics/orders:getIamPolicy", json!({}), "pubsub.topics.getIamPolicy"),
            ("POST", "topics/orders:setIamPolicy", json!({}), "pubsub.topics.setIamPolicy"),
            ("PUT", "subscriptions/other", topic, "pubsub.subscriptions.create"),
            ("GET", "subscriptions/mailer", json!({}), "pubsub.subscriptions.get"),
            ("GET", "subscriptions", json!({}), "pubsub.subscriptions.list"),
            ("PATCH", "subscriptions/mailer", json!({}), "pubsub.subscriptions.update"),
            (
                "POST",
                "subscriptions/mailer:modifyPushConfig",
                json!({}),
                "pubsub.subscriptions.update",
            ),
            ("DELETE", "subscriptions/mailer", json!({}), "pubsub.subscriptions.delete"),
            ("POST", "subscriptions/mailer:pull", json!({}), "pubsub.subscriptions.consume"),
            ("POST", "subscriptions/mailer:acknowledge", json!({}), "pubsub.subscriptions.consume"),
            (
                "POST",
                "subscriptions/mailer:modifyAckDeadline",
                json!({}),
                "pubsub.subscriptions.consume",
            ),
        ] {
            let fault = stand.call_as(stranger.clone(), method, path, body).await.unwrap_err();
            assert_eq!(fault.code, Code::PermissionDenied, "{method} {path}");
            assert!(fault.message.contains(permission), "{}", fault.message);
        }
    }

    #[tokio::test]
    async fn a_topic_s_policy_lets_an_account_publish_to_it_and_no_more() {
        let stand = Stand::new().await;
        let publisher =
            Principal::Account(stand.google.iam.create_account("publisher").unwrap().email);
        let binding = json!({"role": "roles/pubsub.publisher", "members": [publisher.member()]});
        let policy = json!({"policy": {"bindings": [binding], "version": 1}});
        stand.call("POST", "topics/orders:setIamPolicy", policy).await.unwrap();
        let read = stand.call("GET", "topics/orders:getIamPolicy", json!({})).await.unwrap();
        assert_eq!(read["bindings"], json!([binding]));
        let messages = json!({"messages": [{"data": "MQ=="}]});
        let publish =
            stand.call_as(publisher.clone(), "POST", "topics/orders:publish", messages).await;
        publish.unwrap();
        let asked = json!({"permissions": ["pubsub.topics.publish", "pubsub.topics.delete"]});
        let tested =
            stand.call_as(publisher, "POST", "topics/orders:testIamPermissions", asked).await;
        assert_eq!(tested.unwrap(), json!({"permissions": ["pubsub.topics.publish"]}));
    }

    #[tokio::test]
    async fn attaching_an_account_needs_act_as() {
        let stand = Stand::new().await;
        let account = stand.google.iam.create_account("pusher").unwrap();
        let editor = Principal::Account(stand.google.iam.create_account("editor").unwrap().email);
        stand.google.iam.grant("roles/pubsub.editor", &editor);
        let body = |config: Value| json!({"topic": "projects/demo-project/topics/orders", "pushConfig": config});
        let token = json!({"serviceAccountEmail": account.email});
        let config = json!({"pushEndpoint": "https://x.example", "oidcToken": token});
        let path = "subscriptions/mailer";
        let refused = stand.call_as(editor.clone(), "PUT", path, body(config)).await.unwrap_err();
        assert!(refused.message.contains("iam.serviceAccounts.actAs"), "{}", refused.message);
        let config = json!({"pushEndpoint": "https://x.example"});
        stand.call_as(editor, "PUT", path, body(config)).await.unwrap();
    }

    #[tokio::test]
    async fn an_unused_subscription_expires_and_a_used_one_does_not() {
        let day = Duration::from_secs(86_400);
        let stand = Stand::new().await;
        for id in ["unused", "pulled"] {
            stand.subscribe(id, json!({"expirationPolicy": {"ttl": "86400s"}})).await;
        }
        stand.subscribe("lasting", json!({"expirationPolicy": {}})).await;
        stand.clock.advance(day / 2);
        stand.pull("pulled").await;
        stand.clock.advance(day / 2);
        let listed = stand.call("GET", "subscriptions", json!({})).await.unwrap();
        let listed = listed["subscriptions"].as_array().unwrap();
        let names: Vec<&str> = listed
            .iter()
            .map(|one| one["name"].as_str().unwrap().rsplit('/').next().unwrap())
            .collect();
        assert_eq!(names, ["lasting", "pulled"]);
    }
}
