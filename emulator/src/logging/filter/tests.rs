use serde_json::json;

use super::*;

/// As a receiver on Cloud Run leaves one.
fn entry() -> Value {
    json!({
        "logName": "projects/demo-project/logs/run.googleapis.com%2Fstdout",
        "resource": {
            "type": "cloud_run_revision",
            "labels": {"service_name": "receiver", "location": "us-central1"},
        },
        "timestamp": "2026-01-31T12:00:00.5Z",
        "severity": "WARNING",
        "insertId": "0000000000000001",
        "labels": {"run.job": "done", "env": "lab"},
        "trace": "projects/demo-project/traces/4bf92f3577b34da6a3ce929d0e0e4736",
        "httpRequest": {"latency": "1.500s", "status": 503, "requestSize": "120"},
        "jsonPayload": {
            "message": "tasks/retry: The Cat in the Hat",
            "invocation": {"sender": "tasks", "id": "q/t", "attempt": 3, "is_late": true},
            "shoeSize": [8.5, 9, 6],
            "foo.bar": "apple",
            ":name": "pear",
            "end_time": "2026-01-31",
            "big": "9223372036854775807",
            "nothing": null,
        },
    })
}

/// Each of the `filters` holds for the entry, or does not.
fn check(expected: bool, filters: &[&str]) {
    for filter in filters {
        let read =
            Filter::parse(filter).unwrap_or_else(|fault| panic!("{filter}: {}", fault.message));
        assert_eq!(read.matches(&entry()), expected, "{filter}");
    }
}

#[test]
fn fields_are_compared_by_their_paths() {
    check(
        true,
        &[
            "",
            r#"resource.type="cloud_run_revision""#,
            "resource.type = cloud_run_revision",
            "resource.labels.service_name=receiver",
            "resource.type:RUN_rev",
            "RESOURCE.TYPE = Cloud_Run_Revision",
            "log_name = projects/demo-project/logs/run.googleapis.com%2Fstdout",
            r#"jsonPayload.invocation.id="q/t""#,
            r#"jsonPayload."foo.bar":apple"#,
            r#"jsonPayload.":name":pear"#,
            r#"labels."run.job" = done"#,
            "labels.env='lab'",
            "trace:4bf92f",
            "jsonPayload.message : \"cat in\"",
            "jsonPayload:\"in the hat\"",
            "resource:us-central1",
        ],
    );
    check(
        false,
        &[
            "resource.labels.service_name=receive",
            "resource.labels.Service_Name=receiver",
            "jsonPayload.invocation.ID=\"q/t\"",
            "jsonPayload.endTime=\"2026-01-31\"",
            "jsonPayload.foo.bar:apple",
            "textPayload:cat",
            "resource.type != cloud_run_revision",
        ],
    );
}

#[test]
fn each_type_has_its_own_order() {
    check(
        true,
        &[
            "severity>=WARNING",
            "severity>=\"warning\"",
            "severity=400",
            "severity<ERROR",
            "severity>INFO",
            "httpRequest.status>=500",
            "httpRequest.status<1000",
            "httpRequest.requestSize>99",
            "httpRequest.latency>\"999ms\"",
            "httpRequest.latency=1500ms",
            "httpRequest.latency<0.1m",
            "jsonPayload.invocation.attempt=3",
            "jsonPayload.invocation.attempt=\"3.0\"",
            "jsonPayload.invocation.attempt>-1",
            "jsonPayload.invocation.attempt<10",
            "jsonPayload.invocation.attempt:3",
            "jsonPayload.invocation.is_late=TRUE",
            "jsonPayload.invocation.is_late>false",
            "jsonPayload.invocation.sender>\"scheduler\"",
            "jsonPayload.big=\"9223372036854775807\"",
            "timestamp>=\"2026-01-31T12:00:00Z\"",
            "timestamp=\"2026-01-31T13:00:00.5+01:00\"",
            "timestamp>\"2026-01-31\" timestamp<\"2026-02-01\"",
        ],
    );
    check(
        false,
        &[
            "severity>=ERROR",
            "timestamp>=\"2026-01-31T12:00:01Z\"",
            "jsonPayload.invocation.attempt:\"three\"",
            "jsonPayload.invocation.attempt!=\"three\"",
            "jsonPayload.invocation.sender<3",
            "jsonPayload.invocation=tasks",
        ],
    );
}

