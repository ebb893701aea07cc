"""One class per supervisor: how it is told what to run, how it starts and stops."""
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import processes

QUIET = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def package_version(package):
    shown = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
    return shown.stdout.strip() or "?"


class Contestant:
    needs = package = ""

    def __init__(self, folder, probe):
        self.folder, self.probe, self.process = Path(folder), probe, None
        self.events = self.folder / "events"
        self.events.touch()

    @classmethod
    def missing(cls):
        return None if shutil.which(cls.needs) else f"{cls.needs} is not installed (Debian package {cls.package})"

    def argv(self, *more):
        return [self.probe, str(self.events), *more]

    def launch(self, *command):
        self.process = subprocess.Popen(command, cwd=self.folder, start_new_session=True, **QUIET)

    def keepers(self):
        """Everything of the supervisor, loggers included, and not the supervised."""
        return [pid for pid in processes.below([self.process.pid]) if "probe" not in processes.words(pid)[0]]

    def children(self):
        return [pid for pid in processes.below([self.process.pid]) if processes.words(pid)[0].endswith("probe")]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)

    def end(self):
        """Whatever happened: nothing stays."""
        if self.process:
            for pid in processes.below([self.process.pid]):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()

    def logged(self):
        return b"".join(file.read_bytes() for file in sorted((self.folder / "logs").rglob("*")) if file.is_file())


def script(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


class Runit(Contestant):
    name, needs, package = "runit + svlogd", "runsvdir", "runit"

    def configure(self, count, *more):
        for number in range(count):
            service, log = self.folder / "sv" / f"p{number}", self.folder / "logs" / f"p{number}"
            log.mkdir(parents=True)
            (log / "config").write_text("s1000000000\n")
            script(service / "run", f"exec 2>&1\nexec {' '.join(self.argv(*more))}\n")
            script(service / "log/run", f"exec svlogd -tt {log}\n")

    def start(self):
        self.launch("runsvdir", "-P", str(self.folder / "sv"))

    def stop(self):
        self.process.send_signal(signal.SIGHUP)


class S6(Contestant):
    name, needs, package = "s6 + s6-log", "s6-svscan", "s6"

    def configure(self, count, *more):
        for number in range(count):
            service, log = self.folder / "sv" / f"p{number}", self.folder / "logs" / f"p{number}"
            log.mkdir(parents=True)
            script(service / "run", f"exec 2>&1\nexec {' '.join(self.argv(*more))}\n")
            script(service / "log/run", f"exec s6-log -b T s1000000000 {log}\n")

    def start(self):
        self.launch("s6-svscan", "-c", "2000", str(self.folder / "sv"))


class Supervisord(Contestant):
    name, needs, package = "supervisord", "supervisord", "supervisor"

    def configure(self, count, *more):
        (self.folder / "logs").mkdir()
        settings = f"[supervisord]\nlogfile={self.folder}/own.log\npidfile={self.folder}/pid\nminfds=10000\n"
        for number in range(count):
            settings += f"[program:p{number}]\ncommand={' '.join(self.argv(*more))}\nautorestart=true\nstartsecs=0\nredirect_stderr=true\n"
            settings += f"stdout_logfile={self.folder}/logs/p{number}\nstdout_logfile_maxbytes=0\n"
        settings += "[group:all]\nprograms=" + ",".join(f"p{number}" for number in range(count)) + "\n"
        (self.folder / "conf").write_text(settings)

    def start(self):
        self.launch("supervisord", "-n", "-c", str(self.folder / "conf"))


class Paas(Contestant):
    """As it is always: in namespaces on a root of its own, writable layer, own log."""
    name, binary, ports = "paas (sandbox on)", "", "127.0.0.1:17999"

    @classmethod
    def missing(cls):
        return None

    def paas(self, *words):
        command = [self.binary, *words]
        done = subprocess.run(command, cwd=self.folder, env={**os.environ, "PAAS_ROOT": str(self.root)}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def configure(self, count, *more):
        self.count, self.root, checkout = count, self.folder / "root", self.folder / "checkout"
        self.root.mkdir()
        settings = 'uid_base = 1900000\nlease_ports = "17000-17099"\napp_ports = "17100-17110"\npostgres_port = 17998\ndomain = "localhost"\n'
        (self.root / "paas.toml").write_text(settings)
        self.launch(self.binary, "server", "--root", str(self.root), "--http", self.ports)
        processes.wait("paas answers", 30, lambda: subprocess.run([self.binary, "status"], env={**os.environ, "PAAS_ROOT": str(self.root)}, **QUIET).returncode == 0)
        (checkout / "bin").mkdir(parents=True)
        shutil.copy(self.probe, checkout / "bin/probe")
        # A process type has at most 100 instances.
        self.types = {f"job{first // 100}": min(100, count - first) for first in range(0, count, 100)}
        (checkout / "Procfile").write_text("".join(f"{name}: bin/probe /data/events {' '.join(more)}\n" for name in self.types))
        git = ["git", "-C", str(checkout), "-c", "user.name=bench", "-c", "user.email=bench@example.com"]
        for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Bench"]):
            subprocess.run(git + words, check=True)
        self.folder = checkout
        self.paas("apps:create", "bench", "--no-database")
        pushed = subprocess.run(git + ["push", "-q", "paas", "main"], env={**os.environ, "PAAS_ROOT": str(self.root)}, capture_output=True, text=True)
        if pushed.returncode:
            raise RuntimeError(pushed.stderr)
        self.stop()
        processes.wait("the first one is gone", 60, lambda: not self.children())
        self.events = self.root / "data/1/events"
        self.events.write_bytes(b"")
        os.chmod(self.events, 0o666)

    def start(self):
        self.paas("ps:scale", *(f"{name}={count}" for name, count in self.types.items()))

    def of_root(self):
        root = str(self.root)
        own = [pid for pid in processes.parents() if any(root in word for word in processes.words(pid))]
        return processes.below(set(own) | {self.process.pid})

    def keepers(self):
        return [pid for pid in self.of_root() if not processes.words(pid)[0].endswith("probe")]

    def children(self):
        return [pid for pid in self.of_root() if processes.words(pid)[0].endswith("bin/probe")]

    def server_and_router_kib(self):
        named = {"server", "router", "launch"}
        return sum(processes.pss_kib(pid) for pid in self.keepers() if named & set(processes.words(pid)))

    def stop(self):
        self.paas("ps:scale", *(f"{name}=0" for name in self.types))

    def end(self):
        if not self.process:
            return
        try:
            self.paas("stop", "--all")
            self.process.wait(60)
        except (RuntimeError, subprocess.TimeoutExpired):
            pass
        for pid in self.of_root():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def logged(self):
        return b"".join(file.read_bytes() for file in sorted((self.root / "logs/1").rglob("*")) if file.is_file())


class SystemdUser(Contestant):
    name, needs, package = "systemd (user)", "systemctl", "systemd"

    @classmethod
    def missing(cls):
        if super().missing():
            return super().missing()
        state = subprocess.run(["systemctl", "--user", "is-system-running"], capture_output=True, text=True).stdout.strip()
        return None if state in ("running", "degraded") else "no user manager of systemd runs here (log in, or: loginctl enable-linger)"


# The user manager is left out of the race until somebody has one to try it on.
ALL = [Runit, S6, Supervisord, Paas]
