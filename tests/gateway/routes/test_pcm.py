"""Plain PCM over a real socket, with the engine scripted and loud frames taken for speech."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from fakes import GUARD_S, loud, question, quiet
from pcm_place import Place, calling, served
from websockets.exceptions import ConnectionClosed

from realtime.audio.g711 import encode_mulaw
from realtime.engine.api import AssistantTurn, Delta, Request, UserTurn
from realtime.gateway.http.settings import ServerConfig
from realtime.gateway.settings import ConnectionConfig

MASK = b"\x00\x00\x00\x00"


# ---- conversations ------------------------------------------------------------------------------


async def test_a_spoken_question_is_answered_over_a_real_socket():
    async with served("Hello there.") as place, calling(place) as caller:
        ready = await caller.until("ready")
        assert (ready["model"], ready["rate"]) == ("fake", 16_000)
        assert await caller.ask() == "Hello there."
        assert [m["type"] for m in caller.got] == [
            "ready",
            "speech_started",
            "speech_stopped",
            "partial",
            "partial",
            "final",
        ]


@pytest.mark.parametrize("rate", [8_000, 24_000, 44_100, 48_000])
async def test_other_rates_are_understood(rate):
    samples = np.frombuffer(question(), np.int16)
    at = np.arange(len(samples) * rate // 16_000) * 16_000 // rate
    async with served() as place, calling(place, f"?rate={rate}") as caller:
        await caller.say(samples[at].tobytes())
        assert (await caller.until("final"))["text"] == "Hello there."
        assert caller.got[0]["rate"] == rate


async def test_a_telephone_is_understood():
    audio = encode_mulaw(np.frombuffer(question(), np.int16)[::2])
    async with served() as place, calling(place, "?rate=8000&encoding=mulaw") as caller:
        for at in range(0, len(audio), 160):
            await caller.say(audio[at : at + 160])
        assert (await caller.until("final"))["text"] == "Hello there."


async def test_barge_in_over_a_real_socket():
    gate = asyncio.Event()
    async with served(lambda _: [Delta((7,), "Well"), gate]) as place, calling(place) as caller:
        await caller.say(question())
        await caller.until("partial")
        await caller.say(loud(300).tobytes())
        assert (await caller.until("cancelled"))["text"] == "Well"
        assert (await caller.until("final"))["finish"] == "interrupted"
        async with asyncio.timeout(GUARD_S):
            await place.engine.until(lambda engine: engine.cancelled)


async def test_sessions_never_hear_each_others_answers():
    def tagged(request):
        # The length of the question tells who asks.
        clips = [
            part for turn in request.turns if isinstance(turn, UserTurn) for part in turn.parts
        ]
        return f"{round(len(clips[-1].pcm) / 16)} " * 10

    async def one(place: Place, number: int) -> None:
        async with calling(place) as caller:
            for _ in range(3):
                await caller.say(question(400 + 20 * number))
                words = (await caller.until("final"))["text"].split()
                assert len(words) == 10
                assert len(set(words)) == 1
                heard.setdefault(number, set()).add(int(words[0]))

    heard: dict[int, set[int]] = {}
    async with served(tagged) as place, asyncio.TaskGroup() as group:
        for number in range(25):
            group.create_task(one(place, number))
    # The first question has less silence before it than the others: two lengths each.
    lengths = [max(words) for _, words in sorted(heard.items())]
    assert all(len(words) == 2 for words in heard.values())
    assert lengths == [lengths[0] + 20 * number for number in range(25)]


async def test_push_to_talk():
    async with served() as place, calling(place, "?turn_detection=manual") as caller:
        await caller.say(question(), {"type": "ping"})
        await caller.until("pong")
        assert place.engine.requests == []
        await caller.say({"type": "commit"})
        assert (await caller.until("final"))["text"] == "Hello there."


# ---- coming back --------------------------------------------------------------------------------


async def test_a_conversation_is_taken_up_again():
    async with served() as place:
        async with calling(place) as caller:
            ready = await caller.until("ready")
            await caller.ask()
        await place.empty()
        async with calling(place, f"?conversation={ready['resume']}") as caller:
            again = await caller.until("ready")
            assert again["resume"] == ready["resume"]
            assert again["session"] != ready["session"]
            await caller.say(question())
            assert (await caller.until("final"))["turn"] == 2
            assert caller.errors() == []
        assert len(place.engine.requests[1].turns) == 3


WORDS = ["One", " two", " three", " four", " five", " six", " seven", " eight."]


def cut_after(count: int):
    """Say the first words and wait for ever, then, asked again, say all."""

    def script(request: Request) -> Iterable[Delta | asyncio.Event]:
        again = request.id.endswith(":2")
        for number, word in enumerate(WORDS[: None if again else count], 1):
            yield Delta((number,), word, "stop" if number == len(WORDS) else None)
        if not again:
            yield asyncio.Event()

    return script


@pytest.mark.parametrize("count", range(len(WORDS)))
async def test_an_answer_cut_off_by_a_lost_network_is_given_anew(count: int):
    async with served(cut_after(count)) as place:
        async with calling(place) as caller:
            ready = await caller.until("ready")
            await caller.say(question())
            if count:
                await caller.until("partial", seq=count - 1)
            await place.engine.until(lambda engine: engine.requests)
            caller.socket.transport.abort()
        await place.empty()
        async with calling(place, f"?conversation={ready['resume']}") as caller:
            final = await caller.until("final")
            assert (final["turn"], final["text"]) == (2, "".join(WORDS))
            partials = [message for message in caller.got if message["type"] == "partial"]
            assert [message["seq"] for message in partials] == list(range(len(WORDS)))
            place.engine.script = "Next."
            assert await caller.ask() == "Next."
        first, again, next_ = place.engine.requests
        assert first.turns == again.turns
        assert next_.turns[: len(first.turns)] == first.turns
        assert next_.turns[1:-1] == (AssistantTurn(tokens=tuple(range(1, 9))),), "it stands once"


@pytest.mark.parametrize(("turn", "given"), [(0, True), (1, False)])
async def test_a_peer_that_says_what_it_had_is_given_what_it_had_not(turn: int, given: bool):
    """What was sent before the network was lost need not have arrived."""
    async with served() as place:
        async with calling(place) as caller:
            ready = await caller.until("ready")
            await caller.ask()
            caller.socket.transport.abort()
        await place.empty()
        async with calling(place, f"?conversation={ready['resume']}&turn={turn}") as caller:
            await caller.say({"type": "ping"})
            if given:
                assert (await caller.until("final"))["turn"] == 2
            else:
                await caller.until("pong")
        assert len(place.engine.requests) == 1 + given


async def test_an_answer_that_its_peer_left_in_order_is_kept_as_far_as_it_was_delivered():
    script = lambda _: [Delta((7,), "Well"), asyncio.Event()]  # noqa: E731
    async with served(script) as place:
        async with calling(place) as caller:
            ready = await caller.until("ready")
            await caller.say(question())
            await caller.until("partial")
        await place.empty()
        assert len(place.engine.cancelled) == 1
        place.engine.script = "Welcome back."
        async with calling(place, f"?conversation={ready['resume']}") as caller:
            assert await caller.ask() == "Welcome back."
            assert caller.got[-1]["turn"] == 2
        assert place.engine.requests[1].turns[1] == AssistantTurn(tokens=(7,))


async def test_the_old_connection_is_closed_when_its_conversation_is_taken_over():
    async with served(cut_after(3)) as place, calling(place) as old:
        ready = await old.until("ready")
        await old.say(question())
        await old.until("partial")
        async with calling(place, f"?conversation={ready['resume']}") as new:
            await new.until("ready")
            assert await old.closed() == (1008, "taken over")
            assert (await new.until("final"))["text"] == "".join(WORDS)
            place.engine.script = "Here."
            assert await new.ask() == "Here."
        assert place.engine.requests[2].turns[1] == AssistantTurn(tokens=tuple(range(1, 9)))


async def test_an_unknown_conversation_is_a_new_one_and_said_to_be():
    async with served() as place, calling(place, "?conversation=nonsense") as caller:
        ready = await caller.until("ready")
        error = await caller.until("error")
        assert (error["code"], error["fatal"]) == ("conversation_not_found", False)
        assert ready["resume"] != "nonsense"
        assert await caller.ask() == "Hello there."


async def test_no_secret_is_ever_logged(capfd, caplog):
    caplog.set_level("DEBUG")
    for theirs in ("websockets", "httpx", "httpcore"):
        caplog.set_level("WARNING", theirs)
    async with served() as place:
        async with calling(place) as caller:
            secret = (await caller.until("ready"))["resume"]
        async with calling(place, f"?conversation={secret}") as caller:
            await caller.say("nonsense")
            await caller.closed()
        await place.get(f"/v1/pcm?conversation={secret}")
    output = capfd.readouterr()
    assert secret not in output.out + output.err + caplog.text


# ---- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?rate=11025", "rate must be one of 8000, 16000, 24000, 44100, 48000, not '11025'"),
        ("?encoding=opus", "encoding must be one of s16le, mulaw, alaw, not 'opus'"),
        ("?turn_detection=x", "turn_detection must be one of vad, manual"),
        ("?sample_rate=8000", "no parameter 'sample_rate'"),
    ],
)
async def test_a_wrong_address_is_told_what_is_allowed(query, words):
    async with served() as place, calling(place, query) as caller:
        assert await caller.closed() == (1008, "bad_parameter")
        (error,) = caller.got
        assert (error["type"], error["code"], error["fatal"]) == ("error", "bad_parameter", True)
        assert words in error["message"]


async def test_text_where_audio_is_due():
    async with served() as place, calling(place) as caller:
        await caller.say("hello")
        assert await caller.closed() == (1003, "wrong_type")
        assert caller.errors() == ["wrong_type"]


async def test_a_bad_message_does_not_end_the_session():
    async with served() as place, calling(place) as caller:
        await caller.say({"type": "dance"}, {"type": "played", "turn": -1, "chars": 0})
        assert await caller.ask() == "Hello there."
        assert caller.errors() == ["bad_message", "bad_message"]


@pytest.mark.parametrize("message", [bytes((1 << 20) + 1), "x" * ((1 << 20) + 1)])
async def test_an_oversized_message_is_closed_with_1009_and_the_client_learns_it(message):
    async with served() as place, calling(place) as caller:
        await caller.until("ready")
        with contextlib.suppress(ConnectionClosed):
            await caller.say(message)
        assert (await caller.closed())[0] == 1009
        await place.empty()


async def test_the_largest_message_allowed_is_heard():
    audio = question() + bytes((1 << 20) - len(question()))
    async with served() as place, calling(place) as caller:
        await caller.say(audio)
        assert (await caller.until("final"))["text"] == "Hello there."


async def test_empty_and_odd_messages():
    audio = question()
    async with served() as place, calling(place) as caller:
        await caller.say(b"")
        for at in range(0, len(audio), 1_001):
            await caller.say(audio[at : at + 1_001], b"")
        assert (await caller.until("final"))["text"] == "Hello there."


async def test_minutes_of_silence_are_neither_a_question_nor_idleness():
    async with served() as place, calling(place) as caller:
        for _ in range(5 * 6):
            await caller.say(quiet(10_000).tobytes())
        assert await caller.ask() == "Hello there."
        assert caller.errors() == []
        assert len(place.engine.requests) == 1


# ---- raw sockets: peers that do not behave ------------------------------------------------------


async def raw(place: Place, *, receive_buffer: int | None = None) -> socket.socket:
    """Open a WebSocket by hand; nobody reads it."""
    loop = asyncio.get_running_loop()
    raw = socket.socket()
    if receive_buffer is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    raw.setblocking(False)
    await loop.sock_connect(raw, ("127.0.0.1", place.port))
    request = (
        "GET /v1/pcm HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    await loop.sock_sendall(raw, request.encode())
    async with asyncio.timeout(GUARD_S):
        # One byte at a time, so that what follows the handshake stays unread.
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await loop.sock_recv(raw, 1)
        assert b" 101 " in head
    return raw


def frame(opcode: int, payload: bytes) -> bytes:
    """Make a client's frame (RFC 6455 5.2), with a mask of zeros."""
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | opcode, 0x80 | size])
    else:
        head = bytes([0x80 | opcode, 0x80 | 127]) + size.to_bytes(8)
    return head + MASK + payload