#[test]
fn what_is_missing_matches_nothing_and_what_has_a_default_is_compared_with_it() {
    check(
        true,
        &[
            "NOT jsonPayload.thud=foo",
            "NOT labels.thud:*",
            "httpRequest.remoteIp=\"\"",
            "operation.producer!=x",
            "traceSampled=false",
            "NOT operation.id:*",
            "severity:*",
            "jsonPayload.invocation:*",
            "jsonPayload.nothing=NULL_VALUE",
            "jsonPayload.message!=NULL_VALUE",
        ],
    );
    check(
        false,
        &[
            "jsonPayload.thud!=foo",
            "jsonPayload.thud!~foo",
            "jsonPayload.thud=NULL_VALUE",
            "jsonPayload.message=NULL_VALUE",
            "labels.thud!=foo",
            "spanId:*",
            "resource.labels.zone=\"\"",
        ],
    );
    let empty = json!({"textPayload": "x"});
    assert!(Filter::parse("severity >= DEFAULT AND severity < DEBUG").unwrap().matches(&empty));
}

#[test]
fn an_array_matches_where_one_of_its_members_does() {
    check(true, &["jsonPayload.shoeSize<7", "jsonPayload.shoeSize=(6 AND 9)"]);
    check(false, &["jsonPayload.shoeSize<6", "NOT jsonPayload.shoeSize>8"]);
}

