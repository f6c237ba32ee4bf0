"""What may be asked of an engine, and what it tells of itself."""

from __future__ import annotations

import dataclasses

import pytest

from realtime.engine.api import Memory, ModelInfo, Request, Sampling, UserTurn

BOUNDS = {
    "temperature": ((0.0, 100.0), (-0.1, 100.1)),
    "top_k": ((0, 1_000_000), (-1,)),
    "top_p": ((0.001, 1.0), (0.0, 1.001)),
    "repetition_penalty": ((0.001, 100.0), (0.0, 100.1)),
    "seed": ((0, 2**63 - 1), (-1, 2**63)),
    "max_tokens": ((1, 8192), (0, 8193)),
    "logprobs": ((0, 20), (-1, 21)),
}


def test_every_field_of_sampling_has_bounds():
    assert set(BOUNDS) == {field.name for field in dataclasses.fields(Sampling)}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, (good, _) in BOUNDS.items() for value in good]
)
def test_what_is_just_inside_is_taken(name, value):
    assert getattr(Sampling(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, (_, bad) in BOUNDS.items() for value in bad]
)
def test_what_is_just_outside_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be .+, not {value}$"):
        Sampling(**{name: value})


def test_without_a_word_the_checkpoint_decides_and_an_answer_ends():
    assert dataclasses.asdict(Sampling()) == dict.fromkeys(BOUNDS) | {"max_tokens": 512}


def test_a_request_is_for_a_whole_answer_that_somebody_waits_for():
    request = Request("r1", "c1", (UserTurn(("Hello.",)),))
    assert (request.prefix, request.template, request.priority) == ((), True, "normal")
    assert request.sampling == Sampling()


def test_a_plan_of_memory_is_one_line_in_mib():
    plan = Memory(
        free=5 << 20,
        weights=1500 << 20,
        workspace=3 << 20,
        embeddings=2 << 20,
        kv=1 << 20,
        cells=65_536,
    )
    assert str(plan) == (
        "1,500 MiB weights, 1 MiB keys and values, 2 MiB audio, 3 MiB workspace, "
        "5 MiB free beside the weights; 65,536 tokens of conversation kept"
    )


def test_a_model_is_told_with_its_memory_as_a_line():
    info = ModelInfo("demo", context=2048, parameters=4_500_000, dtype="float32", device="cpu")
    assert info.told() == {
        "name": "demo",
        "context": 2048,
        "parameters": 4_500_000,
        "dtype": "float32",
        "device": "cpu",
        "memory": None,
        "threads": 0,
    }
    plan = Memory(1, 2, 3, 4, 5, 6)
    assert dataclasses.replace(info, memory=plan).told()["memory"] == str(plan)
