"""`realtime key`: a key is shown once, its hash is kept."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from realtime.cli.main import app
from realtime.gateway.access.keys import Keyring
from realtime.gateway.access.settings import AuthConfig


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.txt"


def test_the_command_prints_the_key_once_and_keeps_its_hash(file):
    result = CliRunner().invoke(app, ["key", "new", str(file), "--name", "Anna"])
    assert result.exit_code == 0
    key = result.stdout.strip()
    assert Keyring(AuthConfig(key_file=str(file))).find(key).name == "Anna"
    assert "only now" in result.stderr
    assert "realtime serve --host" in CliRunner().invoke(app, ["key", "new", "--help"]).stdout


def test_the_command_says_in_one_sentence_what_it_cannot_write(file):
    file.write_text("not a file of keys\n")
    result = CliRunner().invoke(app, ["key", "new", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "line 1" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_further_key_is_added_and_the_first_one_stays(file):
    first, second = (
        CliRunner().invoke(app, ["key", "new", str(file)]).stdout.strip() for _ in range(2)
    )
    keyring = Keyring(AuthConfig(key_file=str(file)))
    assert first != second
    assert keyring.find(first).id != keyring.find(second).id
    assert first not in file.read_text()
