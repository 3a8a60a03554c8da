//! The story that this project grew from (2019), in today's commands and with the real gcloud: one account, one
//! service that wants to know who calls, and three senders that prove it.

use std::sync::Arc;

use emulator::{Clock, Emulator, Issuer, Options, Sender, history::Attempt};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    gcloud::{Gcloud, REGION},
    harness::{MARKER, Seen, Service, field, jobs},
};

/// The story's account.
pub(crate) const CALLER: &str = "schedulerunner@demo-project.iam.gserviceaccount.com";

/// What an owner of the service types until it is deployed.
const DEPLOY: &str = "
gcloud iam service-accounts create schedulerunner --display-name='Task Schedule Runner'
gcloud run deploy receiver --image=us-docker.pkg.dev/demo-project/images/receiver \
    --region=us-central1 --no-allow-unauthenticated
";

pub(crate) const BIND: &str = "
gcloud run services add-iam-policy-binding receiver --region=us-central1 \
    --member=serviceAccount:schedulerunner@demo-project.iam.gserviceaccount.com --role=roles/run.invoker
";

const UNBIND: &str = "
gcloud run services remove-iam-policy-binding receiver --region=us-central1 \
    --member=serviceAccount:schedulerunner@demo-project.iam.gserviceaccount.com --role=roles/run.invoker
";

/// One of each sender; `$URL` is the service's.
pub(crate) const SUBSCRIBE: &str = "
gcloud pubsub topics create runtopic
gcloud pubsub subscriptions create psub --topic=runtopic \
    --push-endpoint=$URL/pubsub/done --ack-deadline=60 \
    --push-auth-service-account=schedulerunner@demo-project.iam.gserviceaccount.com \
    --push-auth-token-audience=$URL
gcloud pubsub topics publish runtopic --message=PAYLOAD-MARKER
";

const SCHEDULE: &str = "
gcloud scheduler jobs create http oidctest --location=us-central1 --schedule='5 * * * *' \
    --http-method=GET --uri=$URL/scheduler/done \
    --oidc-service-account-email=schedulerunner@demo-project.iam.gserviceaccount.com \
    --oidc-token-audience=$URL
gcloud scheduler jobs run oidctest --location=us-central1
";

const ENQUEUE: &str = "
gcloud tasks queues create runqueue --location=us-central1
gcloud tasks create-http-task --queue=runqueue --location=us-central1 \
    --method=GET --url=$URL/tasks/done \
    --oidc-service-account-email=schedulerunner@demo-project.iam.gserviceaccount.com \
    --oidc-token-audience=$URL
";

/// A receiver that takes the emulator's tokens of [`CALLER`] for this audience.
pub(crate) async fn service_of(
    emulator: &Emulator,
    seen: &Seen,
    audience: &str,
    changes: &[(&str, &str)],
) -> Service {
    let keys_url = emulator.keys_url();
    let mut settings = vec![
        ("OIDC_ISSUER", emulator.issuer()),
        ("OIDC_KEYS_URL", &*keys_url),
        ("AUDIENCE", audience),
        ("SCHEDULER_CALLERS", CALLER),
        ("TASKS_CALLERS", CALLER),
        ("PUBSUB_CALLERS", CALLER),
    ];
    settings.extend(changes);
    Service::of(Arc::new(Issuer::start(0).await.unwrap()), jobs(seen), &settings)
}

/// A service that is deployed, with the receiver behind it.
pub(crate) struct Story {
    gcloud: Gcloud,
    url: String,
    pub(crate) service: Service,
    seen: Seen,
}

impl Story {
    pub(crate) async fn begin(options: Options, guard: &[(&str, &str)]) -> Option<Story> {
        let gcloud = Gcloud::start(options).await?;
        gcloud.ok(DEPLOY).await;
        let url = gcloud
            .ok(&format!("gcloud run services describe receiver --region={REGION} --format='value(status.url)'"))
            .await;
        let seen = Seen::default();
        let service = service_of(&gcloud.emulator, &seen, &url, guard).await;
        gcloud.emulator.put_behind("receiver", &service.url);
        Some(Story { gcloud, url, service, seen })
    }

