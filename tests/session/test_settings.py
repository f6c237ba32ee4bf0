"""How turns are taken as the server is set and as the peer wants it."""

from __future__ import annotations

import pytest
from fakes import LoudVad
from talking import (
    codes,
    loud,
    names,
    new_session,
    quiet,
    receive,
    reply,
    requests,
    speak,
    told,
    write,
)

from realtime.audio.endpoint import EndpointConfig, Endpointer
from realtime.engine.api import AssistantTurn, Sampling, SystemTurn, UserTurn
from realtime.session.events import (
    CancelAsked,
    ClearAsked,
    CommitAsked,
    Committed,
    Configured,
    Final,
    ItemsResponseAsked,
    ResponseOptions,
    SilenceNoticed,
    SpeechStarted,
)
from realtime.session.session import Session
from realtime.session.settings import SessionConfig, TurnSettings

ANSWER = ItemsResponseAsked(ResponseOptions())


# ---- a spoken turn -------------------------------------------------------------------------------


def test_the_item_begins_by_the_prefix_padding_before_the_speech():
    (started,) = told(speak(new_session(TurnSettings(prefix_padding_ms=200))), SpeechStarted)
    assert (started.at, started.start) == (400 * 16, 200 * 16)


@pytest.mark.parametrize("interrupt", [True, False])
def test_without_automatic_answers_speech_is_only_committed(interrupt):
    session = new_session(TurnSettings(respond=False, interrupt=interrupt))
    assert names(speak(session)) == ["SpeechStarted", "SpeechStopped", "Committed"]
    assert names(receive(session, ANSWER)) == ["ResponseStarted", "Generate"]
    reply(session, "One", done=False)
    stopped = [final.reason for final in told(speak(session), Final)]
    assert stopped == (["speech"] if interrupt else [])
    assert (session.response is None) == interrupt


def test_speech_that_may_not_interrupt_is_answered_when_the_answer_is_over():
    session = new_session(TurnSettings(interrupt=False))
    speak(session)
    first = session.response
    reply(session, "One", done=False)
    assert names(speak(session)) == ["SpeechStarted", "SpeechStopped", "Committed"]
    assert session.response == first
    effects = reply(session, " two.")
    assert names(effects) == ["Partial", "Final", "ResponseStarted", "Generate"]
    (request,) = requests(effects)
    assert [type(turn) for turn in request.turns] == [UserTurn, AssistantTurn, UserTurn]
    assert names(reply(session, "Three."))[-1] == "Final"


@pytest.mark.parametrize(
    "said", [write("By the way."), CommitAsked(respond=False)], ids=["an item", "a commit"]
)
def test_only_what_wanted_an_answer_is_answered_when_the_one_before_is_over(said):
    session = new_session(TurnSettings(interrupt=False))
    speak(session)
    speak(session)
    assert requests(reply(session, "One.")), "an answer was owed"
    receive(session, quiet(400), loud(500), said)
    receive(session, ClearAsked())
    assert names(reply(session, "Two.")) == ["Partial", "Final"]


def test_a_commit_answers_nothing_unless_it_is_asked_to():
    session = new_session(TurnSettings(automatic=False))
    receive(session, loud(500))
    effects = receive(session, CommitAsked(respond=False))
    assert names(effects) == ["Committed"]
    assert codes(receive(session, CommitAsked(respond=False))) == ["nothing_to_commit"]
    (request,) = requests(receive(session, ANSWER))
    (turn,) = request.turns
    assert len(turn.parts[0].pcm) == 500 * 16


def test_pushing_to_talk_for_ever_is_committed_at_the_limit_and_not_answered():
    session = new_session(TurnSettings(automatic=False, respond=False), max_turn_s=60)
    effects = receive(session, *(loud(1000) for _ in range(70)))
    assert codes(effects) == ["turn_too_long"]
    assert len(told(effects, Committed)) == 1
    assert requests(effects) == []


