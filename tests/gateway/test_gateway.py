"""Who comes in finds room and gives it back; who is in may finish when the server goes."""

from __future__ import annotations

import asyncio

import pytest
from fakes import GUARD_S, LoudVad, question
from pcm_place import calling, refusal, served
from starlette.requests import Request

from realtime.config import Settings
from realtime.engine.api import Delta, Loading
from realtime.engine.fake import FAKE_MODEL, FakeEngine
from realtime.errors import Busy, LimitReached
from realtime.gateway.access.keys import digest_of
from realtime.gateway.access.settings import AuthConfig, LimitsConfig
from realtime.gateway.gateway import Gateway
from realtime.gateway.settings import AdmissionConfig

KEY = "the-first-key-of-this-server"
HERE = {"host": "127.0.0.1:8765"}


async def test_what_is_granted_to_a_request_goes_with_it():
    gateway = Gateway(Settings(auth=AuthConfig(keys=(KEY,))), FakeEngine("x"), LoudVad)

    def request(*headers: tuple[bytes, bytes]) -> Request:
        return Request({"type": "http", "method": "POST", "path": "/", "headers": headers})

    asked = request((b"authorization", f"Bearer {KEY}".encode()))
    assert gateway.authorise(asked) is None
    assert asked.state.grant.key == digest_of(KEY).hex()[:16]
    refusal = gateway.authorise(request())
    assert refusal.status_code == 401


async def test_a_place_that_is_not_to_be_had_is_not_counted_for_the_key():
    engine = FakeEngine("x")
    gateway = Gateway(Settings(limits=LimitsConfig(sessions=1)), engine, LoudVad)
    grant = gateway.authenticator.authorise(HERE)
    engine.state = Loading("weights", 0.5)
    with pytest.raises(Busy):
        gateway.enter(grant)
    assert (grant.allowance.sessions, gateway.admission.taken) == (0, 0)
    engine.state = FAKE_MODEL
    gateway.enter(grant)
    with pytest.raises(LimitReached):
        gateway.enter(grant)
    assert (grant.allowance.sessions, gateway.admission.taken) == (1, 1)
    gateway.leave(grant)
    assert (grant.allowance.sessions, gateway.admission.taken) == (0, 0)


async def test_what_routes_hold_ends_with_the_gateway():
    gateway, ended = Gateway(Settings(), FakeEngine("x"), LoudVad), []

    async def close() -> None:
        ended.append(gateway.admission.draining)

    gateway.closers.append(close)
    await gateway.close(1.0)
    assert ended == [True], "when nobody comes in any more"


async def test_a_full_house_refuses_before_the_upgrade_and_keeps_those_who_are_in():
    admission = AdmissionConfig(sessions=1)
    async with served(admission=admission) as place:
        async with calling(place) as caller:
            await caller.until("ready")
            assert "All 1 sessions are taken" in (await refusal(place))["message"]
            assert (await place.get("/readyz")).status_code == 503
            assert await caller.ask() == "Hello there."
        await place.empty()
        async with calling(place) as caller:
            assert await caller.ask() == "Hello there."
        assert place.count("realtime_refused_total", code="busy") == 1


async def test_draining_finishes_answers_and_lets_nobody_in():
    gate = asyncio.Event()
    script = lambda _: [Delta((7,), "Well"), gate, Delta((8,), " done.", "stop")]  # noqa: E731
    async with served(script) as place, calling(place) as busy, calling(place) as idle:
        await idle.until("ready")
        await busy.say(question())
        await busy.until("partial")
        draining = asyncio.create_task(place.gateway.drain(GUARD_S))
        assert await idle.closed() == (1001, "going away")
        assert "going away" in (await refusal(place))["message"]
        assert (await place.get("/readyz")).status_code == 503
        assert (await place.get("/healthz")).status_code == 200
        gate.set()
        assert await busy.closed() == (1001, "going away")
        assert busy.got[-1]["text"] == "Well done."
        await draining


async def test_closing_cuts_off_what_draining_did_not_wait_for():
    async with served(lambda _: [Delta((7,), "Well"), asyncio.Event()]) as place:
        async with calling(place) as caller:
            await caller.say(question())
            await caller.until("partial")
            await place.gateway.drain(0.01)
            assert len(place.gateway.connections) == 1
            await place.gateway.close(GUARD_S)
            assert await caller.closed() == (1001, "going away")
            assert caller.got[-1]["finish"] == "interrupted"
        assert len(place.engine.cancelled) == 1


async def test_nothing_is_left_after_many_calls():
    async with served() as place:
        async with calling(place) as caller:
            await caller.ask()
        await place.empty()
        before = asyncio.all_tasks()
        for _ in range(19):
            async with calling(place) as caller:
                await caller.ask()
        await place.empty()
        admission = place.gateway.admission
        assert asyncio.all_tasks() <= before
        assert (len(admission.parked), len(admission.slots)) == (20, 20)
        assert admission.taken == 0
