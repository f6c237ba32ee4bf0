"""The turn machine, fed with loud and silent samples and scripted answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.audio.endpoint import EndpointConfig, Endpointer
from realtime.engine.api import AssistantTurn, Clip, Sampling, Usage, UserTurn
from realtime.session.conversation import Conversation
from realtime.session.events import (
    AudioReceived,
    Cancel,
    CancelAsked,
    Cancelled,
    ClearAsked,
    Cleared,
    CommitAsked,
    Committed,
    Configured,
    Confirm,
    Effect,
    Emit,
    Final,
    Generate,
    Input,
    InstructionSet,
    Partial,
    PeerCame,
    PeerLeft,
    PeerLost,
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
    Trouble,
)
from realtime.session.items import Answer, UserItem
from realtime.session.session import Session
from realtime.session.settings import SessionConfig, TurnSettings
from realtime.session.turn_table import Response

MS = 16


class LoudVad:
    """Call loud frames speech."""

    def __call__(self, frame: np.ndarray) -> bool:
        return bool(np.abs(frame).max() > 1000)

    def reset(self) -> None:
        pass


def new_session(*, automatic: bool = True, speculate: bool = False, **settings) -> Session:
    endpointer = Endpointer(LoudVad(), EndpointConfig(automatic=automatic))
    return Session(Conversation("c"), endpointer, SessionConfig(speculate=speculate, **settings))


def loud(ms: int) -> AudioReceived:
    return AudioReceived(np.full(ms * MS, 5000, np.int16))


def quiet(ms: int) -> AudioReceived:
    return AudioReceived(np.zeros(ms * MS, np.int16))


def receive(session: Session, *events: Input) -> list[Effect]:
    return [effect for event in events for effect in session.receive(event)]


def speak(session: Session, ms: int = 1000) -> list[Effect]:
    return receive(session, quiet(400), loud(ms), quiet(600))


def answer(session: Session, *pieces: str, done: bool = True) -> list[Effect]:
    response = session.response
    assert response is not None
    events: list[Input] = [
        TextDelta(response, tuple(range(10 * i, 10 * i + 2)), text)
        for i, text in enumerate(pieces, 1)
    ]
    return receive(session, *events, *([ResponseEnded(response, "stop")] if done else []))


ABOUT_ITEMS = (Committed, ResponseStarted, Cleared)


def kinds(effects: Iterable[Effect]) -> list[str]:
    """Name what is done and told, but for what is told of items."""
    told = [e.notice if isinstance(e, Emit) else e for e in effects]
    return [type(e).__name__ for e in told if not isinstance(e, ABOUT_ITEMS)]


def announced(effects: Iterable[Effect], kind: type) -> list:
    return [e.notice for e in effects if isinstance(e, Emit) and isinstance(e.notice, kind)]


def notices(effects: Iterable[Effect], kind: type) -> list:
    """Give what is told, without ids."""
    return [
        replace(notice, **{f.name: "" for f in fields(notice) if f.name in ("item", "response")})
        for notice in announced(effects, kind)
    ]


def asked(effects: Iterable[Effect]) -> list[Generate]:
    return [e for e in effects if isinstance(e, Generate)]


def codes(effects: Iterable[Effect]) -> list[str]:
    failures = [final.failure for final in announced(effects, Final) if final.failure]
    return [t.code for t in (*notices(effects, Trouble), *failures)]


# ---- turns --------------------------------------------------------------------------------------


def test_an_utterance_is_heard_asked_and_answered():
    session = new_session()
    effects = speak(session)
    assert kinds(effects) == ["SpeechStarted", "SpeechStopped", "Generate"]
    (generate,) = asked(effects)
    (turn,) = generate.request.turns
    (clip,) = turn.parts
    assert np.abs(clip.pcm).max() == 5000
    assert len(clip.pcm) == (300 + 1000 + 200) * MS  # prefix padding, speech, tail
    effects = answer(session, "Hello", " there.")
    assert kinds(effects) == ["Partial", "Partial", "Final"]
    assert notices(effects, Partial) == [Partial(1, 0, "Hello"), Partial(1, 1, " there.")]
    assert notices(effects, Final) == [Final(1, "Hello there.", "stop", None, (("hangover", 500),))]
    assert session.turns.response is Response.NONE


def test_positions_are_those_of_the_speech():
    effects = speak(new_session(), 1000)
    assert notices(effects, SpeechStarted) == [SpeechStarted(400 * MS)]
    assert notices(effects, SpeechStopped) == [SpeechStopped(1600 * MS, 1200 * MS)]


def test_the_answer_goes_back_to_the_engine_as_the_tokens_delivered():
    session = new_session()
    speak(session)
    answer(session, "Hello", " there.")
    (generate,) = asked(speak(session))
    assert generate.request.turns[1] == AssistantTurn(tokens=(10, 11, 20, 21))
    assert generate.request.id != "c:1"
    assert len(generate.request.turns) == 3


def test_sampling_is_the_sessions():
    session = new_session(sampling=Sampling(temperature=0.0, max_tokens=7))
    (generate,) = asked(speak(session))
    assert generate.request.sampling == Sampling(temperature=0.0, max_tokens=7)


def test_a_piece_without_text_is_kept_and_not_announced():
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


# ---- barge-in -----------------------------------------------------------------------------------


def test_barge_in_stops_the_answer_and_silences_late_text():
    session = new_session()
    speak(session)
    response = session.response
    answer(session, "One,", " two", done=False)
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
    answer(session, "One,", " two,", " three", done=False)
    effects = receive(session, Played(1, 9), loud(200))
    assert notices(effects, Cancelled) == [Cancelled(1, "One, two,")]
    assert session.conversation.last_answer.tokens == (10, 11, 20, 21)


def test_speech_cuts_a_complete_answer_that_is_still_being_played():
    session = new_session()
    speak(session)
    answer(session, "One,", " two,", " three")
    effects = receive(session, Played(1, 4), loud(200))
    assert kinds(effects) == ["SpeechStarted", "Cancelled"]
    assert notices(effects, Cancelled) == [Cancelled(1, "One,")]


@pytest.mark.parametrize("played", [Played(1, 4), Played(9, 4), Played(1, 10**9)])
def test_playing_reports_never_go_back_and_never_reach_past_the_end(played):
    session = new_session()
    speak(session)
    answer(session, "One,", " two,")
    effects = receive(session, Played(1, 9), played, loud(200))
    assert kinds(effects) == ["SpeechStarted"]


def test_nothing_played_leaves_the_question_open():
    session = new_session()
    speak(session)
    answer(session, "One,", done=False)
    receive(session, Played(1, 0), loud(200))
    (generate,) = asked(receive(session, quiet(600)))
    (turn,) = generate.request.turns
    assert len(turn.parts) == 2


def test_cancel_stops_and_a_second_cancel_says_so():
    session = new_session()
    speak(session)
    answer(session, "One,", done=False)
    assert kinds(receive(session, CancelAsked())) == ["Cancel", "Cancelled", "Final"]
    assert codes(receive(session, CancelAsked())) == ["nothing_to_cancel"]


# ---- the peer goes and comes --------------------------------------------------------------------


def back(session: Session, had: int | None = None) -> tuple[Session, list[Effect]]:
    """Take the conversation up again with a new session, as a new connection does."""
    config = session.config
    again = Session(session.conversation, Endpointer(LoudVad(), EndpointConfig()), config)
    return again, receive(again, PeerCame(had))


def delivered(session: Session) -> list[str]:
    return [item.text for item in session.conversation.items if isinstance(item, Answer)]


@pytest.mark.parametrize("pieces", [(), ("One,",), ("One,", " two,")])
@pytest.mark.parametrize("played", [None, 0, 4])
def test_an_answer_that_was_cut_by_a_loss_is_given_anew_and_stands_once(pieces, played):
    session = new_session()
    (first,) = asked(speak(session))
    answer(session, *pieces, done=False)
    if played is not None:
        receive(session, Played(1, played))
    assert kinds(receive(session, PeerLost(sent=True))) == ["Cancel", "Cancelled", "Final"]
    session, effects = back(session)
    (again,) = asked(effects)
    assert again.request.turns == first.request.turns
    assert again.request.id == "c:2"
    effects = answer(session, "One,", " two,", " three.")
    assert [partial.seq for partial in announced(effects, Partial)] == [0, 1, 2]
    assert delivered(session) == ["One, two, three."]


def test_a_loss_is_known_however_often_it_is_told():
    session = new_session()
    speak(session)
    receive(session, PeerLost(sent=True), PeerLost(sent=True))
    assert asked(back(session)[1])


def test_an_answer_that_is_lost_again_is_given_again():
    session = new_session()
    (first,) = asked(speak(session))
    for turn in (2, 3, 4):
        receive(session, PeerLost(sent=True))
        session, effects = back(session)
        (again,) = asked(effects)
        assert (again.request.id, again.request.turns) == (f"c:{turn}", first.request.turns)
    answer(session, "One.")
    assert delivered(session) == ["One."]


@pytest.mark.parametrize(
    ("sent", "played", "had", "given"),
    [
        pytest.param(True, None, None, False, id="sent"),
        pytest.param(False, None, None, True, id="not sent"),
        pytest.param(False, 8, None, False, id="not sent, but all of it was played"),
        pytest.param(False, 4, None, True, id="not sent, half of it was played"),
        pytest.param(True, None, 0, True, id="sent, but it did not arrive"),
        pytest.param(False, None, 1, False, id="not sent, but it did arrive"),
    ],
)
def test_a_whole_answer_is_given_anew_if_it_did_not_arrive(sent, played, had, given):
    session = new_session()
    speak(session)
    answer(session, "One, two")
    if played is not None:
        receive(session, Played(1, played))
    assert receive(session, PeerLost(sent)) == []
    session, effects = back(session, had)
    assert bool(asked(effects)) is given
    assert delivered(session) == ([""] if given else ["One, two"])


@pytest.mark.parametrize("had", [None, 0, 1])
@pytest.mark.parametrize(
    "stopping",
    [
        pytest.param([CancelAsked()], id="cancel"),
        pytest.param([loud(300)], id="speech"),
        pytest.param([PeerLeft()], id="left in order"),
        pytest.param([ResetAsked()], id="reset"),
    ],
)
def test_an_answer_that_was_not_wanted_is_not_given_anew(stopping, had):
    session = new_session()
    speak(session)
    answer(session, "One,", done=False)
    receive(session, *stopping, PeerLost(sent=True))
    assert back(session, had)[1] == []


def test_what_was_said_during_the_answer_that_was_lost_is_answered_with_it():
    session = new_session()
    receive(session, Configured(TurnSettings(interrupt=False)))
    speak(session)
    answer(session, "One,", done=False)
    speak(session)
    receive(session, PeerLost(sent=True))
    session, effects = back(session)
    (again,) = asked(effects)
    (turn,) = again.request.turns
    assert len(turn.parts) == 2


def test_who_comes_to_a_new_conversation_is_told_nothing():
    session = new_session()
    assert receive(session, PeerCame(), PeerCame(7)) == []


# ---- text ---------------------------------------------------------------------------------------


def test_text_belongs_to_the_turn_that_is_spoken():
    session = new_session()
    receive(session, TextReceived("What's that"), TextReceived("sound?"))
    (generate,) = asked(speak(session))
    clip, text = generate.request.turns[0].parts
    assert isinstance(clip, Clip)
    assert text == "What's that\nsound?"
    answer(session, "A siren.")
    (generate,) = asked(speak(session))
    assert len(generate.request.turns[2].parts) == 1


def test_a_standing_instruction_belongs_to_every_turn():
    session = new_session()
    receive(session, InstructionSet("Translate."))
    for _ in range(2):
        (generate,) = asked(speak(session))
        assert generate.request.turns[-1].parts[1] == "Translate."
        answer(session, "Gut.")
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
    answer(session, "One,", done=False)
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


# ---- commit, clear, reset -----------------------------------------------------------------------


def test_commit_ends_the_utterance_at_once():
    session = new_session()
    effects = receive(session, loud(1000), CommitAsked())
    assert kinds(effects) == ["SpeechStarted", "SpeechStopped", "Generate"]
    final = notices(answer(session, "Yes."), Final)[0]
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
    answer(session, "One,", done=False)
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
    answer(session, "One,", done=False)
    assert kinds(receive(session, ResetAsked())) == ["Cancel", "Cancelled", "Final"]
    (generate,) = asked(speak(session))
    assert len(generate.request.turns) == 1


# ---- long turns ---------------------------------------------------------------------------------


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
    answer(session, "I see.")
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
    answer(session, "I", " see", done=False)
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
        answer(session, "Yes.")
    assert codes(effects) == ["conversation_trimmed"]
    turns = asked(effects)[0].request.turns
    assert isinstance(turns[0], UserTurn)
    assert session.conversation.tokens() <= 200


# ---- speculation ------------------------------------------------------------------------------


def speculating(*events: Input, **settings) -> tuple[Session, list[Effect]]:
    """Pause after speech: the answer has been asked for, the end of speech is not certain."""
    session = new_session(speculate=True, **settings)
    return session, receive(session, *events, quiet(400), loud(1000), quiet(300))


def test_a_pause_asks_for_the_answer_and_tells_the_peer_nothing():
    session, effects = speculating()
    assert kinds(effects) == ["SpeechStarted", "Generate"]
    assert asked(effects)[0].request.priority == "low"
    speculation = session.speculations.live.response
    assert (
        receive(session, TextDelta(speculation, (1,), "Hel"), TextDelta(speculation, (2,), "lo"))
        == []
    )
    assert not session.conversation.items


def test_the_end_of_speech_confirms_the_speculation_and_releases_its_pieces():
    session, effects = speculating()
    (generate,) = asked(effects)
    speculation = generate.request.id
    receive(session, TextDelta(speculation, (1,), "Hel"))
    effects = receive(session, quiet(300))
    assert kinds(effects) == ["SpeechStopped", "Confirm", "Partial"]
    assert session.conversation.turns()[0] == generate.request.turns[0]
    effects = receive(
        session, TextDelta(speculation, (2,), "lo"), ResponseEnded(speculation, "stop")
    )
    assert notices(effects, Final) == [Final(1, "Hello", "stop", None, (("hangover", 500),))]


def test_a_speculation_that_is_complete_is_released_as_a_whole():
    session, _ = speculating()
    speculation = session.speculations.live.response
    receive(session, TextDelta(speculation, (1,), "Hello"), ResponseEnded(speculation, "stop"))
    effects = receive(session, quiet(300))
    assert kinds(effects) == ["SpeechStopped", "Confirm", "Partial", "Final"]
    assert session.turns.response is Response.NONE


def test_a_speculation_is_the_turn_that_is_asked_without_speculation():
    _, effects = speculating(TextReceived("Why?"), InstructionSet("Be brief."))
    plain = new_session()
    receive(plain, TextReceived("Why?"), InstructionSet("Be brief."))
    (sure,) = asked(speak(plain))
    (turn,) = asked(effects)[0].request.turns
    assert turn.parts[1] == sure.request.turns[0].parts[1]
    assert turn.parts[0].pcm.tobytes() == sure.request.turns[0].parts[0].pcm.tobytes()


def test_more_speech_drops_the_speculation_and_its_late_pieces():
    session, _ = speculating()
    speculation = session.speculations.live.response
    assert kinds(receive(session, loud(200))) == ["Cancel"]
    assert receive(session, TextDelta(speculation, (1,), "Hello")) == []
    effects = receive(session, quiet(600))
    assert kinds(effects) == ["Generate", "SpeechStopped", "Confirm"]
    assert asked(effects)[0].request.id != speculation
    assert len(asked(effects)[0].request.turns[0].parts[0].pcm) == (300 + 1500 + 200) * MS


@pytest.mark.parametrize("change", [TextReceived("Why?"), InstructionSet("Be brief.")])
def test_a_word_that_changes_the_turn_drops_the_speculation(change):
    session, _ = speculating()
    assert kinds(receive(session, change)) == ["Cancel"]
    effects = receive(session, quiet(300))
    assert kinds(effects) == ["SpeechStopped", "Generate"]
    assert len(asked(effects)[0].request.turns[0].parts) == 2


@pytest.mark.parametrize("end", [ClearAsked(), ResetAsked()])
def test_clearing_drops_the_speculation(end):
    session, _ = speculating()
    assert kinds(receive(session, end)) == ["Cancel", "SpeechStopped"]
    assert receive(session, quiet(1000)) == []


def test_commit_in_a_pause_confirms_the_speculation():
    session, _ = speculating()
    assert kinds(receive(session, CommitAsked())) == ["SpeechStopped", "Confirm"]


def test_a_speculation_that_fails_is_asked_again_in_earnest():
    session, _ = speculating()
    assert (
        receive(session, ResponseFailed(session.speculations.live.response, "busy", "Full.")) == []
    )
    (generate,) = asked(receive(session, quiet(300)))
    assert generate.request.priority == "normal"


def test_no_older_turn_is_lost_for_a_speculation():
    session = new_session(speculate=True, budget_tokens=100)
    for _ in range(2):
        effects = speak(session, 1000)
        answer(session, "Yes.")
    assert codes(effects) == ["conversation_trimmed"]
    assert asked(effects)[0].request.priority == "normal"


# ---- invariants ---------------------------------------------------------------------------------

SCRIPT = [(quiet, 500), (loud, 700), (quiet, 300), (loud, 300), (quiet, 900), (loud, 40)]
WHOLE = np.concatenate([make(ms).pcm for make, ms in SCRIPT] + [quiet(700).pcm])


def told(cuts: list[int]) -> list:
    session = new_session()
    effects = receive(session, *(AudioReceived(part) for part in np.split(WHOLE, cuts)))
    clips = [p.pcm.tobytes() for g in asked(effects) for p in g.request.turns[-1].parts]
    return [kinds(effects), notices(effects, SpeechStarted), notices(effects, SpeechStopped), clips]


@given(st.lists(st.integers(0, len(WHOLE)), max_size=30).map(sorted))
def test_the_same_audio_gives_the_same_events_however_it_was_cut(cuts):
    assert told(cuts) == told([])


COMMANDS = st.sampled_from(
    [
        CommitAsked(),
        ResponseAsked(),
        CancelAsked(),
        ClearAsked(),
        ResetAsked(),
        TextReceived("x" * 60),
        InstructionSet("y"),
        InstructionSet(""),
        loud(60),
        loud(300),
        loud(31_000),
        quiet(100),
        quiet(600),
    ]
)
ENGINE = st.sampled_from(["delta", "wordless", "end", "fail", "late delta", "late end"])
PLAYED = st.builds(Played, st.integers(0, 5), st.integers(0, 9))


class Peer:
    """A strict peer: it checks the order of everything it is told."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.live: dict[str, int] = {}
        self.speculation: str | None = None
        self.open_turn: int | None = None
        self.seq = 0
        self.text = ""
        self.speaking = False

    def see(self, effect: Effect) -> None:
        match effect:
            case Generate(request) if request.priority == "low":
                assert self.speculation is None, "one speculation at a time"
                assert not self.live, "no speculation while an answer is due"
                self.speculation = request.id
            case Confirm(response):
                assert response == self.speculation
                self.speculation = None
                self.live[response] = self.open_turn = self.session.conversation.turn
                self.seq, self.text = 0, ""
            case Cancel(response) if response == self.speculation:
                self.speculation = None
            case Generate(request):
                assert not self.live, "one answer at a time"
                assert self.speculation is None, "a speculation is confirmed or cancelled first"
                assert isinstance(request.turns[-1], UserTurn)
                assert all(
                    isinstance(p, str) or len(p.pcm) >= 1600 for p in request.turns[-1].parts
                )
                self.live[request.id] = self.open_turn = self.session.conversation.turn
                self.seq, self.text = 0, ""
            case Cancel(response):
                del self.live[response]
            case Emit(Partial(turn, seq, delta)):
                assert (turn, seq) == (self.open_turn, self.seq)
                self.seq += 1
                self.text += delta
            case Emit(Final(turn, text)):
                assert turn == self.open_turn, "exactly one end for each answer"
                assert self.text.startswith(text)
                self.open_turn = None
                self.live.clear()
            case Emit(SpeechStarted()):
                assert not self.speaking
                self.speaking = True
            case Emit(SpeechStopped(_, duration)):
                assert self.speaking
                assert duration >= 0
                self.speaking = False
            case _:
                pass


