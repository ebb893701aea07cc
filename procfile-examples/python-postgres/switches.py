"""Switches that break this app on purpose, so that one can watch what happens then.

They work only with SWITCHES=on and are forgotten when the process ends: they live
in a piece of memory that the workers share with the process that forked them.
"""

import mmap
import os
import signal
import threading

NAMES = ("hang", "crash", "500", "ignore-sigterm")

_memory = mmap.mmap(-1, len(NAMES))
_first_process = os.getpid()


def allowed():
    return os.environ.get("SWITCHES") == "on"


def is_on(name):
    return _memory[NAMES.index(name)] == 1


def turn_on(name):
    print(f"switch {name} is on", flush=True)
    if name == "crash":
        os.kill(_first_process, signal.SIGABRT)
    _memory[NAMES.index(name)] = 1


def obey():
    """What each request meets first."""
    if is_on("hang"):
        threading.Event().wait()
    return is_on("500")
