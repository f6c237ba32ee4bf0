"""Responses: interrupted, cancelled, cut, aside, two at once; the stock `openai` asks."""

from __future__ import annotations

import pytest
from conformance.peer import INDEX, b64, sample, text_of

pytestmark = pytest.mark.real_time

TWENTY = INDEX["count-to-twenty.wav"]["answer"]
COUNT = "count to twenty"
FURTHER = "what is the capital of france"


async def begun(peer, text=COUNT):
    """Ask for a long answer and wait for its first word."""
    await peer.write(text)
    await peer.connection.response.create()
    return await peer.until("response.output_text.delta")


async def retrieved(peer, item):
    await peer.connection.conversation.item.retrieve(item_id=item)
    return (await peer.until("conversation.item.retrieved")).item


def said(peer, response):
    """Join what the peer has been told of a response, delta by delta."""
    kind = "response.output_text.delta"
    return "".join(e.delta for e in peer.events if e.type == kind and e.response_id == response)


async def test_speech_interrupts_a_spoken_answer_and_is_answered(connect):
    async with connect() as peer:
        interruption = peer.interruption("what-is-two-plus-three.wav")
        await peer.say("count-to-twenty.wav")
        first = await peer.until("response.output_text.delta")
        await peer.interrupt(interruption)
        await peer.until("input_audio_buffer.speech_started")
        done = await peer.until("response.done")
        assert (done.response.id, done.response.status) == (first.response_id, "cancelled")
        details = done.response.status_details
        assert (details.type, details.reason) == ("cancelled", "turn_detected")
        # What stays in the conversation is what this peer was told, to the letter.
        kept = text_of(done)
        assert kept == said(peer, first.response_id)
        assert TWENTY.startswith(kept)
        assert kept != TWENTY
        assert done.response.output[0].status == "incomplete"
        await peer.until("response.done", lambda e: text_of(e) == "Five.")
        assert said(peer, first.response_id) == kept, "a delta after response.done"
        assert (await retrieved(peer, first.item_id)).content[0].text == kept


async def test_a_cancelled_answer_keeps_what_was_told(connect):
    async with connect() as peer:
        first = await begun(peer)
        await peer.connection.response.cancel()
        done = await peer.until("response.done")
        assert done.response.status == "cancelled"
        assert done.response.status_details.reason == "client_cancelled"
        assert text_of(done) == said(peer, first.response_id)
        assert TWENTY.startswith(text_of(done))
        kept = (await retrieved(peer, first.item_id)).content
        assert "".join(part.text for part in kept) == text_of(done)
        went_on = await asked(peer, FURTHER)
    assert went_on == await asked_after(connect, text_of(done))


async def asked(peer, text):
    """Ask in writing; give the answer and how long the prompt was."""
    await peer.write(text)
    await peer.connection.response.create()
    done = await peer.until("response.done")
    return text_of(done), done.response.usage.input_tokens


async def asked_after(connect, kept):
    """Ask further in a conversation made by hand, in which the count went so far and no further."""
    async with connect() as peer:
        await peer.write(COUNT)
        if kept:
            answer = {"type": "output_text", "text": kept}
            await peer.put({"type": "message", "role": "assistant", "content": [answer]})
        return await asked(peer, FURTHER)


async def test_a_response_is_cancelled_by_its_id(connect):
    async with connect() as peer:
        first = await begun(peer)
        await peer.connection.response.cancel(response_id="resp_other", event_id="event_1")
        error = await peer.error("response_cancel_not_active")
        assert error.event_id == "event_1"
        await peer.connection.response.cancel(response_id=first.response_id)
        assert (await peer.until("response.done")).response.status == "cancelled"


async def test_cancelling_nothing_is_an_error_that_names_the_event(connect):
    async with connect() as peer:
        await peer.connection.response.cancel(event_id="mine")
        error = await peer.error("response_cancel_not_active")
        assert (error.type, error.event_id) == ("invalid_request_error", "mine")


