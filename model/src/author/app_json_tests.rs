use super::*;

fn parse(text: &str) -> AppJson {
    let (app, warnings) = AppJson::parse(text.as_bytes()).expect(text);
    assert!(warnings.is_empty(), "{warnings:?}");
    app
}

#[track_caller]
fn refused(text: &str) -> String {
    AppJson::parse(text.as_bytes()).expect_err(text).to_string()
}

fn web(check: &str) -> String {
    format!(r#"{{"healthchecks": {{"web": [{check}]}}}}"#)
}

#[test]
fn every_field_of_dokku_is_read_and_comes_back_from_its_text() {
    let app = parse(
        r#"{
            "name": "hello", "env": {"A": {"value": "1"}},
            "healthchecks": {
                "web": [
                    {"type": "startup", "name": "boot", "description": "x", "path": "/ready", "attempts": 30, "wait": 1,
                     "initialDelay": 2, "timeout": 3, "content": "ok", "scheme": "http", "warn": true,
                     "httpHeaders": [{"name": "X-Forwarded-Proto", "value": "https"}]},
                    {"type": "liveness", "path": "/live", "status": 204, "port": 9000},
                    {"type": "readiness", "status": [200, 503]},
                    {"listening": true}
                ],
                "worker": [{"type": "liveness", "command": ["bin/alive", "--now"]}, {"uptime": 30}, {}]
            },
            "formation": {"web": {"quantity": 2, "size": "eco"}, "worker": {"max_parallel": 1}},
            "scripts": {"postdeploy": "bin/seed", "dokku": {"predeploy": "bin/assets", "postdeploy": "bin/tell"}}
        }"#,
    );
    let web: ProcessType = ProcessType::web();
    let startup: Vec<_> = app.checks_of(&web, CheckKind::Startup).map(ToString::to_string).collect();
    assert_eq!(startup, ["boot", "listening"]);
    let liveness = app.checks_of(&web, CheckKind::Liveness).next().expect("a liveness check");
    assert_eq!((liveness.attempts, liveness.timeout_s, liveness.wait_s, liveness.port), (3, 5, 5, Some(9000)));
    let worker: ProcessType = "worker".parse().expect("a type");
    let worker: Vec<_> = app.checks[&worker].iter().map(ToString::to_string).collect();
    assert_eq!(worker, ["`bin/alive --now`", "up for 30 s", "up for 10 s"]);
    assert_eq!(app.formation, BTreeMap::from([(web, 2)]));
    assert_eq!(app.predeploy.as_deref(), Some("bin/assets"));
    assert_eq!((app.postdeploy.as_deref(), app.first_postdeploy.as_deref()), (Some("bin/tell"), Some("bin/seed")));
    assert_eq!(parse(&app.to_json()), app);
    assert_eq!(parse("{}").to_json(), "{}");
}

#[test]
fn what_does_nothing_is_told_and_not_refused() {
    let text = r#"{"healthcheck": {}, "scripts": {"test": "x"}, "healthchecks": {"web": [
        {"path": "/", "port": 5000, "atempts": 9, "onFailure": {"command": ["rm"]}}]}}"#;
    let (app, warnings) = AppJson::parse(text.as_bytes()).expect("read");
    assert_eq!(warnings.len(), 5, "{warnings:#?}");
    assert_eq!(app.checks[&ProcessType::web()][0].port, None);
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    assert_eq!(refused("{\n  \"healthchecks\": {,}\n}"), "app.json:2:20: key must be a string");
    assert_eq!(refused("[]"), "app.json: not an object");
    assert_eq!(refused(&web(r#"{"type": "live"}"#)), "app.json: healthchecks.web[0].type: not a kind of check");
    assert_eq!(refused(&web(r#"{"path": "healthz"}"#)), "app.json: healthchecks.web[0].path: not the path of a URL");
    assert_eq!(refused(&web(r#"{"path": "/", "command": ["x"]}"#)), "app.json: healthchecks.web[0].path: one check does one thing");
    assert_eq!(
        refused(&web(r#"{"scheme": "https"}"#)),
        "app.json: healthchecks.web[0].scheme: checks speak plain HTTP, as the router does"
    );
    for check in [
        r#"{"path": "/ x"}"#,
        r#"{"path": "/\r\nX: y"}"#,
        r#"{"attempts": 0}"#,
        r#"{"attempts": -1}"#,
        r#"{"timeout": "5"}"#,
        r#"{"wait": 0}"#,
        r#"{"initialDelay": 99999}"#,
        r#"{"uptime": 99999}"#,
        r#"{"status": 99}"#,
        r#"{"port": 0}"#,
        r#"{"port": 70000}"#,
        r#"{"command": [""]}"#,
        r#"{"command": "bin/check"}"#,
        r#"{"name": "a\u001b[2J"}"#,
        r#"{"httpHeaders": [{"name": "X Y", "value": "1"}]}"#,
        r#"{"httpHeaders": [{"name": "X", "value": "1\r\nHost: evil"}]}"#,
        "7",
    ] {
        let text = refused(&web(check));
        assert!(text.starts_with("app.json: healthchecks.web[0]"), "{check}: {text}");
    }
    for text in [
        r#"{"healthchecks": {"worker": [{"path": "/"}]}}"#,
        r#"{"healthchecks": {"worker": [{"listening": true}]}}"#,
        r#"{"healthchecks": {"a b": []}}"#,
        r#"{"healthchecks": []}"#,
        r#"{"formation": {"web": {"quantity": 1000}}}"#,
        r#"{"scripts": {"predeploy": "a\u0000"}}"#,
    ] {
        refused(text);
    }
    refused(&web(&[r#"{"path": "/"}"#; limits_checks()].join(",")));
}

const fn limits_checks() -> usize {
    crate::limits::CHECKS_PER_TYPE_MAX + 1
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(text in "\\PC*|[\\[\\]{}\":,0-9a-z ]{0,80}") {
        let _ = AppJson::parse(text.as_bytes());
        let _ = AppJson::parse(web(&text).as_bytes());
    }
}
