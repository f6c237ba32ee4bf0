"""A server as a process with its worker, what CPU they take, and somebody who takes a core."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_S = 300.0
"""What a server may take to load its model."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is ready."""

    url: str
    gateway: int
    worker: int
    threads: str
    """As its log tells."""


@contextmanager
def server(model: str | None, environment: Mapping[str, str]) -> Generator[Running, None, None]:
    """Run `realtime serve` with settings from the environment alone; stop it at the end."""
    command = [sys.executable, "-m", "realtime", "serve", "--port", "0"]
    command += ["--model", model] if model else []
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield ready(process, log.fileno())
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        finally:
            process.kill()
            process.wait()


def ready(process: subprocess.Popen[bytes], log: int) -> Running:
    """Wait until the server says that it serves; raise RuntimeError with its log if it does not."""
    until = time.monotonic() + START_S
    while True:
        text = os.pread(log, 1 << 20, 0).decode(errors="replace")
        found = re.search(r"serving .*?(http://127\.0\.0\.1:\d+)", text)
        if found:
            break
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"the server did not start:\n{text[-2000:]}")
        time.sleep(0.1)
    threads = re.search(r"threads=(\S+)", text)
    (worker,) = children(process.pid)
    return Running(found[1], process.pid, worker, threads[1] if threads else "")


def children(pid: int) -> list[int]:
    """List the children of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it may be gone by now
            if int(stat(int(folder.name))[1]) == pid:
                found.append(int(folder.name))
    return found


def stat(pid: int) -> list[str]:
    """Give what the kernel tells of a process, from its state on (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_s(pid: int) -> float:
    """Give the seconds of CPU that a process has taken, all its threads together."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) * TICK_S


def wakeups(pid: int) -> int:
    """Count how often the threads of a process have waited and gone on: a poll shows here."""
    texts = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in texts)


@contextmanager
def burnt_core() -> Generator[None, None, None]:
    """Keep one core busy, as another program on the machine would."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