async def test_a_second_answer_at_once_is_refused(connect):
    async with connect() as peer:
        await begun(peer)
        await peer.connection.response.create(event_id="agents_js_response_create_2")
        error = await peer.error("conversation_already_has_active_response")
        assert error.event_id == "agents_js_response_create_2"
        assert await peer.answer() == TWENTY


async def test_an_answer_aside_runs_beside_another(connect):
    async with connect() as peer:
        await begun(peer)
        question = {"type": "input_text", "text": "what is the capital of france"}
        await peer.connection.response.create(
            response={
                "conversation": "none",
                "metadata": {"topic": "capitals"},
                "input": [{"type": "message", "role": "user", "content": [question]}],
            }
        )
        created = await peer.until("response.created")
        assert created.response.metadata == {"topic": "capitals"}
        assert created.response.conversation_id is None
        finished = {}
        for _ in range(2):
            done = await peer.until("response.done")
            finished[done.response.conversation_id is None] = text_of(done)
        assert finished == {True: "Paris.", False: TWENTY}
        # Nobody asked that in the conversation.
        assert await peer.ask("say that again") == TWENTY


async def test_an_answer_aside_may_take_items_of_the_conversation(connect):
    async with connect() as peer:
        sound = {"type": "input_audio", "audio": b64(sample("turn-on-the-kitchen-light.flac"))}
        item = await peer.put({"type": "message", "role": "user", "content": [sound]})
        question = {"type": "input_text", "text": "What does the person say?"}
        await peer.connection.response.create(
            response={
                "conversation": "none",
                "input": [
                    {"type": "item_reference", "id": item.id},
                    {"type": "message", "role": "user", "content": [question]},
                ],
            }
        )
        assert await peer.answer() == "Turn on the kitchen light."
        await peer.connection.response.create()
        assert await peer.answer() == "Okay, the kitchen light is on."


async def test_metadata_comes_back(connect):
    async with connect() as peer:
        await peer.write("what is two plus three")
        metadata = {"client_event_id": "event_7"}
        await peer.connection.response.create(response={"metadata": metadata})
        assert (await peer.until("response.created")).response.metadata == metadata
        assert (await peer.until("response.done")).response.metadata == metadata


async def test_an_answer_may_be_kept_short(connect):
    async with connect() as peer:
        await peer.write(COUNT)
        await peer.connection.response.create(response={"max_output_tokens": 5})
        done = (await peer.until("response.done")).response
        assert (done.status, done.status_details.reason) == ("incomplete", "max_output_tokens")
        assert done.usage.output_tokens == 5
        assert done.output[0].status == "incomplete"


async def test_truncating_is_idempotent(connect):
    async with connect() as peer:
        first = await begun(peer)
        done = await peer.until("response.done")
        assert text_of(done) == TWENTY
        for _ in range(2):
            await peer.connection.conversation.item.truncate(
                item_id=first.item_id, content_index=0, audio_end_ms=0
            )
            told = await peer.until("conversation.item.truncated")
            assert (told.item_id, told.content_index, told.audio_end_ms) == (first.item_id, 0, 0)
            # No sound was played, so its end says nothing about the text that was read.
            assert (await retrieved(peer, first.item_id)).content[0].text == TWENTY
        assert await peer.ask("say that again") == TWENTY


@pytest.mark.parametrize("chars", [0, 9, 60, 10_000])
async def test_a_text_is_truncated_to_what_was_seen(connect, chars):
    async with connect() as peer:
        first = await begun(peer)
        assert await peer.answer() == TWENTY
        kept = set()
        for _ in range(2):
            await peer.connection.send(
                {
                    "type": "conversation.item.truncate",
                    "item_id": first.item_id,
                    "content_index": 0,
                    "audio_end_ms": 100,
                    "text_chars": chars,
                }
            )
            await peer.until("conversation.item.truncated")
            item = await retrieved(peer, first.item_id)
            kept.add("".join(part.text for part in item.content))
        (text,) = kept
        assert TWENTY.startswith(text)
        assert len(text) <= chars
        assert text or not chars
        went_on = await asked(peer, FURTHER)
    # The model goes on from exactly that, whether it is right then or not.
    assert went_on == await asked_after(connect, text)


