"""A chat bot that keeps one connection to a gateway and must never run twice.

Two copies of a bot log in twice and answer everything twice. The gateway of this
example gives out one session at a time and refuses a second one:

    bot      LOGIN worker.1 5f0c…      gateway  READY | REFUSED why
    bot      BEAT                      gateway  OK

GATEWAY=host:port names it; without it the bot talks to a simulated one.
"""

import os
import random
import signal
import socket
import sys
import time
import uuid

BEAT_SECONDS = 1.0
ANSWER_TIMEOUT_SECONDS = 5.0
BACK_OFF_SECONDS = (0.25, 10.0)


def say(text):
    print(text, flush=True)


class SimulatedGateway:
    """Always lets the bot in; loses the connection now and then, as real ones do."""

    def ask(self, line):
        if line == "BEAT" and random.random() < 0.02:
            raise ConnectionError("the simulated gateway hung up")
        return "READY" if line.startswith("LOGIN") else "OK"

    def close(self):
        pass


class Gateway:
    """One line there, one line back."""

    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=ANSWER_TIMEOUT_SECONDS)
        self.lines = self.socket.makefile("r", encoding="utf-8")

    def ask(self, line):
        self.socket.sendall(f"{line}\n".encode())
        answer = self.lines.readline(200)
        if not answer:
            raise ConnectionError("the gateway hung up")
        return answer.strip()

    def close(self):
        self.lines.close()
        self.socket.close()


def session(name):
    """One login, then heartbeats until the connection breaks."""
    address = os.environ.get("GATEWAY")
    gateway = Gateway(address) if address else SimulatedGateway()
    try:
        answer = gateway.ask(f"LOGIN {os.environ.get('DYNO', 'worker.1')} {name}")
        if answer != "READY":
            raise ConnectionError(answer)
        say(f"READY session {name} at {address or 'the simulated gateway'}")
        yield
        while True:
            time.sleep(BEAT_SECONDS)
            gateway.ask("BEAT")
    finally:
        gateway.close()


def stop(*_):
    sys.exit(0)


def keep_connected(name):
    shortest, longest = BACK_OFF_SECONDS
    back_off = shortest
    while True:
        try:
            for _ in session(name):
                back_off = shortest
        except OSError as error:
            # A random part, so that many bots do not come back all at once.
            wait = back_off * random.uniform(0.75, 1.25)
            say(f"no connection ({error}): trying again in {wait:.1f} s")
            time.sleep(wait)
            back_off = min(back_off * 2, longest)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    name = uuid.uuid4().hex[:12]
    try:
        keep_connected(name)
    finally:
        say(f"session {name} ends")
