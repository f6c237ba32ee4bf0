"""What a run over a manifest has to do, and what it refuses before it loads a model."""

from __future__ import annotations

import json

import pytest

from realtime.cli.batch import running
from realtime.cli.batch.running import Survey, capacity, pending, refuse_hopeless, survey
from realtime.engine.worker.config import WorkerConfig
from realtime.errors import ConfigError


@pytest.fixture
def manifest(tmp_path):
    """Write lines into a manifest."""

    def write(*lines: dict | str):
        path = tmp_path / "m.jsonl"
        path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))
        return path

    return write


FOUR = ({"id": "a", "text": "1"}, {"id": "b", "text": "2"}, "{oops", {"text": "4"})


def test_a_survey_counts_what_is_left_and_what_is_done(manifest):
    assert survey(manifest(*FOUR), frozenset()) == Survey(todo=3, done=0)
    assert survey(manifest(*FOUR), frozenset(["a", 4, "elsewhere"])) == Survey(todo=1, done=2)


def test_what_is_pending_is_what_is_not_finished_in_order(manifest):
    assert [job.id for job in pending(manifest(*FOUR), frozenset(["b"]))] == ["a", 4]


def test_one_good_line_is_hope(manifest):
    refuse_hopeless(manifest("{oops", {"text": "Hi"}))


@pytest.mark.parametrize(
    ("lines", "words"),
    [([], "is empty"), (["{oops", "[]"], r"is no manifest \(see --help\): line 1: ")],
)
def test_a_manifest_without_a_good_line_is_hopeless(manifest, lines, words):
    with pytest.raises(ConfigError, match=words):
        refuse_hopeless(manifest(*lines))


@pytest.mark.parametrize(("slots", "queue", "begun"), [(8, 64, 16), (8, 3, 11), (1, 0, 1)])
def test_some_are_read_while_others_are_answered(slots, queue, begun):
    assert capacity(WorkerConfig("m", slots=slots, queue=queue)) == begun


def test_with_nothing_to_do_no_engine_is_started(manifest, tmp_path, monkeypatch, capsys):
    def never(_):
        raise AssertionError("started")

    monkeypatch.setattr(running, "WorkerEngine", never)
    out = tmp_path / "out.jsonl"
    answers = [{"text": "1", "finish": "stop"}]
    counts = {"prompt_tokens": 1, "cached_tokens": 0, "completion_tokens": 1}
    out.write_text(json.dumps({"id": 1, "line": 1, "answers": [answers[0] | counts]}) + "\n")
    assert running.run(WorkerConfig("m"), manifest({"text": "Hi"}), out)
    assert "0 answered, 1 answered before" in capsys.readouterr().err
