//! What `gateways/` says: the settings in its README, and that its files go with them.

use std::process::{Command, Output};

use emulator::Options;
use serde_json::Value;

use super::{envoy::SHIPPED, envoy::installed};
use crate::gcloud::{Gcloud, REGION};

const README: &str = include_str!("../../../gateways/README.md");
const EXAMPLE: &str = include_str!("../../../.env.example");
const SERVICE: &str = include_str!("../../../gateways/envoy/service.yaml");
const ISTIO: &str = include_str!("../../../gateways/istio/receiver.yaml");
const ENDPOINTS: &str = include_str!("../../../gateways/cloud-endpoints/openapi.yaml");
const API_GATEWAY: &str = include_str!("../../../gateways/api-gateway/openapi.yaml");

type Settings = Vec<(&'static str, &'static str)>;

/// The settings that the README gives under this heading.
fn settings(front_end: &str) -> Settings {
    let (_, section) = README.split_once(&format!("\n## {front_end}\n")).unwrap();
    let (_, block) = section.split_once("```sh\n").unwrap();
    let lines = block.split("```").next().unwrap().lines();
    lines.map(|line| line.split_once('=').unwrap()).collect()
}

fn value(settings: &Settings, name: &str) -> &'static str {
    settings.iter().find(|(other, _)| *other == name).unwrap_or_else(|| panic!("{name}")).1
}

fn check<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Output {
    let mut service = Command::new(env!("CARGO_BIN_EXE_receiver"));
    service.arg("check").env_clear().envs(settings).output().unwrap()
}

#[test]
fn the_settings_of_each_front_end_start_a_service_and_a_proxy_s_only_with_what_guards_its_header() {
    for front_end in ["Cloud Run", "Envoy", "Cloud Endpoints", "API Gateway", "IAP"] {
        let settings = settings(front_end);
        for (name, _) in &settings {
            let known = |line: &str| line.trim_start_matches('#').starts_with(&format!("{name}="));
            assert!(EXAMPLE.lines().any(known), "{name} is not in .env.example");
        }
        let output = check(settings.iter().copied());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{front_end}\n{said}");

        if value(&settings, "PLATFORM_IDENTITY").starts_with("x-") {
            let guards = |name: &str| name == "HOST" || name.starts_with("PROXY_");
            let output = check(settings.iter().copied().filter(|(name, _)| !guards(name)));
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(64), "{front_end}\n{said}");
            assert!(said.contains("HOST is \"0.0.0.0\"; expected a loopback address"), "{said}");
        }
    }
}

#[test]
fn each_file_goes_with_the_settings_that_stand_beside_it() {
    let envoy = settings("Envoy");
    for (name, value) in &envoy {
        let in_service = [value.to_string(), format!("'{value}'")]
            .map(|value| format!("            - name: {name}\n              value: {value}\n"));
        assert!(in_service.iter().any(|pair| SERVICE.contains(pair)), "{name}");
        let in_istio = [value.to_string(), format!("\"{value}\"")]
            .map(|value| format!("            - {{name: {name}, value: {value}}}\n"));
        assert!(in_istio.iter().any(|pair| ISTIO.contains(pair)), "{name}");
        if name.ends_with("_CALLERS") {
            assert!(SHIPPED.contains(&format!("{{exact: {value}}}")), "{name}");
            let claim = format!(r#"{{key: "request.auth.claims[email]", values: [{value}]}}"#);
            assert!(ISTIO.contains(&claim), "{name}");
        }
    }
    let (address, header) = (value(&envoy, "HOST"), value(&envoy, "PLATFORM_IDENTITY"));
    let (port, audience) = (value(&envoy, "PORT"), value(&envoy, "AUDIENCE"));
    for part in [
        format!("{{address: {address}, port_value: {port}}}"),
        format!("forward_payload_header: {header}\n"),
        format!("- remove: {header}\n"),
        format!("audiences: [{audience}]\n"),
    ] {
        assert!(SHIPPED.contains(&part), "{part}");
    }
    for part in [
        format!("defaultEndpoint: {address}:{port}\n"),
        format!("outputPayloadToHeader: {header}\n"),
        format!("- remove: {header}\n"),
        format!("audiences: [{audience}]\n"),
    ] {
        assert!(ISTIO.contains(&part), "{part}");
    }
    for (front_end, document) in [("Cloud Endpoints", ENDPOINTS), ("API Gateway", API_GATEWAY)] {
        let settings = settings(front_end);
        let audience = format!("x-google-audiences: {}\n", value(&settings, "AUDIENCE"));
        let own = format!("jwt_audience: {}\n", value(&settings, "PROXY_AUDIENCE"));
        assert!(document.contains(&audience) && document.contains(&own), "{front_end}");
    }
}

#[test]
fn envoy_takes_the_shipped_configuration_as_it_is_without_a_warning() {
    let Some((_, envoy)) = installed() else { return };
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/gateways/envoy/envoy.yaml");
    let arguments = ["--mode", "validate", "--use-dynamic-base-id", "--config-path", shipped];
    let output = Command::new(envoy).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("[warning]"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn gcloud_takes_envoy_and_the_service_as_one_service_of_which_envoy_has_the_port() {
    let Some(gcloud) = Gcloud::start(Options::default()).await else { return };
    let file = gcloud.folder.join("service.yaml");
    let here = SERVICE.replace("my-project", "demo-project").replace("europe-west1", REGION);
    std::fs::write(&file, here).unwrap();
    gcloud.ok("gcloud iam service-accounts create receiver-run").await;
    let replace = format!("gcloud run services replace --region={REGION} {}", file.display());
    gcloud.ok(&replace).await;
    let describe = format!("gcloud run services describe receiver --region={REGION}");
    let service = gcloud.json(&describe).await;
    let containers = service["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    let [envoy, service] = &**containers else { panic!("{containers:#?}") };
    assert_eq!(envoy["ports"][0]["containerPort"], 8080);
    assert_eq!(service["ports"], Value::Null);
    let pairs = service["env"].as_array().unwrap().iter();
    let pairs = pairs.map(|pair| (pair["name"].as_str().unwrap(), pair["value"].as_str().unwrap()));
    let output =
        check(pairs.chain([("K_SERVICE", "receiver"), ("K_REVISION", "receiver-00001-abc")]));
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{said}");
    // True of every service with several instances.
    let doubts: Vec<_> = said.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert!(matches!(&*doubts, [one] if one.contains("MAX_INSTANCES is 4")), "{doubts:#?}");
}
