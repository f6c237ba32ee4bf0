"""Tiny checkpoints, made once for all tests of the engine."""

from __future__ import annotations

import pytest
import tiny_model
import torch

from realtime.engine.model.load import load


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A checkpoint that answers with its default: greedy."""
    return tiny_model.save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def endless(tmp_path_factory):
    """A checkpoint that goes on until the limit."""
    return tiny_model.save(tmp_path_factory.mktemp("endless"), tiny_model.Tiny(stops=False))


@pytest.fixture(scope="session")
def loaded(checkpoint):
    """The first checkpoint, in memory."""
    return load(str(checkpoint), device="cpu", dtype="auto")
