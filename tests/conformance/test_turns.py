"""Turns as the stock `openai` package takes them: spoken, written, both, with what was before."""

from __future__ import annotations

import asyncio

import pytest
from conformance.peer import INDEX, b64, sample, text_of
from openai import OpenAI

pytestmark = pytest.mark.real_time

SPOKEN_TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
]
ANSWER = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]
PUSH_TO_TALK = {"input": {"turn_detection": None}}


async def test_a_session_begins_as_the_server_means_it(connect):
    async with connect() as peer:
        session = (await peer.until("session.created")).session
        assert peer.events[0].type == "session.created"
        assert (session.type, session.object) == ("realtime", "realtime.session")
        assert session.id.startswith("sess_")
        assert session.output_modalities == ["text"]
        assert session.audio.input.format.model_dump() == {"type": "audio/pcm", "rate": 24000}
        detection = session.audio.input.turn_detection
        assert (detection.type, detection.create_response) == ("server_vad", True)


@pytest.mark.parametrize("name", [n for n in INDEX if "text" not in INDEX[n]])
async def test_each_spoken_sample_is_answered(connect, name):
    async with connect() as peer:
        await peer.say(name)
        assert await peer.answer() == INDEX[name]["answer"]


async def test_a_spoken_turn_is_told_in_order(connect):
    async with connect() as peer:
        await peer.say("what-is-two-plus-three.wav")
        done = (await peer.until("response.done")).response
        assert peer.kinds == ["session.created", *SPOKEN_TURN, *ANSWER]
        started, stopped, committed, user = peer.events[1:5]
        assert started.item_id == stopped.item_id == committed.item_id == user.item.id
        assert 0 <= started.audio_start_ms < stopped.audio_end_ms <= 3700
        assert committed.previous_item_id is None
        (part,) = user.item.content
        assert (part.type, part.transcript) == ("input_audio", None)
        assert done.status == "completed"
        assert done.usage.input_token_details.audio_tokens > 0
        assert done.usage.output_tokens > 0
        total = done.usage.input_tokens + done.usage.output_tokens
        assert done.usage.total_tokens == total


@pytest.mark.parametrize(
    ("name", "before"), [(n, b) for n in INDEX for b in INDEX[n].get("after", {})]
)
async def test_the_conversation_is_remembered(connect, name, before):
    async with connect() as peer:
        await peer.say(before)
        await peer.answer()
        await peer.say(name)
        assert await peer.answer() == INDEX[name]["after"][before]


async def test_a_second_turn_reuses_what_was_computed_of_the_first(connect):
    async with connect() as peer:
        await peer.ask("my name is anna")
        await peer.write("what is my name")
        await peer.connection.response.create()
        done = await peer.until("response.done")
        usage = done.response.usage
        assert 0 < usage.input_token_details.cached_tokens < usage.input_tokens


async def test_push_to_talk(connect):
    async with connect() as peer:
        session = await peer.configure(audio=PUSH_TO_TALK)
        assert session.audio.input.turn_detection is None
        await peer.send_audio(sample("what-is-two-plus-three.wav") + bytes(48_000))
        await peer.connection.input_audio_buffer.commit()
        await peer.until("conversation.item.done")
        assert peer.kinds[2:] == SPOKEN_TURN[2:]
        await peer.connection.response.create()
        assert await peer.answer() == "Five."


async def test_push_to_talk_may_be_taken_back(connect):
    async with connect() as peer:
        await peer.configure(audio=PUSH_TO_TALK)
        await peer.send_audio(sample("count-to-twenty.wav"))
        await peer.connection.input_audio_buffer.clear()
        await peer.until("input_audio_buffer.cleared")
        await peer.connection.input_audio_buffer.commit()
        assert (await peer.error("input_audio_buffer_commit_empty")).type == "invalid_request_error"
        await peer.send_audio(sample("what-is-two-plus-three.wav"))
        await peer.connection.input_audio_buffer.commit()
        await peer.connection.response.create()
        assert await peer.answer() == "Five."


async def test_a_written_turn_is_told_in_order(connect):
    async with connect() as peer:
        assert await peer.ask("what is the capital of france") == "Paris."
        created = ["conversation.item.added", "conversation.item.done"]
        assert peer.kinds == ["session.created", *created, *ANSWER]


# openai 3.51 dials in a way that websockets 17.1 frowns upon.
@pytest.mark.filterwarnings("ignore:connect.. must be used as a context:DeprecationWarning")
async def test_the_synchronous_client_is_answered_too(server):
    def ask():
        with (
            OpenAI(api_key="none", base_url=f"http://{server}/v1") as openai,
            openai.realtime.connect(model="gpt-realtime") as connection,
        ):
            content = [{"type": "input_text", "text": "what is two plus three"}]
            item = {"type": "message", "role": "user", "content": content}
            connection.conversation.item.create(item=item)
            connection.response.create()
            for event in connection:
                if event.type == "response.done":
                    return text_of(event)
        return None

    assert await asyncio.to_thread(ask) == "Five."


@pytest.mark.parametrize("text_first", [False, True])
async def test_sound_and_instruction_in_one_item_are_analysed(connect, text_first):
    sound = {"type": "input_audio", "audio": b64(sample("siren.wav"))}
    text = {"type": "input_text", "text": INDEX["siren.wav"]["text"]}
    content = [text, sound] if text_first else [sound, text]
    async with connect() as peer:
        item = await peer.put({"type": "message", "role": "user", "content": content})
        assert [part.type for part in item.content] == [part["type"] for part in content]
        await peer.connection.response.create()
        assert await peer.answer() == "It is a siren."


