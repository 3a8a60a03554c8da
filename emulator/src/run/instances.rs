//! Which revisions run as processes: one for each that requests can reach, started when it is deployed or asked for.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::{instance::Instance, name::ServiceName, revision::Revision};
use crate::google::Google;

/// The processes that run, and those that end.
#[derive(Debug, Default)]
pub(super) struct Instances(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    /// By service and revision.
    running: BTreeMap<(ServiceName, String), Slot>,
    /// No request finds these any more.
    retired: Vec<Slot>,
}

/// Where a revision's process is, if one was started. Requests read; starting and ending it is writing.
type Slot = Arc<RwLock<Option<Instance>>>;

/// A process that one request goes to: it is not ended meanwhile.
#[derive(Debug)]
pub(super) struct Lease {
    /// Where it listens, without a slash at the end.
    pub(super) url: String,
    _held: OwnedRwLockReadGuard<Option<Instance>>,
}

impl Instances {
    /// The revision's process; it is started where there is none, or none any more.
    ///
    /// # Errors
    /// A sentence that says why it does not run.
    pub(super) async fn lease(
        &self,
        google: &Arc<Google>,
        service: &ServiceName,
        revision: &Revision,
        program: &Path,
    ) -> Result<Lease, String> {
        let slot = {
            let mut slots = self.slots();
            let key = (service.clone(), revision.name.clone());
            Arc::clone(slots.running.entry(key).or_default())
        };
        let held = Arc::clone(&slot).read_owned().await;
        if let Some(instance) = held.as_ref().filter(|instance| instance.is_running()) {
            return Ok(Lease { url: instance.url.clone(), _held: held });
        }
        drop(held);
        let (service, revision) = (service.clone(), revision.clone());
        let (google_side, program) = (Arc::clone(google), program.to_owned());
        let starting = async move {
            let mut held = slot.write_owned().await;
            let url = match held.as_ref().filter(|instance| instance.is_running()) {
                // Another request was faster.
                Some(instance) => instance.url.clone(),
                None => {
                    if let Some(ended) = held.take() {
                        ended.end().await;
                    }
                    let instance =
                        Instance::start(&google_side, &service, &revision, &program).await?;
                    held.insert(instance).url.clone()
                }
            };
            Ok(Lease { url, _held: OwnedRwLockWriteGuard::downgrade(held) })
        };
        // A client that leaves does not stop the start, and no front end's thread has to outlive it.
        let started = google.see_through("starts a program", starting).await;
        started.unwrap_or_else(|fault| Err(fault.to_string()))
    }

    /// Ends the processes of a service's revisions that are not among the `kept`, once their requests are answered.
    pub(super) async fn keep(&self, service: &ServiceName, kept: &[String]) {
        let retired: Vec<Slot> = {
            let mut slots = self.slots();
            let of_service = slots
                .running
                .extract_if(.., |(of, revision), _| of == service && !kept.contains(revision));
            let retired: Vec<Slot> = of_service.map(|(_, slot)| slot).collect();
            slots.retired.extend(retired.iter().cloned());
            retired
        };
        end(&retired).await;
        self.slots().retired.retain(|slot| !retired.iter().any(|ended| Arc::ptr_eq(slot, ended)));
    }

    /// Ends all of them.
    pub(super) async fn end(&self) {
        let Slots { running, retired } = std::mem::take(&mut *self.slots());
        let all: Vec<Slot> = running.into_values().chain(retired).collect();
        end(&all).await;
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the processes beside each other, and waits also for those that somebody else is ending.
async fn end(slots: &[Slot]) {
    let each = slots.iter().map(|slot| async move {
        let mut held = slot.write().await;
        if let Some(instance) = held.take() {
            instance.end().await;
        }
    });
    futures_util::future::join_all(each).await;
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
        process::{self, Command},
    };

    use serde_json::{Value, json};

    use crate::run::{
        instance::Instance,
        lab::{Lab, SERVICES},
        name::ServiceName,
    };

    const PROGRAM: &str = "run::instances::tests::answers_with_its_environment";

    #[test]
    #[ignore = "is no test but the program that the tests below run as a revision"]
    #[expect(clippy::disallowed_methods, reason = "its environment is what is looked at")]
    fn answers_with_its_environment() {
        if env::var("FAILS").is_ok() {
            return;
        }
        let address = (env::var("HOST").unwrap(), env::var("PORT").unwrap().parse().unwrap());
        for stream in TcpListener::bind(address).unwrap().incoming() {
            let mut stream = stream.unwrap();
            let mut head = BufReader::new(&stream).lines().map_while(Result::ok);
            let Some(first) = head.next() else { continue };
            if first.contains(" /end ") {
                break;
            }
            assert!(head.any(|line| line.is_empty()));
            let variables: serde_json::Map<String, Value> =
                env::vars().map(|(name, value)| (name, value.into())).collect();
            let body = json!({"id": process::id(), "variables": variables}).to_string();
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}");
            // Whoever only tries whether somebody listens is gone by now.
            let _ = write!(stream, "{head}\r\n\r\n{body}");
        }
    }

