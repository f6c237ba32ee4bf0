"""The client's end of the wire, against a fake server."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from fake_pcm_server import FakePcmServer, hush, serving, tone

from client import (
    BadServerMessage,
    Cancelled,
    ConnectionLost,
    Error,
    Final,
    Partial,
    Pong,
    Ready,
    Refused,
    ServerBusy,
    ServerUnreachable,
    SpeechStarted,
    SpeechStopped,
    connect,
    reconnect,
)


async def until_final(voice):
    events = []
    async for event in voice:
        events.append(event)
        if isinstance(event, Final):
            break
    return events


async def test_a_spoken_question_is_answered():
    async with serving(FakePcmServer(["It is Paris."])) as fake, connect(fake.url) as voice:
        assert voice.ready == Ready("s", "secret", "fake", 16000)
        await voice.send(tone(300) + hush(300))
        events = await until_final(voice)
    assert events == [
        voice.ready,
        SpeechStarted(0),
        SpeechStopped(400, 400),
        Partial(1, 0, "It"),
        Partial(1, 1, " is"),
        Partial(1, 2, " Paris."),
        Final(1, "It is Paris.", "stop", {"first_token": 1.5, "total": 2.5, "hangover": 200.0}),
    ]


async def test_every_verb_says_what_the_protocol_says():
    async with serving(FakePcmServer()) as fake, connect(fake.url) as voice:
        await voice.instruction("Be brief.")
        await voice.text("What is that?")
        await voice.commit()
        await voice.cancel()
        await voice.clear()
        await voice.played(3, 12)
        await voice.reset()
        await voice.respond()
        await voice.ping()
        async for event in voice:
            if event == Pong():
                break
        assert fake.peers[0].received == [
            {"type": "instruction", "text": "Be brief."},
            {"type": "text", "text": "What is that?"},
            {"type": "commit"},
            {"type": "cancel"},
            {"type": "clear"},
            {"type": "played", "turn": 3, "chars": 12},
            {"type": "reset"},
            {"type": "respond"},
            {"type": "ping"},
        ]


async def test_the_options_travel_in_the_query():
    async with (
        serving(FakePcmServer()) as fake,
        connect(
            fake.url + "/v1/pcm?key=k",
            rate=8000,
            encoding="mulaw",
            conversation="a b",
            turn_detection="manual",
        ),
    ):
        assert fake.peers[0].query == {
            "key": "k",
            "rate": "8000",
            "encoding": "mulaw",
            "turn_detection": "manual",
            "conversation": "a b",
        }


async def test_long_audio_goes_in_messages_the_server_takes():
    sizes = []

    class Measuring(FakePcmServer):
        async def hear(self, peer, message):
            sizes.append(len(message))

    async with serving(Measuring()) as fake, connect(fake.url) as voice:
        await voice.send(memoryview(bytes(150_001)))
        await voice.send(bytearray())
        await voice.ping()
        assert [event async for event in first(voice, 2)] == [voice.ready, Pong()]
    assert sizes == [65536, 65536, 18929]


async def first(voice, count):
    for _ in range(count):
        yield await anext(voice)


async def test_what_a_newer_server_says_is_skipped():
    greeting = [
        {"type": "hello"},
        b"\x00\x01",
        {"type": "ready", "session": "s", "resume": "r", "model": "m", "rate": 1},
        {"type": "weather"},
        b"audio",
        {"type": "cancelled", "turn": 1, "text": "a"},
    ]
    async with serving(FakePcmServer(first=greeting)) as fake, connect(fake.url) as voice:
        assert [event async for event in first(voice, 2)] == [voice.ready, Cancelled(1, "a")]


async def test_the_iteration_ends_when_the_server_closes_in_order():
    async with serving(FakePcmServer(close=(1000, ""))) as fake, connect(fake.url) as voice:
        assert [event async for event in voice] == [voice.ready]


async def test_the_iteration_ends_when_we_close():
    async with serving(FakePcmServer()) as fake, connect(fake.url) as voice:
        await voice.close()
        assert [event async for event in voice] == [voice.ready]
        with pytest.raises(ConnectionLost, match="1000"):
            await voice.commit()


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (1008, "taken over", r"the connection ended: taken over \(close code 1008\)"),
        (1001, "", r"the connection ended: the server is going away \(close code 1001\)"),
        (4000, "", r"the connection ended: no reason given \(close code 4000\)"),
    ],
)
async def test_another_end_is_an_error_with_code_and_reason(code, reason, text):
    async with serving(FakePcmServer(close=(code, reason))) as fake, connect(fake.url) as voice:
        assert await anext(voice) == voice.ready
        with pytest.raises(ConnectionLost, match=text) as caught:
            await anext(voice)
        assert (caught.value.code, caught.value.reason) == (code, reason)
        with pytest.raises(ConnectionLost, match=text):
            await voice.send(b"\0\0")


async def test_a_fatal_error_is_an_event_and_then_the_reason():
    ready = {"type": "ready", "session": "s", "resume": "r", "model": "m", "rate": 16000}
    fatal = {"type": "error", "code": "wrong_type", "message": "Text is no audio.", "fatal": True}
    fake = FakePcmServer(first=[ready, fatal], close=(1003, ""))
    async with serving(fake), connect(fake.url) as voice:
        await anext(voice)
        assert await anext(voice) == Error("wrong_type", "Text is no audio.", fatal=True)
        with pytest.raises(ConnectionLost, match=r"Text is no audio \(close code 1003\)"):
            await anext(voice)


async def test_a_server_that_vanishes_is_1006():
    async with serving(FakePcmServer()) as fake, connect(fake.url) as voice:
        await anext(voice)
        fake.peers[0].socket.transport.abort()
        with pytest.raises(ConnectionLost, match="the server vanished") as caught:
            await anext(voice)
        assert caught.value.code == 1006


async def test_nonsense_from_the_server_is_named():
    ready = {"type": "ready", "session": "s", "resume": "r", "model": "m", "rate": 16000}
    fake = FakePcmServer(first=[ready, '{"type":"partial"}'])
    async with serving(fake), connect(fake.url) as voice:
        await anext(voice)
        with pytest.raises(BadServerMessage, match="partial"):
            await anext(voice)


async def test_cancelling_the_wait_for_an_event_loses_nothing():
    async with serving(FakePcmServer()) as fake, connect(fake.url) as voice:
        await anext(voice)
        waiting = asyncio.ensure_future(anext(voice))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await voice.ping()
        assert await anext(voice) == Pong()


# ---- how it begins ------------------------------------------------------------------------------


async def refused(fake, **options):
    async with serving(fake):
        with pytest.raises((Refused, ServerBusy, ServerUnreachable, ConnectionLost)) as caught:
            async with connect(fake.url, **options):
                pass
    return caught.value


async def test_nothing_listening_says_how_to_start_the_server(unused_tcp_port):
    with pytest.raises(ServerUnreachable, match=r"nothing listens at .*realtime serve"):
        async with connect(f"ws://127.0.0.1:{unused_tcp_port}"):
            pass


async def test_a_full_server_says_when_to_come_back():
    body = json.dumps({"error": {"code": "busy", "message": "All 8 slots are taken."}}).encode()
    error = await refused(FakePcmServer(status=(503, {"Retry-After": "7"}, body)))
    assert isinstance(error, ServerBusy)
    assert error.retry_after == 7
    assert str(error).endswith("has no room: All 8 slots are taken; try again in 7 s")


@pytest.mark.parametrize("after", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "inf", "nan"])
async def test_a_full_server_may_not_say_when(after):
    error = await refused(FakePcmServer(status=(503, {"Retry-After": after}, b"[1]")))
    assert isinstance(error, ServerBusy)
    assert error.retry_after is None
    assert str(error).endswith("has no room: busy")


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (404, b"Not Found", "HTTP 404, there is no /v1/pcm there"),
        (401, b'{"message": "A key is needed."}', "HTTP 401, A key is needed"),
        (403, b'{"error": "Not from here."}', "HTTP 403, Not from here"),
        (500, b'{"error": {"message": 5}}', "HTTP 500, Internal Server Error"),
        (500, b'{"error":' + b"[" * 10_000, "HTTP 500, Internal Server Error"),
    ],
)
async def test_an_http_refusal_gives_the_servers_reason(status, body, text):
    error = await refused(FakePcmServer(status=(status, {}, body)))
    assert isinstance(error, Refused)
    assert (error.code, str(error).partition("refused: ")[2]) == (f"http_{status}", text)


async def test_a_proxy_that_wants_tls_says_so_in_html():
    body = b"<h1>400</h1> The plain HTTP request was sent to HTTPS port"
    error = await refused(fake := FakePcmServer(status=(400, {}, body)))
    assert str(error).endswith(f"if it has TLS, its address is {fake.url.replace('ws:', 'wss:')}")


async def test_a_path_that_is_not_there_says_which_one_is():
    fake = FakePcmServer(status=(404, {}, b""))
    async with serving(fake):
        with pytest.raises(Refused, match="no /v1 there; plain PCM is at /v1/pcm"):
            async with connect(f"{fake.url}/v1"):
                pass


async def test_a_fatal_error_in_the_place_of_ready_is_a_refusal():
    message = {"type": "error", "code": "bad_parameter", "message": "rate: 1.", "fatal": True}
    error = await refused(FakePcmServer(first=[message], close=(1008, "")))
    assert isinstance(error, Refused)
    assert (error.code, str(error)) == ("bad_parameter", "the server refused: rate: 1.")


async def test_a_close_in_the_place_of_ready_is_a_loss():
    error = await refused(FakePcmServer(first=[], close=(1001, "draining")))
    assert isinstance(error, ConnectionLost)
    assert (error.code, error.reason) == (1001, "draining")


@pytest.mark.parametrize(
    "fake",
    [
        FakePcmServer(first=[], close=(1013, "full")),
        FakePcmServer(first=[{"type": "error", "code": "busy", "message": "full", "fatal": True}]),
    ],
)
async def test_a_server_may_be_full_after_the_upgrade(fake):
    error = await refused(fake)
    assert isinstance(error, ServerBusy)
    assert "full" in str(error)


async def test_a_server_that_never_gets_ready_is_given_up():
    error = await refused(FakePcmServer(first=[]), open_timeout=1.0)
    assert isinstance(error, ServerUnreachable)
    assert str(error).endswith("accepted but did not get ready")


async def test_another_beginning_is_not_the_protocol():
    async with serving(FakePcmServer(first=[{"type": "pong"}])) as fake:
        with pytest.raises(BadServerMessage, match="not with ready"):
            async with connect(fake.url):
                pass


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b""])
async def test_another_kind_of_server_is_named(greeting):
    async def greet(_, writer):
        writer.write(greeting)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ServerUnreachable, match="is no WebSocket server"):
            async with connect(f"ws://127.0.0.1:{port}"):
                pass


async def test_a_server_that_does_not_speak_is_given_up():
    held = asyncio.Event()

    async def hold(_, writer):
        await held.wait()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ServerUnreachable, match=r"did not answer within 0\.05 s"):
            async with connect(f"ws://127.0.0.1:{port}", open_timeout=0.05):
                pass
        held.set()


async def test_a_host_without_address_is_named(monkeypatch):
    async def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(ServerUnreachable, match="cannot be reached: Name or"):
        async with connect("ws://nowhere.invalid:1"):
            pass


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8765", "ftp://a", "ws://", "ws://a:99999", "ws://a:0x1", "ws://[::1"]
)
async def test_an_address_that_is_none_is_a_value_error(url):
    with pytest.raises(ValueError, match=r"."):
        async with connect(url):
            pass


async def test_a_rate_that_does_not_exist_is_a_value_error():
    with pytest.raises(ValueError, match="rate must be one of 8000"):
        async with connect("ws://127.0.0.1:1", rate=11025):
            pass


# ---- coming back --------------------------------------------------------------------------------


async def test_a_lost_connection_is_taken_up_in_the_same_conversation():
    fake = FakePcmServer()
    async with serving(fake):
        async for voice in reconnect(fake.url, delays=[0]):
            if len(fake.peers) < 3:
                fake.peers[-1].socket.transport.abort()
                with pytest.raises(ConnectionLost):
                    await until_final(voice)
    assert [peer.query.get("conversation") for peer in fake.peers] == [None, "secret", "secret"]


async def test_a_server_is_told_the_last_turn_of_which_all_has_come():
    fake = FakePcmServer()
    async with serving(fake):
        async for voice in reconnect(fake.url, delays=[0]):
            if len(fake.peers) == 2:
                await voice.text("what time is it")
                await voice.respond()
                await until_final(voice)
            if len(fake.peers) < 4:
                fake.peers[-1].socket.transport.abort()
                with pytest.raises(ConnectionLost):
                    await until_final(voice)
    assert [peer.query.get("turn") for peer in fake.peers] == [None, "0", "1", "1"]


async def test_what_another_attempt_would_meet_again_is_not_tried():
    fake = FakePcmServer(close=(1008, "taken over"))
    async with serving(fake):
        async for voice in reconnect(fake.url, delays=[0]):
            with pytest.raises(ConnectionLost, match="taken over"):
                await until_final(voice)
    assert len(fake.peers) == 1


async def test_attempts_that_fail_end_with_their_error():
    fake = FakePcmServer(status=(503, {"Retry-After": "0"}, b""))
    async with serving(fake):
        with pytest.raises(ServerBusy):
            await anext(reconnect(fake.url, delays=[0, 0]))
