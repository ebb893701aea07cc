//! A web app without dependencies, so that its build takes no time: what tests use that
//! are not about an example.

use super::checkout::{App, Checkout};
use super::host::Host;

/// Answers with the same facts as the examples.
pub(crate) const WEB: &str = r#"#!/usr/bin/python3
import http.server, json, os

VERSION = "one"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        facts = {"version": VERSION, "release": os.environ["RELEASE_VERSION"], "instance": os.environ["DYNO"], "word": os.environ.get("WORD")}
        body = json.dumps(facts).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


print("serving version", VERSION, flush=True)
Server(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// Ends with 7, prints where it runs.
const SEVEN: &str = "#!/bin/sh\necho \"in $PWD as $DYNO\"\necho \"complaint\" >&2\nexit 7\n";

/// Waits at the gate whose address is in GATE, then ends with 0.
pub(crate) const WAIT_AT_GATE: &str = r#"#!/usr/bin/python3
import os, socket, sys

host, port = os.environ["GATE"].rsplit(":", 1)
print("waiting at the gate", flush=True)
with socket.create_connection((host, int(port))) as gate:
    sys.exit(0 if gate.recv(2) == b"go" else 1)
"#;

/// The files of the small app.
pub(crate) const FILES: &[(&str, &str)] = &[("Procfile", "web: bin/web\n"), ("bin/web", WEB), ("bin/seven", SEVEN)];

/// The small app, created and not yet pushed.
#[track_caller]
pub(crate) fn create<'h>(host: &'h Host, name: &str) -> App<'h> {
    host.create(name, Checkout::of_files(host, FILES))
}

/// The small app, pushed and answering.
#[track_caller]
pub(crate) fn serve<'h>(host: &'h Host, name: &str) -> App<'h> {
    let app = create(host, name);
    app.push().expect_accepted();
    assert_eq!(host.facts(name)["version"], "one");
    app
}

/// Gives an app a release phase that waits at the gate.
pub(crate) fn wait_in_release_phase(app: &App<'_>) {
    app.checkout.write("bin/release", WAIT_AT_GATE);
    app.checkout.write("Procfile", "web: bin/web\nrelease: bin/release\n");
}

/// Makes an app's build wait at the gate: npm runs `build`.
pub(crate) fn wait_in_build(app: &App<'_>) {
    app.checkout.write("bin/wait", WAIT_AT_GATE);
    app.checkout.write("package.json", r#"{"name": "small", "version": "1.0.0", "private": true, "scripts": {"build": "bin/wait"}}"#);
    let lockfile = r#"{"name": "small", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {"": {"name": "small", "version": "1.0.0"}}}"#;
    app.checkout.write("package-lock.json", lockfile);
}
