//! What deploys: its settings and its bad input, without a project that could be changed. `whole_way` walks it.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output},
};

use emulator::Options;

use crate::gcloud::Gcloud;

const SCRIPTS: [&str; 10] = [
    "setup",
    "deploy",
    "rollback",
    "schedule",
    "queue",
    "subscribe",
    "fire",
    "doctor",
    "monitor",
    "teardown",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn bash(line: &str) -> Output {
    // Not with the settings of whoever runs the tests.
    let line = format!("set -eu; export DEPLOY_ENV=/dev/null/none; {line}");
    Command::new("bash").args(["-c", &line]).current_dir(root()).output().unwrap()
}

fn printed(line: &str) -> String {
    let Output { status, stdout, stderr } = bash(line);
    assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The names and defaults of all settings.
fn registry() -> Vec<(String, String)> {
    let line = "set -- scripts/x; . scripts/lib/settings
        for name in \"${SETTINGS[@]}\"; do printf '%s=%s\\n' \"$name\" \"${SETTING_DEFAULT[$name]}\"; done";
    let pairs = printed(line);
    pairs
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, default)| (name.to_owned(), default.to_owned()))
        .collect()
}

#[test]
fn deploy_env_example_has_every_setting_with_its_default_and_no_other() {
    let example = std::fs::read_to_string(root().join("deploy.env.example")).unwrap();
    let shown: Vec<(&str, &str)> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once('='))
        .filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        .collect();
    let registry = registry();
    let names: BTreeSet<&str> = registry.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(shown.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(), names);
    assert_eq!(shown.len(), names.len(), "one comes twice");
    for (name, default) in &registry {
        let (_, value) = shown.iter().find(|(shown, _)| shown == name).unwrap();
        assert!(
            default.is_empty() || value == default,
            "{name} is {value}, and its default {default}"
        );
    }
}

#[test]
fn each_setting_is_an_option_of_some_script_and_each_script_says_what_it_takes() {
    let mut options = BTreeSet::new();
    for script in SCRIPTS {
        let help = printed(&format!("scripts/{script} --help"));
        assert!(help.starts_with(&format!("Usage: scripts/{script} ")), "{help}");
        let own = help.lines().filter_map(|line| line.strip_prefix("  --")?.split(' ').next());
        options.extend(own.map(|option| option.replace('-', "_").to_uppercase()));
    }
    for (name, _) in registry() {
        assert!(options.contains(&name), "no script takes {name}");
    }
}