async def test_an_instruction_written_while_speaking_belongs_to_the_turn(connect):
    async with connect() as peer:
        sound = sample("turn-on-the-kitchen-light.flac")
        await peer.send_audio(sound[: len(sound) // 2])
        await peer.until("input_audio_buffer.speech_started")
        await peer.write("What does the person say?")
        await peer.send_audio(sound[len(sound) // 2 :])
        await peer.quiet(1000)
        assert await peer.answer() == "Turn on the kitchen light."


async def test_instructions_are_the_system_prompt(connect):
    async with connect() as peer:
        first = await peer.ask("what is the capital of france")
        await peer.configure(instructions="You are a parrot. " * 20)
        await peer.write("what is the capital of france")
        await peer.connection.response.create()
        done = (await peer.until("response.done")).response
        # What the prompt is shows in its length: the model of the tests obeys none.
        assert done.usage.input_token_details.text_tokens > 60
        assert first == "Paris."


async def test_what_was_said_is_transcribed_on_request(connect):
    transcription = {"model": "gpt-4o-mini-transcribe"}
    async with connect() as peer:
        await peer.configure(audio={"input": {"transcription": transcription}})
        await peer.say("my-name-is-anna.wav")
        told = await peer.until("conversation.item.input_audio_transcription.completed")
        assert told.transcript == "My name is anna."
        assert told.usage.type in ("duration", "tokens")
        await peer.connection.conversation.item.retrieve(item_id=told.item_id)
        item = (await peer.until("conversation.item.retrieved")).item
        assert item.content[0].transcript == told.transcript
        # It was made aside: the conversation goes on as if nobody had asked for it.
        await peer.say("what-is-my-name.wav")
        await peer.until("response.done", lambda e: text_of(e) == "Your name is Anna.")


async def test_silence_is_not_answered_with_an_invention(connect):
    async with connect() as peer:
        await peer.configure(audio=PUSH_TO_TALK)
        await peer.send_audio(bytes(2 * 48_000))
        await peer.connection.input_audio_buffer.commit()
        await peer.connection.response.create()
        assert await peer.answer() == "I did not hear anything."


async def test_a_silence_after_an_answer_is_noticed(connect):
    detection = {"type": "server_vad", "idle_timeout_ms": 5000}
    async with connect() as peer:
        await peer.configure(audio={"input": {"turn_detection": detection}})
        await peer.say("what-is-two-plus-three.wav")
        assert await peer.answer() == "Five."
        await peer.quiet(6000)
        idle = await peer.until("input_audio_buffer.timeout_triggered")
        assert idle.audio_end_ms - idle.audio_start_ms >= 4900
        committed = await peer.until("input_audio_buffer.committed")
        assert committed.item_id == idle.item_id
        assert await peer.answer() == "I did not hear anything."


@pytest.mark.parametrize("interrupt", [True, False])
@pytest.mark.parametrize("respond", [True, False])
async def test_who_answers_and_who_interrupts(connect, respond, interrupt):
    detection = {
        "type": "server_vad",
        "create_response": respond,
        "interrupt_response": interrupt,
    }
    async with connect() as peer:
        await peer.configure(audio={"input": {"turn_detection": detection}})
        await peer.say("what-is-the-capital-of-france.mp3")
        if not respond:
            await peer.until("conversation.item.done")
            await peer.settled()
            assert "response.created" not in peer.kinds
            await peer.connection.response.create()
        assert await peer.answer() == "Paris."
        await peer.write("count to twenty")
        interruption = peer.interruption("turn-on-the-kitchen-light.flac")
        await peer.connection.response.create()
        await peer.until("response.output_text.delta")
        await peer.interrupt(interruption)
        done = (await peer.until("response.done")).response
        assert done.status == ("cancelled" if interrupt else "completed")
        if not respond:
            await peer.connection.response.create()
        assert await peer.answer() == "Okay, the kitchen light is on."


async def test_a_peer_takes_its_conversation_up_again(connect):
    async with connect() as peer:
        await peer.say("my-name-is-anna.wav")
        await peer.answer()
        secret = peer.events[0].session.resume
    again = {"conversation": secret}
    async with connect(extra_query=again, order=None) as peer:
        await peer.say("what-is-my-name.wav")
        assert await peer.answer() == "Your name is Anna."


async def test_a_quick_pause_is_a_matter_of_settings(connect):
    detection = {"type": "server_vad", "silence_duration_ms": 300, "prefix_padding_ms": 100}
    async with connect() as peer:
        session = await peer.configure(audio={"input": {"turn_detection": detection}})
        assert session.audio.input.turn_detection.silence_duration_ms == 300
        await peer.say("what-is-two-plus-three.wav", quiet_ms=400)
        assert await peer.answer() == "Five."


async def test_semantic_turn_detection_is_understood(connect):
    detection = {"type": "semantic_vad", "eagerness": "high"}
    async with connect() as peer:
        session = await peer.configure(audio={"input": {"turn_detection": detection}})
        assert session.audio.input.turn_detection.type == "semantic_vad"
        await peer.say("what-is-two-plus-three.wav", quiet_ms=3000)
        assert await peer.answer() == "Five."


async def test_a_spoken_item_is_as_good_as_speech(connect):
    sound = b64(sample("what-is-two-plus-three.wav"))
    async with connect() as peer:
        content = [{"type": "input_audio", "audio": sound, "transcript": "what is two plus three"}]
        item = await peer.put({"type": "message", "role": "user", "content": content})
        assert item.content[0].transcript == "what is two plus three"
        await peer.connection.response.create()
        assert await peer.answer() == "Five."