@given(st.booleans(), st.booleans(), st.lists(st.one_of(COMMANDS, ENGINE, PLAYED), max_size=40))
def test_any_order_of_events_keeps_the_invariants(automatic, speculate, script):
    session = new_session(
        automatic=automatic, speculate=speculate, max_turn_s=60, budget_tokens=2000
    )
    peer = Peer(session)
    past = "c:0"
    for step in script:
        speculation = session.speculations.live and session.speculations.live.response
        live = session.response or speculation or past
        event = (
            {
                "delta": TextDelta(live, (1, 2), "ab"),
                "wordless": TextDelta(live, (3,), ""),
                "end": ResponseEnded(live, "stop"),
                "fail": ResponseFailed(live, "engine_error", "It broke."),
                "late delta": TextDelta(past, (9,), "late"),
                "late end": ResponseEnded(past, "stop"),
            }.get(step, step)
            if isinstance(step, str)
            else step
        )
        before = session.response
        for effect in session.receive(event):
            peer.see(effect)
        if before is not None and session.response != before:
            past = before
        assert (session.response is not None) == bool(peer.live)
        if step == "fail" and session.speculations.live is None:
            peer.speculation = None  # it ended by itself
        assert (session.speculations.live is not None) == (peer.speculation is not None)
        assert (session.turns.response is not Response.NONE) == bool(peer.live)
        assert session.hearing == peer.speaking
        kinds_of_turns = [type(turn) for turn in session.conversation.turns()]
        assert all(a is not b for a, b in pairwise(kinds_of_turns)), "the two take turns"
        ids = [item.id for item in session.conversation.items]
        assert len(ids) == len(set(ids))
