#!/usr/bin/env python
"""Measure what the worker's number of threads, and how they wait, is worth on a CPU.

Peers speak to a server of our own at the pace of microphones, on a quiet machine and on one where
another program takes a core. For 1 and 2 threads, waiting actively and passively, and for what is
chosen when nothing is set: how many answers are right and in time, how long after the hangover the
first piece came, what CPU the worker took per peer. Then what a server takes that nobody uses.
A table and progress go to stderr, one line of JSON to stdout. It needs Linux, for /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench import machine, paced

HANGOVER_MS = 200
"""As long as the tail, so that no guess hides what the model takes."""
IN_TIME_MS = 500
SPIN = "300000"
"""What GNU OpenMP turns before it sleeps when nothing is said, as torch ships it."""


@dataclass(frozen=True, slots=True)
class Load:
    """How many speak to a model, and how long its answers are."""

    peers: int
    each: int
    tokens: int
    judged: bool
    """Whether the model has right answers."""


LOADS = {
    "bundled": Load(peers=24, each=2, tokens=64, judged=True),
    "mid": Load(peers=3, each=2, tokens=12, judged=False),
}
SMOKE = {"bundled": Load(peers=2, each=1, tokens=64, judged=True)}


@dataclass(frozen=True, slots=True)
class Way:
    """Threads (None: as chosen), and how they wait (None: as the server has it)."""

    threads: int | None = None
    waiting: str | None = None

    def environment(self, tokens: int) -> dict[str, str]:
        """Give the environment of a server that computes in this way."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("REALTIME_", "OMP_"))}
        kept |= {
            "REALTIME_ENDPOINT_HANGOVER_MS": str(HANGOVER_MS),
            "REALTIME_SESSION_SAMPLING_MAX_TOKENS": str(tokens),
            "REALTIME_WORKER_DEVICE": "cpu",
        }
        if self.threads:
            kept["REALTIME_WORKER_THREADS"] = str(self.threads)
        match self.waiting:
            case "active":
                kept["GOMP_SPINCOUNT"] = SPIN
            case "passive":
                kept["OMP_WAIT_POLICY"] = "PASSIVE"
        return kept


WAYS = (Way(), *(Way(n, waiting) for n, waiting in product((1, 2), ("active", "passive"))))


def main(arguments: list[str] | None = None) -> int:
    """Measure what the options ask for."""
    options = parse(arguments)
    loads = SMOKE if options.smoke else LOADS
    ways = WAYS[:1] if options.smoke else WAYS
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models.split(","):
            if name not in loads:
                continue
            model = None if name == "bundled" else made(Path(folder))
            for busy, way in product((False, True), ways):
                row = {"model": name, "busy": busy, **measure(model, loads[name], way, busy=busy)}
                print(line_of(row), file=sys.stderr, flush=True)
                rows.append(row)
    line = {"script": "bench_threads", "cores": len(os.sched_getaffinity(0)), "rows": rows}
    if options.idle_s:
        line["idle"] = idle(options.idle_s)
    print(json.dumps(line))
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--models", default="bundled,mid", help="bundled, mid (241M), or both")
    parser.add_argument("--idle-s", type=float, default=60.0, help="0 leaves the idle server out")
    parser.add_argument("--smoke", action="store_true", help="two peers, the chosen way, no more")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.idle_s = min(options.idle_s, 2.0)
    return options


def made(folder: Path) -> str:
    """Write the mid-size checkpoint."""
    import random_model  # torch with it, which a run of the bundled model does without

    print("making a model of 241 million parameters", file=sys.stderr, flush=True)
    return str(random_model.save(folder / "mid", random_model.MID))


def measure(model: str | None, load: Load, way: Way, *, busy: bool) -> dict[str, object]:
    """Run one server under one load."""
    asked = paced.questions(judged=load.judged)
    with machine.server(model, way.environment(load.tokens)) as running, ExitStack() as stack:
        if busy:
            stack.enter_context(machine.burnt_core())
        taken, begun = machine.cpu_s(running.worker), time.monotonic()
        url = running.url.replace("http", "ws")
        outcomes = asyncio.run(paced.crowd(url, asked, peers=load.peers, each=load.each))
        share = (machine.cpu_s(running.worker) - taken) / (time.monotonic() - begun)
    return {
        "threads": way.threads or "chosen",
        "waiting": way.waiting or "chosen",
        "told": running.threads,
        **told(outcomes),
        "worker_cpu_percent_per_peer": round(100 * share / load.peers, 2),
    }


def told(outcomes: Sequence[paced.Outcome]) -> dict[str, object]:
    """Put the outcomes in figures; what was never answered counts as infinitely late."""
    times = sorted(o.after_ms for o in outcomes if o.after_ms is not None)
    good = sum(o.right and o.after_ms is not None and o.after_ms <= IN_TIME_MS for o in outcomes)
    return {
        "asked": len(outcomes),
        "right": sum(o.right for o in outcomes),
        "right_and_in_time": good,
        "p50_ms": round(statistics.median(times), 1) if times else None,
        "p95_ms": round(times[int(0.95 * (len(times) - 1))], 1) if times else None,
    }


def idle(seconds: float) -> dict[str, object]:
    """Let a server with the bundled model stand unused; give the share of a core it takes."""
    with machine.server(None, Way().environment(64)) as running:
        time.sleep(min(5.0, seconds))
        pids = {"gateway": running.gateway, "worker": running.worker}
        before = {name: (machine.cpu_s(pid), machine.wakeups(pid)) for name, pid in pids.items()}
        time.sleep(seconds)
        after = {name: (machine.cpu_s(pid), machine.wakeups(pid)) for name, pid in pids.items()}
    line: dict[str, object] = {"seconds": seconds}
    total = 0.0
    for name in pids:
        cpu, woken = (b - a for a, b in zip(before[name], after[name], strict=True))
        line[f"{name}_percent"] = round(100 * cpu / seconds, 3)
        line[f"{name}_wakeups_per_s"] = round(woken / seconds, 1)
        total += 100 * cpu / seconds
    line["percent"] = round(total, 3)
    print(f"idle: {line}", file=sys.stderr, flush=True)
    return line


def line_of(row: dict[str, object]) -> str:
    """Write one row for people."""
    place = f"{row['model']:8} {'busy' if row['busy'] else 'quiet':6}"
    way = f"{row['threads']!s:>7} {row['waiting']:8} ({row['told']})"
    counts = f"{row['right_and_in_time']:>3} of {row['asked']} right and in time"
    times = f"p50 {row['p50_ms']} p95 {row['p95_ms']} ms"
    return f"{place} {way} {counts}  {times}  {row['worker_cpu_percent_per_peer']} % CPU per peer"


if __name__ == "__main__":
    sys.exit(main())
