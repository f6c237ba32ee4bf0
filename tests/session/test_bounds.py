"""Where the turn machine decides one way just before a bound and another way just behind it."""

from __future__ import annotations

import pytest
from talking import (
    MS,
    asked,
    codes,
    kinds,
    loud,
    names,
    new_session,
    notices,
    order,
    quiet,
    receive,
    reply,
    requests,
    speak,
    told,
    write,
)

from realtime.engine.api import UserTurn
from realtime.session.events import (
    CancelAsked,
    ClearAsked,
    CommitAsked,
    Committed,
    Effect,
    Final,
    InstructionSet,
    ItemAsked,
    ItemCut,
    ItemDropped,
    ItemPut,
    ItemsResponseAsked,
    ResponseAsked,
    ResponseOptions,
    SilenceNoticed,
    SpeechStarted,
    SpeechStopped,
    TextReceived,
    Transcribed,
    Trouble,
)
from realtime.session.items import SystemDraft
from realtime.session.settings import TurnSettings

ANSWER = ItemsResponseAsked(ResponseOptions())


def message(effects: list[Effect]) -> str:
    (trouble,) = told(effects, Trouble)
    return trouble.message


# ---- too short, too long ------------------------------------------------------------------------


def test_audio_that_is_just_long_enough_is_a_turn():
    for automatic in (True, False):
        session = new_session(automatic=automatic)
        assert len(requests(receive(session, quiet(100), CommitAsked()))) == 1


def test_audio_that_is_too_short_is_told_with_its_length():
    effects = receive(new_session(automatic=False), quiet(50), CommitAsked())
    assert message(effects) == "50 ms of audio are too short; at least 100 ms."


def test_a_rest_that_is_too_short_is_left_out_of_a_turn_that_is_long_enough():
    session = new_session(automatic=False, min_audio_ms=5_000)
    receive(session, loud(29_000), loud(4_000))
    (committed,) = told(receive(session, CommitAsked()), Committed)
    (clip,) = committed.item.clips
    assert len(clip.pcm) > 28_000 * MS, "the rest is left out, the turn is not"


def test_push_to_talk_that_is_too_long_is_told_of_as_no_speech():
    session = new_session(TurnSettings(automatic=False), max_turn_s=60)
    effects = receive(session, *[loud(1000)] * 61, CommitAsked())
    assert codes(effects) == ["turn_too_long"]
    assert message(effects) == "The turn reached 60 s and is answered as it stands."
    assert not told(effects, SpeechStarted)
    assert not told(effects, SpeechStopped)


def test_a_turn_is_cut_before_it_could_overrun_its_limit_and_not_sooner():
    for limit, windows in ((30, 1), (60, 2), (90, 3)):
        session = new_session(max_turn_s=limit)
        effects = receive(session, *[loud(1000)] * 100)
        assert len(told(effects, Committed)[0].item.clips) == windows
        assert session.conversation.items[0].clips[0].pcm.size > 28_000 * MS


# ---- long turns ----------------------------------------------------------------------------------


def test_a_long_turn_becomes_several_parts_without_loss():
    session = new_session()
    effects = receive(session, loud(70_000), quiet(600))
    assert kinds(effects) == ["SpeechStarted", "SpeechStopped", "Generate"]
    parts = asked(effects)[0].request.turns[0].parts
    assert len(parts) == 3
    assert sum(len(clip.pcm) for clip in parts) == 70_200 * MS
    assert all(len(clip.pcm) <= 30_000 * MS for clip in parts)


def test_a_monologue_is_answered_at_the_limit_of_a_turn():
    session = new_session(max_turn_s=60)
    effects = receive(session, *[loud(1000)] * 100)
    assert kinds(effects) == ["SpeechStarted", "SpeechStopped", "Trouble", "Generate"]
    assert codes(effects) == ["turn_too_long"]
    (cut,) = notices(effects, SpeechStopped)
    reply(session, "I see.")
    effects = receive(session, quiet(600))
    assert kinds(effects) == ["SpeechStarted", "SpeechStopped", "Generate"]
    (started,), (stopped,) = notices(effects, SpeechStarted), notices(effects, SpeechStopped)
    assert (started.at, stopped.at) == (cut.at, 100_200 * MS)
    assert stopped.duration == stopped.at - cut.at
    (generate,) = asked(effects)
    first, _, second = generate.request.turns
    total = sum(len(clip.pcm) for turn in (first, second) for clip in turn.parts)
    assert total == 100_200 * MS


