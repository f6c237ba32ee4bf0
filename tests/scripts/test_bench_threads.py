"""What the comparison of threads counts, and that it leaves no process behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import bench_threads
from bench import machine, paced
from bench.paced import Outcome
from bench_threads import IN_TIME_MS, Way, told


def test_right_and_in_time_are_counted_apart():
    outcomes = [
        Outcome(right=True, after_ms=10.0),
        Outcome(right=True, after_ms=IN_TIME_MS + 1),
        Outcome(right=False, after_ms=20.0),
        Outcome(),
    ]
    figures = told(outcomes)
    assert (figures["asked"], figures["right"], figures["right_and_in_time"]) == (4, 2, 1)
    assert figures["p50_ms"] == 20.0
    assert told([Outcome()])["p50_ms"] is None


def test_a_way_is_told_to_the_server_by_its_environment_alone(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("REALTIME_WORKER_THREADS", "7")
    chosen = Way().environment(5)
    assert not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "REALTIME_WORKER_THREADS"} & chosen.keys()
    assert Way(2, "active").environment(5)["GOMP_SPINCOUNT"] == bench_threads.SPIN
    passive = Way(2, "passive").environment(5)
    assert (passive["REALTIME_WORKER_THREADS"], passive["OMP_WAIT_POLICY"]) == ("2", "PASSIVE")


def test_every_question_has_its_recording_and_where_judged_its_answer():
    judged = paced.questions(judged=True)
    assert all(question.pcm and question.right for question in judged)
    assert {question.right for question in paced.questions(judged=False)} == {None}


def test_the_cpu_and_the_children_of_a_process_are_found():
    program = "for _ in range(3_000_000): pass\nprint(flush=True)\ninput()"
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout.readline()
        assert machine.cpu_s(child.pid) > 0
        assert child.pid in machine.children(os.getpid())
        child.communicate(b"\n")


def test_the_burnt_core_is_given_back():
    before = machine.children(os.getpid())
    with machine.burnt_core():
        assert len(machine.children(os.getpid())) == len(before) + 1
    assert machine.children(os.getpid()) == before