    pub(crate) async fn type_in(&self, lines: &str) {
        self.gcloud.ok(&format!("URL={}\n{lines}", self.url)).await;
    }

    /// The next record, which must be of this sender's work done for [`CALLER`].
    async fn done(&mut self, sender: &str) {
        let record = self.service.record().await;
        assert_eq!(field(&record, "sender"), sender, "{record}");
        assert_eq!(field(&record, "outcome"), "done", "{record}");
        assert_eq!(record["invocation"]["caller"]["email"], Value::from(CALLER));
    }

    /// The last attempt of that sender, once there is one more than `before`.
    async fn next_attempt(&self, sender: Sender, before: usize) -> Attempt {
        let mut attempts = self.gcloud.emulator.attempts_of(sender, before + 1).await;
        assert!(attempts.len() > before, "there is no further attempt");
        attempts.swap_remove(before)
    }

    async fn is_answered(&self, sender: Sender, before: usize, status: u16) {
        let attempt = self.next_attempt(sender, before).await;
        assert_eq!(
            attempt.answer.as_ref().map(|answer| answer.status),
            Some(status),
            "{attempt:#?}"
        );
    }
}

/// On a clock that stands, so that the schedule itself never fires.
pub(crate) fn still() -> Options {
    Options { clock: Clock::standing_at(Timestamp::now()), ..Options::default() }
}

async fn all_three_are_done(guard: &[(&str, &str)]) {
    let Some(mut story) = Story::begin(still(), guard).await else { return };
    story.type_in(BIND).await;
    story.type_in(SUBSCRIBE).await;
    story.done("pubsub").await;
    assert_eq!(story.seen.one().payload, MARKER);
    story.type_in(SCHEDULE).await;
    story.done("scheduler").await;
    story.type_in(ENQUEUE).await;
    story.done("tasks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_s_three_senders_are_done_where_the_service_verifies_itself() {
    all_three_are_done(&[("AUTH", "verify")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seed_s_three_senders_are_done_where_the_service_trusts_cloud_run() {
    all_three_are_done(&[("AUTH", "platform"), ("PLATFORM_IDENTITY", "cloud-run")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_binding_cloud_run_answers_403_and_to_another_audience_401() {
    let Some(mut story) = Story::begin(still(), &[]).await else { return };
    story.type_in(SCHEDULE).await;
    story.is_answered(Sender::Scheduler, 0, 403).await;
    story.type_in(BIND).await;
    story
        .type_in("gcloud scheduler jobs update http oidctest --location=us-central1 --oidc-service-account-email=schedulerunner@demo-project.iam.gserviceaccount.com --oidc-token-audience=https://other.example\ngcloud scheduler jobs run oidctest --location=us-central1")
        .await;
    story.is_answered(Sender::Scheduler, 1, 401).await;
    story
        .type_in("gcloud scheduler jobs update http oidctest --location=us-central1 --oidc-service-account-email=schedulerunner@demo-project.iam.gserviceaccount.com --oidc-token-audience=$URL\ngcloud scheduler jobs run oidctest --location=us-central1")
        .await;
    story.done("scheduler").await;
    story.type_in(UNBIND).await;
    story.type_in("gcloud scheduler jobs run oidctest --location=us-central1").await;
    story.is_answered(Sender::Scheduler, 3, 403).await;
    story.service.no_record();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_pubsub_agent_delivers_nothing_until_it_may_mint_and_the_history_says_so() {
    let options = Options { legacy_agents: true, ..Options::default() };
    let Some(mut story) = Story::begin(options, &[]).await else { return };
    story.type_in(BIND).await;
    story.type_in(SUBSCRIBE).await;
    let attempt = story.next_attempt(Sender::PubSub, 0).await;
    let error = attempt.error.unwrap();
    assert!(
        error.contains("gcp-sa-pubsub") && error.contains("serviceAccountTokenCreator"),
        "{error}"
    );
    story.service.no_record();
    story
        .type_in("gcloud iam service-accounts add-iam-policy-binding schedulerunner@demo-project.iam.gserviceaccount.com --member=serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com --role=roles/iam.serviceAccountTokenCreator")
        .await;
    story.done("pubsub").await;
}