async def test_only_an_answer_is_truncated(connect):
    async with connect() as peer:
        item = await peer.write("what is two plus three")
        cut = peer.connection.conversation.item.truncate
        await cut(item_id=item.id, content_index=0, audio_end_ms=0, event_id="e1")
        assert (await peer.error()).event_id == "e1"
        await cut(item_id="item_none", content_index=0, audio_end_ms=0, event_id="e2")
        assert (await peer.error()).event_id == "e2"


async def test_an_audio_item_is_given_back_as_it_was_said(connect):
    async with connect() as peer:
        await peer.say("turn-on-the-kitchen-light.flac")
        assert await peer.answer() == "Okay, the kitchen light is on."
        spoken = next(e for e in peer.events if e.type == "input_audio_buffer.committed").item_id
        (part,) = (await retrieved(peer, spoken)).content
        assert part.transcript is None
        sound = {"type": "input_audio", "audio": part.audio}
    async with connect() as peer:
        await peer.put({"type": "message", "role": "user", "content": [sound]})
        await peer.connection.response.create()
        assert await peer.answer() == "Okay, the kitchen light is on."


async def test_what_is_deleted_is_forgotten(connect):
    async with connect() as peer:
        await peer.say("my-name-is-anna.wav")
        done = await peer.until("response.done")
        spoken = next(e for e in peer.events if e.type == "input_audio_buffer.committed").item_id
        for item in (spoken, done.response.output[0].id):
            await peer.connection.conversation.item.delete(item_id=item)
            assert (await peer.until("conversation.item.deleted")).item_id == item
        await peer.connection.conversation.item.delete(item_id=spoken, event_id="again")
        assert (await peer.error()).event_id == "again"
        await peer.say("what-is-my-name.wav")
        assert await peer.answer() == "You have not told me your name."


async def test_items_are_placed_where_the_peer_wants_them(connect):
    async with connect() as peer:
        await peer.put(user("what is my name", "third"))
        await peer.put(user("my name is anna", "first"), previous_item_id="root")
        answer = {"type": "output_text", "text": "Nice to meet you, Anna."}
        message = {"type": "message", "role": "assistant", "id": "second", "content": [answer]}
        await peer.put(message, previous_item_id="first")
        assert peer.order.items == ["first", "second", "third"]
        await peer.connection.response.create()
        assert await peer.answer() == "Your name is Anna."


async def test_an_item_keeps_its_id_and_no_other_has_it(connect):
    async with connect() as peer:
        await peer.put(user("my name is anna", "mine"))
        await peer.connection.conversation.item.create(item=user("x", "mine"), event_id="e1")
        assert (await peer.error()).event_id == "e1"
        create = peer.connection.conversation.item.create
        await create(item=user("x", "other"), previous_item_id="nowhere", event_id="e2")
        assert (await peer.error()).event_id == "e2"
        assert (await retrieved(peer, "mine")).content[0].text == "my name is anna"


def user(text, item):
    content = [{"type": "input_text", "text": text}]
    return {"type": "message", "role": "user", "id": item, "content": content}


async def test_a_function_call_is_kept_for_the_peer(connect):
    async with connect() as peer:
        call = {"type": "function_call", "name": "light", "arguments": "{}", "call_id": "call_1"}
        item = await peer.put(call)
        assert (item.type, item.name, item.call_id) == ("function_call", "light", "call_1")
        output = {"type": "function_call_output", "call_id": "call_1", "output": "on"}
        assert (await peer.put(output)).output == "on"
        assert await peer.ask("what is two plus three") == "Five."
