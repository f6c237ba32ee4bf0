"""A key that is taken back closes what it opened, on every route, and nothing else."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from fakes import GUARD_S
from gateway_place import Place, bearer, rest, serving, until
from websockets.exceptions import ConnectionClosed

from realtime.config import Settings
from realtime.gateway.access.keys import digest_of
from realtime.gateway.access.revocation import Revocation
from realtime.gateway.access.settings import AuthConfig
from scripts.bench.caller import CALLS, connection, dial

KEY, OTHER = "the-first-key-of-this-server", "another-key-of-this-server"


@pytest.fixture
def file(tmp_path):
    """A file of two keys."""
    file = tmp_path / "keys"
    keep(file, KEY, OTHER)
    return file


def keep(file, *keys: str) -> None:
    """Write the keys that remain."""
    file.write_text("".join(f"sha256:{digest_of(key).hex()}\n" for key in keys) or "# none\n")


def guarded(file) -> Settings:
    return Settings(auth=AuthConfig(key_file=str(file)))


async def closed(socket) -> tuple[list[dict], int]:
    """Read to the close; give what came and the close code."""
    got = await rest(socket)
    with pytest.raises(ConnectionClosed) as end:
        await socket.recv()
    return got, end.value.rcvd.code


async def an_offer() -> str:
    """Give an offer whose maker will never connect."""
    peer = connection()
    peer.addTransceiver("audio", direction="sendonly")
    await peer.setLocalDescription(await peer.createOffer())
    text = peer.localDescription.sdp
    await peer.close()
    return text


async def issued(place: Place, key: str) -> str:
    headers = {"Authorization": f"Bearer {key}"}
    answer = await place.ask("POST", "/v1/realtime/client_secrets", headers=headers, json={})
    return answer.json()["value"]


async def test_sockets_of_a_key_that_is_deleted_close_with_the_reason_and_others_go_on(file):
    async with serving(guarded(file)) as place, AsyncExitStack() as stack:
        enter = stack.enter_async_context
        plain = await enter(place.connect("/v1/pcm", **bearer(KEY)))
        openai = await enter(place.connect(**bearer(KEY)))
        browser = await enter(place.connect(**bearer(await issued(place, KEY))))
        other = await enter(place.connect(**bearer(OTHER)))
        await until(plain, "ready")
        for socket in (openai, browser, other):
            await until(socket, "session.created")
        keep(file, OTHER)
        for socket in (plain, openai, browser):
            got, code = await closed(socket)
            assert code == 1008
            assert got[-1]["type"] == "error"
            assert "invalid_api_key" in json.dumps(got[-1])
        assert len(place.gateway.connections) == 1
        assert await other.ping()


async def test_keys_that_other_settings_leave_out_close_what_they_opened():
    keys = Settings(auth=AuthConfig(keys=(KEY, OTHER)))
    async with serving(keys) as place, place.connect(**bearer(KEY)) as socket:
        await until(socket, "session.created")
        place.gateway.reload(replace(keys, auth=AuthConfig(keys=(OTHER,))))
        got, code = await closed(socket)
        assert (got[-1]["error"]["code"], code) == ("invalid_api_key", 1008)


# ---- looking ------------------------------------------------------------------------------------


@pytest.fixture
def here():
    """Keys that are here."""
    return {"ours", "theirs"}


@pytest.fixture
def revocation(here):
    return Revocation(lambda keys: set(keys) - here)


async def test_what_a_key_opened_ends_once_when_it_is_missing_twice(revocation, here):
    ended = []
    with (
        revocation.ending("ours", lambda: ended.append("ours")),
        revocation.ending("theirs", lambda: ended.append("theirs")),
    ):
        revocation.look()
        here.remove("ours")
        revocation.look()
        assert ended == []
        for _ in range(3):
            revocation.look()
        assert ended == ["ours"]


async def test_a_file_that_is_being_edited_ends_nothing(revocation, here):
    ended = []
    with revocation.ending("ours", lambda: ended.append("ours")):
        for _ in range(3):
            here.clear()
            revocation.look()
            here.add("ours")
            revocation.look()
    assert ended == []


async def test_what_is_over_is_not_ended_and_nobody_looks_while_nothing_is_open(revocation, here):
    ended = []
    with revocation.ending("ours", lambda: ended.append("ours")):
        here.clear()
        revocation.look()
        assert revocation.looking is not None
    assert (revocation.looking, revocation.opened) == (None, set())
    with revocation.ending("theirs", lambda: None):
        revocation.look()
        revocation.look()
        assert revocation.looking is None, "all that was open has ended"
    assert ended == []


# ---- calls --------------------------------------------------------------------------------------


async def test_calls_and_who_follows_them_end_with_their_key(file):
    async with serving(guarded(file)) as place:
        url = f"http://127.0.0.1:{place.port}"
        headers = {"Authorization": f"Bearer {KEY}"}
        call = await dial(url, CALLS, key=KEY)
        sender = await dial(url, "/whip", label=None, key=await issued(place, KEY))
        await call.until("session.created")
        followed = asyncio.create_task(
            place.ask("GET", sender.location + "/events", headers=headers)
        )
        keep(file, OTHER)
        async with asyncio.timeout(GUARD_S):
            assert (await call.until("error"))["error"]["code"] == "invalid_api_key"
            events = (await followed).text
            while place.calls.tasks:
                await asyncio.wait(tuple(place.calls.tasks.values()))
        assert '"invalid_api_key"' in events
        await call.close()
        await sender.close()


async def test_a_call_that_is_not_connected_yet_ends_too(file):
    async with serving(guarded(file)) as place:
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/sdp"}
        answer = await place.ask("POST", CALLS, headers=headers, content=await an_offer())
        assert answer.status_code == 201
        (task,) = place.calls.tasks.values()
        keep(file, OTHER)
        async with asyncio.timeout(place.gateway.settings.webrtc.connect_s / 2):
            await asyncio.wait([task])
        assert place.calls.opening == 0
