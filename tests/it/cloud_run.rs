//! The receiver's own binary behind the emulator's Cloud Run, each revision a process, deployed and moved by the real
//! gcloud.

use emulator::{Behind, Courier, Options, Sender, senders::scheduler::Run};
use serde_json::{Value, json};

use crate::{
    gcloud::{Gcloud, REGION},
    harness::AUDIENCE,
};

const CALLER: &str = "caller@demo-project.iam.gserviceaccount.com";

/// The service's deterministic URL, which is an audience wherever the service is reached.
const URL: &str = "https://receiver-123456789012.us-central1.run.app";

const IMAGE: &str = "--image=us-docker.pkg.dev/demo-project/services/receiver@sha256:0123456789012345678901234567890123456789012345678901234567890123";

const BINARY: &str = env!("CARGO_BIN_EXE_receiver");

/// A service `receiver`, deployed with what it needs.
struct Deployed {
    gcloud: Gcloud,
    /// Where it is reached here.
    url: String,
}

/// The settings in a flag of `gcloud run deploy`.
fn settings() -> String {
    let callers = ["SCHEDULER", "TASKS", "PUBSUB", "EVENTS"]
        .map(|sender| format!("@@{sender}_CALLERS={CALLER}"));
    format!("--set-env-vars='^@@^AUTH=verify@@AUDIENCE={URL}{}'", callers.concat())
}

fn deploy(flags: &str) -> String {
    format!("gcloud run deploy receiver {IMAGE} --region={REGION} {flags}")
}

fn update_traffic(flags: &str) -> String {
    format!("gcloud run services update-traffic receiver --region={REGION} {flags}")
}

impl Deployed {
    async fn start() -> Option<Deployed> {
        let run = vec![("receiver".to_owned(), Behind::Program(BINARY.into()))];
        let gcloud = Gcloud::start(Options { run, ..Options::default() }).await?;
        gcloud.emulator.create_account("caller").unwrap();
        gcloud.ok(&deploy(&format!("--no-allow-unauthenticated {}", settings()))).await;
        gcloud
            .ok(&format!("gcloud run services add-iam-policy-binding receiver --region={REGION} --member=serviceAccount:{CALLER} --role=roles/run.invoker"))
            .await;
        let mut deployed = Deployed { gcloud, url: String::new() };
        deployed.url = deployed.service().await["status"]["url"].as_str().unwrap().to_owned();
        Some(deployed)
    }

    async fn service(&self) -> Value {
        self.gcloud.json(&format!("gcloud run services describe receiver --region={REGION}")).await
    }

    /// What a call of the probe job with a token for `audience` is answered.
    async fn call(&self, url: &str, audience: &str) -> u16 {
        let token = self.gcloud.emulator.token(audience, CALLER).await.unwrap();
        let delivery = Run::new("probe").delivery().bearer(&token);
        let courier = Courier::new().unwrap();
        let status =
            courier.deliver(&format!("{url}/scheduler/probe"), &delivery).await.unwrap().status;
        // Two calls within one second are of the same run, and the second one is a duplicate.
        if status == 200 { 204 } else { status }
    }

    /// The address of a tag, and the revision that it leads to.
    async fn tagged(&self, tag: &str) -> (String, String) {
        let service = self.service().await;
        let traffic = service["status"]["traffic"].as_array().unwrap();
        let target = traffic.iter().find(|target| target["tag"] == tag).unwrap();
        let text = |field: &str| target[field].as_str().unwrap().to_owned();
        (text("url"), text("revisionName"))
    }