    /// With `receiver` open to all.
    async fn lab(change: impl FnOnce(&mut Value)) -> Lab {
        let lab = Lab::running(PROGRAM, change).await;
        lab.bind("allUsers").await;
        lab
    }

    async fn answer(lab: &Lab, url: &str) -> Value {
        let response = lab.client.get(url).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    async fn process_of(lab: &Lab, url: &str) -> u64 {
        answer(lab, url).await["id"].as_u64().unwrap()
    }

    /// Whether a process is there, dead or alive.
    fn is_there(id: u64) -> bool {
        Command::new("sh").args(["-c", &format!("kill -0 {id} 2>&-")]).status().unwrap().success()
    }

    /// Waits until every process that was started has ended by itself.
    async fn ended(lab: &Lab) {
        let slots: Vec<_> =
            lab.emulator.google().run.instances.slots().running.values().cloned().collect();
        for slot in slots {
            while slot.read().await.as_ref().is_some_and(Instance::is_running) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Puts a changed service in place of the one that is there.
    async fn replace(lab: &Lab, change: impl FnOnce(&mut Value)) -> Value {
        let path = format!("{SERVICES}/receiver");
        let (_, mut service) = lab.api("GET", &path, Value::Null).await;
        change(&mut service);
        let (status, replaced) = lab.api("PUT", &path, service).await;
        assert_eq!(status, 200, "{replaced}");
        replaced
    }

    fn set(service: &mut Value, name: &str, value: &str) {
        let container = &mut service["spec"]["template"]["spec"]["containers"][0];
        container["env"].as_array_mut().unwrap().push(json!({"name": name, "value": value}));
    }

    /// Ends the processes that no request reaches; the service does so itself, without anybody waiting for it.
    async fn settle(lab: &Lab) {
        let name = ServiceName::new("us-central1", "receiver");
        let run = &lab.emulator.google().run;
        let reachable = run.state().services[&name].service.reachable();
        run.instances.keep(&name, &reachable).await;
        // Somebody else may be ending them already.
        let retired = run.instances.slots().retired.clone();
        super::end(&retired).await;
    }

    #[tokio::test]
    async fn a_revision_s_process_has_its_settings_google_s_and_no_others() {
        let lab = lab(|service| {
            set(service, "LD_PRELOAD", "/tmp/other.so");
            set(service, "OIDC_ISSUER", "https://issuer.example");
        })
        .await;
        let answer = answer(&lab, &lab.url).await;
        let mut variables = answer["variables"].as_object().unwrap().clone();
        let (_, service) = lab.api("GET", &format!("{SERVICES}/receiver"), Value::Null).await;
        let emulator = &lab.emulator;
        for (name, value) in [
            ("A", "b"),
            ("ALLOW_TEST_ISSUER", "1"),
            ("GCE_METADATA_HOST", emulator.url().trim_start_matches("http://")),
            ("HOST", "127.0.0.1"),
            ("IAP_KEYS_URL", &emulator.iap_keys_url()),
            ("K_CONFIGURATION", "receiver"),
            ("K_REVISION", service["status"]["latestReadyRevisionName"].as_str().unwrap()),
            ("K_SERVICE", "receiver"),
            ("OIDC_ISSUER", "https://issuer.example"),
            ("OIDC_KEYS_URL", &emulator.keys_url()),
        ] {
            assert_eq!(variables.remove(name).unwrap_or_default(), value, "{name}");
        }
        variables.remove("PORT").unwrap();
        variables.remove("PATH");
        assert_eq!(variables.keys().collect::<Vec<_>>(), [""; 0]);
    }

    #[tokio::test]
    async fn a_candidate_is_tried_at_its_tag_and_the_traffic_moves_there_and_back() {
        let lab = lab(|_| ()).await;
        let old = process_of(&lab, &lab.url).await;
        let both = replace(&lab, |service| {
            let first = service["status"]["latestReadyRevisionName"].clone();
            set(service, "NEW", "1");
            service["spec"]["traffic"] = json!([
                {"revisionName": first, "percent": 100},
                {"latestRevision": true, "tag": "candidate"},
            ]);
        })
        .await;
        let tagged = both["status"]["traffic"][1]["url"].as_str().unwrap();
        assert_ne!(tagged, lab.url);
        let new = process_of(&lab, tagged).await;
        assert_ne!(new, old);
        assert_eq!(process_of(&lab, &lab.url).await, old);

        replace(&lab, |service| {
            service["spec"]["traffic"] = json!([{"latestRevision": true, "percent": 100}]);
        })
        .await;
        assert_eq!(process_of(&lab, &lab.url).await, new);
        settle(&lab).await;
        assert!(!is_there(old), "without traffic and tag");

        let first = both["spec"]["traffic"][0]["revisionName"].clone();
        replace(&lab, |service| {
            service["spec"]["traffic"] = json!([{"revisionName": first, "percent": 100}]);
        })
        .await;
        let back = answer(&lab, &lab.url).await;
        assert_eq!(back["variables"]["K_REVISION"], first);
        settle(&lab).await;
        assert!(!is_there(new));
    }

    #[tokio::test]
    async fn what_does_not_come_up_gets_no_traffic_and_says_why() {
        let lab = lab(|_| ()).await;
        let old = process_of(&lab, &lab.url).await;
        let failed = replace(&lab, |service| set(service, "FAILS", "1")).await;
        let status = &failed["status"];
        assert_ne!(status["latestCreatedRevisionName"], status["latestReadyRevisionName"]);
        assert_eq!(status["traffic"][0]["revisionName"], status["latestReadyRevisionName"]);
        let conditions: Vec<_> = status["conditions"].as_array().unwrap().iter().collect();
        for (condition, (kind, is)) in conditions.iter().zip([
            ("Ready", "False"),
            ("ConfigurationsReady", "False"),
            ("RoutesReady", "True"),
        ]) {
            assert_eq!((&condition["type"], &condition["status"]), (&json!(kind), &json!(is)));
        }
        let message = conditions[0]["message"].as_str().unwrap();
        assert!(message.contains("failed to start and listen on the port"), "{message}");
        assert!(message.contains("exit status: 0"), "{message}");
        assert_eq!(process_of(&lab, &lab.url).await, old, "the one before goes on serving");

        let created = status["latestCreatedRevisionName"].clone();
        let routed = replace(&lab, |service| {
            service["spec"]["traffic"] = json!([{"revisionName": created, "percent": 100}]);
        })
        .await;
        assert_eq!(routed["status"]["conditions"][2]["status"], "False");
        assert_eq!(routed["status"]["traffic"], status["traffic"], "what is wanted is not");
        assert_eq!(process_of(&lab, &lab.url).await, old);
        let mended = replace(&lab, |service| {
            let container = &mut service["spec"]["template"]["spec"]["containers"][0];
            container["env"].as_array_mut().unwrap().pop();
            service["spec"]["traffic"] = json!([{"latestRevision": true, "percent": 100}]);
        })
        .await;
        assert_eq!(mended["status"]["conditions"][0]["status"], "True");
        assert_ne!(process_of(&lab, &lab.url).await, old);
    }

    #[tokio::test]
    async fn a_new_service_that_does_not_come_up_is_there_and_answers_503() {
        let lab = lab(|service| set(service, "FAILS", "1")).await;
        let (_, service) = lab.api("GET", &format!("{SERVICES}/receiver"), Value::Null).await;
        let status = &service["status"];
        assert_eq!(status["latestReadyRevisionName"], Value::Null);
        assert_eq!(status["traffic"], json!([]));
        for condition in status["conditions"].as_array().unwrap() {
            assert_eq!(condition["status"], "False");
        }
        let response = lab.get("/").send().await.unwrap();
        assert_eq!(response.status().as_u16(), 503);
        assert_eq!(response.text().await.unwrap(), "Service Unavailable: no revision is ready\n");
    }

    #[tokio::test]
    async fn a_process_that_died_is_started_again_once_for_all_that_ask() {
        let lab = lab(|_| ()).await;
        let old = process_of(&lab, &lab.url).await;
        assert_eq!(lab.get("/end").send().await.unwrap().status().as_u16(), 503);
        // It no longer answers, but may be there still.
        ended(&lab).await;
        let asking = (0..5).map(|_| process_of(&lab, &lab.url));
        let processes = futures_util::future::join_all(asking).await;
        assert_ne!(processes[0], old);
        assert!(processes.iter().all(|process| *process == processes[0]), "{processes:?}");
    }

    #[tokio::test]
    async fn no_process_outlives_its_service_or_the_emulator() {
        let lab = lab(|_| ()).await;
        let of_service = process_of(&lab, &lab.url).await;
        assert!(is_there(of_service));
        let path = format!("{SERVICES}/receiver");
        let (_, service) = lab.api("GET", &path, Value::Null).await;
        assert_eq!(lab.api("DELETE", &path, Value::Null).await.0, 200);
        assert!(!is_there(of_service));

        let (status, again) = lab.api("POST", SERVICES, service).await;
        assert_eq!(status, 200, "{again}");
        lab.bind("allUsers").await;
        let of_emulator = process_of(&lab, again["status"]["url"].as_str().unwrap()).await;
        lab.emulator.stop().await;
        assert!(!is_there(of_emulator));
    }
}
