"""Questions put as a person would, the order of what follows, and what it took."""

from __future__ import annotations

import pytest
from fake_pcm_server import FakePcmServer, hush, serving, tone
from hypothesis import given
from hypothesis import strategies as st

from client import (
    Cancelled,
    ConnectionLost,
    Dialogue,
    Error,
    Exchange,
    Final,
    Microphone,
    NoAnswer,
    Partial,
    Pong,
    Question,
    SpeechStarted,
    SpeechStopped,
    connect,
)

FAST = 1000.0
SIREN = bytes([50, 0]) * 16000  # a second, too quiet to be speech to the fake


async def ask(fake, *questions, manual=False, watch=lambda _: None, patience=10.0):
    detection = "manual" if manual else "vad"
    async with serving(fake), connect(fake.url, turn_detection=detection) as voice:
        microphone = Microphone(speed=FAST)
        dialogue = Dialogue(voice, microphone, manual=manual, watch=watch, patience=patience)
        return [await dialogue.ask(question) for question in questions]


def texts(exchanges):
    return [[answer.text for answer in exchange.answers] for exchange in exchanges]


def asked(fake):
    return [message["type"] for message in fake.peers[0].received]


async def test_recordings_are_the_turns_of_one_conversation():
    fake = FakePcmServer(["Seven.", "Paris."])
    questions = (Question("a.wav", tone(300)), Question("b.wav", hush(200) + tone(200)))
    exchanges = await ask(fake, *questions)
    assert texts(exchanges) == [["Seven."], ["Paris."]]
    assert [exchange.answers[0].question for exchange in exchanges] == ["a.wav", "b.wav"]
    assert len(fake.peers) == 1
    assert asked(fake) == ["ping", "ping"]


async def test_what_the_server_does_not_take_for_speech_is_committed():
    fake = FakePcmServer(["It is a siren."])
    [exchange] = await ask(fake, Question("siren.wav", SIREN))
    assert texts([exchange]) == [["It is a siren."]]
    assert asked(fake) == ["ping", "commit"]
    assert exchange.answers[0].hangover_ms is None


async def test_speech_that_never_ends_is_committed():
    class Deaf(FakePcmServer):
        async def judge(self, peer, samples):
            if peer.since_speech is None:
                await peer.tell("speech_started", at_ms=0)
            peer.since_speech = 0

    fake = Deaf(["Yes."])
    assert texts(await ask(fake, Question("hum.wav", tone(100)))) == [["Yes."]]
    assert asked(fake) == ["ping"] * 10 + ["commit"]


async def test_a_pause_makes_two_turns_of_one_recording():
    fake = FakePcmServer(["One.", "Two."])
    exchanges = await ask(fake, Question("a.wav", tone(200) + hush(400) + tone(200)))
    assert texts(exchanges) == [["One.", "Two."]]


async def test_push_to_talk_makes_one_turn_of_each_recording():
    fake = FakePcmServer(["It is a bell."])
    recording = tone(200) + hush(400) + tone(200)
    question = Question("a.wav", recording, "What's that sound?")
    assert texts(await ask(fake, question, question, manual=True)) == [["It is a bell."]] * 2
    assert asked(fake) == ["text", "commit"] * 2
    assert fake.peers[0].heard == 1600, "no silence is added"


async def test_push_to_talk_of_what_is_too_long_for_a_turn_has_an_answer_for_each_part():
    fake = FakePcmServer(["It is a bell.", "It rings on.", "It is a gong."], longest_s=32)
    long = Question("long.wav", tone(40_000), "What's that sound?")
    first, second = await ask(fake, long, Question("a.wav", tone(200)), manual=True)
    assert texts([first, second]) == [["It is a bell.", "It rings on."], ["It is a gong."]]
    assert asked(fake) == ["text", "ping", "text", "commit", "commit"]


async def test_a_text_alone_is_answered():
    fake = FakePcmServer(["Five."])
    exchanges = await ask(fake, Question("text", text="what is two plus three"), manual=True)
    assert texts(exchanges) == [["Five."]]
    assert asked(fake) == ["text", "respond"]


async def test_a_recording_too_short_to_be_heard_has_an_error_for_an_answer():
    [exchange] = await ask(FakePcmServer(), Question("click.wav", tone(20)), manual=True)
    assert exchange.answers == []
    assert exchange.error == Error("audio_too_short", "There is no audio.")


async def test_an_answer_that_fails_carries_its_error():
    broken = {"code": "worker_lost", "message": "The worker died.", "fatal": False}
    exchanges = await ask(FakePcmServer([broken, "Two."]), *[Question("a.wav", tone(200))] * 2)
    [failed], [fine] = (exchange.answers for exchange in exchanges)
    assert (failed.interrupted, failed.error) == (True, Error("worker_lost", "The worker died."))
    assert (fine.interrupted, fine.error) == (False, None)


async def test_every_event_is_watched_and_then_its_answer():
    seen = []
    [exchange] = await ask(
        FakePcmServer(["Yes I do."]), Question("a", tone(200)), watch=seen.append
    )
    kinds = [type(news).__name__ for news in seen if not isinstance(news, Pong)]
    assert kinds == [
        "Ready",
        "SpeechStarted",
        "SpeechStopped",
        "Partial",
        "Partial",
        "Partial",
        "Final",
        "Answer",
    ]
    assert exchange.answers[0] in seen


async def test_a_connection_lost_in_an_answer_is_one_plain_error():
    with pytest.raises(ConnectionLost, match="on fire"):
        await ask(FakePcmServer(drop_after=1), Question("a.wav", tone(300)))


