"""What is no checkpoint of this model is told by name, without loading anything."""

from __future__ import annotations

import json

import pytest

from realtime.engine.checkpoint import locate, refuse_tied_head
from realtime.errors import ModelError


@pytest.mark.parametrize("name", ["/no/such/folder", "./nothing", "nothing", "a/b/c", "~/nowhere"])
def test_a_path_that_does_not_exist(name):
    with pytest.raises(ModelError, match="there is no folder"):
        locate(name)


def test_a_hub_id_is_not_a_path():
    source = locate("Qwen/Qwen2-Audio-7B-Instruct")
    assert (source.path, source.local, source.options) == (source.name, False, {})


def test_a_folder_never_asks_the_network(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2_audio"}')
    source = locate(str(tmp_path))
    assert (source.path, source.options) == (str(tmp_path), {"local_files_only": True})


def test_a_file_is_no_model(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"x")
    with pytest.raises(ModelError, match="is a file"):
        locate(str(tmp_path / "model.bin"))


def test_a_folder_without_a_config_is_no_model(tmp_path):
    with pytest.raises(ModelError, match=r"is no model: it has no config\.json"):
        locate(str(tmp_path))


@pytest.mark.parametrize("content", ["{", "", "[]"])
def test_a_broken_config(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match="cannot be loaded"):
        locate(str(tmp_path))


def test_another_architecture_is_named(tmp_path):
    config = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"a qwen2 model \(Qwen2ForCausalLM\)"):
        locate(str(tmp_path))


def test_an_unknown_architecture_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "mystery"}')
    with pytest.raises(ModelError, match=r"a mystery model \(unknown architecture\)"):
        locate(str(tmp_path))


@pytest.mark.parametrize("version", ["5.10.0", "5.10.1", "5.10.2", "5.10.3", "5.10.3.dev0"])
def test_versions_of_transformers_that_tie_the_head_are_refused(version):
    with pytest.raises(ModelError, match="only audio tags"):
        refuse_tied_head(version)


@pytest.mark.parametrize("version", ["5.9.9", "5.10.4", "5.11.0", "5.23.0", "6.0"])
def test_other_versions_are_taken(version):
    refuse_tied_head(version)
