"""Runs every contestant that is there through the same work and prints the medians."""
import argparse
import os
import platform
import re
import shutil
import signal
import statistics
import sys
import time
from pathlib import Path

import contestants
import processes

KILLS = 12
LINES = 1_000_000
IDLE_SECONDS = 10
START_SECONDS = 300


def stamps(contestant):
    return [int(line) / 1e9 for line in contestant.events.read_text().split()]


def started(contestant, count):
    return processes.wait(f"{count} of {contestant.name} run", START_SECONDS, lambda: contestant.events.read_bytes().count(b"\n") >= count)


def kill_one(contestant, pid):
    """SIGKILL until the main() of the replacement, in milliseconds."""
    before = contestant.events.read_bytes().count(b"\n")
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    processes.wait("it is replaced", 60, lambda: contestant.events.read_bytes().count(b"\n") > before)
    return (stamps(contestant)[-1] - killed) * 1e3


def newest(contestant, before):
    return processes.wait("the replacement", 10, lambda: set(contestant.children()) - before).pop()


def life(contestant, count, result):
    """Start, look, kill, stop."""
    contestant.configure(count)
    begun = time.monotonic()
    contestant.start()
    started(contestant, count)
    result["start"] = (max(stamps(contestant)) - begun) * 1e3
    time.sleep(12)
    keepers = contestant.keepers()
    result["pss"] = sum(map(processes.pss_kib, keepers)) / 1024
    if isinstance(contestant, contestants.Paas):
        shared = contestant.server_and_router_kib() / 1024
        result["server"], result["each"] = shared, (result["pss"] - shared) * 1024 / count
    before = processes.wakeups(keepers), processes.cpu_seconds(keepers)
    time.sleep(IDLE_SECONDS)
    result["wakeups"] = processes.wakeups(keepers) - before[0]
    result["idle"] = (processes.cpu_seconds(keepers) - before[1]) / IDLE_SECONDS * 100
    victims = contestant.children()[: min(KILLS, count // 2)]
    result["kill"] = statistics.median(kill_one(contestant, pid) for pid in victims)
    young, victim = [], contestant.children()[-1]
    for _ in range(3):
        others = set(contestant.children()) - {victim}
        young.append(kill_one(contestant, victim))
        victim = newest(contestant, others)
    result["young"] = statistics.median(young)
    processes.wait("all run again", 60, lambda: len(contestant.children()) >= count)
    pids, begun = contestant.children(), time.monotonic()
    contestant.stop()
    processes.wait_until_gone(pids, 60)
    result["stop"] = (time.monotonic() - begun) * 1e3


def flood(contestant, result):
    """A million lines through one keeper."""
    contestant.configure(1, "flood", str(LINES))
    contestant.start()
    started(contestant, 1)
    keepers = contestant.keepers()
    before, begun = processes.cpu_seconds(keepers), time.monotonic()
    Path(str(contestant.events) + ".go").touch()
    last = b"line %012d" % LINES
    newest_file = lambda: contestant.logged()[-65536:]
    processes.wait("the last line is kept", 120, lambda: time.sleep(0.05) or last in newest_file())
    result["flood"] = time.monotonic() - begun
    result["flood_cpu"] = processes.cpu_seconds(keepers) - before
    kept = sorted({int(number) for number in re.findall(rb"line (\d{12}) ", contestant.logged())})
    result["kept"] = len(kept)
    result["missing"] = LINES - kept[0] + 1 - len(kept)


def play(kind, options, work, *arguments):
    folder = Path(options.folder) / f"{kind.__name__}-{time.monotonic_ns()}"
    folder.mkdir()
    folder.chmod(0o755)
    contestant, result = kind(folder, str(Path(options.folder) / "probe")), {}
    try:
        work(contestant, *arguments, result)
    except (TimeoutError, RuntimeError, OSError, IndexError) as error:
        result["failed"] = str(error)
        print(f"{kind.name}: {error}", file=sys.stderr)
    finally:
        contestant.end()
        shutil.rmtree(folder, ignore_errors=True)
    return result


ROWS = [("start", "start of {n} until all run, ms"), ("kill", "SIGKILL → replacement runs, ms"), ("young", "the same three times within a second, ms"),
        ("pss", "memory of the keepers of {n} (PSS), MiB"), ("each", "… of it per process, KiB"), ("server", "… server, router and launch, MiB"),
        ("stop", "stop of all {n}, ms"), ("wakeups", "wake-ups in 10 idle seconds"), ("idle", "CPU while idle, % of a core"),
        ("flood", "1,000,000 lines of 100 bytes kept, s"), ("flood_cpu", "… CPU of the keepers, s"), ("kept", "… lines that its retention keeps of them"), ("missing", "… lines missing among those")]


def table(results, count):
    names = list(results)
    print(f"| {count} processes | " + " | ".join(names) + " |")
    print("|---|" + "---|" * len(names))
    for key, label in ROWS:
        cells = []
        for name in names:
            values = [run[key] for run in results[name] if key in run]
            shown = statistics.median(values) if values else None
            cells.append("–" if shown is None else f"{shown:,.0f}" if shown >= 100 or float(shown).is_integer() else f"{shown:.1f}")
        if any(cell != "–" for cell in cells):
            print(f"| {label.format(n=count)} | " + " | ".join(cells) + " |")
    print()


def main():
    # Whoever is told to end takes the contestants along.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--paas", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--counts", default="100,500")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    contestants.Paas.binary = os.path.abspath(options.paas)
    there = []
    for kind in contestants.ALL + [contestants.SystemdUser]:
        reason = kind.missing() or (None if kind in contestants.ALL else "not driven by this benchmark yet")
        if reason:
            print(f"left out: {kind.name}: {reason}", file=sys.stderr)
        elif options.only.lower() in kind.name.lower():
            there.append(kind)
    counts = [20] if options.quick else [int(count) for count in options.counts.split(",")]
    rounds = 1 if options.quick else options.rounds
    print(f"{os.cpu_count()} cores, Linux {platform.release()}, medians of {rounds}: " + ", ".join(
        f"{kind.package} {contestants.package_version(kind.package)}" for kind in there if kind.package) + "\n")
    for count in counts:
        results = {kind.name: [] for kind in there}
        for _ in range(rounds):
            for kind in there:
                results[kind.name].append(play(kind, options, life, count))
                if count == counts[0]:
                    results[kind.name].append(play(kind, options, flood))
        table(results, count)


main()
