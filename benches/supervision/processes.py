"""Processes as the machine sees them."""
import os
import select
import time


def stat(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(") ", 1)[1].split()
    except (OSError, IndexError):
        return None


def parents():
    found = {}
    for name in os.listdir("/proc"):
        fields = stat(name) if name.isdigit() else None
        if fields and fields[0] not in "ZX":
            found[int(name)] = int(fields[1])
    return found


def below(roots):
    """The roots and everything that descends from them."""
    all_parents, found = parents(), set(roots)
    grown = True
    while grown:
        more = {pid for pid, parent in all_parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return {pid for pid in found if pid in all_parents}


def words(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode(errors="replace").split("\0")
    except OSError:
        return []


def pss_kib(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    except OSError:
        return 0


def per_thread(pid, read):
    try:
        return sum(read(f"/proc/{pid}/task/{thread}") for thread in os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def cpu_seconds(pids):
    """Exact, from the scheduler."""
    def one(task):
        with open(task + "/schedstat") as file:
            return int(file.read().split()[0]) / 1e9
    return sum(per_thread(pid, one) for pid in pids)


def wakeups(pids):
    """How often their threads went to sleep: each time they had been woken."""
    def one(task):
        with open(task + "/status") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt"))
    return sum(per_thread(pid, one) for pid in pids)


def wait(what, seconds, look):
    """Looks every half millisecond until there is something."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.0005)
    raise TimeoutError(f"waited {seconds} s in vain: {what}")


def wait_until_gone(pids, seconds):
    """Without looking again and again: the kernel tells it."""
    poll, open_files = select.poll(), {}
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        open_files[descriptor] = pid
        poll.register(descriptor, select.POLLIN)
    until = time.monotonic() + seconds
    while open_files and time.monotonic() < until:
        for descriptor, _ in poll.poll(100):
            poll.unregister(descriptor)
            os.close(descriptor)
            del open_files[descriptor]
    left = list(open_files.values())
    for descriptor in open_files:
        os.close(descriptor)
    if left:
        raise TimeoutError(f"{len(left)} processes are still there after {seconds} s")
