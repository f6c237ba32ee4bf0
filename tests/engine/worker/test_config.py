"""Settings of a worker: what is refused, what follows of them, and that they travel whole."""

from __future__ import annotations

from dataclasses import fields

import pytest

from realtime.engine.worker import messages
from realtime.engine.worker.config import WorkerConfig


@pytest.mark.parametrize(
    "wrong",
    [
        {"slots": 0},
        {"queue": -1},
        {"threads": 0},
        {"spare_cores": -1},
        {"stall_after": 0.0},
        {"deaths": 0},
    ],
)
def test_settings_that_make_no_worker_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        WorkerConfig("m", **wrong)


@pytest.mark.parametrize(
    ("device", "patience"), [("cpu", 300.0), ("cuda", 30.0), ("cuda:1", 30.0), ("none", 300.0)]
)
def test_a_gpu_is_waited_for_less(device, patience):
    assert WorkerConfig("m").patience(device) == patience


def test_settings_travel_whole_as_one_message():
    default = WorkerConfig("m")
    other = WorkerConfig(
        "n", "cuda:1", "float16", "eager", "fp8", "fp8", graphs=False, threads=5, spare_cores=0,
        slots=3, queue=0, chunk=9, kv_bytes=7, deaths=1, stall_after=None, cuda_stall_after=2.0,
        load_stall_after=None, backoff=0.0,
    )  # fmt: skip
    assert all(getattr(default, f.name) != getattr(other, f.name) for f in fields(other))
    for config in default, other:
        frame = messages.frame(messages.Start(config))
        assert messages.TO_WORKER.decode(frame[messages.LENGTH.size :]) == messages.Start(config)