def test_speech_on_behind_a_turn_that_was_too_long_interrupts_its_answer_when_it_is_a_turn():
    session = new_session(max_turn_s=60)
    receive(session, *[loud(1000)] * 61)
    reply(session, "I", " see", done=False)
    assert kinds(receive(session, *[loud(1000)] * 2)) == []
    effects = receive(session, quiet(600))
    assert kinds(effects)[:4] == ["SpeechStarted", "Cancel", "Cancelled", "Final"]
    assert kinds(effects)[4:] == ["SpeechStopped", "Generate"]


def test_no_more_speech_behind_a_turn_that_was_too_long_is_told_no_more():
    session = new_session(max_turn_s=60)
    receive(session, *[loud(1000)] * 61)
    receive(session, ClearAsked(), *[quiet(1000)] * 3)
    assert kinds(speak(session)) == [
        *("SpeechStarted", "Cancel", "Cancelled", "Final"),
        *("SpeechStopped", "Generate"),
    ]


def test_a_long_conversation_loses_its_oldest_turns_and_says_so():
    session = new_session(budget_tokens=200)
    for _ in range(4):
        effects = speak(session, 1000)
        if codes(effects):
            break
        reply(session, "Yes.")
    assert codes(effects) == ["conversation_trimmed"]
    turns = asked(effects)[0].request.turns
    assert isinstance(turns[0], UserTurn)
    assert session.conversation.tokens() <= 200


# ---- silence ------------------------------------------------------------------------------------


def test_a_silence_is_noticed_just_when_it_has_lasted_long_enough():
    session = new_session(TurnSettings(idle_ms=2000))
    speak(session)
    reply(session, "Yes.")
    since = session.endpointer.position
    assert receive(session, quiet(1980)) == []
    (noticed,) = told(receive(session, quiet(20)), SilenceNoticed)
    assert (noticed.start, noticed.end) == (since, since + 2000 * MS)


def test_no_silence_is_noticed_while_an_answer_is_due():
    session = new_session(TurnSettings(idle_ms=1000))
    speak(session)
    reply(session, "Yes.")
    receive(session, ANSWER)
    assert receive(session, quiet(3000)) == []
    reply(session, "No.")
    assert "SilenceNoticed" in names(receive(session, quiet(1000)))


def test_a_silence_is_no_silence_in_push_to_talk_or_when_nobody_wants_to_know():
    for settings in (TurnSettings(), TurnSettings(automatic=False, idle_ms=1000)):
        session = new_session(settings)
        receive(session, write("a"), ANSWER)
        reply(session, "Yes.")
        assert receive(session, quiet(3000)) == []


def test_a_silence_too_short_to_be_answered_is_noticed_once():
    session = new_session(TurnSettings(idle_ms=1000), min_audio_ms=2000)
    receive(session, write("a"), ANSWER)
    reply(session, "Yes.")
    effects = receive(session, quiet(1000))
    assert (names(effects), codes(effects)) == (["SilenceNoticed", "Trouble"], ["audio_too_short"])
    assert receive(session, quiet(3000)) == []


def test_a_silence_that_was_cleared_begins_anew():
    session = new_session(TurnSettings(idle_ms=1000))
    speak(session)
    reply(session, "Yes.")
    receive(session, quiet(900), ClearAsked())
    assert receive(session, quiet(980)) == []
    assert "SilenceNoticed" in names(receive(session, quiet(20)))


def test_clearing_begins_no_silence_where_there_was_none():
    session = new_session(TurnSettings(idle_ms=1000))
    receive(session, ClearAsked())
    assert receive(session, quiet(3000)) == []


# ---- commit and respond -------------------------------------------------------------------------


def test_a_commit_with_text_is_answered_anew_while_an_answer_is_due():
    session = new_session()
    speak(session)
    effects = receive(session, TextReceived("Or not."), quiet(200), CommitAsked())
    assert kinds(effects) == ["Cancel", "Cancelled", "Final", "Generate"]