#[test]
fn regular_expressions_mind_the_case_and_are_not_anchored() {
    check(
        true,
        &[
            r#"jsonPayload.message =~ "Cat.*Hat""#,
            r#"jsonPayload.message =~ "(?i)cat""#,
            r#"jsonPayload.message !~ "cat""#,
            r#"logName =~ "%2Fstdout$""#,
            r#"jsonPayload.invocation.id =~ "^\w/\w$""#,
            r#"jsonPayload.invocation.id =~ "^\\w/\\w$""#,
            r#"labels.env =~ ("^prod" OR "^l.b$")"#,
        ],
    );
    check(false, &[r#"jsonPayload.message =~ "cat""#, r#"jsonPayload.invocation.attempt =~ "3""#]);
}

#[test]
fn not_binds_most_then_or_then_and_and_nothing_is_and() {
    for (filter, expected) in [
        ("+ OR NOT + AND NOT ! OR !", true),
        ("+ OR + AND !", false),
        ("(+) OR (+ AND !)", true),
        ("! OR + +", true),
        ("+\n!", false),
        ("+ -!", true),
        ("+ (!)", false),
        ("cat (+)", true),
        ("NOT NOT +", true),
        ("-(! OR !)", true),
        ("-- a comment = \"\n + -- AND !\n", true),
        ("+ AND -- + \n !", false),
    ] {
        let filter = filter.replace('+', "labels.env=lab").replace('!', "labels.env=prod");
        check(expected, &[&filter]);
    }
}

#[test]
fn a_list_of_values_is_compared_one_by_one() {
    check(
        true,
        &[
            r#"resource.type = ("gae_app" OR "cloud_run_revision")"#,
            "resource.type=(gae_app OR cloud_run_revision) AND severity>=WARNING",
            "jsonPayload.message:(cat hat)",
            "jsonPayload.message:(cat AND NOT dog)",
            "jsonPayload.invocation.attempt=(-1 OR 3)",
        ],
    );
    check(
        false,
        &["jsonPayload.message:(cat dog)", "NOT resource.type=(gae_app OR cloud_run_revision)"],
    );
}

#[test]
fn a_text_alone_is_looked_for_in_every_field() {
    check(
        true,
        &[
            "\"the cat in The hat\"",
            "apple",
            "cat hat",
            "(\"cat\" AND (\"bat\" OR \"hat\"))",
            "q/t",
            "503",
            "true",
            "us-central1",
        ],
    );
    check(false, &["unicorn", "NOT cat", "service_name", "3.5", "and"]);
}

#[test]
fn log_id_needs_no_percent_encoding() {
    check(true, &["log_id(\"run.googleapis.com/stdout\")", "LOG_ID(run.googleapis.com/stdout)"]);
    check(false, &["log_id(\"run.googleapis.com/stderr\")", "log_id(stdout)"]);
}

#[test]
fn what_is_no_filter_is_refused_with_the_place() {
    for (filter, said) in [
        ("resource.type=", "expected a value, found the end at line 1, column 15"),
        ("a=b", "an entry has no field \"a\"; expected one of httpRequest, insertId"),
        ("severity=ERROR\n  AND thud:1", "\"thud\"; expected one of httpRequest"),
        ("severity=ERROR\n  AND thud:1", "at line 2, column 7"),
        ("operation.thud=1", "operation has no field \"thud\"; expected one of first, id"),
        ("textPayload.thud=1", "textPayload has no fields, so no \"thud\""),
        ("labels.a.b=1", "a has no field \"b\"; a label with dots needs quotes"),
        ("(severity=ERROR", "expected \")\", found the end at line 1, column 16"),
        (
            "severity=ERROR)",
            "expected AND, OR, a comparison or the end, found ')' at line 1, column 15",
        ),
        ("insertId = abc:def", "found ':' at line 1, column 15"),
        ("OR cat", "expected a comparison or a text, found OR at line 1, column 1"),
        ("severity= AND cat", "expected a value, found AND at line 1, column 11"),
        ("cat AND", "expected a field, a text or a parenthesis, found the end"),
        ("severity>=LOUD", "expected one of DEFAULT, DEBUG"),
        ("timestamp>=yesterday", "expected a time such as"),
        ("httpRequest.status=many", "expected a number, found \"many\""),
        ("trace=\"abc", "the quote at line 1, column 7 is never closed"),
        ("trace=a*", "found '*' at line 1, column 8"),
        ("trace=*", "only : takes *"),
        ("trace=~\"(\"", "is no regular expression (RE2, without \\p)"),
        ("severity=~ERR", "expected a field of text"),
        ("trace=\"\\uD800\"", "no character has the code that is escaped at line 1, column 9"),
        ("SEARCH(\"hello\")", "does not have the function SEARCH at line 1, column 1; use log_id"),
        ("sample(insertId, 0.25)", "does not have the function sample"),
        ("ip_in_net(jsonPayload.ip, \"10.0.0.0/8\")", "does not have the function ip_in_net"),
        ("jsonPayload.=1", "expected what follows the dot, found '='"),
    ] {
        let fault = Filter::parse(filter).unwrap_err();
        assert_eq!(fault.http_status(), 400);
        assert!(fault.message.contains(said), "{filter}: {}", fault.message);
    }
}

#[test]
fn a_filter_is_neither_too_long_nor_too_deep() {
    let deep = |depth: usize| format!("{}cat{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&deep(49)).is_ok());
    for filter in [deep(50), "(".repeat(19_000), "NOT ".repeat(5000)] {
        let fault = Filter::parse(&filter).unwrap_err();
        assert!(fault.message.contains("nests deeper than 50 at line 1"), "{}", fault.message);
    }
    let wide = "cat OR ".repeat(2800) + "cat";
    assert!(Filter::parse(&wide).unwrap().matches(&entry()));
    let fault = Filter::parse(&"a".repeat(LONGEST + 1)).unwrap_err();
    assert!(fault.message.contains("longer than 20000 characters"), "{}", fault.message);
}
