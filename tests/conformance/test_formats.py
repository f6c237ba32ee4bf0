"""Other formats and other names: the telephone's G.711, lower rates, the beta's words."""

from __future__ import annotations

import pytest
from conformance.peer import FAST, b64, sample
from conformance.schema import BETA_EVENTS

from client.microphone import Microphone
from realtime.audio.g711 import encode_alaw, encode_mulaw
from realtime.audio.pcm import to_bytes

pytestmark = pytest.mark.real_time

BETA = {"OpenAI-Beta": "realtime=v1"}


@pytest.mark.parametrize(
    ("kind", "encode"), [("audio/pcmu", encode_mulaw), ("audio/pcma", encode_alaw)]
)
async def test_a_telephone_is_understood(connect, kind, encode):
    async with connect() as peer:
        session = await peer.configure(audio={"input": {"format": {"type": kind}}})
        assert session.audio.input.format.type == kind
        peer.telephone(encode)
        await peer.say("good-morning-8khz.wav")
        assert await peer.answer() == "Good morning to you."


async def test_pieces_may_be_cut_anywhere(connect):
    sound = sample("what-is-two-plus-three.wav") + bytes(48_000)
    async with connect() as peer:
        for start in range(0, len(sound), 1237):  # an odd number of bytes
            await peer.connection.input_audio_buffer.append(audio=b64(sound[start : start + 1237]))
        assert await peer.answer() == "Five."


async def test_sixteen_kilohertz_are_an_extension(connect):
    # The SDK's own types know 24 kHz alone, so the session as told is not held against them.
    async with connect(types=None) as peer:
        kind = {"type": "audio/pcm", "rate": 16000}
        session = await peer.configure(audio={"input": {"format": kind}})
        assert session.audio.input.format.rate == 16000
        peer.microphone = Microphone(rate=16000, speed=FAST)
        peer.encode = to_bytes
        await peer.say("what-is-two-plus-three.wav")
        assert await peer.answer() == "Five."


async def test_the_beta_is_served_in_its_own_words(connect):
    async with connect(types=BETA_EVENTS, order=None, extra_headers=BETA) as peer:
        session = {
            "modalities": ["text"],
            "input_audio_format": "pcm16",
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
            "temperature": 0.8,
        }
        await peer.connection.send({"type": "session.update", "session": session})
        told = (await peer.until("session.updated")).session
        assert told.input_audio_format == "pcm16"
        assert told.turn_detection.silence_duration_ms == 400
        await peer.say("what-is-two-plus-three.wav")
        done = await peer.until("response.done")
        assert text_of(done) == "Five."
        assert peer.kinds == [
            "session.created",
            "session.updated",
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.created",
            "response.created",
            "response.output_item.added",
            "conversation.item.created",
            "response.content_part.added",
            "response.text.delta",
            "response.text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
        ]


def text_of(done):
    (item,) = done.response.output
    (part,) = item.content
    assert part.type == "text"
    return part.text
