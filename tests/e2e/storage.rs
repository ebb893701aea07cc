//! What of `/app` lasts, and what is told of the rest.

use serde_json::Value;

use super::support::checkout::Checkout;
use super::support::{App, Host, SOON, wait_until};

/// Writes a row into a database and a file at each `/add`, as apps do that were made for a
/// machine of their own; the database stays open, so that its last rows are beside it.
const WEB: &str = r#"#!/usr/bin/python3
import http.server, json, os, pathlib, sqlite3

VERSION = "one"
uploads = pathlib.Path("uploads")
db = None


def open_db():
    global db
    if db is None:
        db = sqlite3.connect("app.db", check_same_thread=False)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY)")
    return db


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/add":
            with open_db() as added:
                added.execute("INSERT INTO rows DEFAULT VALUES")
            uploads.mkdir(exist_ok=True)
            (uploads / f"{len(list(uploads.iterdir()))}.txt").write_text("uploaded")
        there = os.path.exists("app.db")
        facts = {
            "version": VERSION,
            "release": os.environ["RELEASE_VERSION"],
            "host": os.uname().nodename,
            "rows": open_db().execute("SELECT count(*) FROM rows").fetchone()[0] if there else 0,
            "uploads": len(list(uploads.iterdir())) if uploads.is_dir() else 0,
        }
        body = json.dumps(facts).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

fn create<'h>(host: &'h Host, name: &str) -> App<'h> {
    let files = [("Procfile", "web: bin/web\n"), ("bin/web", WEB), ("notes/first.txt", "from the slug\n")];
    let app = host.create(name, Checkout::of_files(host, &files));
    app.push().expect_accepted();
    app
}

/// What another run says than the one that said `before`.
#[track_caller]
fn facts_of_next_run(host: &Host, app: &str, before: &Value) -> Value {
    wait_until("another run answers", SOON, || Some(host.facts(app)).filter(|facts| facts["host"] != before["host"]))
}

#[track_caller]
fn expect_content(facts: &Value, count: u32) {
    assert_eq!((&facts["rows"], &facts["uploads"]), (&count.into(), &count.into()), "{facts}");
}

#[test]
fn a_kept_path_survives_a_restart_and_a_deploy() {
    let host = Host::start();
    let app = create(&host, "small");
    for _ in 0..2 {
        assert_eq!(host.get("small", "/add").status, 200);
    }
    let before = host.facts("small");
    expect_content(&before, 2);
    app.paas(&["storage:keep", "app.db", "uploads", "notes"]).expect_ok().expect_text("restarting web.1");
    let kept = facts_of_next_run(&host, "small", &before);
    expect_content(&kept, 2);
    assert_eq!(host.get("small", "/add").status, 200);
    app.paas(&["ps:restart"]).expect_ok();
    let restarted = facts_of_next_run(&host, "small", &kept);
    expect_content(&restarted, 3);
    app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted();
    let deployed = host.facts("small");
    assert_eq!(deployed["version"], "two");
    expect_content(&deployed, 3);
    app.paas(&["ps:exec", "web.1", "--", "cat", "notes/first.txt"]).expect_ok().expect_text("from the slug");
    let storage = app.paas(&["storage", "--json"]).expect_ok().json();
    let rows = storage["kept"].as_array().expect("rows");
    assert_eq!(rows.iter().map(|row| row["path"].as_str().expect("path")).collect::<Vec<_>>(), ["app.db", "notes", "uploads"]);
    assert_eq!((&rows[2]["bytes"], &rows[2]["files"]), (&24.into(), &3.into()), "{storage}");
    assert!(storage["bytes"].as_u64() > rows[0]["bytes"].as_u64(), "{storage}");
    app.paas(&["storage:keep", "--remove", "app.db"]).expect_ok();
    assert_eq!(facts_of_next_run(&host, "small", &deployed)["rows"], 0);
    app.paas(&["storage:keep", "app.db"]).expect_ok();
    wait_until("what was kept is back", SOON, || (host.facts("small")["rows"] == 3).then_some(()));
}

#[test]
fn paths_that_leave_the_app_are_not_kept() {
    let host = Host::start();
    let app = create(&host, "small");
    for path in ["../data", "/etc", "a/../../b", "a\u{1b}[31mb"] {
        app.paas(&["storage:keep", path]).expect_code(2).expect_text("relative to /app");
    }
    app.paas(&["storage:keep", "uploads/", "uploads/deep"]).expect_code(4).expect_text("lie in each other");
    assert_eq!(app.paas(&["storage", "--json"]).expect_ok().json()["kept"], serde_json::json!([]));
}

#[test]
fn an_app_that_writes_a_database_file_is_told_before_it_loses_it() {
    let host = Host::start();
    let app = create(&host, "small");
    assert_eq!(host.get("small", "/add").status, 200);
    let before = host.facts("small");
    app.paas(&["ps:restart"]).expect_ok();
    let after = facts_of_next_run(&host, "small", &before);
    expect_content(&after, 0);
    let keep = "paas storage:keep app.db uploads/ -a small";
    let told = app.wait_for_log("Left in /app", SOON);
    assert!(told.contains("paas[web.1]") && told.contains("uploads/ (1 file, 8 B)") && told.contains(keep), "{told}");
    app.paas(&["ps:why", "web.1"]).expect_ok().expect_text("left in /app and lost: app.db (").expect_text(keep);
    // The same again is no news, whatever ends the run.
    assert_eq!(host.get("small", "/add").status, 200);
    app.push_change("bin/web", "VERSION = \"one\"", "VERSION = \"two\"").expect_accepted();
    assert_eq!(host.get("small", "/add").status, 200);
    let before = host.facts("small");
    app.paas(&["ps:restart"]).expect_ok();
    facts_of_next_run(&host, "small", &before);
    assert_eq!(app.logs().matches("Left in /app").count(), 1, "{}", app.logs());
}

/// Leaves links that lead out, names that would drive a terminal, and a folder without rights.
const LITTER: &str = r#"#!/usr/bin/python3
import os, sys, time

os.symlink("/etc/passwd", "passwd")
os.symlink("/usr", "usr")
os.symlink("..", "up")
with open("odd\x1b[31m\nname", "w") as odd:
    odd.write("x" * 2000)
with open("it's here.txt", "w") as here:
    here.write("x" * 1000)
os.mkdir("shut")
with open("shut/file", "w") as file:
    file.write("x")
os.chmod("shut", 0)
os.mkfifo("pipe")
print("littered", flush=True)
time.sleep(1000)
"#;

#[test]
fn odd_leavings_lead_nobody_out_and_are_shown_escaped() {
    let host = Host::start();
    let app = host.create("litter", Checkout::of_files(&host, &[("Procfile", "worker: bin/worker\n"), ("bin/worker", LITTER)]));
    app.push().expect_accepted();
    app.paas(&["ps:scale", "worker=1"]).expect_ok();
    app.wait_for_log("littered", SOON);
    app.paas(&["ps:scale", "worker=0"]).expect_ok();
    let told = app.wait_for_log("Left in /app", SOON);
    let what = r"odd\u{1b}[31m\u{a}name (2.0 KB), it's here.txt (1.0 KB); from now on it stays with: paas storage:keep 'it'\''s here.txt' -a litter";
    assert!(told.ends_with(what), "{told}");
}
