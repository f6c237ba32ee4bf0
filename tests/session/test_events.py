"""The vocabulary of a session: which facts, orders and notices there are, and how they compare."""

from __future__ import annotations

import dataclasses
import inspect
import typing

import numpy as np
import pytest

from realtime.session import events

UNIONS = {name: typing.get_args(getattr(events, name)) for name in ("Input", "Notice", "Effect")}
PARTS = {"ResponseOptions", "Limit"}
"""Parts of others, by themselves nothing that happens or is told."""


def classes() -> dict[str, type]:
    found = inspect.getmembers(events, inspect.isclass)
    return {name: kind for name, kind in found if kind.__module__ == events.__name__}


def test_every_word_is_a_fact_a_notice_or_an_order_and_just_one_of_them():
    known = [kind for kinds in UNIONS.values() for kind in kinds]
    assert len(known) == len(set(known))
    assert {kind.__name__ for kind in known} | PARTS == set(classes())


@pytest.mark.parametrize("kind", classes().values(), ids=classes().keys())
def test_what_happened_cannot_be_changed(kind):
    assert dataclasses.is_dataclass(kind)
    word = object.__new__(kind)
    for field in dataclasses.fields(kind):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(word, field.name, None)


def test_what_a_peer_sends_and_what_an_engine_sends_is_all_input_but_for_its_coming_and_going():
    peers, engines = typing.get_args(events.PeerInput), typing.get_args(events.EngineEvent)
    others = set(UNIONS["Input"]) - {*peers, *engines}
    assert others == {events.PeerCame, events.PeerLeft, events.PeerLost}
    assert set(engines) == {events.TextDelta, events.ResponseEnded, events.ResponseFailed}


def test_audio_is_compared_by_identity_since_its_samples_are_an_array():
    pcm = np.zeros(9, np.int16)
    assert events.AudioReceived(pcm) != events.AudioReceived(pcm)


def test_where_the_audio_of_an_item_begins_does_not_make_its_speech_another_one():
    assert events.SpeechStarted(640, "i", 0) == events.SpeechStarted(640, "i", 320)
    assert events.SpeechStarted(640, "i") != events.SpeechStarted(641, "i")


def test_what_a_peer_does_not_say_is_what_is_usual():
    assert events.CommitAsked().respond
    usual = events.ResponseOptions()
    assert not usual.out_of_band
    assert (usual.instructions, usual.sampling, usual.input) == (None, None, None)
    assert events.ItemPut(None).after is None
    assert events.CancelAsked().response is None
    assert events.PeerCame().had is None
    assert events.Generate(None).role == "response"
    assert not events.Trouble("busy", "Full.").fatal


def test_an_end_tells_no_more_than_is_known():
    final = events.Final(1, "Yes.", "stop")
    assert (final.usage, final.ms, final.response) == (None, (), "")
    assert (final.reason, final.failure) == (None, None)
    assert events.ResponseEnded("r", "stop").usage is None
    assert events.Transcribed("i", "Yes.", 1.0).failure is None
    assert events.Partial(1, 0, "Yes.").response == ""
    started, stopped = events.SpeechStarted(0), events.SpeechStopped(0, 0)
    assert (started.item, started.start, stopped.item) == ("", 0, "")


def test_the_place_before_every_item_has_the_name_that_a_peer_gives_it():
    assert events.FRONT == "root"