    /// The revision that all traffic goes to.
    async fn serving(&self) -> String {
        let service = self.service().await;
        let traffic = service["status"]["traffic"].as_array().unwrap();
        let target = traffic.iter().find(|target| target["percent"] == 100).unwrap();
        target["revisionName"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_is_proved_at_its_tag_then_serves_and_is_rolled_back() {
    let Some(deployed) = Deployed::start().await else { return };
    let Deployed { gcloud, url, .. } = &deployed;
    let first = deployed.serving().await;
    assert_eq!(deployed.call(url, URL).await, 204, "its settings reached it");
    assert_eq!(deployed.call(url, AUDIENCE).await, 401, "another audience");

    // The candidate takes one more audience, by which it is told apart.
    let both =
        format!("--update-env-vars='AUDIENCE={URL}|{AUDIENCE}' --add-custom-audiences={AUDIENCE}");
    gcloud.ok(&deploy(&format!("--no-traffic --tag=candidate {both}"))).await;
    let (candidate, second) = deployed.tagged("candidate").await;
    assert_ne!(second, first);
    assert_eq!(deployed.serving().await, first);
    assert_eq!(deployed.call(&candidate, URL).await, 204);
    assert_eq!(deployed.call(&candidate, AUDIENCE).await, 204);
    assert_eq!(deployed.call(url, AUDIENCE).await, 401, "the old revision still serves");
    assert_eq!(deployed.call(&candidate, &candidate).await, 401, "a tag's URL is no audience");

    gcloud.ok(&update_traffic("--to-latest")).await;
    assert_eq!(deployed.serving().await, second);
    assert_eq!(deployed.call(url, AUDIENCE).await, 204);
    gcloud.ok(&update_traffic(&format!("--to-revisions={first}=100"))).await;
    assert_eq!(deployed.call(url, AUDIENCE).await, 401, "rolled back");
    gcloud.ok(&update_traffic("--to-tags=candidate=100")).await;
    assert_eq!(deployed.call(url, AUDIENCE).await, 204);
    gcloud.ok(&update_traffic(&format!("--update-tags=previous={first}"))).await;
    let (previous, revision) = deployed.tagged("previous").await;
    assert_eq!((deployed.call(&previous, URL).await, revision), (204, first.clone()));
    assert_eq!(deployed.tagged("candidate").await.0, candidate, "it keeps its address");
    gcloud.ok(&update_traffic(&format!("--set-tags=blue={first}"))).await;
    assert_eq!(deployed.tagged("blue").await.1, first);
    gcloud.ok(&update_traffic("--remove-tags=blue")).await;
    assert_eq!(deployed.service().await["status"]["traffic"].as_array().unwrap().len(), 1);

    let list = format!("gcloud run revisions list --service=receiver --region={REGION}");
    let listed = gcloud.ok(&format!("{list} --format='value(name)'")).await;
    assert_eq!(listed.lines().collect::<Vec<_>>(), [&*second, &*first]);
    let delete = |id: &str| format!("gcloud run revisions delete {id} --region={REGION} --quiet");
    let fault = gcloud.refused(&delete(&second)).await;
    assert!(fault.contains("serves traffic"), "{fault}");
    gcloud.ok(&delete(&first)).await;
    let gone = format!("gcloud run revisions describe {first} --region={REGION}");
    assert!(gcloud.refused(&gone).await.contains(&first));
    for (to, said) in [
        ("--to-revisions=receiver-none=100", "receiver-none"),
        (&*format!("--to-revisions={second}=50"), "100"),
    ] {
        let fault = gcloud.refused(&update_traffic(to)).await;
        assert!(fault.contains(said), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_does_not_come_up_fails_the_deployment_and_the_old_one_serves() {
    let Some(deployed) = Deployed::start().await else { return };
    let Deployed { gcloud, url, .. } = &deployed;
    let first = deployed.serving().await;
    for flags in ["", "--no-traffic --tag=candidate"] {
        let fault = gcloud.refused(&deploy(&format!("{flags} --remove-env-vars=AUTH"))).await;
        assert!(fault.contains("failed to start and listen on the port"), "{fault}");
        assert_eq!(deployed.serving().await, first);
        assert_eq!(deployed.call(url, URL).await, 204);
    }
    let status = deployed.service().await["status"].clone();
    assert_eq!(status["latestReadyRevisionName"], first);
    assert_ne!(status["latestCreatedRevisionName"], first);
    let tags = status["traffic"].as_array().unwrap().iter().filter_map(|one| one["tag"].as_str());
    assert_eq!(tags.count(), 0, "the tag that is wanted is not");
    // The traffic can be moved, while gcloud goes on saying that the newest revision failed.
    let fault = gcloud.refused(&update_traffic(&format!("--to-revisions={first}=100"))).await;
    assert!(fault.contains("failed to start and listen on the port"), "{fault}");
    assert_eq!(deployed.serving().await, first);

    gcloud.ok(&deploy("--no-traffic --tag=candidate --update-env-vars=AUTH=verify")).await;
    assert_eq!(deployed.call(&deployed.tagged("candidate").await.0, URL).await, 204);
    gcloud.ok(&update_traffic("--to-latest")).await;
    assert_ne!(deployed.serving().await, first);
    assert_eq!(deployed.call(url, URL).await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_is_deployed_with_is_shown_again() {
    let Some(deployed) = Deployed::start().await else { return };
    let Deployed { gcloud, url, .. } = &deployed;
    gcloud.emulator.create_account("runtime").unwrap();
    let runtime = "runtime@demo-project.iam.gserviceaccount.com";
    gcloud
        .ok(&deploy(&format!(
            "--cpu=1 --memory=256Mi --concurrency=40 --timeout=60 --max-instances=3 --ingress=internal \
             --service-account={runtime} --update-labels=release=r1 \
             --startup-probe=httpGet.path=/health/live,periodSeconds=1 \
             --liveness-probe=httpGet.path=/health/live,periodSeconds=30"
        )))
        .await;
    let service = deployed.service().await;
    let annotations = &service["metadata"]["annotations"];
    assert_eq!(annotations["run.googleapis.com/ingress"], "internal");
    assert_eq!(service["metadata"]["labels"]["release"], "r1");
    let template = &service["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"]["autoscaling.knative.dev/maxScale"], "3");
    let (spec, container) = (&template["spec"], &template["spec"]["containers"][0]);
    assert_eq!((&spec["containerConcurrency"], &spec["timeoutSeconds"]), (&json!(40), &json!(60)));
    assert_eq!(spec["serviceAccountName"], runtime);
    assert_eq!(container["resources"]["limits"], json!({"cpu": "1", "memory": "256Mi"}));
    for probe in ["startupProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"]["path"], "/health/live");
    }
    assert_eq!(deployed.call(url, URL).await, 404, "from outside");
    gcloud
        .ok(&format!("gcloud tasks queues create q --location={REGION} && gcloud tasks create-http-task --queue=q --location={REGION} --method=POST --url={url}/tasks/none --oidc-service-account-email={CALLER} --oidc-token-audience={URL}"))
        .await;
    let attempt = gcloud.emulator.attempts_of(Sender::Tasks, 1).await.remove(0);
    let answer = attempt.answer.unwrap();
    // The receiver's own 404: there is no such job.
    assert_eq!(answer.status, 404);
    assert!(answer.headers.iter().any(|(_, value)| value == "application/problem+json"));

    gcloud
        .ok(&format!("gcloud run services update receiver --region={REGION} --ingress=all --update-env-vars=GOOGLE_CLOUD_PROJECT=demo-project --max-instances=2 --timeout=30 --concurrency=10 --add-custom-audiences={AUDIENCE}"))
        .await;
    assert_eq!(deployed.call(url, URL).await, 204);
    let file = gcloud.folder.join("service.yaml");
    let file = file.display();
    gcloud
        .ok(&format!("gcloud run services describe receiver --region={REGION} --format=export > {file} && sed -i s/256Mi/512Mi/ {file} && gcloud run services replace {file} --region={REGION}"))
        .await;
    let service = deployed.service().await;
    let container = &service["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["memory"], "512Mi");
    assert_eq!(deployed.call(url, URL).await, 204);

    let regions = gcloud.ok("gcloud run regions list --format='value(locationId)'").await;
    assert!(regions.lines().any(|region| region == REGION), "{regions}");
    let fault = gcloud.refused(&deploy("--update-env-vars=PORT=80")).await;
    assert!(fault.contains("PORT"), "{fault}");
    gcloud.ok(&format!("gcloud run services delete receiver --region={REGION} --quiet")).await;
    assert_eq!(gcloud.json("gcloud run services list").await, json!([]));
}
