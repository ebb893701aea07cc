//! The commands that are about one app.

use super::support::http::Request;
use super::support::{Host, RequestLoop, SOON, small, wait_until};

#[test]
fn apps_create_prints_the_urls_and_sets_the_remote() {
    let host = Host::start();
    let checkout = host.checkout("node-web");
    let created = host.paas_in(checkout.folder(), &["apps:create", "hello"]).expect_ok();
    created.clone().expect_text("Creating hello... done").expect_text("http://hello.localhost:");
    assert_eq!(checkout.git(&["config", "remote.paas.url"]).expect_ok().stdout, "file:///hello\n");
    checkout.git(&["config", "remote.paas.receivepack"]).expect_ok().expect_text("internal door");
    let listed = host.paas(&["apps", "--json"]).expect_ok().json();
    assert_eq!(listed["apps"][0]["name"], "hello");
}

#[test]
fn an_app_has_a_lasting_port_that_needs_no_dns() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let port = app.lasting_port();
    assert!(host.seat.apps().contains(&port), "{port}");
    let answer = Request::get("anything.example", "/").send(port).expect("an answer");
    assert_eq!((answer.status, answer.json()["version"].clone()), (200, "one".into()));
    let unknown = Request::get("anything.example", "/").send(host.seat.http()).expect("an answer");
    assert_eq!(unknown.status, 404);
    assert!(!unknown.body.contains("small"), "{}", unknown.body);
}

#[test]
fn scaling_up_and_down_fails_no_request() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let visitors = RequestLoop::start(&host, "small");
    app.paas(&["ps:scale", "web=3"]).expect_ok().expect_text("Scaling processes... done, now running web at 3");
    app.up("web.2");
    app.up("web.3");
    app.paas(&["ps"]).expect_ok().expect_text("=== web: bin/web (3)").expect_text("web.2: up");
    app.paas(&["ps:restart"]).expect_ok();
    app.paas(&["ps:scale", "web-2"]).expect_ok();
    wait_until("two of them are gone", SOON, || app.instance("web.3").is_none_or(|row| row["state"] == "down").then_some(()));
    visitors.stop().expect_no_failure();
    assert_eq!(app.up("web.1")["release"], "v1");
}

#[test]
fn ps_stop_and_ps_start_keep_the_formation() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    app.paas(&["ps:stop"]).expect_ok();
    wait_until("nobody answers", SOON, || (host.get("small", "/").status == 503).then_some(()));
    app.paas(&["ps:start"]).expect_ok();
    assert_eq!(host.facts("small")["version"], "one");
}

#[test]
fn run_passes_output_and_exit_code_through() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let ran = app.paas(&["run", "bin/seven"]).expect_code(7);
    assert_eq!(ran.stdout, "in /app as run.1\n");
    ran.expect_text("complaint");
    app.paas(&["run", "true"]).expect_ok();
    app.paas(&["run", "no-such-command"]).expect_code(127);
    let environment = app.paas(&["run", "env"]).expect_ok().stdout;
    for wanted in ["APP=small", "HOME=/app", "LANG=C.UTF-8", "RELEASE_VERSION=v1", "DATABASE_URL=postgresql://"] {
        assert!(environment.lines().any(|line| line.starts_with(wanted)), "no {wanted} in:\n{environment}");
    }
    assert!(!environment.contains("PAAS_ROOT"), "{environment}");
}