async def test_a_client_that_never_reads_fills_our_outbox_and_is_dropped():
    sent = 0

    def endless(request):
        nonlocal sent
        while True:
            sent += 1
            yield Delta((sent,), "x" * 4_000)

    async with served(endless, connection=replace(ConnectionConfig(), flush_s=0.05)) as place:
        peer = await raw(place, receive_buffer=4_096)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, frame(2, question()))
        await place.empty()
        assert place.count("realtime_outbox_overflows_total") == 1
        assert len(place.engine.cancelled) == 1
        # 2 MiB of outbox, half of one in the kernel, and what uvicorn's transport takes.
        assert sent * 4_000 < 4 << 20
        assert len(place.gateway.admission.parked) == 1, "the conversation can be taken up again"
        peer.close()


async def test_a_client_that_only_pings_and_never_reads_is_dropped():
    async with served() as place:
        peer = await raw(place, receive_buffer=4_096)
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(GUARD_S):
                while True:
                    await loop.sock_sendall(peer, frame(9, b"x" * 125) * 1_000)
        await place.empty()
        peer.close()


async def test_a_peer_that_does_not_answer_pings_is_dropped_even_with_unsent_data():
    script = lambda _: (Delta((n,), "x" * 4_000) for n in range(200))  # noqa: E731
    async with served(script, server=ServerConfig(ping_interval_s=0.1)) as place:
        peer = await raw(place, receive_buffer=4_096)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, frame(2, question()))
        await place.empty()
        peer.close()