def test_silence_after_an_answer_is_answered_itself():
    session = new_session(TurnSettings(idle_ms=2000))
    assert receive(session, quiet(5000)) == []  # there was no answer yet
    speak(session)
    reply(session, "Hello.")
    assert receive(session, quiet(1900)) == []
    effects = receive(session, quiet(200))
    assert names(effects) == ["SilenceNoticed", "Committed", "ResponseStarted", "Generate"]
    (silence,), (committed,) = told(effects, SilenceNoticed), told(effects, Committed)
    assert silence.item == committed.item.id
    assert silence.end - silence.start >= 2000 * 16
    reply(session, "Still there?")
    assert names(receive(session, loud(300))) == ["SpeechStarted"]
    assert "SilenceNoticed" not in names(receive(session, loud(3000)))


def test_a_silence_is_one_since_the_user_last_said_something():
    session = new_session(TurnSettings(idle_ms=1000, interrupt=False, respond=False))
    receive(session, write("a"), ANSWER)
    receive(session, quiet(400), loud(400))
    reply(session, "Yes.")
    assert "SilenceNoticed" not in names(receive(session, loud(1200)))
    assert names(receive(session, quiet(700))) == ["SpeechStopped", "Committed"]
    assert receive(session, quiet(3000)) == []


@pytest.mark.parametrize(
    "interruption",
    [
        pytest.param([loud(300), quiet(600)], id="too short a word"),
        pytest.param([loud(300), ClearAsked()], id="speech that the peer clears"),
    ],
)
def test_speech_ends_a_silence_also_when_nothing_comes_of_it(interruption):
    session = new_session(TurnSettings(idle_ms=1000), min_audio_ms=900)
    speak(session)
    reply(session, "Yes.")
    assert "SpeechStarted" in names(receive(session, *interruption))
    assert receive(session, quiet(5000)) == []


@pytest.mark.parametrize("said", [ClearAsked(), CommitAsked(respond=False)])
def test_what_the_peer_does_with_a_silence_ends_it(said):
    session = new_session(TurnSettings(idle_ms=1000))
    speak(session)
    reply(session, "Yes.")
    receive(session, quiet(980), said)
    assert receive(session, quiet(400)) == []


# ---- settings ------------------------------------------------------------------------------------


def test_a_longer_hangover_waits_longer():
    session = new_session(TurnSettings(hangover_ms=1500))
    assert names(speak(session)) == ["SpeechStarted"]
    assert "Committed" in names(receive(session, quiet(900)))


@pytest.mark.parametrize("hangover", [0, 10, 100, 60_000, 10**9])
@pytest.mark.parametrize("prefix", [0, 5_000, 10**9])
def test_wishes_beyond_the_possible_become_the_nearest_possible(hangover, prefix):
    session = new_session(TurnSettings(hangover_ms=hangover, prefix_padding_ms=prefix))
    config = session.endpointer.config
    assert 20 <= config.hangover_ms <= 60_000
    assert config.prefix_padding_ms <= 5_000


def test_instructions_are_the_system_prompt_until_they_are_cleared():
    session = new_session(TurnSettings(instructions="Be brief."))
    (request,) = requests(speak(session))
    assert request.turns[0] == SystemTurn("Be brief.")
    reply(session, "Yes.")
    receive(session, Configured(TurnSettings(instructions="")))
    (request,) = requests(speak(session))
    assert isinstance(request.turns[0], UserTurn)


def test_the_servers_instructions_hold_until_the_peer_has_its_own_and_again_for_the_next_peer():
    session = new_session(instructions="Be kind.")
    (request,) = requests(speak(session))
    assert request.turns[0] == SystemTurn("Be kind.")
    reply(session, "Yes.")
    receive(session, Configured(TurnSettings(instructions="Be brief.")))
    (request,) = requests(speak(session))
    assert request.turns[0] == SystemTurn("Be brief.")
    reply(session, "Yes.")
    endpointer = Endpointer(LoudVad(), EndpointConfig())
    config = SessionConfig(instructions="Be kind.", speculate=False)
    (request,) = requests(speak(Session(session.conversation, endpointer, config)))
    assert request.turns[0] == SystemTurn("Be kind.")