#[test]
fn a_command_inside_an_instance_sees_its_files_user_and_environment_and_nothing_of_others() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let other = small::serve(&host, "other");
    let exec = |words: &[&str]| app.paas(&[&["ps:exec", "web.1"], words].concat());
    exec(&["echo left > /tmp/left; exit 7"]).expect_code(7);
    assert_eq!(exec(&["cat", "/tmp/left"]).expect_ok().stdout, "left\n", "the same /tmp");
    assert_eq!(exec(&["bin/seven"]).expect_code(7).stdout, "in /app as web.1\n");
    exec(&["no-such-command"]).expect_code(127);

    // The process of the app, as it is seen from beside it.
    let process = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | grep -q '^/usr/bin/python3 bin/web' && break; done; ";
    let environment =
        exec(&[&format!("{process} tr '\\0' '\\n' < $p/environ | sort > /tmp/of-app; env | sort | diff /tmp/of-app - | grep '^[<>]'")])
            .stdout;
    let differs = |line: &&str| !["_=", "SHLVL=", "PWD=", "OLDPWD="].iter().any(|own| line[2..].starts_with(own));
    assert_eq!(environment.lines().filter(differs).collect::<Vec<_>>(), Vec::<&str>::new(), "the environment of the app");
    let rights = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs|Seccomp:)'";
    exec(&[&format!("{process} diff <({rights} $p/status) <({rights} /proc/self/status)")]).expect_ok();
    let port = app.up("web.1")["port"].to_string();
    assert_eq!(exec(&["sh", "-c", "echo $PORT"]).expect_ok().stdout.trim(), port);

    other.paas(&["ps:exec", "web.1", "echo secret > /data/secret; echo secret > /app/secret"]).expect_ok();
    let seen =
        exec(&["cat /data/secret /app/secret; ls /proc | grep -c '^[0-9]'; ls -A /data; cat /proc/[0-9]*/environ | grep -ac APP=other"])
            .stdout;
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.len(), 2, "no secret: {seen}");
    assert!(lines[0].parse::<u32>().is_ok_and(|processes| processes < 12) && lines[1] == "0", "{seen}");
    exec(&["ls", host.root().to_str().expect("a path")]).expect_code(2);

    let mut shell = host.paas_command(&["ps:exec", "-a", "small", "web.1"]);
    let mut shell = shell.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().expect("paas ps:exec");
    std::io::Write::write_all(&mut shell.stdin.take().expect("stdin"), b"echo in a shell of $DYNO; exit 9\n").expect("typed");
    let shell = shell.wait_with_output().expect("paas ps:exec");
    assert_eq!((String::from_utf8_lossy(&shell.stdout).as_ref(), shell.status.code()), ("in a shell of web.1\n", Some(9)));

    app.paas(&["ps:exec", "web.7", "true"]).expect_code(3).expect_text("small has no web.7");
    assert_eq!(host.facts("small")["version"], "one", "the app was not disturbed");
}

#[test]
fn a_command_inside_an_instance_ends_with_its_client_and_with_the_instance() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let begin = |name: &str| {
        let script = format!("touch /tmp/{name}; setsid sleep 7{0} & sleep 7{0}", host.seat.http());
        let client = host.paas_command(&["ps:exec", "-a", "small", "web.1", &script]).stdout(std::process::Stdio::piped()).spawn();
        let client = client.expect("paas ps:exec");
        wait_until("it has begun", SOON, || {
            (app.paas(&["ps:exec", "web.1", "test", "-e", &format!("/tmp/{name}")]).code == 0).then_some(())
        });
        client
    };
    let count = format!("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -cx '[7]{}' || true", host.seat.http());
    let mut gone = begin("first");
    gone.kill().expect("the client is killed");
    gone.wait().expect("paas ps:exec");
    wait_until("nothing of it is left", SOON, || (app.paas(&["ps:exec", "web.1", &count]).stdout.trim() == "0").then_some(()));

    let held = begin("second");
    app.paas(&["ps:restart"]).expect_ok();
    let held = held.wait_with_output().expect("paas ps:exec");
    assert!(!held.status.success(), "{held:?}");
    wait_until("the next one runs, alone", SOON, || (app.paas(&["ps:exec", "web.1", &count]).stdout.trim() == "0").then_some(()));
}

#[test]
fn logs_show_app_paas_and_router_by_time_process_and_source() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    host.get("small", "/found/me");
    app.wait_for_log("app[web.1]: serving version one", SOON);
    let line = app.wait_for_log("path=\"/found/me\"", SOON);
    assert!(line.contains("paas[router]: at=info method=GET") && line.contains("status=200"), "{line}");
    let stamps: Vec<String> = app.logs().lines().map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert!(stamps.is_sorted() && stamps.iter().all(|stamp| stamp.len() == "2026-01-02T15:04:05.123456+00:00".len()), "{stamps:?}");
    app.paas(&["logs", "-p", "web"]).expect_ok().expect_text("serving version one").expect_no_text("paas[router]");
    app.paas(&["logs", "-s", "router"]).expect_ok().expect_text("/found/me").expect_no_text("serving version one");
    assert_eq!(app.paas(&["logs", "-n", "1"]).expect_ok().stdout.lines().count(), 1);
}

