"""API keys: what is kept of them, where they come from, and how they are found."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import ConfigError
from realtime.gateway.access.keys import (
    ApiKey,
    Keyring,
    add_key,
    digest_of,
    given_key,
    matching,
    new_key,
    read_keys,
)
from realtime.gateway.access.settings import AuthConfig


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.txt"


def ring(file=None, *keys: str) -> Keyring:
    return Keyring(AuthConfig(keys=keys, key_file=str(file) if file else None))


def test_a_new_key_is_random_and_may_stand_in_a_list_of_subprotocols():
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key) == 46 and key.startswith("sk-") and "," not in key for key in keys)


def test_the_file_holds_hashes_and_is_for_its_owner(file):
    key = new_key()
    add_key(file, key, "Anna's\ntelephone")
    assert (
        file.read_text() == f"sha256:{hashlib.sha256(key.encode()).hexdigest()} Anna's telephone\n"
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in file.read_text()


def test_keys_are_added_also_behind_a_line_without_an_end(file):
    add_key(file, first := new_key())
    file.write_text(file.read_text().rstrip() + "\n\n# a remark\n" + f"sha256:{'ab' * 32} theirs")
    add_key(file, last := new_key(), "mine")
    assert [key.name for key in read_keys(file)] == ["", "theirs", "mine"]
    assert ring(file).find(first) is not None
    assert ring(file).find(last) is not None


@pytest.mark.parametrize(
    "line", ["sk-plain-key-in-the-file-by-mistake", "sha256:xyz", "sha256:" + "a" * 63]
)
def test_a_line_that_is_no_hash_is_named_by_its_number_and_not_told(file, line):
    file.write_text(f"# keys\n{line}\n")
    with pytest.raises(ConfigError, match="line 2") as caught:
        read_keys(file)
    assert line not in str(caught.value)
    with pytest.raises(ConfigError):
        add_key(file, new_key())
    assert file.read_text() == f"# keys\n{line}\n"


def test_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read.*realtime key new"):
        ring(tmp_path / "none")
    (tmp_path / "empty").write_text("# nobody\n")
    with pytest.raises(ConfigError, match="no key in"):
        ring(tmp_path / "empty")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not text"):
        ring(tmp_path / "binary")
    with pytest.raises(ConfigError, match="cannot be written"):
        add_key(tmp_path / "no" / "keys", new_key())


def test_keys_of_the_environment_are_plain_or_hashed():
    plain, hashed = new_key(), new_key()
    keys = ring(None, plain, f"sha256:{digest_of(hashed).hex()}")
    assert keys.required
    assert keys.find(plain).id == digest_of(plain).hex()[:16]
    assert keys.find(hashed) is not None
    assert keys.find(new_key()) is None
    assert keys.find("") is None
    assert plain not in repr(AuthConfig(keys=(plain,)))


@pytest.mark.parametrize(
    "key", ["short", "secret, with commas and spaces", "sha256:abc", "ключ" * 9]
)
def test_a_key_that_protects_nothing_is_refused_and_not_told(key):
    with pytest.raises(ConfigError) as caught:
        given_key(key)
    assert key not in str(caught.value)


def test_without_any_key_none_is_required():
    assert not ring().required
    assert ring().describe() == "none: only this machine may come in"


def test_every_hash_is_compared_in_constant_time_whichever_matches(monkeypatch):
    compared = []
    genuine = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return genuine(one, other)

    keys = [ApiKey(digest_of(str(n))) for n in range(5)]
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for text in ("0", "4", "none of them"):
        compared.clear()
        found = matching(keys, digest_of(text))
        assert found == (keys[int(text)] if text.isdigit() else None)
        assert compared == [key.digest for key in keys]


def test_a_changed_file_is_read_again_and_a_broken_one_changes_nothing(file):
    add_key(file, first := new_key())
    keys = ring(file)
    add_key(file, second := new_key())
    assert keys.find(second) is not None
    file.write_text("nonsense\n")
    assert keys.find(first) is not None
    file.unlink()
    assert keys.find(first) is not None
    file.write_text("# nobody any more\n")
    os.utime(file, (1, 1))
    assert keys.find(first) is None
    assert keys.required, "an empty file opens nothing"
    assert keys.ids() == set()


@given(st.text(max_size=60))
def test_no_text_but_the_key_opens(text):
    keys = ring(None, "the-only-key-of-this-server")
    assert (keys.find(text) is not None) == (text == "the-only-key-of-this-server")
