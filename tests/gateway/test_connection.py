"""The pump, with an in-memory peer and a scripted engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from fakes import GUARD_S, LoudVad, MemoryPeer, loud, question, quiet
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.audio.endpoint import EndpointConfig, Endpointer
from realtime.engine.api import AssistantTurn, Clip, Delta, UserTurn
from realtime.engine.fake import FakeEngine
from realtime.errors import Busy, EngineError, ModelError
from realtime.gateway import connection
from realtime.gateway.connection import Connection
from realtime.gateway.settings import ConnectionConfig
from realtime.metrics import Metrics
from realtime.protocols.pcm import PcmCodec
from realtime.session.conversation import Conversation
from realtime.session.events import Ready
from realtime.session.session import Session
from realtime.session.settings import SessionConfig

READY = Ready("s", "secret", "fake")


@dataclass
class Call:
    """A connection under test and everything around it."""

    peer: MemoryPeer
    engine: FakeEngine
    connection: Connection
    conversation: Conversation
    metrics: Metrics
    running: asyncio.Task[None]

    async def over(self) -> None:
        """Wait until nothing of the connection runs any more."""
        async with asyncio.timeout(GUARD_S):
            await self.running

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def call(
    script="Hello there.", *, rate=16_000, automatic=True, **config
) -> AsyncIterator[Call]:
    peer, engine, metrics = MemoryPeer(), FakeEngine(script), Metrics()
    conversation = Conversation("c")
    endpointer = Endpointer(LoudVad(), EndpointConfig(automatic=automatic))
    session = Session(conversation, endpointer, SessionConfig())
    connection = Connection(
        peer,
        PcmCodec(rate),
        session,
        engine,
        metrics=metrics,
        config=ConnectionConfig(**config),
    )
    before = asyncio.all_tasks()
    running = asyncio.create_task(connection.run([READY]))
    yield Call(peer, engine, connection, conversation, metrics, running)
    if not running.done():
        peer.vanish()
    await asyncio.wait({running}, timeout=GUARD_S)
    assert running.cancelled() or running.exception() is None
    assert asyncio.all_tasks() <= before, "nothing outlives the connection"


def heard(turn: UserTurn) -> int:
    """Count the samples of a turn."""
    return sum(len(part.pcm) for part in turn.parts if isinstance(part, Clip))


def gated(gate: asyncio.Event):
    """Say two words, then wait at the gate, then say the rest."""
    return lambda request: [
        Delta((1,), "One"),
        Delta((2,), " two"),
        gate,
        Delta((3,), " three", "stop"),
    ]


async def test_a_question_is_heard_answered_piece_by_piece_and_timed():
    async with call("Hello there.") as c:
        c.peer.say(question())
        final = await c.peer.final(1)
        assert c.peer.types == [
            "ready",
            "speech_started",
            "speech_stopped",
            "partial",
            "partial",
            "final",
        ]
        assert [m["delta"] for m in c.peer.of("partial")] == ["Hello", " there."]
        assert [m["seq"] for m in c.peer.of("partial")] == [0, 1]
        assert (final["text"], final["finish"]) == ("Hello there.", "stop")
        assert set(final["ms"]) == {"first_token", "total", "hangover"}
        assert 0 <= final["ms"]["first_token"] <= final["ms"]["total"]
        started, stopped = c.peer.of("speech_started")[0], c.peer.of("speech_stopped")[0]
        assert started["at_ms"] == 100
        assert stopped["at_ms"] >= 500
    assert c.count("realtime_utterances_total") == 1
    assert c.count("realtime_responses_total", finish="stop") == 1
    assert c.count("realtime_audio_seconds_total") == pytest.approx(1.3)
    assert c.count("realtime_first_token_seconds_count") == 1


async def test_speech_during_an_answer_stops_it_and_keeps_what_was_delivered():
    gate = asyncio.Event()
    async with call(gated(gate)) as c:
        c.peer.say(question())
        await c.peer.until(lambda peer: len(peer.of("partial")) == 2)
        c.peer.say(loud(300).tobytes())
        final = await c.peer.final(1)
        await c.engine.until(lambda engine: engine.cancelled)
        assert (final["text"], final["finish"]) == ("One two", "interrupted")
        assert c.peer.of("cancelled") == [{"type": "cancelled", "turn": 1, "text": "One two"}]
        gate.set()
        c.peer.say(quiet(800).tobytes())
        second = await c.peer.final(2)
        assert second["text"] == "One two three"
        assert c.engine.requests[1].turns[1] == AssistantTurn(tokens=(1, 2))
    assert c.count("realtime_barge_ins_total") == 1
    assert len(c.peer.of("final")) == 2


async def test_an_answer_speculated_on_at_a_pause_is_told_when_speech_is_over():
    async with call("Hello there.") as c:
        c.peer.say(np.concatenate((quiet(400), loud(500), quiet(300))).tobytes())
        await until(c, lambda engine: engine.finished)
        assert c.peer.of("partial") == []
        c.peer.say(quiet(300).tobytes())
        final = await c.peer.final(1)
        assert final["text"] == "Hello there."
        assert 0 <= final["ms"]["first_token"] <= final["ms"]["total"]
        assert c.engine.confirmed == [c.engine.requests[0].id]
        assert len(c.engine.requests) == 1
    assert c.count("realtime_guesses_total", outcome="kept") == 1
    assert c.count("realtime_first_token_seconds_count") == 1


async def test_a_speculation_that_speech_disproves_is_cancelled_and_counted():
    gate = asyncio.Event()
    async with call(gated(gate)) as c:
        c.peer.say(np.concatenate((quiet(400), loud(500), quiet(300))).tobytes())
        await until(c, lambda engine: engine.requests)
        c.peer.say(loud(300).tobytes())
        await until(c, lambda engine: engine.cancelled)
        assert c.peer.of("cancelled") == []
    assert c.count("realtime_guesses_total", outcome="lost") == 1
    assert c.count("realtime_barge_ins_total") == 0


async def until(c: Call, condition) -> None:
    """Wait for something of the engine."""
    async with asyncio.timeout(GUARD_S):
        await c.engine.until(condition)


async def test_a_peer_that_vanishes_mid_answer_cancels_it_and_keeps_what_was_delivered():
    gate = asyncio.Event()
    async with call(gated(gate)) as c:
        c.peer.say(question())
        await c.peer.until(lambda peer: len(peer.of("partial")) == 2)
        c.peer.vanish()
        await c.over()
        assert c.engine.cancelled == [request.id for request in c.engine.requests]
        assert list(c.conversation.turns())[-1] == AssistantTurn(tokens=(1, 2))


async def test_a_peer_that_vanishes_before_the_first_piece_leaves_the_question_open():
    gate = asyncio.Event()
    async with call(lambda request: [gate]) as c:
        c.peer.say(question())
        await c.engine.until(lambda engine: engine.requests)
        c.peer.vanish()
        await c.over()
        assert c.engine.cancelled == [request.id for request in c.engine.requests]


@pytest.mark.parametrize("bound", [{"outbox_messages": 20}, {"outbox_bytes": 2_000}])
async def test_a_peer_that_never_reads_is_closed_1008_and_keeps_its_conversation(bound):
    async with call("word " * 100, **bound) as c:
        await c.peer.until(lambda peer: peer.got)
        c.peer.reading.clear()
        c.peer.say(question())
        await c.over()
        assert c.peer.closed == (1008, "slow_peer")
        assert c.engine.cancelled == [request.id for request in c.engine.requests]
        asked, answered = c.conversation.turns()
        assert isinstance(asked, UserTurn)
        assert 0 < len(answered.tokens) < 100
    assert c.count("realtime_outbox_overflows_total") == 1


async def test_a_burst_of_pieces_is_no_sign_of_a_slow_peer():
    async with call("word " * 3_000) as c:
        c.peer.say(question())
        final = await c.peer.final(1)
        assert final["finish"] == "length"
        assert len(c.peer.of("partial")) == 512


async def test_a_burst_whose_answers_are_read_is_answered_whole():
    async with call(outbox_messages=20) as c:
        c.peer.say(*[{"type": "ping"}] * 5_000)
        await c.peer.until(lambda peer: len(peer.of("pong")) == 5_000)
        assert c.peer.closed is None
    assert c.count("realtime_outbox_overflows_total") == 0


async def test_a_peer_that_sends_and_takes_nothing_is_left_after_a_while():
    async with call(outbox_messages=20, stall_s=0.01) as c:
        await c.peer.until(lambda peer: peer.got)
        c.peer.reading.clear()
        c.peer.say(*[{"type": "ping"}] * 100)
        await c.over()
        assert c.peer.closed == (1008, "slow_peer")
    assert c.count("realtime_outbox_overflows_total") == 1


async def test_others_have_their_turn_while_one_has_much_to_say(monkeypatch):
    monkeypatch.setattr(connection, "SLICE_S", 0.0)
    async with call() as flood:
        await flood.peer.until(lambda peer: peer.got)
        async with call() as c:
            await c.peer.until(lambda peer: peer.got)
            flood.peer.say(*[b"\0\0"] * 5_000)
            c.peer.say({"type": "ping"})
            await c.peer.until(lambda peer: peer.of("pong"))
            assert flood.peer.inbox.qsize() > 4_000


@pytest.mark.parametrize("message", [b"\0\0", {"type": "ping"}, {"type": "dance"}])
async def test_too_many_messages_are_a_fatal_error_and_close_1008(message):
    async with call(messages_per_minute=100) as c:
        c.peer.say(*[message] * 200)
        await c.over()
        assert c.peer.got[-1]["code"] == "too_many_messages"
        assert c.peer.got[-1]["fatal"] is True
        assert c.peer.closed == (1008, "too_many_messages")
    assert c.count("realtime_errors_total", code="too_many_messages") == 1


async def test_a_recording_may_be_replayed_at_any_speed_and_waits_if_need_be():
    async with call(messages_per_minute=60_000) as c:
        c.connection.intake.messages.level = 6_000
        audio = question()
        for at in range(0, len(audio), 640):
            c.peer.say(audio[at : at + 640])
        c.peer.say(*[{"type": "ping"}] * 1_000)
        await c.peer.final(1)
        await c.peer.until(lambda peer: len(peer.of("pong")) == 1_000)
        assert c.peer.of("error") == []


async def test_what_is_no_message_is_complained_of_and_counted():
    async with call(messages_per_minute=3, outbox_messages=8) as c:
        await c.peer.until(lambda peer: peer.got)
        for _ in range(4):
            c.connection.complain("wrong_type", "Not so.")
        await c.over()
        told = [m["code"] for m in c.peer.of("error")]
        assert told == ["wrong_type"] * 3 + ["too_many_messages"]
        assert c.peer.closed == (1008, "too_many_messages")


async def test_text_where_audio_is_due_is_a_fatal_error_and_close_1003():
    async with call() as c:
        c.peer.say("hello")
        await c.over()
        assert c.peer.got[-1]["code"] == "wrong_type"
        assert c.peer.got[-1]["fatal"] is True
        assert c.peer.closed == (1003, "wrong_type")


async def test_an_answer_under_way_ends_before_a_fatal_error():
    gate = asyncio.Event()
    async with call(gated(gate)) as c:
        c.peer.say(question())
        await c.peer.until(lambda peer: len(peer.of("partial")) == 2)
        c.peer.say("[]")
        await c.over()
        assert c.peer.types[-3:] == ["cancelled", "final", "error"]


async def test_a_bad_message_is_refused_and_the_session_goes_on():
    async with call() as c:
        c.peer.say({"type": "dance"}, {"type": "text"}, {"type": "ping"})
        await c.peer.until(lambda peer: peer.of("pong"))
        assert [(m["code"], m["fatal"]) for m in c.peer.of("error")] == [("bad_message", False)] * 2
        assert "'dance'" in c.peer.of("error")[0]["message"]
    assert c.count("realtime_errors_total", code="bad_message") == 2


async def test_an_oversized_message_is_closed_with_1009():
    async with call() as c:
        c.peer.say(bytes((1 << 20) + 2))
        await c.over()
        assert c.peer.closed == (1009, "too_much")


async def test_what_comes_after_the_end_is_not_heard():
    async with call() as c:
        c.peer.say("hello", question(), "hello again")
        await c.over()
        assert [m["code"] for m in c.peer.of("error")] == ["wrong_type"]
        assert c.engine.requests == []


async def test_empty_and_odd_messages_are_heard_as_the_audio_they_are():
    audio = question()
    async with call() as c:
        c.peer.say(b"")
        for at in range(0, len(audio), 333):
            c.peer.say(audio[at : at + 333], b"")
        await c.peer.final(1)
        (clip,) = c.engine.requests[0].turns[0].parts
        assert np.abs(clip.pcm).max() == 8000


async def test_minutes_of_silence_are_no_question():
    async with call() as c:
        for _ in range(6 * 50):
            c.peer.say(quiet(1000).tobytes())
        c.peer.say({"type": "ping"})
        await c.peer.until(lambda peer: peer.of("pong"))
        assert c.peer.types == ["ready", "pong"]
        assert c.engine.requests == []


async def test_a_ten_minute_monologue_is_answered_in_parts_and_nothing_of_it_is_lost():
    async with call("Yes.") as c:
        c.peer.say(quiet(400).tobytes())
        for minute in range(1, 11):
            for _ in range(60):
                c.peer.say(loud(1000).tobytes())
            c.peer.say({"type": "ping"})
            await c.peer.until(lambda peer, minute=minute: len(peer.of("pong")) == minute)
            await c.peer.until(lambda peer: len(peer.of("final")) == c.conversation.turn)
        c.peer.say(quiet(1000).tobytes())
        await c.peer.final(3)
        assert [m["code"] for m in c.peer.of("error")].count("turn_too_long") == 2
        assert c.peer.closed is None
        lengths = {
            part.id: len(part.pcm)
            for request in c.engine.requests
            for turn in request.turns
            if isinstance(turn, UserTurn)
            for part in turn.parts
        }
        assert max(lengths.values()) <= 30 * 16_000
        assert sum(lengths.values()) == 16 * (300 + 600_000 + 200)  # prefix, speech, tail


async def test_push_to_talk_ends_only_by_commit():
    async with call(automatic=False) as c:
        c.peer.say(question(), question())
        c.peer.say({"type": "ping"})
        await c.peer.until(lambda peer: peer.of("pong"))
        assert c.engine.requests == []
        c.peer.say({"type": "commit"})
        await c.peer.final(1)
        assert heard(c.engine.requests[0].turns[0]) == 2 * 1300 * 16


async def test_a_commit_takes_what_the_resampler_still_holds():
    async with call(automatic=False, rate=48_000) as c:
        c.peer.say(np.repeat(loud(1000), 3).tobytes(), {"type": "commit"})
        await c.peer.final(1)
        assert heard(c.engine.requests[0].turns[0]) == 16_000


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (Busy("Too many want answers.", retry_after=2.5), "busy", "Try again in 2.5 s"),
        (EngineError("The answer went wrong."), "engine_error", "The answer went wrong."),
        (ZeroDivisionError("secret detail"), "internal_error", "Something went wrong on our side"),
        (ModelError("secret path"), "internal_error", "Something went wrong on our side"),
    ],
)
async def test_a_failing_engine_costs_one_answer_and_no_details_leak(error, code, words, capsys):
    async with call(lambda request: [Delta((1,), "One"), error]) as c:
        c.peer.say(question())
        final = await c.peer.final(1)
        told = c.peer.of("error")[0]
        assert (told["code"], told["fatal"]) == (code, False)
        assert words in told["message"]
        assert "secret" not in json.dumps(c.peer.got[1:])
        assert (final["text"], final["finish"]) == ("One", "interrupted")
        c.engine.script = "Now it works."
        c.peer.say(question())
        assert (await c.peer.final(2))["text"] == "Now it works."


async def test_an_engine_that_stops_without_an_end_is_an_error():
    async with call(lambda request: [Delta((1,), "One")]) as c:
        c.peer.say(question())
        assert (await c.peer.final(1))["finish"] == "interrupted"
        assert c.peer.of("error")[0]["code"] == "engine_error"


async def test_a_session_that_breaks_ends_with_1011_and_no_details(capsys):
    async with call() as c:
        await c.peer.until(lambda peer: peer.got)
        c.connection.session.endpointer = None
        c.peer.say(question())
        await c.over()
        assert c.peer.closed == (1011, "internal_error")
        assert c.peer.got[-1]["code"] == "internal_error"
        assert "Traceback" not in json.dumps(c.peer.got)


async def test_draining_ends_idle_connections_at_once_and_others_after_their_answer():
    gate = asyncio.Event()
    async with call() as idle, call(gated(gate)) as busy:
        busy.peer.say(question())
        await busy.peer.until(lambda peer: len(peer.of("partial")) == 2)
        await idle.peer.until(lambda peer: peer.got)
        idle.connection.drain()
        busy.connection.drain()
        await idle.over()
        assert idle.peer.closed == (1001, "going away")
        assert busy.peer.closed is None
        gate.set()
        await busy.over()
        assert busy.peer.of("final")[0]["text"] == "One two three"
        assert busy.peer.closed == (1001, "going away")


async def test_a_connection_that_is_taken_over_lets_go_at_once():
    gate = asyncio.Event()
    async with call(gated(gate)) as c:
        c.peer.say(question())
        await c.peer.until(lambda peer: len(peer.of("partial")) == 2)
        c.connection.leave(1008, "taken over")
        # Before anything else can happen, the conversation is as it was delivered.
        assert list(c.conversation.turns())[-1] == AssistantTurn(tokens=(1, 2))
        await c.over()
        assert c.peer.closed == (1008, "taken over")


async def test_a_silent_peer_is_asked_and_then_closed():
    async with call(idle_s=0.02, idle_grace_s=0.02) as c:
        await c.over()
        assert [m["code"] for m in c.peer.of("error")] == ["idle"]
        assert c.peer.of("error")[0]["fatal"] is False
        assert c.peer.closed == (1001, "idle")


async def test_a_peer_that_shows_it_is_there_stays():
    async with call() as c:
        for count in range(1, 4):
            c.connection.silence.heard_at -= 1_000 * count
            c.connection.check_idle()
            c.peer.say({"type": "ping"})
            await c.peer.until(lambda peer, count=count: len(peer.of("pong")) == count)
            assert [m["code"] for m in c.peer.of("error")] == ["idle"] * count
        c.connection.check_idle()
        assert not c.connection.left
        c.connection.silence.heard_at -= 5_000
        c.connection.check_idle()
        c.connection.check_idle()
        assert c.connection.left


async def test_half_a_message_shows_that_a_peer_is_there():
    async with call() as c:
        await c.peer.until(lambda peer: peer.got)
        c.connection.silence.heard_at -= 1_000
        c.peer.heard_at = c.connection.loop.time()
        c.connection.check_idle()
        assert c.peer.of("error") == []
        assert not c.connection.session.response


async def test_waiting_for_a_long_answer_is_not_idle():
    gate = asyncio.Event()
    async with call(gated(gate), idle_s=0.01, idle_grace_s=0.01) as c:
        c.peer.say(question())
        await c.engine.until(lambda engine: engine.requests)
        c.connection.silence.heard_at -= 1_000
        c.connection.check_idle()
        assert c.connection.left is False
        gate.set()
        await c.peer.final(1)


async def test_an_end_that_is_not_read_is_given_up():
    async with call(flush_s=0.01) as c:
        await c.peer.until(lambda peer: peer.got)
        c.peer.reading.clear()
        c.peer.say({"type": "ping"}, "hello")
        await c.over()
        assert c.peer.closed == (1003, "wrong_type")


async def test_cancelling_the_connection_stops_everything():
    gate = asyncio.Event()
    async with call(gated(gate)) as c:
        c.peer.say(question())
        await c.peer.until(lambda peer: len(peer.of("partial")) == 2)
        c.running.cancel()
        await asyncio.wait({c.running}, timeout=GUARD_S)
        assert c.running.cancelled()
        assert c.engine.cancelled == [request.id for request in c.engine.requests]


async def test_sessions_hear_only_their_own_answers():
    async def one(number: int) -> None:
        async with call(lambda request: f"tag{number} " * 20) as c:
            for turn in range(1, 4):
                c.peer.say(question())
                final = await c.peer.final(turn)
                assert final["text"] == f"tag{number} " * 20

    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(one(number))


ACTIONS = {
    "ask": [question()],
    "interrupt": [loud(300).tobytes()],
    "pause": [quiet(700).tobytes()],
    "write": [{"type": "text", "text": "Now in French."}, {"type": "respond"}],
    "cancel": [{"type": "cancel"}],
    "commit": [{"type": "commit"}],
    "clear": [{"type": "clear"}],
    "reset": [{"type": "reset"}],
    "nonsense": [{"type": "dance"}],
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([*ACTIONS, "yield", "go on"]), max_size=25), st.booleans())
def test_in_any_order_of_things_every_answer_has_its_pieces_and_one_end(actions, vanishes):
    async def play() -> None:
        gate = asyncio.Event()
        script = lambda _: [Delta((1,), "One"), gate, Delta((2,), " two"), Delta((3,), ".", "stop")]  # noqa: E731
        async with call(script) as c:
            for action in actions:
                if action == "yield":
                    await asyncio.sleep(0)
                elif action == "go on":
                    gate.set()
                    await asyncio.sleep(0)
                    gate.clear()
                else:
                    c.peer.say(*ACTIONS[action])
            if not vanishes:
                gate.set()
                c.peer.say({"type": "ping"})
                await c.peer.until(lambda peer: peer.of("pong"))
                await c.peer.until(lambda peer: len(peer.of("final")) == c.conversation.turn)
        ends = {m["turn"]: m for m in c.peer.of("final")}
        assert len(c.peer.of("final")) == len(ends)
        for turn, final in ends.items():
            pieces = [m for m in c.peer.of("partial") if m["turn"] == turn]
            assert "".join(m["delta"] for m in pieces) == final["text"]
            assert [m["seq"] for m in pieces] == list(range(len(pieces)))
        assert {m["turn"] for m in c.peer.of("cancelled")} == {
            turn for turn, final in ends.items() if final["finish"] == "interrupted"
        }

    asyncio.run(play())
