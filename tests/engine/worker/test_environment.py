"""Which variables a worker is given, no secrets but the hub's, and how a GPU's memory grows."""

from __future__ import annotations

import asyncio
import sys

import pytest

from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.environment import ALLOCATOR, environment_of_worker, grow_in_place
from realtime.engine.worker.process import WorkerProcess


@pytest.mark.parametrize(
    "name",
    [
        "REALTIME_AUTH_KEYS",
        "REALTIME_AUTH_SECRET",
        "REALTIME_WEBRTC_ICE_CREDENTIAL",
        "REALTIME_KEY",
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "GITHUB_TOKEN",
        "GITHUB_PAT",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AZURE_CLIENT_SECRET",
        "PGPASSWORD",
        "MYSQL_PWD",
        "SSH_AUTH_SOCK",
        "SENTRY_DSN",
        "openai_api_key",
    ],
)
def test_secrets_are_kept(name):
    assert environment_of_worker({name: "x"}) == {}


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN",
        "HF_HOME",
        "HF_TOKEN_PATH",
        "HUGGING_FACE_HUB_TOKEN",
        "PATH",
        "PWD",
        "HOME",
        "LD_LIBRARY_PATH",
        "CUDA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "TOKENIZERS_PARALLELISM",
        "KEYBOARD",
        "XDG_CACHE_HOME",
        "PYTORCH_CUDA_ALLOC_CONF",
        "COMPASS",
        "MONKEYPATCH",
    ],
)
def test_what_libraries_need_is_given(name):
    assert environment_of_worker({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    ("name", "value", "given"),
    [
        ("DATABASE_URL", "postgres://me:word@db/x", False),
        ("DATABASE_URL", "postgres://db/x", True),
        ("HTTPS_PROXY", "http://me:word@proxy:3128", True),
        ("https_proxy", "http://me:word@proxy:3128", True),
        ("HF_ENDPOINT", "https://me:word@mirror", True),
    ],
)
def test_passwords_in_addresses_are_kept_unless_they_are_the_way_to_the_hub(name, value, given):
    assert (name in environment_of_worker({name: value})) is given


async def test_the_process_itself_has_none(monkeypatch):
    monkeypatch.setenv("REALTIME_AUTH_KEYS", "sk-of-this-server")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another")
    monkeypatch.setenv("HF_TOKEN", "of-the-hub")
    program = "import os; print(sorted(os.environ.items()), flush=True)"
    worker = await WorkerProcess.open([sys.executable, "-c", program], WorkerConfig("m"))
    assert worker.process.stdout is not None
    async with asyncio.timeout(30):
        printed = await worker.process.stdout.read()
    await worker.close()
    assert b"of-the-hub" in printed
    assert b"PYTHONPATH" in printed
    assert b"sk-of" not in printed


def test_blocks_grow_in_place():
    environment = {"HOME": "/"}
    grow_in_place(environment)
    assert environment == {"HOME": "/", "PYTORCH_ALLOC_CONF": "expandable_segments:True"}


@pytest.mark.parametrize("name", ALLOCATOR)
def test_whoever_set_something_keeps_it(name):
    environment = {name: "backend:cudaMallocAsync"}
    grow_in_place(environment)
    assert environment == {name: "backend:cudaMallocAsync"}