#[test]
fn cloudbuild_yaml_hands_on_what_scripts_deploy_says() {
    let yaml = std::fs::read_to_string(root().join("cloudbuild.yaml")).unwrap();
    let deploy = std::fs::read_to_string(root().join("scripts/deploy")).unwrap();
    let names = deploy.split_once("for name in REGION ").unwrap().1.split_once(';').unwrap().0;
    for name in names.split(' ').chain(["REGION"]) {
        assert!(yaml.contains(&format!("\n  _{name}: ")), "_{name} is no substitution");
        assert!(
            yaml.contains(&format!("\n    - {name}=$_{name}\n")),
            "{name} is in no environment"
        );
        let default = registry().into_iter().find(|(known, _)| known == name).unwrap().1;
        let said = yaml.split_once(&format!("\n  _{name}: ")).unwrap().1.lines().next().unwrap();
        let is_its_own = ["REGION", "REPOSITORY"].contains(&name);
        assert!(
            is_its_own || said.trim_matches('\'') == default,
            "_{name} is {said}, not {default}"
        );
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "whoever runs the suite must see that this was skipped")]
fn cloudbuild_yaml_is_what_the_public_schema_describes() {
    let checker = root().join("target/peers/python/bin/check-jsonschema");
    if !checker.exists() {
        eprintln!("skipped: check-jsonschema is not installed (scripts/peers)");
        return;
    }
    let check = |file: &Path| {
        let arguments = ["--builtin-schema", "vendor.cloudbuild"];
        Command::new(&checker).args(arguments).arg(file).output().unwrap().status.success()
    };
    let file = root().join("cloudbuild.yaml");
    assert!(check(&file));
    // Which it does look at.
    let spoilt = std::fs::read_to_string(&file).unwrap().replace("waitFor:", "waitsFor:");
    let folder = std::env::temp_dir().join(format!("cloudbuild-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let other = folder.join("cloudbuild.yaml");
    std::fs::write(&other, spoilt).unwrap();
    assert!(!check(&other));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_wrong_command_line_or_setting_is_one_line_and_64() {
    for (line, expected) in [
        ("scripts/setup --regoin=x", "unknown option '--regoin'; scripts/setup --help lists them"),
        ("scripts/setup now", "unknown argument 'now'"),
        ("scripts/setup --region", "--region needs a value"),
        ("scripts/setup --region=Europe", "REGION is 'Europe'; it takes a region such as"),
        (
            "scripts/setup --service='my service'",
            "SERVICE is 'my service'; it takes lower-case letters",
        ),
        ("scripts/setup --service=\"it's\"", "SERVICE is 'it's'; it takes lower-case letters"),
        ("scripts/setup --service=my-", "SERVICE is 'my-'"),
        (
            "scripts/setup --service=a-name-that-is-too-long",
            "20 are the most, since account ids begin with it",
        ),
        ("scripts/setup --project='My Project'", "PROJECT is 'My Project'; it takes a project id"),
        ("scripts/setup --project=123456789012", "not a name or a number"),
        (
            "scripts/setup --senders=scheduler,mail",
            "SENDERS is 'scheduler,mail'; it takes scheduler, tasks, pubsub and events",
        ),
        ("scripts/setup --enqueue=perhaps", "ENQUEUE is 'perhaps'; it takes yes or no"),
        ("scripts/setup --deployer=ada", "DEPLOYER is 'ada'; it takes user:YOU@example.com"),
        ("scripts/deploy --auth=none", "AUTH is 'none'; it takes verify or platform"),
        ("scripts/deploy --audience=https://a,https://b", "several are separated by |"),
        (
            "scripts/deploy --telemetry --job-settings=OTEL_RESOURCE_ATTRIBUTES=team=a",
            "OTEL_RESOURCE_ATTRIBUTES without cloud.region",
        ),
        ("scripts/deploy --job-settings=smtp", "JOB_SETTINGS has 'smtp'; it takes NAME=VALUE"),
        ("scripts/deploy --job-settings='A=x@|B=y'", "nor a value that ends with @"),
        ("scripts/deploy --job-settings='A=x@'", "nor a value that ends with @"),
        ("scripts/deploy --image=i --source", "it takes --image or --source, not both"),
        ("scripts/deploy --only=half", "ONLY is 'half'; it takes candidate, probe or traffic"),
        ("scripts/doctor everything", "unknown argument 'everything'"),
        ("scripts/rollback a b", "it takes one revision"),
        ("scripts/setup --env-file=nowhere", "there is no file nowhere"),
        ("export REGION=$'a\\nb'; scripts/setup", "REGION has a line break"),
    ] {
        let Output { status, stdout, stderr } = bash(line);
        let said = String::from_utf8(stderr).unwrap();
        assert!(said.contains(expected), "{line}: {said}");
        assert!(
            said.starts_with("scripts/") && said.trim_end().lines().count() == 1,
            "{line}: {said}"
        );
        assert_eq!((status.code(), stdout.len()), (Some(64), 0), "{line}");
    }
}

#[test]
fn a_settings_file_is_read_as_it_stands_and_its_faults_are_named_by_line() {
    let folder = std::env::temp_dir().join(format!("deploy-env-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("deploy.env");
    let read = |content: &str, line: &str| {
        std::fs::write(&file, content).unwrap();
        let line = format!(
            "set -- x; . scripts/lib/settings; read_settings 'AUDIENCE SERVICE MESSAGE' '' --env-file={} {line}
            printf '%s %s %s' \"$AUDIENCE\" \"$SERVICE\" \"$MESSAGE\"",
            file.display()
        );
        bash(&line)
    };
    let whole =
        "# Ours.\n\nAUDIENCE=https://a|https://b\nMESSAGE={\"a\": \"$HOME `x`\"}\r\nSERVICE=desk";
    let output = read(whole, "");
    let values = String::from_utf8(output.stdout).unwrap();
    assert_eq!(values, "https://a|https://b desk {\"a\": \"$HOME `x`\"}");
    // A flag beats a variable, and that the file.
    let output =
        read(whole, "; SERVICE=kiosk; read_settings 'SERVICE' '' --env-file=deploy.env.example");
    assert!(String::from_utf8(output.stdout).unwrap().contains(" kiosk "));
    let output = read(whole, "--service=hall");
    assert!(String::from_utf8(output.stdout).unwrap().contains(" hall "));
    for (content, expected) in [
        ("SERVICE=a\nAUDEINCE=b", ":2: there is no setting AUDEINCE"),
        ("SERVICE=\"desk\"", ":1: SERVICE begins with a quote"),
        ("\n\nexport SERVICE=desk", ":3: this is no NAME=VALUE line"),
    ] {
        let output = read(content, "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{content}: {said}");
        assert_eq!(output.status.code(), Some(64));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn without_gcloud_the_first_line_says_how_to_get_it() {
    let folder = std::env::temp_dir().join(format!("no-gcloud-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for program in ["bash", "dirname", "basename", "mktemp", "rm", "sed", "grep", "tr", "head"] {
        let found = printed(&format!("command -v {program}"));
        std::os::unix::fs::symlink(found.trim(), folder.join(program)).unwrap();
    }
    for script in SCRIPTS {
        let path = folder.display();
        let output = bash(&format!("export PATH={path}; scripts/{script} --region=us-central1"));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("gcloud is not installed; see https://"), "{script}: {said}");
        assert_eq!(output.status.code(), Some(1), "{script}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

const SETUP: &str = "export DEPLOY_ENV=/dev/null/none; scripts/setup --region=us-central1";

#[tokio::test]
async fn what_a_project_lacks_is_one_line_before_anything_is_made() {
    let options = Options { apis_disabled: true, billing_disabled: true, ..Options::default() };
    let Some(project) = Gcloud::start(options).await else { return };
    let before = project.emulator.export().unwrap();
    let said = project.refused(&format!("{SETUP} --project=another-project")).await;
    assert!(said.contains("there is no project another-project, or you may not see it"), "{said}");
    let said = project.refused(SETUP).await;
    let mend = "gcloud billing projects link demo-project --billing-account=ACCOUNT";
    assert!(said.contains("billing is off in demo-project") && said.contains(mend), "{said}");
    assert_eq!(project.emulator.export().unwrap(), before);
}

/// Makes gcloud speak as an account that may look and no more.
const AS_VIEWER: &str = r#"
viewer=viewer@demo-project.iam.gserviceaccount.com
gcloud iam service-accounts create viewer
gcloud projects add-iam-policy-binding demo-project --condition=None --role=roles/viewer --member=serviceAccount:$viewer
gcloud iam service-accounts add-iam-policy-binding $viewer --role=roles/iam.serviceAccountTokenCreator \
    --member=user:developer@example.com
scope='{"scope":["https://www.googleapis.com/auth/cloud-platform"]}'
curl --silent --header 'Content-Type: application/json' --data "$scope" \
    "${CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS}v1/projects/-/serviceAccounts/$viewer:generateAccessToken" |
    sed -E 's/.*"accessToken":"([^"]+)".*/\1/' > "$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"
"#;

#[tokio::test]
async fn who_may_not_set_up_hears_what_is_missing_before_anything_is_made() {
    let Some(project) = Gcloud::start(Options::default()).await else { return };
    // The harness writes the developer's token anew for each line.
    let token = project.folder.join("viewer");
    let keep = format!("cp \"$CLOUDSDK_AUTH_ACCESS_TOKEN_FILE\" {}", token.display());
    project.ok(&format!("{AS_VIEWER}{keep}")).await;
    let before = project.emulator.export().unwrap();
    let as_viewer = format!("export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE={}", token.display());
    let said = project.refused(&format!("{as_viewer}; {SETUP}")).await;
    for expected in [
        "you may not do all of it in demo-project",
        "iam.serviceAccounts.create",
        "roles/run.admin",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(project.emulator.export().unwrap(), before);
}