def test_turning_detection_off_in_speech_keeps_the_audio_for_the_commit():
    session = new_session()
    receive(session, quiet(400), loud(500))
    assert session.hearing
    receive(session, Configured(TurnSettings(automatic=False)))
    assert not session.hearing
    assert receive(session, loud(200), quiet(900)) == []
    effects = receive(session, CommitAsked(respond=False))
    assert names(effects) == ["Committed"], "in push-to-talk no speech starts or stops"
    (committed,) = told(effects, Committed)
    assert len(committed.item.clips[0].pcm) == (300 + 500 + 200 + 900) * 16
    receive(session, Configured(TurnSettings()))
    assert "Committed" in names(speak(session))


# ---- the server's -------------------------------------------------------------------------------


def test_what_the_documents_promise_is_what_holds_unless_it_is_set():
    config = SessionConfig()
    assert config.min_audio_ms == 100
    assert config.max_turn_s == 5 * 60
    assert config.max_text_bytes == 16 << 10
    assert config.budget_tokens == 6_144, "three quarters of the model's context"
    assert config.max_asides == 4
    assert config.speculate
    assert config.instructions == ""
    assert config.transcription_prompt == "What does the person say?"


@pytest.mark.parametrize("name", ["min_audio_ms", "max_turn_s", "max_text_bytes", "budget_tokens"])
def test_settings_that_no_session_can_keep_are_refused_by_name(name):
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"{name} must be positive, not {value}"):
            SessionConfig(**{name: value})
    assert getattr(SessionConfig(**{name: 1}), name) == 1


def test_no_answer_out_of_band_is_a_setting_and_fewer_are_none():
    assert SessionConfig(max_asides=0).max_asides == 0
    with pytest.raises(ValueError, match="max_asides must be 0 or more, not -1"):
        SessionConfig(max_asides=-1)


# ---- the peer's ---------------------------------------------------------------------------------


def test_a_peer_that_wants_nothing_special_has_its_turns_taken_and_may_interrupt():
    usual = TurnSettings()
    assert usual.automatic
    assert usual.respond
    assert usual.interrupt
    assert not usual.transcribe
    assert usual == TurnSettings(
        hangover_ms=None, threshold=None, idle_ms=None, instructions=None, sampling=None
    )


def test_what_a_peer_leaves_open_is_as_the_server_has_it_again():
    session = new_session(TurnSettings(hangover_ms=1500, prefix_padding_ms=100))
    assert session.endpointer.config.hangover_ms == 1500
    assert session.endpointer.config.prefix_padding_ms == 100
    effects = receive(session, Configured(TurnSettings()))
    assert names(effects) == ["SettingsApplied"]
    assert session.endpointer.config == EndpointConfig()


def test_a_peer_may_demand_how_sure_of_speech_to_be():
    demanded = []
    session = new_session()
    session.endpointer.vad.demand = demanded.append
    receive(session, Configured(TurnSettings(threshold=0.8)), Configured(TurnSettings()))
    assert demanded == [0.8]


def test_a_peers_sampling_goes_before_the_servers_and_an_answers_before_both():
    session = new_session(sampling=Sampling(top_k=1))
    receive(session, write("a"))
    asked_with = [ResponseOptions(), ResponseOptions(sampling=Sampling(top_k=3))]
    found = []
    for settings in (TurnSettings(), TurnSettings(sampling=Sampling(top_k=2))):
        for options in asked_with:
            effects = receive(session, Configured(settings), ItemsResponseAsked(options))
            found += [request.sampling.top_k for request in requests(effects)]
            reply(session, "Yes.")
    assert found == [1, 3, 2, 3]


def test_switching_to_push_to_talk_ends_the_speech_behind_a_turn_that_was_too_long():
    session = new_session(max_turn_s=60)
    receive(session, *[loud(1000)] * 61)
    receive(session, CancelAsked(), Configured(TurnSettings(automatic=False)), loud(500))
    assert "SpeechStarted" not in names(receive(session, CommitAsked()))
