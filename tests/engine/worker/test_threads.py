"""How many threads are chosen, and what counts as a core that is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from realtime.engine.api import ModelInfo
from realtime.engine.worker import threads
from realtime.engine.worker.threads import available, chosen, wait_asleep


def model(parameters: int, device: str = "cpu") -> ModelInfo:
    return ModelInfo("m", 8192, parameters, "float32", device)


@pytest.mark.parametrize(
    ("parameters", "device", "cores", "spare", "threads"),
    [
        (4_500_000, "cpu", 64, 1, 1),
        (49_999_999, "cpu", 64, 1, 1),
        (50_000_000, "cpu", 64, 1, 63),
        (241_000_000, "cpu", 2, 1, 1),
        (241_000_000, "cpu", 2, 0, 2),
        (8_400_000_000, "cpu", 1, 1, 1),
        (8_400_000_000, "cpu", 4, 9, 1),
        (8_400_000_000, "cuda:1", 64, 1, 1),
    ],
)
def test_small_models_and_gpus_get_one_thread_and_large_models_all_cores_but_the_spare_ones(
    parameters, device, cores, spare, threads
):
    assert chosen(model(parameters, device), cores, spare) == threads


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Eight cores, a folder for /proc and one for the control groups."""
    monkeypatch.setattr(threads, "allowed", lambda: 8)
    (tmp_path / "proc" / "self").mkdir(parents=True)
    return tmp_path / "proc", tmp_path / "groups"


def belongs(proc: Path, *lines: str) -> None:
    (proc / "self" / "cgroup").write_text("".join(f"{line}\n" for line in lines))


def test_without_control_groups_it_is_what_the_system_allows(system):
    assert available(*system) == 8


def test_the_tightest_group_above_counts_in_version_2(system):
    proc, groups = system
    belongs(proc, "0::/pod/container")
    group(groups / "pod" / "container", cpu__max="max 100000")
    group(groups / "pod", cpu__max="350000 100000")
    group(groups, cpu__max="600000 100000")
    assert available(proc, groups) == 3


def test_less_than_a_core_is_one_thread(system):
    proc, groups = system
    belongs(proc, "0::/")
    group(groups, cpu__max="50000 100000")
    assert available(proc, groups) == 1


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_version_1_counts_too_and_no_limit_is_none(system, controllers):
    proc, groups = system
    belongs(proc, "7:memory:/x", f"3:{controllers}:/docker/a", "0::/")
    group(groups / controllers, cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert available(proc, groups) == 8
    # The host's path is not there inside the container, whose root is its own group.
    group(groups / controllers, cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    assert available(proc, groups) == 2


@pytest.mark.parametrize("words", ["", "nonsense", "1 2 3", "100000 0", "9" * 20 + " x"])
def test_what_no_kernel_writes_limits_nothing(system, words):
    proc, groups = system
    belongs(proc, "0::/")
    group(groups, cpu__max=words, cpu__cfs_quota_us=words, cpu__cfs_period_us=words)
    assert available(proc, groups) == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux's")
def test_the_affinity_of_the_process_counts():
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from realtime.engine.worker.threads import available; print(available())"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout == "1\n", run.stderr


def test_threads_wait_asleep_unless_somebody_knows_better():
    plain: dict[str, str] = {}
    wait_asleep(plain)
    assert plain == {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"):
        told = {name: "as told"}
        wait_asleep(told)
        assert told == {name: "as told"}
