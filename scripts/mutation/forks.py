"""Tests run in forks of a process that has imported what is slow to import, in a copy of the tree.

The copy is what is changed; nobody's working tree is. A fork is stopped by the time that it
computes, so that a busy machine makes no time-outs, and by a longer one on the clock for what
only waits.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MEMORY = 3 << 30
"""Bytes that a fork may have of its own: what grows for ever is stopped."""
PATIENCE = 6
"""Seconds on the clock for each second of computing."""
SLOW_IMPORTS = (
    "asyncio", "numpy", "msgspec", "soxr", "soundfile", "av", "webrtcvad", "structlog",
    "hypothesis", "hypothesis.extra.numpy", "hypothesis.internal.conjecture.engine",
)  # fmt: skip
SLOWER_IMPORTS = (
    "torch", "torch.nn.functional", "tokenizers", "safetensors.torch", "transformers.cache_utils",
    "transformers.models.auto.processing_auto",
    "transformers.models.qwen2_audio.modeling_qwen2_audio",
    "transformers.models.qwen2_audio.processing_qwen2_audio",
    "transformers.models.whisper.feature_extraction_whisper",
)  # fmt: skip
OPTIONS = (
    "-x",
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:playwright",
    "-p",
    "no:anyio",
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
)
OURS = ("realtime", "client", "tests", "conftest")
"""What a fork imports anew."""
NOTHING = 0.02
"""Seconds that are not worth a note."""
STUCK = 77
"""How a fork ends that had no memory left."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of tests ended."""

    verdict: str
    """passed, failed, time-out, import error (also a crash)."""
    by: str
    """The test that failed."""
    seconds: float
    """Computed by the fork and what it started."""
    pace: Mapping[str, float] = field(default_factory=dict)
    """Seconds of each test that took some time."""


def warm(*, model: bool = True) -> None:
    """Import what every fork needs, and what a model needs; nothing of the project's own."""
    sys.dont_write_bytecode = True
    for name in SLOW_IMPORTS + (SLOWER_IMPORTS if model else ()):
        with suppress(ImportError):
            importlib.import_module(name)
    from hypothesis import Phase, settings

    # The same examples each time; how small a failure can be made is of no interest.
    phases = (Phase.explicit, Phase.generate)
    quick = settings(derandomize=True, database=None, deadline=None, phases=phases)
    settings.register_profile("mutants", quick)
    settings.load_profile("mutants")


@contextmanager
def copied(root: Path | None = None) -> Iterator[Path]:
    """Make a copy of what git knows of a tree, and what it would take in."""
    root = root or ROOT
    listed = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard"],
        cwd=root, check=True, capture_output=True, text=True,
    )  # fmt: skip
    with TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder, "tree")
        for name in filter(None, listed.stdout.split("\0")):
            if (root / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(root / name, tree / name)
        yield tree


class Witness:
    """Sees which test fails first, and how long each takes; the fast ones come first."""

    def __init__(self, pace: Mapping[str, float], slow: float) -> None:
        self.by = ""
        self.known = pace
        self.slow = slow
        self.pace: dict[str, float] = {}
        self.began = 0.0, 0.0

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what is known to be slow, and begin with what is fast."""
        items[:] = [item for item in items if self.known.get(item.nodeid, 0) <= self.slow]
        items.sort(key=lambda item: self.known.get(item.nodeid, 0))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Note when a test begins."""
        self.began = computed(), time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Keep how long a test computed, or waited, unless that is next to nothing."""
        busy, past = computed() - self.began[0], time.monotonic() - self.began[1]
        if max(busy, past / PATIENCE) > NOTHING:
            self.pace[nodeid] = round(max(busy, past / PATIENCE), 2)

    def pytest_exception_interact(
        self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[Any]
    ) -> None:
        """Keep the name; what ran out of memory was caught by no test."""
        self.by = self.by or node.nodeid
        if call.excinfo and call.excinfo.errisinstance(MemoryError):
            os._exit(STUCK)


def computed() -> float:
    """Give the seconds that this process and what it waited for have computed."""
    return sum(os.times()[:4])


def run_tests(
    tree: Path,
    files: Sequence[str],
    limit: float,
    pace: Mapping[str, float] | None = None,
    slow: float = math.inf,
) -> Outcome:
    """Run test files of a tree until one fails, but for tests that are known to be slow."""
    witness = Witness(pace or {}, slow)

    def work() -> tuple[int, object]:
        return pytest_here(files, witness), (witness.by, witness.pace)

    code, said, seconds = forked(tree, work, limit)
    if code is None:
        return Outcome("time-out", "", seconds)
    verdict = {0: "passed", 1: "failed", 5: "passed", STUCK: "time-out"}.get(code, "import error")
    by, took = said or ("", {})
    return Outcome(verdict, by, seconds, took)


def pytest_here(files: Sequence[str], *plugins: object) -> int:
    """Run test files in this process."""
    return int(pytest.main([*OPTIONS, *files], plugins=plugins))


def forked(
    tree: Path, work: Callable[[], tuple[int, object]], limit: float
) -> tuple[int | None, Any, float]:
    """Do work in a fork in a tree; give its code (None: stopped), what it said, its seconds."""
    read, write = os.pipe()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        ends = 70
        try:
            ends, said = in_fork(tree, work, limit)
            os.write(write, json.dumps(said).encode())  # fits into a pipe: few tests take long
        finally:
            os._exit(ends)
    os.close(write)
    code = wait(pid, limit * PATIENCE)
    with os.fdopen(read, "rb") as pipe:
        os.set_blocking(read, False)
        said = pipe.read() or b"null"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return code, json.loads(said), seconds


def in_fork(tree: Path, work: Callable[[], tuple[int, object]], limit: float) -> tuple[int, object]:
    """Work silently, bounded in time and memory, as the leader of a group of processes."""
    os.setsid()
    os.chdir(tree)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    seconds = int(limit) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
        del sys.modules[name]
    return work()


def wait(pid: int, patience: float) -> int | None:
    """Wait for a fork and end what it left running; None when it had to be stopped."""
    until = time.monotonic() + patience
    done, status = 0, 0
    while not done and time.monotonic() < until:
        time.sleep(0.005)
        done, status = os.waitpid(pid, os.WNOHANG)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    if not done:
        os.waitpid(pid, 0)
        return None
    code = os.waitstatus_to_exitcode(status)
    return None if code in (-signal.SIGXCPU, -signal.SIGKILL) else code
