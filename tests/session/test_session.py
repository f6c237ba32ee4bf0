"""The turn machine, fed with loud and silent samples and scripted answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
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
    speak,
    told,
)

from realtime.engine.api import AssistantTurn, Clip, Sampling, Usage, UserTurn
from realtime.session.events import (
    Cancel,
    CancelAsked,
    Cancelled,
    ClearAsked,
    CommitAsked,
    Committed,
    Final,
    InstructionSet,
    Partial,
    Played,
    ResetAsked,
    ResponseAsked,
    ResponseEnded,
    ResponseFailed,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    TextReceived,
)
from realtime.session.items import UserItem
from realtime.session.turn_table import Response

# ---- turns ---------------------------------------------------------------------------------------


def test_an_utterance_is_heard_asked_and_answered():
    session = new_session()
    effects = speak(session)
    assert kinds(effects) == ["SpeechStarted", "SpeechStopped", "Generate"]
    (generate,) = asked(effects)
    (turn,) = generate.request.turns
    (clip,) = turn.parts
    assert np.abs(clip.pcm).max() == 8000
    assert len(clip.pcm) == (300 + 1000 + 200) * MS  # prefix padding, speech, tail
    effects = reply(session, "Hello", " there.")
    assert kinds(effects) == ["Partial", "Partial", "Final"]
    assert notices(effects, Partial) == [Partial(1, 0, "Hello"), Partial(1, 1, " there.")]
    assert notices(effects, Final) == [Final(1, "Hello there.", "stop", None, (("hangover", 500),))]
    assert session.turns.response is Response.NONE


def test_a_spoken_turn_is_told_in_order_under_one_item_id():
    session = new_session()
    effects = speak(session)
    assert names(effects) == [
        "SpeechStarted", "SpeechStopped", "Committed", "ResponseStarted", "Generate",
    ]  # fmt: skip
    (started,), (stopped,) = told(effects, SpeechStarted), told(effects, SpeechStopped)
    (committed,), (response,) = told(effects, Committed), told(effects, ResponseStarted)
    assert started.item == stopped.item == committed.item.id
    assert (committed.previous, response.previous) == (None, committed.item.id)
    effects = reply(session, "Hel", "lo.", usage=Usage(9, 4, 2))
    assert [(p.response, p.delta) for p in told(effects, Partial)] == [
        (response.response, "Hel"),
        (response.response, "lo."),
    ]
    (final,) = told(effects, Final)
    assert (final.response, final.reason, final.failure) == (response.response, None, None)
    assert final.usage == Usage(9, 4, 2, audio_tokens=9)  # no more than the prompt has
    (second,) = told(speak(session), Committed)
    assert second.previous == response.answer.id


def test_speech_too_short_to_be_heard_gives_its_item_up():
    session = new_session(min_audio_ms=1000)
    effects = speak(session, 100)
    assert codes(effects) == ["audio_too_short"]
    assert not order(session)
    (first,) = told(effects, SpeechStarted)
    (second,) = told(speak(session), SpeechStarted)
    assert first.item != second.item


def test_positions_are_those_of_the_speech():
    effects = speak(new_session(), 1000)
    assert notices(effects, SpeechStarted) == [SpeechStarted(400 * MS)]
    assert notices(effects, SpeechStopped) == [SpeechStopped(1600 * MS, 1200 * MS)]


def test_the_answer_goes_back_to_the_engine_as_the_tokens_delivered():
    session = new_session()
    speak(session)
    reply(session, "Hello", " there.")
    (generate,) = asked(speak(session))
    assert generate.request.turns[1] == AssistantTurn(tokens=(10, 11, 20, 21))
    assert generate.request.id != "c:1"
    assert len(generate.request.turns) == 3


def test_sampling_is_the_sessions():
    session = new_session(sampling=Sampling(temperature=0.0, max_tokens=7))
    (generate,) = asked(speak(session))
    assert generate.request.sampling == Sampling(temperature=0.0, max_tokens=7)


def test_a_piece_without_text_is_kept_and_not_told():
    session = new_session()
    speak(session)
    effects = receive(session, TextDelta(session.response, (7,), ""))
    assert effects == []
    assert session.conversation.last_answer.tokens == (7,)


def test_usage_reaches_the_peer():
    session = new_session()
    speak(session)
    usage = Usage(prompt_tokens=60, cached_tokens=0, completion_tokens=9)
    effects = receive(session, ResponseEnded(session.response, "length", usage))
    usage = replace(usage, audio_tokens=37)  # 1.5 s
    assert notices(effects, Final) == [Final(1, "", "length", usage, (("hangover", 500),))]


def test_a_standing_instruction_is_said_once_however_often_the_question_is_asked():
    session = new_session()
    receive(session, InstructionSet("Be brief."))
    speak(session)
    for _ in range(3):
        (generate,) = asked(receive(session, CancelAsked(), ResponseAsked()))
        (turn,) = generate.request.turns
        assert turn.parts[1:] == ("Be brief.",)
    assert sum(isinstance(item, UserItem) for item in session.conversation.items) == 1


# ---- barge-in ------------------------------------------------------------------------------------


def test_barge_in_stops_the_answer_and_silences_late_text():
    session = new_session()
    speak(session)
    response = session.response
    reply(session, "One,", " two", done=False)
    effects = receive(session, loud(200))
    assert kinds(effects) == ["SpeechStarted", "Cancel", "Cancelled", "Final"]
    assert effects[1] == Cancel(response)
    assert notices(effects, Cancelled) == [Cancelled(1, "One, two")]
    assert notices(effects, Final)[0].finish == "interrupted"
    late = [TextDelta(response, (9,), " three"), ResponseEnded(response, "stop")]
    assert receive(session, *late) == []
    (generate,) = asked(receive(session, quiet(600)))
    assert generate.request.turns[1] == AssistantTurn(tokens=(10, 11, 20, 21))


def test_speech_before_the_first_piece_continues_the_same_turn():
    session = new_session()
    speak(session)
    effects = speak(session)
    assert kinds(effects)[:4] == ["SpeechStarted", "Cancel", "Cancelled", "Final"]
    (generate,) = asked(effects)
    (turn,) = generate.request.turns
    assert len(turn.parts) == 2
    assert len({clip.id for clip in turn.parts}) == 2


def test_only_what_was_played_stays():
    session = new_session()
    speak(session)
    reply(session, "One,", " two,", " three", done=False)
    effects = receive(session, Played(1, 9), loud(200))
    assert notices(effects, Cancelled) == [Cancelled(1, "One, two,")]
    assert session.conversation.last_answer.tokens == (10, 11, 20, 21)


def test_speech_cuts_a_complete_answer_that_is_still_being_played():
    session = new_session()
    speak(session)
    reply(session, "One,", " two,", " three")
    effects = receive(session, Played(1, 4), loud(200))
    assert kinds(effects) == ["SpeechStarted", "Cancelled"]
    assert notices(effects, Cancelled) == [Cancelled(1, "One,")]


@pytest.mark.parametrize("played", [Played(1, 4), Played(9, 4), Played(1, 10**9)])
def test_playing_reports_never_go_back_and_never_reach_past_the_end(played):
    session = new_session()
    speak(session)
    reply(session, "One,", " two,")
    effects = receive(session, Played(1, 9), played, loud(200))
    assert kinds(effects) == ["SpeechStarted"]


def test_nothing_played_leaves_the_question_open():
    session = new_session()
    speak(session)
    reply(session, "One,", done=False)
    receive(session, Played(1, 0), loud(200))
    (generate,) = asked(receive(session, quiet(600)))
    (turn,) = generate.request.turns
    assert len(turn.parts) == 2


def test_cancel_stops_and_a_second_cancel_says_so():
    session = new_session()
    speak(session)
    reply(session, "One,", done=False)
    assert kinds(receive(session, CancelAsked())) == ["Cancel", "Cancelled", "Final"]
    assert codes(receive(session, CancelAsked())) == ["nothing_to_cancel"]


# ---- text ----------------------------------------------------------------------------------------


def test_text_belongs_to_the_turn_that_is_spoken():
    session = new_session()
    receive(session, TextReceived("What's that"), TextReceived("sound?"))
    (generate,) = asked(speak(session))
    clip, text = generate.request.turns[0].parts
    assert isinstance(clip, Clip)
    assert text == "What's that\nsound?"
    reply(session, "A siren.")
    (generate,) = asked(speak(session))
    assert len(generate.request.turns[2].parts) == 1


def test_a_standing_instruction_belongs_to_every_turn():
    session = new_session()
    receive(session, InstructionSet("Translate."))
    for _ in range(2):
        (generate,) = asked(speak(session))
        assert generate.request.turns[-1].parts[1] == "Translate."
        reply(session, "Gut.")
    receive(session, InstructionSet(""))
    (generate,) = asked(speak(session))
    assert len(generate.request.turns[-1].parts) == 1


def test_text_alone_is_answered_when_asked():
    session = new_session()
    (generate,) = asked(receive(session, TextReceived("hello"), ResponseAsked()))
    assert generate.request.turns == (UserTurn(("hello",)),)


def test_a_written_question_interrupts():
    session = new_session()
    speak(session)
    reply(session, "One,", done=False)
    effects = receive(session, TextReceived("stop"), ResponseAsked())
    assert kinds(effects) == ["Cancel", "Cancelled", "Final", "Generate"]


def test_too_much_text_is_refused_and_the_rest_kept():
    session = new_session(max_text_bytes=10)
    assert receive(session, TextReceived("12345")) == []
    assert codes(receive(session, TextReceived("äöü"))) == ["too_much"]
    assert codes(receive(session, InstructionSet("x" * 11))) == ["too_much"]
    assert session.pending.texts == ["12345"]


def test_an_open_question_can_be_asked_again():
    session = new_session()
    speak(session)
    effects = receive(session, ResponseFailed(session.response, "engine_error", "It broke."))
    assert kinds(effects) == ["Final"]
    (generate,) = asked(receive(session, ResponseAsked()))
    assert len(generate.request.turns) == 1


def test_nothing_said_is_nothing_to_answer():
    assert codes(receive(new_session(), ResponseAsked())) == ["nothing_to_answer"]


# ---- commit, clear, reset ------------------------------------------------------------------------


def test_commit_ends_the_utterance_at_once():
    session = new_session()
    effects = receive(session, loud(1000), CommitAsked())
    assert kinds(effects) == ["SpeechStarted", "SpeechStopped", "Generate"]
    final = notices(reply(session, "Yes."), Final)[0]
    assert final.ms == ()  # nothing was waited for


def test_commit_takes_sound_that_is_no_speech():
    session = new_session()
    effects = receive(session, TextReceived("What's that sound?"), quiet(1000), CommitAsked())
    assert kinds(effects) == ["Generate"]
    clip, _ = asked(effects)[0].request.turns[0].parts
    assert len(clip.pcm) == 1000 * MS


def test_commit_just_after_the_end_of_speech_costs_nothing():
    session = new_session()
    speak(session)
    effects = receive(session, quiet(200), CommitAsked())
    assert codes(effects) == ["nothing_to_commit"]
    assert session.turns.response is Response.WAITING


@pytest.mark.parametrize("automatic", [True, False])
def test_nothing_and_too_little_are_not_committed(automatic):
    session = new_session(automatic=automatic)
    assert codes(receive(session, CommitAsked())) == ["nothing_to_commit"]
    assert codes(receive(session, quiet(99), CommitAsked())) == ["audio_too_short"]
    assert session.turns.response is Response.NONE


def test_commit_of_text_alone_is_answered():
    assert len(asked(receive(new_session(), TextReceived("hello"), CommitAsked()))) == 1


def test_manual_turns_end_by_commit_only_and_audio_interrupts_nothing():
    session = new_session(automatic=False)
    assert receive(session, loud(1000), quiet(3000)) == []
    assert kinds(receive(session, CommitAsked())) == ["Generate"]
    reply(session, "One,", done=False)
    assert receive(session, loud(500)) == []
    effects = receive(session, CommitAsked())
    assert kinds(effects) == ["Cancel", "Cancelled", "Final", "Generate"]


def test_clear_forgets_what_was_said_and_written():
    session = new_session()
    effects = receive(session, TextReceived("x"), loud(1000), ClearAsked())
    assert kinds(effects) == ["SpeechStarted", "SpeechStopped"]
    assert codes(receive(session, CommitAsked())) == ["nothing_to_commit"]


def test_reset_forgets_the_conversation():
    session = new_session()
    speak(session)
    reply(session, "One,", done=False)
    assert kinds(receive(session, ResetAsked())) == ["Cancel", "Cancelled", "Final"]
    (generate,) = asked(speak(session))
    assert len(generate.request.turns) == 1
