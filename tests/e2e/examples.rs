//! Each example, pushed by real git.

use super::support::gateway::Gateway;
use super::support::{Host, SOON};

#[test]
fn the_flask_example_answers_with_rows_of_its_own_database() {
    let host = Host::start();
    let hello = host.create("hello", host.checkout("python-postgres"));
    let pushed = hello.push().expect_accepted();
    for step in [
        "-----> Python app detected (requirements.txt)",
        "-----> Using Python 3",
        "-----> Discovering process types",
        "-----> Compressing slug... done",
        "12 proverbs in the table",
        "-----> Release v1: starting web.1",
        "web.1 healthy after",
        "http://hello.localhost",
        "s in all",
    ] {
        pushed.clone().expect_text(step);
    }
    let facts = host.facts("hello");
    assert_eq!((&facts["app"], &facts["instance"], &facts["release"]), (&"hello".into(), &"web.1".into(), &"v1".into()));
    assert_eq!(facts["database"], "PostgreSQL");
    assert_eq!(facts["rows"].as_array().map(Vec::len), Some(3));
    let page = host.get("hello", "/");
    assert!(page.body.contains("<title>hello v1</title>"), "{}", page.body);
    assert_eq!(host.get("hello", "/healthz").body, "ok\n");
}

#[test]
fn the_node_example_answers_and_streams() {
    let host = Host::start();
    let app = host.create("node-web", host.checkout("node-web"));
    app.push().expect_accepted().expect_text("-----> Node.js app detected (package.json)").expect_text("s in all");
    assert_eq!(host.facts("node-web")["version"], "one");
    assert_eq!(host.get("node-web", "/slow?wait=300ms").body, "one after 300ms\n");
    let body = vec![b'x'; 300_000];
    let mirror = super::support::http::Request { body: &body, ..super::support::http::Request::post("node-web.localhost", "/mirror") };
    assert_eq!(host.send(&mirror).expect("an answer").body.len(), body.len());
}

#[test]
fn worker_and_clock_run_once_each_without_a_web_process() {
    let host = Host::start();
    let jobs = host.create("jobs", host.checkout("worker-and-clock"));
    jobs.push().expect_accepted();
    jobs.wait_for_log("app[worker.1]: job 2 done", SOON);
    jobs.wait_for_log("app[clock.1]: tick 2", SOON);
    jobs.up("worker.1");
    jobs.up("clock.1");
    jobs.paas(&["ps"]).expect_ok().expect_text("=== worker: bin/worker (1)").expect_text("=== clock: bin/clock (1)");
    jobs.paas(&["ps:scale", "worker=2"]).expect_ok().expect_text("Scaling processes... done, now running worker at 2");
    jobs.wait_for_log("app[worker.2]: job 1 done", SOON);
    let none = host.get("jobs", "/");
    assert!(none.status >= 400, "{} {}", none.status, none.body);
}

#[test]
fn the_bot_logs_in_reconnects_and_never_runs_twice() {
    let (host, gateway) = (Host::start(), Gateway::open());
    let bot = host.create("bot", host.checkout("discord-style-bot"));
    bot.paas(&["config:set", &format!("GATEWAY={}", gateway.address)]).expect_ok();
    bot.push().expect_accepted();
    bot.wait_for_log("app[worker.1]: READY session", SOON);
    gateway.hang_up();
    bot.wait_for_log("no connection (the gateway hung up): trying again", SOON);
    super::support::wait_until("the bot is back", SOON, || (gateway.logins().len() == 2).then_some(()));

    bot.push_change("bot.py", "BEAT_SECONDS = 1.0", "BEAT_SECONDS = 0.5").expect_accepted();
    super::support::wait_until("the new bot is there", SOON, || (gateway.logins().len() == 3).then_some(()));
    bot.paas(&["ps:restart", "worker.1"]).expect_ok();
    super::support::wait_until("the bot is there again", SOON, || (gateway.logins().len() == 4).then_some(()));
    super::support::processes::kill_hard(bot.process("worker.1"));
    super::support::wait_until("the bot is there once more", SOON, || (gateway.logins().len() == 5).then_some(()));
    bot.paas(&["rollback"]).expect_ok();
    super::support::wait_until("the old bot is there", SOON, || (gateway.logins().len() == 6).then_some(()));
    gateway.expect_never_twice();
}
