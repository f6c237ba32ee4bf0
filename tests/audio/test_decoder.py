import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from encoding import KINDS, encode

from realtime import interpreter
from realtime.audio import containers, decoder
from realtime.audio.decoder import decode_container
from realtime.errors import AudioError

NOISE = np.random.default_rng(5).uniform(-0.5, 0.5, 16_000)
MKA = encode(NOISE, KINDS["mka"])


def test_what_the_child_decodes_is_what_would_be_decoded_here(tmp_path: Path):
    path = tmp_path / "noise.mka"
    path.write_bytes(MKA)
    here = containers.decode(BytesIO(MKA), 60)
    assert here.size
    assert np.array_equal(decode_container(BytesIO(MKA), 60), here)
    with path.open("rb") as file:
        file.read(100)
        assert np.array_equal(decode_container(file, 60), here)


def test_what_the_child_refuses_is_refused_in_its_words():
    with pytest.raises(AudioError, match="at most 0 s") as here:
        containers.decode(BytesIO(MKA), 0.1)
    with pytest.raises(AudioError) as there:
        decode_container(BytesIO(MKA), 0.1)
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize(
    "program", [f"import os; os.kill(os.getpid(), {signal.SIGSEGV:d})", "raise KeyError('s64')"]
)
def test_a_child_that_fails_is_an_error_of_the_file(program: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(interpreter, "command", lambda *_: [sys.executable, "-c", program])
    with pytest.raises(
        AudioError, match=r"^the file is damaged, or of a kind that FFmpeg fails over$"
    ):
        decode_container(BytesIO(MKA), 60)


def test_a_file_over_which_pyav_aborts_costs_no_more_than_itself():
    made = KINDS["aiff"]
    unnamed = encode(np.tile(np.zeros(made.rate), (8, 1)), made)
    message = ""
    try:
        samples = decode_container(BytesIO(unnamed), 60)
    except AudioError as error:
        message = str(error)
    assert message.startswith("the file is damaged") or samples.size == 16_000


def test_a_file_is_left_open_and_nothing_else_is(tmp_path: Path):
    path = tmp_path / "noise.mka"
    path.write_bytes(MKA)
    with path.open("rb") as file:
        before = len(os.listdir("/proc/self/fd"))
        decode_container(file, 60)
        assert not file.closed
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_child_is_given_a_file_from_its_beginning(
    in_memory: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    read: list[bytes] = []

    def run(
        command: list[str], *, stdin: BinaryIO, env: Mapping[str, str], **_: object
    ) -> subprocess.CompletedProcess[bytes]:
        assert command[-2:] == ["realtime.audio.containers", "60"]
        assert env == os.environ | {"PYTHONPATH": interpreter.import_path()}
        read.append(os.read(stdin.fileno(), 100))
        return subprocess.CompletedProcess(command, 0, b"\1\0\2\0", b"")

    monkeypatch.setattr(subprocess, "run", run)
    path = tmp_path / "small"
    path.write_bytes(b"a few bytes")
    with BytesIO(b"a few bytes") if in_memory else path.open("rb") as file:
        file.read(4)
        assert decode_container(file, 60).tolist() == [1, 2]
    assert read == [b"a few bytes"]


def test_what_is_unpacked_while_it_is_read_is_decoded_unpacked(tmp_path: Path):
    path = tmp_path / "noise.mka.gz"
    path.write_bytes(gzip.compress(MKA))
    with gzip.open(path) as file:
        assert np.array_equal(decode_container(file, 60), containers.decode(BytesIO(MKA), 60))


def test_a_child_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch):
    program = "import time; time.sleep(300)"
    monkeypatch.setattr(interpreter, "command", lambda *_: [sys.executable, "-c", program])
    monkeypatch.setattr(decoder, "PATIENCE_S", 0.2)
    with pytest.raises(AudioError, match="not decoded within"):
        decode_container(BytesIO(MKA), 60)
