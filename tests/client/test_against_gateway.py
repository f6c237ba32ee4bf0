"""The client and the real gateway understand each other, over a real socket."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from fakes import LoudVad, question

from client import (
    Cancelled,
    ConnectionLost,
    Error,
    Final,
    Partial,
    Pong,
    Refused,
    ServerBusy,
    SpeechStarted,
    SpeechStopped,
    connect,
    reconnect,
)
from client.opening import dial
from realtime.cli.ask import own_server
from realtime.config import Settings
from realtime.engine.api import Delta, Loading
from realtime.engine.fake import FakeEngine
from realtime.gateway.routes.app import create_app
from realtime.gateway.settings import AdmissionConfig

SETTINGS = Settings(admission=AdmissionConfig(sessions=2, retry_after_s=3))


@pytest.fixture
async def engine():
    return FakeEngine("It is Paris.")


@pytest.fixture
async def url(engine, monkeypatch):
    monkeypatch.setattr(own_server, "create_app", partial(create_app, vad_factory=LoudVad))
    async with own_server.served(SETTINGS, engine) as address:
        yield address


async def until(voice, kind):
    """Collect events up to the first of a kind."""
    events = []
    async for event in voice:
        events.append(event)
        if isinstance(event, kind):
            return events
    raise AssertionError(events)


async def test_a_spoken_question_is_answered(url):
    async with connect(url, rate=16000) as voice:
        await voice.send(question(400))
        events = await until(voice, Final)
    ready, started, stopped, *partials, final = events
    assert (ready.model, ready.rate) == ("fake", 16000)
    assert started == SpeechStarted(100)
    assert stopped == SpeechStopped(at_ms=700, duration_ms=600)
    assert partials == [Partial(1, 0, "It"), Partial(1, 1, " is"), Partial(1, 2, " Paris.")]
    assert (final.turn, final.text, final.finish) == (1, "It is Paris.", "stop")
    assert final.ms["hangover"] == 500
    assert set(final.ms) >= {"first_token", "total", "hangover"}


async def test_every_verb_is_understood(url):
    async with connect(url, turn_detection="manual") as voice:
        await voice.instruction("Be brief.")
        await voice.text("What is that?")
        await voice.played(1, 5)
        await voice.clear()
        await voice.reset()
        await voice.ping()
        assert (await until(voice, Pong))[1:] == [Pong()]
        await voice.text("What is the capital of France?")
        await voice.respond()
        assert (await until(voice, Final))[-1].text == "It is Paris."
        await voice.commit()
        assert (await until(voice, Error))[-1].code == "nothing_to_commit"
        await voice.cancel()
        assert (await until(voice, Error))[-1].code == "nothing_to_cancel"


async def test_an_answer_can_be_cancelled(url, engine):
    engine.script = lambda _: [Delta((1,), "One,"), asyncio.Event()]
    async with connect(url) as voice:
        await voice.text("count to twenty")
        await voice.respond()
        await until(voice, Partial)
        await voice.cancel()
        cancelled, final = await until(voice, Final)
    assert cancelled == Cancelled(1, "One,")
    assert (final.text, final.finish) == ("One,", "interrupted")


async def test_a_conversation_is_taken_up_again(url, engine):
    async with connect(url) as first:
        await first.text("my name is anna")
        await first.respond()
        await until(first, Final)
        async with connect(url, conversation=first.ready.resume) as second:
            with pytest.raises(ConnectionLost, match="taken over") as caught:
                await until(first, Final)
            assert caught.value.code == 1008
            assert second.ready.resume == first.ready.resume
            await second.text("what is my name")
            await second.respond()
            assert (await until(second, Final))[-1].turn == 2
    assert len(engine.requests[1].turns) == 3


async def test_a_conversation_that_is_not_known_is_a_new_one(url):
    async with connect(url, conversation="long gone") as voice:
        _, error = await until(voice, Error)
    assert (error.code, error.fatal) == ("conversation_not_found", False)


async def test_a_parameter_that_is_wrong_is_a_refusal(url):
    with pytest.raises(Refused, match="turn_detection") as caught:
        async with connect(url, turn_detection="telepathy"):
            pass
    assert caught.value.code == "bad_parameter"


async def test_a_full_server_says_when_to_come_back(url):
    async with connect(url), connect(url):
        with pytest.raises(ServerBusy, match=r"try again in 3 s") as caught:
            async with connect(url):
                pass
    assert caught.value.retry_after == 3


async def test_a_server_that_is_loading_says_when_to_come_back(url, engine):
    engine.state = Loading("reading weights", 0.5)
    with pytest.raises(ServerBusy, match="try again in"):
        async with connect(url):
            pass


async def test_another_path_is_named(url):
    with pytest.raises(Refused, match="HTTP"):
        await dial(f"{url}/nowhere", 5.0)


async def test_text_where_audio_is_due_ends_the_connection(url):
    async with connect(url) as voice:
        await voice.write("hello?")
        assert (await until(voice, Error))[-1].fatal
        with pytest.raises(ConnectionLost) as caught:
            await anext(voice)
    assert caught.value.code == 1003


async def test_a_lost_connection_is_taken_up_again(url, engine):
    turns = []
    async for voice in reconnect(url, delays=[0.01, 0.01]):
        await voice.text("count")
        await voice.respond()
        turns.append((await until(voice, Final))[-1].turn)
        if len(turns) == 2:
            await voice.close()
        else:
            voice.socket.transport.abort()
            with pytest.raises(ConnectionLost):
                await until(voice, Final)
    assert turns == [1, 2]
