"""A small web page that shows who answers and what its database holds."""

import os
import socket

from flask import Flask, jsonify, render_template, request

import database
import switches

VERSION = "one"

app = Flask(__name__)
app.json.sort_keys = False


def facts():
    return {
        "app": os.environ.get("APP", "hello"),
        "host": socket.gethostname(),
        "asked_as": request.host,
        "instance": os.environ.get("DYNO", "web.1"),
        "release": os.environ.get("RELEASE_VERSION", "not released"),
        "version": VERSION,
        "pid": os.getpid(),
        "database": database.kind(),
    }


@app.before_request
def broken_on_purpose():
    if switches.obey():
        return "broken on purpose: the switch 500 is on\n", 500


@app.get("/")
def page():
    try:
        rows, trouble, status = database.random_rows(), None, 200
    except Exception as error:
        app.logger.exception("the database does not answer")
        rows, trouble, status = [], str(error).strip(), 503
    if request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json":
        return jsonify(facts() | {"rows": rows, "trouble": trouble}), status
    return render_template("page.html", facts=facts(), rows=rows, trouble=trouble), status


@app.get("/healthz")
def health():
    return "ok\n"


@app.post("/switch/<name>")
def switch(name):
    if not switches.allowed():
        return "switches work only with SWITCHES=on\n", 403
    if name not in switches.NAMES:
        return f"there is no switch {name!r}: choose one of {', '.join(switches.NAMES)}\n", 404
    switches.turn_on(name)
    return f"switch {name} is on\n"