async def test_a_server_that_leaves_in_order_still_owes_the_answer():
    class Leaving(FakePcmServer):
        async def answer(self, peer, **_):
            await peer.socket.close(1000, "bye")

    with pytest.raises(ConnectionLost, match="bye"):
        await ask(Leaving(), Question("a.wav", tone(300)))


async def test_a_silent_server_is_given_up():
    class Mute(FakePcmServer):
        async def answer(self, peer, **_):
            pass

    with pytest.raises(NoAnswer, match=r"no word from the server for 0\.05 s"):
        await ask(Mute(), Question("a.wav", tone(300)), patience=0.05)


async def test_a_broken_watcher_is_not_hidden():
    def watch(_):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await ask(FakePcmServer(), Question("a.wav", tone(300)), watch=watch)


# ---- what it took, on a written clock -----------------------------------------------------------


def follow(exchange, *events):
    """Let events happen one second apart from second 10 on; give what the last one completed."""
    answer = None
    for now, event in enumerate(events, 10):
        answer = exchange.receive(event, float(now))
    return answer


def test_the_time_to_the_first_partial_counts_from_the_end_of_speech():
    final = Final(1, "Hello", "stop", {"hangover": 500.0, "first_token": 30.0})
    partials = (Partial(1, 0, "Hel"), Partial(1, 1, "lo"))
    answer = follow(Exchange("q"), SpeechStarted(0), SpeechStopped(900, 900), *partials, final)
    assert (answer.first_partial_ms, answer.hangover_ms) == (1500, 500)
    assert (answer.writing_ms, answer.characters_per_second) == (2000, 2.5)


def test_at_twice_the_speed_the_hangover_takes_half_the_time():
    final = Final(1, "a", "stop", {"hangover": 500.0})
    answer = follow(Exchange("q", 2.0), SpeechStopped(900, 900), Partial(1, 0, "a"), final)
    assert (answer.first_partial_ms, answer.hangover_ms) == (1250, 250)


def test_after_a_commit_the_time_counts_from_it():
    exchange = Exchange("q")
    exchange.ask(9.0)
    final = Final(1, "a", "stop", {})
    answer = follow(exchange, SpeechStopped(900, 900), Partial(1, 0, "a"), final)
    assert (answer.first_partial_ms, answer.hangover_ms) == (2000, None)


def test_an_answer_without_a_word_has_no_times():
    answer = follow(Exchange("q"), SpeechStopped(900, 900), Final(1, "", "stop"))
    assert (answer.first_partial_ms, answer.writing_ms) == (None, None)
    assert answer.characters_per_second is None


def test_speech_over_an_answer_makes_a_second_turn():
    exchange = Exchange("q")
    barge_in = (Cancelled(1, "One"), Final(1, "One", "interrupted"), SpeechStarted(1500))
    follow(exchange, SpeechStarted(0), SpeechStopped(9, 9), Partial(1, 0, "One"), *barge_in)
    assert exchange.open
    follow(exchange, SpeechStopped(2000, 500), Partial(2, 0, "Two"), Final(2, "Two", "stop"))
    assert not exchange.open
    assert [(answer.text, answer.interrupted) for answer in exchange.answers] == [
        ("One", True),
        ("Two", False),
    ]
    assert exchange.answers[1].first_partial_ms == 1000


def test_a_commit_that_crosses_the_end_of_speech_still_has_its_answer():
    exchange = Exchange("q")
    exchange.receive(SpeechStopped(9, 9), 1.0)
    exchange.ask(1.0)
    exchange.receive(Error("nothing_to_commit", "It is already being answered."), 1.1)
    assert exchange.open
    exchange.receive(Final(1, "a", "stop"), 2.0)
    assert not exchange.open
    assert exchange.answers[0].error is None


@pytest.mark.parametrize("code", ["nothing_to_commit", "nothing_to_answer", "audio_too_short"])
def test_an_error_can_come_in_the_place_of_an_answer(code):
    exchange = Exchange("q")
    exchange.ask(1.0)
    exchange.receive(Error(code, "No."), 2.0)
    assert not exchange.open
    assert exchange.error == Error(code, "No.")


def test_a_turn_that_is_too_long_is_answered_from_then_on():
    exchange = Exchange("q")
    exchange.receive(Error("turn_too_long", "It is long."), 5.0)
    assert exchange.open
    exchange.receive(Partial(1, 0, "Yes."), 6.5)
    answer = exchange.receive(Final(1, "Yes.", "stop", {}), 7.0)
    assert answer.first_partial_ms == 1500
    assert not exchange.open


def test_a_warning_leaves_the_answer_due():
    exchange = Exchange("q")
    exchange.ask(1.0)
    exchange.receive(Error("conversation_trimmed", "2 turns were dropped."), 2.0)
    assert exchange.open


EVENTS = st.sampled_from(
    [
        SpeechStarted(0),
        SpeechStopped(1, 1),
        Partial(1, 0, "a"),
        Cancelled(1, "a"),
        Final(1, "a", "stop", {"hangover": 1.0}),
        Final(1, "a", "interrupted"),
        Error("audio_too_short", "m"),
        Error("engine_error", "m"),
        Pong(),
    ]
)


@given(st.lists(EVENTS))
def test_in_any_order_each_final_is_one_answer_and_times_are_not_negative(events):
    exchange = Exchange("q")
    follow(exchange, *events)
    finals = [event for event in events if isinstance(event, Final)]
    assert [answer.finish for answer in exchange.answers] == [final.finish for final in finals]
    if finals and events[-1] is finals[-1] and events.count(SpeechStarted(0)) == 0:
        assert not exchange.open
    for answer in exchange.answers:
        assert answer.writing_ms is None or answer.writing_ms >= 0
