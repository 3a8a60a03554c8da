//! The commands as a person types them, and what they say when that cannot be.

use serde_json::{Value, json};

use crate::lab::{CALLER, Lab, MACHINE, OTHER};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_printed_and_decoded_from_each_source() {
    let lab = Lab::start().await;
    lab.grant_on(
        CALLER,
        "roles/iam.serviceAccountOpenIdTokenCreator",
        &format!("serviceAccount:{MACHINE}"),
    )
    .await;
    let key_file = lab.key_file(CALLER).await;
    let key_file = key_file.to_str().unwrap();
    for (source, account) in [
        (vec!["--key-file", key_file], CALLER),
        (vec!["--metadata"], MACHINE),
        (vec!["--impersonate", CALLER], CALLER),
        (vec!["--metadata", "--impersonate", CALLER], CALLER),
        (vec![], MACHINE),
    ] {
        let mut arguments = vec!["token", "--audience", &lab.url];
        arguments.extend(&source);
        let token = lab.run(&arguments, "").await.ok();
        assert_eq!(oidc::decode_unverified(&token).unwrap().email.as_deref(), Some(account));
        arguments.push("--decode");
        let decoded = lab.run(&arguments, "").await.ok();
        assert!(decoded.contains(&format!("email           {account}")), "{decoded}");
        let exp = decoded.lines().find(|line| line.starts_with("exp")).unwrap();
        assert!(exp.contains("Z, in 59 minutes") || exp.contains("Z, in 60 minutes"), "{exp}");
        arguments.push("--json");
        let decoded: Value = serde_json::from_str(&lab.run(&arguments, "").await.ok()).unwrap();
        assert_eq!((&decoded["email"], &decoded["aud"]), (&json!(account), &json!(lab.url)));
    }
    let json = lab.run(&["token", "--audience", "a", "--metadata", "--json"], "").await.ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(json["token"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_gets_through_the_front_end_with_the_binding_and_is_explained_without_it() {
    let lab = Lab::start().await;
    let key_file = lab.key_file(CALLER).await;
    let key_file = key_file.to_str().unwrap();
    let probe = format!("{}/scheduler/probe", lab.url);
    let call = async |audience: &str, more: &[&str]| {
        let mut arguments = vec!["call", &probe, "--key-file", key_file, "--audience", audience];
        arguments.extend(more);
        lab.run(&arguments, "").await
    };

    let refused = call(&lab.url, &[]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.said.contains("403 Forbidden"), "{}", refused.said);
    let complaint = refused.refused();
    assert!(
        complaint.starts_with(
            "oidc-caller: the answer is 403 Forbidden: Google verified the token, and caller@"
        ),
        "{complaint}"
    );
    assert!(complaint.contains("--role=roles/run.invoker"), "{complaint}");

    lab.bind(CALLER).await;
    let answered = call(&lab.url, &[]).await;
    assert_eq!((answered.code, answered.complaint.as_str()), (Some(0), ""));
    assert_eq!(lab.record().await["invocation"]["caller"]["email"], CALLER);

    let complaint = call("https://other.example", &[]).await.refused();
    assert!(complaint.contains("401 Unauthorized: Cloud Run could not verify the token: https://other.example has to be the service's URL"), "{complaint}");

    // The front end lets it in, and the receiver does not.
    lab.bind(OTHER).await;
    let other = lab.key_file(OTHER).await;
    let arguments =
        ["call", &probe, "--audience", &lab.url, "--key-file", other.to_str().unwrap(), "--json"];
    let said: Value = serde_json::from_str(&lab.run(&arguments, "").await.said).unwrap();
    assert_eq!(said["status"], 403);
    let meaning = said["meaning"].as_str().unwrap();
    assert!(
        meaning.starts_with("the service itself says: ")
            && meaning.contains("caller_not_allowed: the token is good, but its account"),
        "{meaning}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_carries_its_method_headers_and_body() {
    let lab = Lab::start().await;
    lab.bind(MACHINE).await;
    let url = format!("{}/tasks/send-receipt", lab.url);
    let receipt = json!({"order": "A-1001", "email": "ada@example.com"}).to_string();
    let path = lab.file("receipt.json", receipt.as_bytes());
    let from_file = format!("@{}", path.display());
    let headers = [
        "-H",
        "Content-Type: application/json",
        "-H",
        "X-CloudTasks-TaskName: 1",
        "-H",
        "X-CloudTasks-QueueName: q",
    ];
    for (data, input) in [(receipt.as_str(), ""), ("@-", receipt.as_str()), (&from_file, "")] {
        let mut arguments = vec!["call", &url, "--audience", &lab.url, "-X", "POST", "-d", data];
        arguments.extend(headers);
        let ran = lab.run(&arguments, input).await;
        let record = lab.record().await;
        assert_eq!(ran.code, Some(0), "{} {record}", ran.complaint);
        assert_eq!(record["invocation"]["outcome"], "done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_enqueued_and_done() {
    let lab = Lab::start().await;
    let queue = lab.create_queue().await;
    lab.bind(CALLER).await;
    lab.let_enqueue(&queue, MACHINE).await;
    let url = format!("{}/tasks/send-receipt", lab.url);
    let receipt = json!({"order": "A-1001", "email": "ada@example.com"}).to_string();
    let enqueue = async |queue: &[&str], more: &[&str]| {
        let mut arguments =
            vec!["enqueue", "--url", &url, "--audience", &lab.url, "--service-account", CALLER];
        arguments.extend(queue);
        arguments.extend(["-H", "Content-Type: application/json", "-d", &receipt]);
        arguments.extend(more);
        lab.run(&arguments, "").await
    };
    let short = ["--queue", "receipts", "--location", "us-central1"];
    let name = enqueue(&short, &[]).await.ok();
    assert!(name.starts_with(&format!("{queue}/tasks/")), "{name}");
    assert_eq!(lab.record().await["invocation"]["outcome"], "done");
    let named = enqueue(&["--queue", &queue], &["--name", "A-1001", "--json"]).await.ok();
    assert_eq!(named, json!({"name": format!("{queue}/tasks/A-1001")}).to_string());
    assert_eq!(lab.record().await["invocation"]["outcome"], "done");
    let again = enqueue(&short, &["--name", "A-1001"]).await.refused();
    assert!(again.contains("/tasks/A-1001 exists, or did a short time ago"), "{again}");
    // These wait.
    for when in [["--in", "2h"], ["--at", "2026-12-01T09:00:00+01:00"]] {
        let at = if when[0] == "--at" {
            jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48)
        } else {
            jiff::Timestamp::now()
        };
        let at = at.to_string();
        let when = [when[0], if when[0] == "--at" { &at } else { when[1] }];
        let name = enqueue(&short, &when).await.ok();
        let task = lab.api("GET", &format!("cloudtasks/v2/{name}"), Value::Null).await;
        let due: jiff::Timestamp = task["scheduleTime"].as_str().unwrap().parse().unwrap();
        assert!(due > jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1), "{due}");
    }
    lab.no_record();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_one_line_with_a_remedy() {
    let lab = Lab::start().await;
    let task = ["enqueue", "--url", "https://a.example/x", "--service-account", CALLER];
    let with =
        |more: &[&'static str]| -> Vec<&'static str> { task.iter().chain(more).copied().collect() };
    for (arguments, expected) in [
        (vec!["token", "--audience", ""], "the audience is empty"),
        (
            vec!["token", "--audience", "a", "--key-file", "/nowhere.json"],
            "/nowhere.json: No such file",
        ),
        (vec!["call", "receiver/x"], "is not a URL"),
        (vec!["call", "receiver/x", "--audience", "a"], "is not a URL"),
        (
            with(&["--queue", "q", "--audience", "a", "--location", "l", "--in", "99999999h"]),
            "farther than any calendar",
        ),
        (
            vec!["call", "http://127.0.0.1:1/x", "--audience", "a", "-d", "@/nowhere"],
            "the body @/nowhere cannot be read",
        ),
        (
            vec!["call", "http://127.0.0.1:1/x", "--audience", "a"],
            "no answer from http://127.0.0.1:1/x: Connection refused",
        ),
        (
            with(&["--queue", "q", "--audience", "a"]),
            "say --location, or --queue with the full name",
        ),
        (
            with(&["--queue", "projects/p", "--audience", "a"]),
            "expected projects/PROJECT/locations",
        ),
        (
            with(&["--queue", "q", "--location", "us-central1", "--audience", "a"]),
            "serviceAccount:123456789012-compute@developer.gserviceaccount.com lacks cloudtasks.tasks.create on the queue projects/demo-project/locations/us-central1/queues/q",
        ),
    ] {
        let complaint = lab.run(&arguments, "").await.refused();
        assert!(
            complaint.starts_with("oidc-caller: ") && complaint.contains(expected),
            "{complaint}"
        );
        let mut arguments = arguments;
        arguments.push("--json");
        let ran = lab.run(&arguments, "").await;
        let said: Value = serde_json::from_str(&ran.said).unwrap();
        assert_eq!(ran.complaint, "", "{arguments:?}");
        assert!(said["error"].as_str().unwrap().contains(expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubtful_audience_is_warned_of_and_asked_for_all_the_same() {
    let lab = Lab::start().await;
    let audience = "https://receiver-123456789012.us-central1.run.app/tasks";
    let ran = lab.run(&["token", "--audience", audience, "--decode"], "").await;
    assert!(ran.complaint.contains("warning: of the audience: it has a path"), "{}", ran.complaint);
    assert!(ran.ok().contains(audience));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_its_help_and_every_shell_its_completions() {
    let lab = Lab::start().await;
    let help = lab.run(&["--help"], "").await.ok();
    for command in ["token", "verify", "call", "enqueue", "completions"] {
        assert!(help.contains(&format!("\n  {command}")), "{help}");
        let own = lab.run(&[command, "--help"], "").await.ok();
        assert!(own.contains(&format!("Usage: oidc-caller {command}")), "{own}");
        // Whatever emulator or account a person has set, the help is the same.
        assert!(!own.contains("127.0.0.1"), "{own}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let completions = lab.run(&["completions", shell], "").await.ok();
        assert!(completions.contains("key-file") && completions.contains("enqueue"), "{shell}");
    }
    let script =
        format!("{}\ncomplete -p oidc-caller", lab.run(&["completions", "bash"], "").await.ok());
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", &script]);
    assert!(crate::lab::Ran::of(bash, String::new()).await.ok().contains("caller"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_the_readme_s_table_does_what_it_stands_for() {
    let lab = Lab::start().await;
    let queue = lab.create_queue().await;
    lab.let_enqueue(&queue, MACHINE).await;
    let machine = format!("serviceAccount:{MACHINE}");
    lab.grant_on(CALLER, "roles/iam.serviceAccountOpenIdTokenCreator", &machine).await;
    lab.bind(CALLER).await;
    lab.bind(MACHINE).await;
    let key_file = lab.key_file(CALLER).await;
    let token = lab.emulator.token(&lab.url, CALLER).await.unwrap();
    let url = format!("{}/scheduler/probe", lab.url);
    let readme = include_str!("../../../README.md");
    let (_, table) = readme.split_once("| what is pasted elsewhere | here |\n").unwrap();
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with('|')).skip(1).collect();
    for row in &rows {
        let command = row.rsplit('`').nth(1).unwrap();
        let words = command.split(' ').skip(1).map(|word| match word {
            "A" => &*lab.url,
            "FILE" => key_file.to_str().unwrap(),
            "ACCOUNT" => CALLER,
            "URL" => &url,
            "Q" => "receipts",
            "L" => "us-central1",
            word => word,
        });
        let words: Vec<&str> = words.collect();
        let ran = lab.run(&words, &token).await;
        // The machine's account gets through the front end, and is not among the receiver's callers.
        let is_refused = words == ["call", &url];
        assert_eq!(ran.code, Some(i32::from(is_refused)), "{command}: {}", ran.complaint);
        assert!(!is_refused || ran.complaint.contains("caller_not_allowed"), "{}", ran.complaint);
    }
    assert_eq!(rows.len(), 8);
}
