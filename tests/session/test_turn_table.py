"""The table of turns: closed, connected, and no move in it that a session never makes."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest
from fakes import LoudVad

from realtime.audio.endpoint import EndpointConfig, Endpointer
from realtime.session.conversation import Conversation
from realtime.session.events import (
    AudioReceived,
    CancelAsked,
    CommitAsked,
    Configured,
    ItemsResponseAsked,
    ResponseEnded,
    ResponseOptions,
    TextDelta,
)
from realtime.session.session import Session
from realtime.session.settings import SessionConfig, TurnSettings
from realtime.session.turn_table import TABLE, Move, Response, Turns, User

START = (User.SILENT, Response.NONE)
EVERY_MOVE = {(state, move) for state, moves in TABLE.items() for move in moves}


def test_every_joint_state_is_in_the_table():
    assert set(TABLE) == set(product(User, Response))
    assert all(target in TABLE for moves in TABLE.values() for target in moves.values())


def test_states_and_moves_have_the_words_of_the_picture():
    assert [user.value for user in User] == ["silent", "speaking", "paused"]
    assert [response.value for response in Response] == ["none", "waiting", "responding"]
    assert [move.value for move in Move] == [move.name.lower() for move in Move]


def test_nobody_speaks_and_nothing_is_due_at_first():
    assert (Turns().user, Turns().response) == START


def test_every_state_is_reached_from_the_start_and_leads_back_to_it():
    def reached(start):
        seen, new = {start}, {start}
        while new:
            new = {to for state in new for to in TABLE[state].values()} - seen
            seen |= new
        return seen

    assert reached(START) == set(TABLE)
    assert all(START in reached(state) for state in TABLE)


@pytest.mark.parametrize(("state", "move"), [*product(TABLE, Move)])
def test_a_move_that_is_not_in_the_table_fails_loudly(state, move):
    turns = Turns()
    turns.user, turns.response = state
    if move in TABLE[state]:
        turns.move(move)
        assert (turns.user, turns.response) == TABLE[state][move]
    else:
        with pytest.raises(KeyError):
            turns.move(move)
        assert (turns.user, turns.response) == state


SILENT, SPEAKING, PAUSED = User.SILENT, User.SPEAKING, User.PAUSED
NONE, WAITING, RESPONDING = Response.NONE, Response.WAITING, Response.RESPONDING
ANY = (NONE, WAITING, RESPONDING)


@pytest.mark.parametrize(
    ("move", "users", "responses", "user", "response"),
    [
        (Move.SPEAK, [SILENT], ANY, SPEAKING, None),
        (Move.INTERRUPT, [SILENT], [WAITING, RESPONDING], SPEAKING, NONE),
        (Move.PAUSE, [SPEAKING], ANY, PAUSED, None),
        (Move.RESUME, [PAUSED], ANY, SPEAKING, None),
        (Move.STOP, [SPEAKING, PAUSED], ANY, SILENT, None),
        (Move.ASK, [SILENT, SPEAKING, PAUSED], [NONE], None, WAITING),
        (Move.DELTA, [SILENT, SPEAKING, PAUSED], [WAITING, RESPONDING], None, RESPONDING),
        (Move.END, [SILENT, SPEAKING, PAUSED], [WAITING, RESPONDING], None, NONE),
    ],
    ids=lambda value: value.name if isinstance(value, Move) else "",
)
def test_a_move_changes_what_it_is_about_and_leaves_the_rest(
    move, users, responses, user, response
):
    """None: as it was."""
    wanted = {
        (before, due): (user or before, response or due)
        for before, due in product(users, responses)
    }
    assert {state: moves[move] for state, moves in TABLE.items() if move in moves} == wanted


def test_an_interruption_ends_the_response_and_speech_beside_it_does_not():
    for response in (Response.WAITING, Response.RESPONDING):
        moves = TABLE[User.SILENT, response]
        assert moves[Move.INTERRUPT] == (User.SPEAKING, Response.NONE)
        assert moves[Move.SPEAK] == (User.SPEAKING, response)


class Watched(Turns):
    """Turns that remember which moves were made from where."""

    def __init__(self) -> None:
        super().__init__()
        self.made: set[tuple[tuple[User, Response], Move]] = set()

    def move(self, move: Move) -> None:
        self.made.add(((self.user, self.response), move))
        super().move(move)


def test_sessions_make_every_move_of_the_table():
    """Random stories, one seed: an entry that none of them needs is not in the table."""
    chance = random.Random(7)
    made: set[tuple[tuple[User, Response], Move]] = set()

    def sound(ms: int, loud: bool) -> AudioReceived:
        return AudioReceived(np.full(ms * 16, 5000 if loud else 0, np.int16))

    for _ in range(300):
        endpointer = Endpointer(LoudVad(), EndpointConfig())
        session = Session(
            Conversation("c"), endpointer, SessionConfig(speculate=chance.random() < 0.5)
        )
        session.turns = session.responses.turns = Watched()
        session.receive(Configured(TurnSettings(interrupt=chance.random() < 0.5)))
        for _ in range(30):
            live = session.response or ""
            session.receive(
                chance.choice(
                    [
                        sound(200, True),
                        sound(240, False),
                        sound(600, False),
                        TextDelta(live, (1,), "a"),
                        ResponseEnded(live, "stop"),
                        CancelAsked(),
                        CommitAsked(),
                        ItemsResponseAsked(ResponseOptions()),
                    ]
                )
            )
        made |= session.turns.made
    assert made == EVERY_MOVE