async def read_to_end(peer: socket.socket) -> bytes:
    """Read until the server has closed its half."""
    data = b""
    async with asyncio.timeout(GUARD_S):
        while piece := await asyncio.get_running_loop().sock_recv(peer, 65_536):
            data += piece
    return data


async def test_text_that_is_not_utf_8_is_closed_with_1007():
    async with served() as place:
        peer = await raw(place)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, frame(1, b"\xff\xfe"))
        assert (1007).to_bytes(2) in await read_to_end(peer)
        peer.close()
        await place.empty()


async def test_a_client_in_the_middle_of_a_huge_message_still_gets_the_close_frame():
    async with served() as place:
        peer = await raw(place, receive_buffer=4_096)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(GUARD_S):
            await loop.sock_sendall(peer, frame(2, bytes(30 << 20)))
        assert (1009).to_bytes(2) in await read_to_end(peer)
        peer.close()
        await place.empty()


async def test_random_bytes_after_the_handshake_are_closed():
    async with served() as place:
        for seed in range(5):
            peer = await raw(place)
            loop = asyncio.get_running_loop()
            with contextlib.suppress(ConnectionError):
                noise = np.random.default_rng(seed).bytes(5_000)
                await loop.sock_sendall(peer, b"\xff" + noise)
            await place.empty()
            peer.close()
