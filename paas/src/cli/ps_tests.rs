use api::ps::TypeRow;

use super::super::text::tests::{hour_ago, view};
use super::*;

pub(in crate::cli) fn instance(name: &str, state: &str) -> InstanceRow {
    InstanceRow {
        name: name.to_owned(),
        release: "v7".to_owned(),
        state: state.to_owned(),
        since_unix_ms: hour_ago(),
        port: None,
        shim_pid: Some(4711),
        restarts: 0,
        check: None,
        hint: None,
        last_end: None,
        next_start_unix_ms: None,
    }
}

#[test]
fn processes_look_as_on_heroku_with_what_is_wrong_behind() {
    let reply = ListReply {
        app: "hello".to_owned(),
        release: Some("v7".to_owned()),
        stopped: false,
        types: vec![
            TypeRow {
                process_type: "web".to_owned(),
                command: "gunicorn app:app".to_owned(),
                count: 2,
                instances: vec![
                    InstanceRow { port: Some(20_017), ..instance("web.1", "up") },
                    InstanceRow { release: "v6".to_owned(), port: Some(20_018), restarts: 1, ..instance("web.2", "up") },
                ],
            },
            TypeRow {
                process_type: "worker".to_owned(),
                command: "python worker.py".to_owned(),
                count: 1,
                instances: vec![InstanceRow {
                    restarts: 4,
                    last_end: Some("exited 1".to_owned()),
                    next_start_unix_ms: Some(hour_ago() + 3_600_000 + 20_500),
                    ..instance("worker.1", "crashed")
                }],
            },
            TypeRow { process_type: "bot".to_owned(), command: "python bot.py".to_owned(), count: 0, instances: Vec::new() },
        ],
    };
    insta::assert_snapshot!(render_list(&reply, &view()), @r"
    === web: gunicorn app:app (2)

    web.1: up 2026/01/02 15:04:05 +0000 (~ 1h ago), port 20017
    web.2: up 2026/01/02 15:04:05 +0000 (~ 1h ago), v6, port 20018, 1 restart -> paas ps:why web.2

    === worker: python worker.py (1)

    worker.1: crashed 2026/01/02 15:04:05 +0000 (~ 1h ago), 4 restarts, last end: exited 1, starts again in 20s -> paas ps:why worker.1

    === bot: python bot.py (0)
    ");
}

#[test]
fn scaling_says_what_runs_now() {
    let reply = ScaleReply { formation: vec![("web".to_owned(), 2), ("worker".to_owned(), 1)], changed: vec!["web".to_owned()] };
    assert_eq!(render_scale(&reply), "web=2 worker=1\n");
    assert_eq!(scaled(&reply), "done, now running web at 2");
    assert_eq!(scaled(&ScaleReply { changed: Vec::new(), ..reply }), "done, nothing was different");
}
