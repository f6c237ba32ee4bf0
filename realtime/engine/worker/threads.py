"""How many CPU threads the model computes with, and how they wait for one another.

The rule, where no number is set:

* A model on a GPU, or one of under 50 million parameters, gets one thread: its steps are so short
  that threads spend more on waiting for one another than they save.
* A larger one gets every core that is really there but one, which is the gateway's: a frame comes
  every 20 ms, and the gateway must be at it. Offline (`realtime batch`) there is nobody to wait
  for, and it gets all of them.
* The cores that are there are those that this process may run on (its affinity), and no more than
  its control group may use, whatever the machine has.
* Threads wait asleep. OpenMP's own way, to spin, is quicker only while every core is free; when
  another program takes one, each barrier waits for a thread that waits for a core, and those
  who spin take it from the one they wait for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from realtime.engine.api import ModelInfo

SMALL = 50_000_000
"""Parameters; a step of a larger model reads over 200 MB, some 10 ms of one core."""

ASLEEP = {
    "OMP_WAIT_POLICY": "PASSIVE",  # GNU OpenMP, which torch brings along
    "KMP_BLOCKTIME": "0",  # Intel's and LLVM's, in other builds of torch
}
SPOKEN_FOR = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Whoever sets one of these knows what they want."""


def chosen(model: ModelInfo, cores: int, spare: int) -> int:
    """Choose the number of threads by the rule above; `spare` cores are left to others."""
    if model.device != "cpu" or model.parameters < SMALL:
        return 1
    return max(1, cores - spare)


def wait_asleep(environment: MutableMapping[str, str]) -> None:
    """Have threads wait asleep; only before torch is imported does it matter."""
    if not any(name in environment for name in SPOKEN_FOR):
        environment.update(ASLEEP)


def available(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Count the cores that this process may really use; at least one."""
    return max(1, int(min([allowed(), *quotas(proc, groups)])))


def allowed() -> int:
    """Count the cores that the system lets this process run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quotas(proc: Path, groups: Path) -> Iterator[float]:
    """Give the cores that each control group above this process may use at a time."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            roots = groups, groups / "unified"
        elif "cpu" in controllers.split(","):
            roots = groups / controllers, groups / "cpu"
        else:
            continue
        for root in roots:
            # Inside a container the path may be the host's, out of sight; the root is its own then.
            own = root / path.lstrip("/")
            for folder in (own, *own.parents):
                if folder.is_relative_to(root):
                    yield from quota(folder)


def quota(folder: Path) -> Iterator[float]:
    """Give the cores that one control group may use, if it is there and limited."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        most, period = (folder / "cpu.max").read_text().split()  # version 2; `max` is no limit
        yield int(most) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        most = (folder / "cpu.cfs_quota_us").read_text()  # version 1; -1 is no limit
        if int(most) > 0:
            yield int(most) / int((folder / "cpu.cfs_period_us").read_text())
