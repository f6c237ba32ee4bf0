"""Every form of a line, and every mistake: told with its place, it spoils no other line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.cli.batch import manifest
from realtime.cli.batch.manifest import Broken, Job, Recording, parse, read
from realtime.engine.api import Sampling
from realtime.errors import ConfigError


def job(**fields) -> Job | Broken:
    return parse(7, json.dumps(fields).encode())


def test_the_short_form_is_one_turn_recordings_before_text():
    assert job(id="a", audio="a.wav", text="What is it?") == Job(
        "a", 7, ((Recording("a.wav"), "What is it?"),), None, Sampling(), template=True
    )
    assert job(audio=["a.wav", "b.wav"]).questions == ((Recording("a.wav"), Recording("b.wav")),)
    assert job(text="Hello").questions == (("Hello",),)


def test_the_long_form_has_turns_system_and_sampling():
    found = job(
        id=12,
        turns=[{"audio": "a.wav"}, {"audio": ["b.wav"], "text": "And?"}, {"text": "So"}],
        system="Be brief.",
        sampling={"temperature": 0, "max_tokens": 9, "seed": 3},
    )
    a, b = Recording("a.wav"), Recording("b.wav")
    sampling = Sampling(temperature=0.0, max_tokens=9, seed=3)
    questions = ((a,), (b, "And?"), ("So",))
    assert found == Job(12, 7, questions, "Be brief.", sampling, template=True)


def test_a_prompt_is_taken_as_it_is_with_recordings_in_their_places():
    text = "<|audio_bos|><|AUDIO|><|audio_eos|>Generate the caption in English:"
    found = job(prompt=text, audio="glass.flac")
    glass = Recording("glass.flac")
    question = ("<|audio_bos|>", glass, "<|audio_eos|>Generate the caption in English:")
    assert found.questions == (question,)
    assert not found.template
    both = job(prompt="<|AUDIO|>, <|AUDIO|>", audio=["x", "y"])
    assert both.questions == ((Recording("x"), ", ", Recording("y")),)
    assert job(prompt="Once upon").questions == (("Once upon",),)


def test_without_an_id_the_lines_number_is_the_id():
    assert job(text="Hi").id == 7


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "nothing to answer"),
        ({"text": "  "}, "nothing to answer"),
        ({"audio": []}, "nothing to answer"),
        ({"turns": []}, "`turns` is empty"),
        ({"turns": [{"text": "Hi"}, {}]}, "turn 2: there is nothing to answer"),
        ({"turns": [{"text": "Hi"}], "text": "Ho"}, "cannot stand beside"),
        ({"turns": [{"text": "Hi", "speed": 2}]}, "unknown field `speed`"),
        ({"text": "Hi", "audios": "a.wav"}, "unknown field `audios`"),
        ({"audio": 3}, "`$.audio`"),
        ({"audio": ""}, "`$.audio`"),
        ({"audio": ["a.wav", None]}, "`$.audio[1]`"),
        ({"prompt": "<|AUDIO|>"}, "1 <|AUDIO|> for 0 recordings"),
        ({"prompt": "Caption:", "audio": "a.wav"}, "0 <|AUDIO|> for 1 recordings"),
        ({"prompt": " "}, "`prompt` is empty"),
        ({"prompt": "Hi", "text": "Ho"}, "`text` cannot stand beside"),
        ({"prompt": "Hi", "system": "Ho"}, "`system` cannot stand beside"),
        ({"text": "Hi", "sampling": {"temperature": 1000}}, "temperature must be 0 to 100"),
        ({"text": "Hi", "sampling": {"temperature": "hot"}}, "`$.sampling.temperature`"),
        ({"text": "Hi", "sampling": {"top_p": 0}}, "top_p must be above 0"),
        ({"text": "Hi", "sampling": {"max_tokens": 10**9}}, "max_tokens must be 1 to 8192"),
        ({"text": "Hi", "sampling": {"top_k": 2.5}}, "`$.sampling.top_k`"),
        ({"text": "Hi", "sampling": {"beams": 4}}, "unknown field `beams`"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_the_id(fields, words):
    found = job(id="x", **fields)
    assert isinstance(found, Broken)
    assert (found.id, found.line, found.code) == ("x", 7, "bad_line")
    assert words in found.message


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({"audios": 1}, "id, turns, audio, text, prompt, system, sampling"),
        ({"turns": [{"text": "Hi", "speed": 2}]}, "audio, text"),
        (
            {"sampling": {"beams": 4}},
            "temperature, top_k, top_p, repetition_penalty, seed, max_tokens",
        ),
    ],
)
def test_of_an_unknown_field_the_known_ones_of_its_place_are_told(fields, known):
    assert job(**fields).message.endswith(f"; known are {known}")


@pytest.mark.parametrize(
    "line",
    [b"{", b"[]", b'"text"', b"RIFF\xff\xfe", b'{"id": true}', b'{"id": -1}', b'{"id": ""}',
     b'{"id": 1e400}', b"[" * 100_000, b'{"text": "\\ud800"}', b'{"id": "' + b"x" * 600 + b'"}'],
)  # fmt: skip
def test_what_is_no_line_has_no_id(line):
    found = parse(3, line)
    assert isinstance(found, Broken)
    assert (found.id, found.line) == (None, 3)
    assert found.message


@given(st.binary(max_size=60))
def test_any_bytes_are_a_job_or_a_broken_line(line):
    assert isinstance(parse(1, line), Job | Broken)


def test_lines_are_numbered_as_an_editor_does(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n  \n{"text": "b"}\n{oops\n{"text": "c"}')
    found = list(read(path))
    assert [item.line for item in found] == [1, 4, 5, 6]
    assert [type(item) for item in found] == [Job, Job, Broken, Job]


def test_an_id_that_came_before_is_broken(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"id": "a", "text": "1"}\n{"id": "a", "text": "2"}\n{"id": 1, "text": "3"}\n')
    first, second, third = read(path)
    assert isinstance(first, Job)
    assert isinstance(third, Job)
    assert (second.id, second.code) == ("a", "duplicate_id")


def test_a_line_without_end_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "MAX_LINE", 40)
    path = tmp_path / "m.jsonl"
    path.write_bytes(b'{"text": "' + b"x" * 200 + b'"}\n{"text": "b"}\n' + b" " * 41)
    long, good, rest = read(path)
    assert "more than" in long.message
    assert (good.line, good.questions) == (2, (("b",),))
    assert rest.line == 3


@pytest.mark.parametrize("name", ["missing.jsonl", ".", "a\0b"])
def test_a_manifest_that_cannot_be_read_is_refused(tmp_path, name):
    with pytest.raises(ConfigError):
        list(read(tmp_path / name))
