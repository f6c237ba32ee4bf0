"""The output is gone on with as it was left, and no other file is ever touched."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.cli.batch.results import Answer, Answered, Error, Failed, results
from realtime.errors import ConfigError

ONE = Answered("one", 1, [Answer("Föur.", "stop", 10, 3, 2)])
TWO = Answered(2, 2, [Answer("a", "length", 1, 0, 1), Answer("", "stop", 2, 0, 0)])
BAD = Failed("bad", 3, Error("bad_audio", "gone"))


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text("{}\n")
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.jsonl"


def write(path, manifest, *records) -> frozenset:
    with results(path, manifest) as out:
        for record in records:
            out.write(record)
        return out.finished


def test_a_record_is_a_line_of_json_that_is_there_at_once(path, manifest):
    with results(path, manifest) as out:
        out.write(ONE)
        assert json.loads(path.read_text()) == {
            "id": "one",
            "line": 1,
            "answers": [
                {
                    "text": "Föur.",
                    "finish": "stop",
                    "prompt_tokens": 10,
                    "cached_tokens": 3,
                    "completion_tokens": 2,
                }
            ],
        }
        out.write(BAD)
    assert json.loads(path.read_text().splitlines()[1]) == {
        "id": "bad",
        "line": 3,
        "error": {"code": "bad_audio", "message": "gone"},
    }


def test_what_is_answered_stays_and_what_failed_goes(path, manifest):
    assert write(path, manifest, ONE, BAD, TWO) == frozenset()
    os.chmod(path, 0o640)
    before = path.read_text().splitlines()
    assert write(path, manifest) == {"one", 2}
    assert path.read_text().splitlines() == [before[0], before[2]]
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(path.parent)) == ["m.jsonl", "out.jsonl"]


def test_an_output_without_failures_is_not_rewritten(path, manifest):
    write(path, manifest, ONE)
    inode = path.stat().st_ino
    assert write(path, manifest, TWO) == {"one"}
    assert path.stat().st_ino == inode
    assert len(path.read_text().splitlines()) == 2


@given(st.data())
def test_a_file_torn_anywhere_is_mended(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("torn")
    manifest, path = folder / "m.jsonl", folder / "out.jsonl"
    manifest.touch()
    write(path, manifest, ONE, BAD, TWO)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    left = [
        json.loads(line) for line in whole[:cut].splitlines(keepends=True) if line[-1:] == b"\n"
    ]
    kept = [record["id"] for record in left if "answers" in record]
    assert write(path, manifest, ONE) == frozenset(kept)
    mended = [json.loads(line)["id"] for line in path.read_text().splitlines()]
    assert mended == [*kept, "one"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"id": "a", "text": "a manifest"}\n',
        b"RIFF\n",
        b'{"id": 1, "line": 1}\n',
        b'{"id": 1, "line": 1, "answers": [], "error": {}}\n',
        b"\n",
    ],
)
def test_another_file_is_left_as_it_is(path, manifest, content):
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="something else"):
        write(path, manifest, ONE)
    assert path.read_bytes() == content


def test_the_manifest_is_no_output(manifest, tmp_path):
    link = tmp_path / "link.jsonl"
    link.symlink_to(manifest)
    for path in (manifest, link):
        with pytest.raises(ConfigError, match="is the manifest"):
            write(path, manifest, ONE)
    assert manifest.read_text() == "{}\n"


def test_two_runs_do_not_write_to_one_file(path, manifest):
    with (
        results(path, manifest) as first,
        pytest.raises(ConfigError, match="another run"),
        results(path, manifest),
    ):
        pass
    assert first.file.closed


def test_two_runs_do_not_write_to_a_mended_file(path, manifest):
    write(path, manifest, ONE, BAD)
    with (
        results(path, manifest),
        pytest.raises(ConfigError, match="another run"),
        results(path, manifest),
    ):
        pass


@pytest.mark.parametrize("name", ["missing/out.jsonl", ".", "a\0b"])
def test_a_place_that_cannot_be_written_is_told(tmp_path, manifest, name):
    with pytest.raises(ConfigError):
        write(tmp_path / name, manifest)


def test_a_full_disk_is_told(manifest, tmp_path):
    with (
        results(tmp_path / "out.jsonl", manifest) as out,
        open("/dev/full", "ab", buffering=0) as full,
    ):
        file, out.file = out.file, full
        with pytest.raises(ConfigError, match="No space left"):
            out.write(ONE)
        out.file = file
