"""The listening socket and the operator's signals, the latter on a real process."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import pytest
from fakes import GUARD_S, question
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from realtime.config import Settings
from realtime.engine.fake import FakeEngine
from realtime.errors import ConfigError
from realtime.gateway.http import server
from realtime.gateway.http.server import SEND_BUFFER, bind, serve
from realtime.gateway.http.settings import ServerConfig
from realtime.gateway.routes.app import create_app

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def process(
    *, drain_s: float = GUARD_S, file: Path = Path("none.toml"), stderr: int | None = None
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run a server; give the process and its address."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("serving_program.py")),
        str(drain_s),
        str(file),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )
    try:
        port = (await server.stdout.readline()).decode().strip()
        yield server, f"ws://127.0.0.1:{port}/v1/pcm"
    finally:
        if server.returncode is None:
            server.kill()
        await server.wait()
        server.stdin.close()


async def ended(server: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(GUARD_S):
        return await server.wait()


async def in_the_middle_of_an_answer(socket: ClientConnection) -> None:
    await socket.send(question())
    while json.loads(await socket.recv())["type"] != "partial":
        pass


async def rest(socket: ClientConnection) -> list[dict]:
    """Read to the end."""
    got = []
    async with asyncio.timeout(GUARD_S):
        try:
            while True:
                got.append(json.loads(await socket.recv()))
        except ConnectionClosed:
            return got


async def refused(url: str) -> None:
    """Wait until the signal has arrived: nobody is let in, whoever still got in is closed."""
    async with asyncio.timeout(GUARD_S):
        while True:
            try:
                async with connect(url, proxy=None) as late:
                    await rest(late)
            except InvalidStatus as error:
                if error.response.status_code == 503:
                    return
                raise


async def test_sigterm_lets_answers_finish_and_exits_with_0():
    async with process() as (server, url), connect(url, proxy=None) as caller:
        await in_the_middle_of_an_answer(caller)
        server.send_signal(signal.SIGTERM)
        await refused(url)
        assert server.returncode is None
        server.stdin.write(b"go on\n")
        assert [(m["type"], m.get("text")) for m in await rest(caller)] == [
            ("partial", None),
            ("final", "Well done."),
        ]
        assert (caller.close_code, caller.close_reason) == (1001, "going away")
        assert await ended(server) == 0


async def test_an_answer_that_takes_too_long_is_cut_off():
    async with process(drain_s=0.01) as (server, url), connect(url, proxy=None) as caller:
        await in_the_middle_of_an_answer(caller)
        server.send_signal(signal.SIGINT)
        got = await rest(caller)
        assert [m["type"] for m in got] == ["cancelled", "final"]
        assert caller.close_code == 1001
        assert await ended(server) == 0


async def test_a_second_signal_ends_at_once():
    async with process() as (server, url), connect(url, proxy=None) as caller:
        await in_the_middle_of_an_answer(caller)
        server.send_signal(signal.SIGTERM)
        await refused(url)
        server.send_signal(signal.SIGTERM)
        assert [m["type"] for m in await rest(caller)] == ["cancelled", "final"]
        assert await ended(server) == 130


async def test_a_hangup_changes_settings_and_ends_nothing(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[admission]\nsessions = 1\n")
    async with (
        process(file=file, stderr=asyncio.subprocess.PIPE) as (server, url),
        connect(url, proxy=None) as caller,
    ):
        await caller.recv()
        for text, words in (
            ("[admission]\nsessions = 1\n", b"settings read again"),
            ("[admission\n", b"the settings stay as they were"),
            ("[worker]\nmodel = 'none'\n", b"these settings need a restart"),
        ):
            file.write_text(text)
            server.send_signal(signal.SIGHUP)
            async with asyncio.timeout(GUARD_S):
                while words not in (line := await server.stderr.readline()):
                    assert line
                    assert b"Traceback" not in line
        await (await caller.ping())
        server.send_signal(signal.SIGTERM)
        await rest(caller)
        assert await ended(server) == 0


def test_a_port_in_use_is_named_with_the_way_out():
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"Port {port} on 127\.0\.0\.1 is in use.*--port"):
            bind("127.0.0.1", port)


def test_a_port_that_was_just_left_can_be_taken_again():
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            first.accept()[0].close()
    bind("127.0.0.1", port).close()


@pytest.mark.parametrize(
    ("host", "words"),
    [("host.invalid", "is not known"), ("203.0.113.7", "no address of this machine")],
)
def test_a_host_that_cannot_be_listened_on_is_named(host, words):
    with pytest.raises(ConfigError, match=words):
        bind(host, 0)


def test_the_kernel_holds_little_for_a_peer_that_does_not_read():
    with bind("127.0.0.1", 0) as listening:
        # Linux doubles what is asked for, to make room for its own bookkeeping.
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_without_a_key_the_loopback_is_listened_on(host):
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    bind(host, 0, loopback_only=True).close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "203.0.113.7"])
def test_without_a_key_nothing_else_is(host):
    with pytest.raises(ConfigError, match=r"Without a key only this machine.*realtime key new"):
        bind(host, 0, loopback_only=True)


def has_ipv6() -> bool:
    """Tell whether this machine has ::1."""
    try:
        bind("::1", 0).close()
    except ConfigError:
        return False
    return True


async def test_what_is_loaded_before_it_serves_is_not_looked_at_by_the_collector(monkeypatch):
    asked = asyncio.Event(), asyncio.Event()
    for event in asked:
        event.set()
    monkeypatch.setattr(server, "stop_signals", lambda: nullcontext(asked))
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    app = create_app(Settings(), FakeEngine("Hello."))
    with bind("127.0.0.1", 0) as listening:
        await serve(app, listening, ServerConfig())
    assert frozen