#[test]
fn logs_tail_follows_and_ends_when_nobody_reads() {
    use std::io::{BufRead, BufReader};
    let host = Host::start();
    let app = small::serve(&host, "small");
    let mut tail = host.paas_command(&["logs", "-t", "-a", "small"]).stdout(std::process::Stdio::piped()).spawn().expect("paas logs");
    let mut lines = BufReader::new(tail.stdout.take().expect("stdout")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("serving version one")));
    host.get("small", "/while/tailing");
    assert!(lines.any(|line| line.contains("/while/tailing")));
    drop(lines);
    host.get("small", "/nobody/reads");
    wait_until("the tail has ended", SOON, || {
        host.get("small", "/nobody/reads");
        tail.try_wait().expect("paas logs")
    });
    app.up("web.1");
}

#[test]
fn psql_speaks_as_the_role_of_the_app_to_its_own_database_only() {
    let host = Host::start();
    let hello = host.create("hello", host.checkout("python-postgres"));
    hello.push().expect_accepted();
    small::serve(&host, "other");
    hello.paas(&["pg:psql", "-c", "select count(*) from proverbs"]).expect_ok().expect_text("12");
    hello.paas(&["pg:info"]).expect_ok().expect_text("PostgreSQL");
    hello.paas(&["pg:psql", "-c", "drop database postgres"]).expect_code(1).expect_text("must be owner of database postgres");
    for other in ["postgres", "template1", "d2"] {
        let refused = hello.paas(&["pg:psql", "-c", &format!("\\connect {other}")]);
        refused.expect_code(1).expect_text("pg_hba.conf rejects connection").expect_text(&format!("database \"{other}\""));
    }
    let url = |app: &str| host.paas(&["config:get", "DATABASE_URL", "-a", app]).expect_ok().stdout;
    assert!(url("hello").starts_with("postgresql://") && url("hello") != url("other"));
}

#[test]
fn an_app_without_a_database_gets_none() {
    let host = Host::start();
    let checkout = host.checkout("node-web");
    host.paas_in(checkout.folder(), &["apps:create", "plain", "--no-database"]).expect_ok();
    assert_eq!(host.paas(&["pg:info", "-a", "plain", "--json"]).expect_ok().json()["kind"], "none");
}

#[test]
fn apps_destroy_asks_for_the_name_and_leaves_nothing() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let process = app.process("web.1");
    host.paas(&["apps:destroy", "-a", "small"]).expect_code(4).expect_text("needs its name again");
    host.paas(&["apps:destroy", "-a", "small", "--confirm", "smell"]).expect_code(4);
    assert_eq!(host.facts("small")["version"], "one");
    host.paas(&["apps:destroy", "-a", "small", "--confirm", "small"]).expect_ok();
    host.paas(&["apps:info", "-a", "small"]).expect_code(3);
    assert_eq!(host.get("small", "/").status, 404);
    wait_until("its process is gone", SOON, || (!super::support::processes::is_alive(process)).then_some(()));
    for folder in ["repositories", "data", "releases", "layers", "runs", "cache"] {
        wait_until(&format!("its {folder} are gone"), SOON, || (!host.root().join(folder).join("1").exists()).then_some(()));
    }
    let again = small::create(&host, "small");
    again.push().expect_accepted();
    assert_eq!(again.release(), "v1");
}

#[test]
fn an_app_can_be_renamed_and_keeps_serving() {
    let host = Host::start();
    let app = small::serve(&host, "small");
    let port = app.lasting_port();
    host.get("small", "/before-the-rename");
    app.wait_for_log("/before-the-rename", SOON);
    app.paas(&["apps:rename", "large"]).expect_ok();
    assert_eq!(host.facts("large")["version"], "one");
    assert_eq!(app.lasting_port(), port);
    wait_until("its lasting port answers", SOON, || {
        Request::get("anything.example", "/").send(port).is_ok_and(|answer| answer.status == 200).then_some(())
    });
    wait_until("the old name is gone", SOON, || (host.get("small", "/").status == 404).then_some(()));
    // What the router wrote stays with the app, and does not pass to another of its old name.
    app.wait_for_log("/before-the-rename", SOON);
    let other = small::serve(&host, "small");
    host.get("small", "/of-the-other");
    other.wait_for_log("/of-the-other", SOON);
    let lines = other.paas(&["logs", "-s", "router", "-n", "100"]).expect_ok();
    lines.expect_text("/of-the-other").expect_no_text("before-the-rename");
}
