"""Settings of the web server. Gunicorn reads PORT and WEB_CONCURRENCY by itself."""

import signal

import switches

# One import before the workers are forked: they share the switches, and the
# first request finds a warm process.
preload_app = True
# Threads, so that one slow visitor does not stop the others of a worker.
worker_class = "gthread"
threads = 4
# What the platform's router waits for a first byte, and a little more.
timeout = 35
graceful_timeout = 20
# The heartbeat files of the workers: in memory where there is such a folder.
worker_tmp_dir = "/dev/shm"

control_socket_disable = True


def when_ready(server):
    """Lets the switch `ignore-sigterm` decide what a SIGTERM means."""
    stop = signal.getsignal(signal.SIGTERM)

    def maybe_stop(number, frame):
        if not switches.is_on("ignore-sigterm"):
            stop(number, frame)

    signal.signal(signal.SIGTERM, maybe_stop)