def test_a_commit_in_speech_beside_an_answer_is_taken():
    session = new_session(TurnSettings(interrupt=False))
    speak(session)
    effects = receive(session, loud(500), CommitAsked())
    assert names(effects) == ["SpeechStarted", "SpeechStopped", "Committed"]


def test_a_commit_that_wants_no_answer_is_taken_while_one_is_due():
    session = new_session()
    speak(session)
    effects = receive(session, quiet(300), CommitAsked(respond=False))
    assert names(effects) == ["Committed"]


def test_text_that_is_committed_and_not_to_be_answered_waits():
    session = new_session()
    effects = receive(session, TextReceived("a"), CommitAsked(respond=False))
    assert names(effects) == ["Committed"]
    assert len(requests(receive(session, ResponseAsked()))) == 1


def test_asking_for_an_answer_ends_the_speech_or_what_was_pushed_to_talk():
    for automatic, kind in ((True, "SpeechStopped"), (False, "Committed")):
        session = new_session(automatic=automatic)
        receive(session, loud(500))
        effects = receive(session, ResponseAsked())
        assert names(effects)[0] == kind
        assert len(requests(effects)) == 1


def test_asking_for_an_answer_takes_no_sound_that_was_no_speech():
    session = new_session()
    assert codes(receive(session, quiet(1000), ResponseAsked())) == ["nothing_to_answer"]


def test_an_answer_that_is_under_way_is_not_asked_for_again():
    session = new_session()
    speak(session)
    assert codes(receive(session, ResponseAsked())) == ["nothing_to_answer"]


def test_speech_that_ends_stops_an_answer_that_was_asked_for_in_it():
    session = new_session()
    receive(session, loud(500), write("a"), ANSWER)
    (final,) = told(receive(session, quiet(600)), Final)
    assert final.reason == "speech"


def test_what_was_owed_is_owed_whatever_else_is_committed_meanwhile():
    session = new_session(TurnSettings(interrupt=False))
    speak(session)
    speak(session)
    receive(session, loud(500), CommitAsked(respond=False))
    assert len(requests(reply(session, "Yes."))) == 1


def test_what_is_owed_is_not_answered_if_the_peer_took_it_back():
    session = new_session(TurnSettings(interrupt=False))
    speak(session)
    speak(session)
    receive(session, ItemDropped(order(session)[-1]))
    assert requests(reply(session, "Yes.")) == []


# ---- in words -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([CommitAsked()], "There is no audio to commit."),
        ([ResponseAsked()], "Nothing was said or written since the last answer."),
        ([CancelAsked()], "No such answer is under way."),
        ([CancelAsked("c~a9")], "No such answer is under way."),
        (
            [write("a"), ANSWER, ANSWER],
            "An answer is under way; wait for its end, or cancel it first.",
        ),
        (
            [quiet(400), loud(900), quiet(700), CommitAsked()],
            "The utterance is already being answered.",
        ),
        ([TextReceived("x" * 11)], "The text of a turn is limited to 10 bytes."),
        ([InstructionSet("x" * 11)], "An instruction is limited to 10 bytes."),
        ([ItemPut(SystemDraft(None, "x" * 200))], "The conversation has no room for this item."),
        ([ItemAsked("i")], "There is no item 'i' here."),
        ([write("a", "i"), write("a", "i")], "There is an item 'i' already."),
        ([write("a", "i"), ItemCut("i", 0)], "Item 'i' is no answer of the assistant."),
    ],
)
def test_a_peer_is_told_in_words_what_did_not_go(events, words):
    session = new_session(max_text_bytes=10, budget_tokens=100)
    assert message(receive(session, *events)) == words


def test_a_peer_is_told_that_there_are_too_many():
    beside = ItemsResponseAsked(ResponseOptions(out_of_band=True))
    session = new_session(TurnSettings(transcribe=True, respond=False), max_asides=1)
    effects = receive(session, write("a"), beside, beside)
    assert message(effects) == "Too many answers are under way already."
    (transcribed,) = [told(speak(session), Transcribed) for _ in range(9)][-1]
    assert transcribed.failure.message == "Too many transcripts are being made already."
    assert transcribed.text == ""
