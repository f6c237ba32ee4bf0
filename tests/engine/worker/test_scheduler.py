"""Order, fairness, reuse and bounds of the scheduler, also under random orders of events."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.engine.api import Clip, Sampling
from realtime.engine.steps import Part, Placed, Prompt, Sequence, Step
from realtime.engine.worker.scheduler import Scheduler, SchedulerConfig, alike, common
from realtime.errors import Busy

AUDIO = 9
"""The token of every frame of a clip, which some prompts hold as a token."""


def add(scheduler: Scheduler, serial: int, cells, *, head: int = 0, **more) -> None:
    scheduler.add(sequence_of(serial, cells, head=head, **more))


def sequence_of(serial: int, cells, *, head: int = 0, **more) -> Sequence:
    """Make a sequence of cells: each a token, or a frame of a clip by its id."""
    ids = tuple(cell if isinstance(cell, int) else AUDIO for cell in cells)
    starts: dict[str, int] = {}
    for position, cell in enumerate(cells):
        if not isinstance(cell, int):
            starts.setdefault(cell[0], position)
    clips = tuple(Placed(at, Clip(id, np.zeros(0, np.int16))) for id, at in starts.items())
    return Sequence(serial, Prompt(ids, clips, head), Sampling(), **more)


def step(scheduler: Scheduler, end=()) -> Step:
    """Run a step; every token said is a new one, and these answers end."""
    made = scheduler.next()
    assert made is not None
    said = {part.serial: 1_000_000 for part in made.parts if part.last}
    scheduler.done(made.parts, said, frozenset(end) & set(said))
    return made


def run(scheduler: Scheduler, steps: int) -> list[dict[int, int]]:
    """Run so many steps; give how many positions each answer got in each."""
    return [sizes(step(scheduler)) for _ in range(steps)]


def sizes(made: Step) -> dict[int, int]:
    return {part.serial: part.stop - part.start for part in made.parts}


SETTINGS = {"slots": 8, "queue": 64, "chunk": 256, "block": 4, "cells": 4000}


def filled(*serials: int, prompt: int = 5, **config) -> Scheduler:
    scheduler = Scheduler(SchedulerConfig(**SETTINGS | config))
    for serial in serials:
        add(scheduler, serial, prompt_of(serial, prompt), conversation=f"c{serial}")
    return scheduler


def prompt_of(serial: int, size: int) -> list[int]:
    return [1000 * serial + i for i in range(size)]


def test_nothing_to_do():
    assert filled().next() is None


def test_prompts_that_wait_together_are_read_together_and_all_talk_at_once():
    assert run(filled(1, 2), 3) == [{1: 5, 2: 5}, {1: 1, 2: 1}, {1: 1, 2: 1}]


def test_a_step_names_positions_and_cells():
    scheduler = filled(1, 2)
    parts = step(scheduler).parts
    assert parts == (Part(1, 0, 5, 0, True), Part(2, 0, 5, 8, True))
    assert step(scheduler).parts == (Part(1, 5, 6, 0, True), Part(2, 5, 6, 8, True))


def test_a_long_prompt_is_read_in_pieces_beside_those_who_talk():
    scheduler = filled(1, chunk=10)
    step(scheduler)
    add(scheduler, 2, prompt_of(2, 25), conversation="c2")
    assert run(scheduler, 4) == [{1: 1, 2: 10}, {1: 1, 2: 10}, {1: 1, 2: 5}, {1: 1, 2: 1}]


def test_short_prompts_do_not_wait_for_a_long_one_nor_it_for_them():
    scheduler = filled(chunk=8)
    add(scheduler, 1, prompt_of(1, 24), conversation="c1")
    for serial in (2, 3):
        add(scheduler, serial, prompt_of(serial, 4), conversation=f"c{serial}")
    assert run(scheduler, 3) == [{2: 4, 3: 2, 1: 2}, {2: 1, 3: 2, 1: 6}, {2: 1, 3: 1, 1: 8}]


def test_normal_before_low_then_in_order_of_arrival():
    scheduler = filled(slots=1)
    for serial, low in ((1, True), (2, False), (3, True), (4, False)):
        add(scheduler, serial, [serial], low=low)
    order = []
    while made := scheduler.next():
        order += [part.serial for part in made.parts]
        scheduler.done(made.parts, {}, frozenset(order))
    assert order == [2, 4, 1, 3]


def test_an_answer_of_low_priority_yields_its_slot_and_goes_on_where_it_was():
    scheduler = filled(slots=1)
    add(scheduler, 1, prompt_of(1, 5), conversation="a", low=True)
    run(scheduler, 3)
    add(scheduler, 2, prompt_of(2, 5), conversation="b")
    assert run(scheduler, 2) == [{2: 5}, {2: 1}]
    step(scheduler, end=[2])
    assert step(scheduler).parts == (Part(1, 7, 8, 0, True),)


def test_what_is_confirmed_yields_no_more():
    scheduler = filled(slots=1)
    add(scheduler, 1, prompt_of(1, 5), low=True)
    run(scheduler, 2)
    scheduler.confirm(1)
    scheduler.confirm(99)
    add(scheduler, 2, prompt_of(2, 5))
    assert run(scheduler, 2) == [{1: 1}, {1: 1}]


def test_what_is_confirmed_overtakes_those_of_low_priority():
    scheduler = filled(slots=1)
    for serial in (1, 2):
        add(scheduler, serial, [serial], low=True)
    scheduler.confirm(2)
    assert sizes(step(scheduler)) == {2: 1}


def test_an_answer_waits_for_a_slot():
    scheduler = filled(1, 2, slots=1)
    assert run(scheduler, 2) == [{1: 5}, {1: 1}]
    step(scheduler, end=[1])
    assert sizes(step(scheduler)) == {2: 5}


def test_an_answer_may_end_with_its_first_token():
    scheduler = filled(1)
    step(scheduler, end=[1])
    assert scheduler.next() is None


def test_more_answers_than_may_wait_are_busy_and_told_when_to_come_again():
    scheduler = filled(1, 2, 3, slots=1, queue=2)
    with pytest.raises(Busy) as caught:
        add(scheduler, 4, [4])
    assert caught.value.retry_after > 0
    scheduler.cancel(3)
    add(scheduler, 4, [4])


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_cancelled_answer_is_in_no_later_step(steps):
    scheduler = filled(1, 2)
    run(scheduler, steps)
    scheduler.cancel(1)
    scheduler.cancel(99)
    assert all(1 not in got for got in run(scheduler, 4))


def test_an_answer_that_must_run_alone_does_and_does_not_stall_the_others():
    scheduler = filled(1, chunk=10)
    step(scheduler)
    add(scheduler, 2, prompt_of(2, 15), conversation="c2", alone=True)
    add(scheduler, 3, prompt_of(3, 5), conversation="c3")
    assert run(scheduler, 4) == [{2: 10}, {1: 1, 3: 5}, {2: 5}, {1: 1, 2: 1, 3: 1}]


# Reuse -------------------------------------------------------------------------------------------


def test_a_further_turn_computes_only_what_is_new():
    scheduler = filled(1)
    run(scheduler, 3)
    step(scheduler, end=[1])
    # Its last token was said and has no keys and values yet.
    add(scheduler, 2, [*prompt_of(1, 5), *[1_000_000] * 4, 7, 8], conversation="c1")
    assert sizes(step(scheduler)) == {2: 3}
    assert scheduler.running[2].cached == 8


def test_after_a_barge_in_only_what_was_delivered_is_reused():
    scheduler = filled(1)
    run(scheduler, 5)
    scheduler.cancel(1)
    add(scheduler, 2, [*prompt_of(1, 5), 1_000_000, 1_000_000, 7, 8], conversation="c1")
    assert sizes(step(scheduler)) == {2: 2}


def test_a_dropped_guess_leaves_what_was_before_the_utterance():
    scheduler = filled()
    history = [1, 2, 3]
    add(scheduler, 1, [*history, *(("short", i) for i in range(4)), 9], conversation="c", low=True)
    run(scheduler, 2)
    scheduler.cancel(1)
    add(scheduler, 2, [*history, *(("long", i) for i in range(6)), 9], conversation="c")
    assert step(scheduler).parts == (Part(2, 3, 10, 0, True),)


def test_a_request_that_is_asked_again_computes_one_position():
    scheduler = filled(1)
    run(scheduler, 3)
    scheduler.cancel(1)
    add(scheduler, 2, [*prompt_of(1, 5), 1_000_000, 1_000_000], conversation="c1")
    assert step(scheduler).parts == (Part(2, 6, 7, 0, True),)


def test_side_work_takes_a_copy_of_what_its_conversation_is_at():
    scheduler = filled(1)
    run(scheduler, 2)
    add(scheduler, 2, [*prompt_of(1, 5), 99, 98], conversation="c1", low=True)
    made = step(scheduler)
    (move,) = made.moves
    assert (move.source, move.count) == (0, 5)
    assert made.parts == (Part(1, 6, 7, 0, True), Part(2, 5, 7, move.target, True))


def test_a_new_conversation_takes_over_what_others_begin_with():
    scheduler = Scheduler(SchedulerConfig(slots=3, queue=64, chunk=256, cells=4000))
    preamble = list(range(100, 110))
    add(scheduler, 1, [*preamble, ("a", 0), 7], conversation="c1", head=10)
    run(scheduler, 1)
    add(scheduler, 2, [*preamble, ("a", 0), 8], conversation="c2", head=10)
    made = step(scheduler)
    (move,) = made.moves
    assert (move.source, move.count) == (0, 10)
    assert Part(2, 10, 12, move.target, True) in made.parts
    scheduler.cancel(1)
    scheduler.cancel(2)
    add(scheduler, 3, [*preamble, ("b", 0)], conversation="c3", head=10)
    made = step(scheduler)
    assert [move.count for move in made.moves] == [10]


def test_what_a_user_wrote_is_taken_over_by_nobody():
    scheduler = Scheduler(SchedulerConfig(slots=3, queue=64, chunk=256, cells=4000))
    written = list(range(100, 140))
    add(scheduler, 1, written, conversation="c1", head=10)
    run(scheduler, 1)
    add(scheduler, 2, written, conversation="c2", head=10)
    assert [move.count for move in step(scheduler).moves] == [10]


def test_what_is_computed_about_as_soon_is_not_copied():
    scheduler = Scheduler(SchedulerConfig(slots=3, queue=64, chunk=256, cells=4000))
    add(scheduler, 1, [100, 101, 102, ("a", 0)], conversation="c1")
    run(scheduler, 1)
    add(scheduler, 2, [100, 101, 102, ("b", 0)], conversation="c2", head=3)
    assert step(scheduler).moves == ()


def test_of_two_answers_of_a_conversation_the_longer_is_kept():
    scheduler = filled(1)
    add(scheduler, 2, [4, 5], conversation="c1")
    run(scheduler, 2)
    scheduler.cancel(1)
    scheduler.cancel(2)
    assert [len(kept.tokens) for kept in scheduler.idle.values()] == [6]
    assert scheduler.allocator.free == 4000 - 8


def test_the_conversation_that_was_idle_for_longest_is_given_up_first():
    scheduler = filled(1, 2, 3, cells=24)
    step(scheduler, end=[2])
    step(scheduler, end=[1])
    step(scheduler, end=[3])
    add(scheduler, 4, prompt_of(4, 5), conversation="c4")
    step(scheduler)
    assert list(scheduler.idle) == ["c1", "c3"]


def test_an_answer_of_low_priority_gives_up_its_cells_for_a_normal_one():
    scheduler = filled(cells=16)
    add(scheduler, 1, prompt_of(1, 11), conversation="a", low=True)
    step(scheduler)
    add(scheduler, 2, prompt_of(2, 11), conversation="b")
    assert sizes(step(scheduler)) == {2: 11}
    step(scheduler, end=[2])
    assert sizes(step(scheduler)) == {1: 12}


def test_when_cells_run_out_the_latest_waits_and_goes_on_later():
    scheduler = filled(1, 2, prompt=7, cells=16)
    assert run(scheduler, 2) == [{1: 7, 2: 7}, {1: 1, 2: 1}]
    assert run(scheduler, 2) == [{1: 1}, {1: 1}]
    step(scheduler, end=[1])
    assert sizes(step(scheduler)) == {2: 9}


@pytest.mark.parametrize(
    "wrong", [{"slots": 0}, {"queue": -1}, {"chunk": 0}, {"block": 0}, {"cells": 3, "block": 4}]
)
def test_a_scheduler_that_can_run_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match=r"at least"):
        SchedulerConfig(**SETTINGS | wrong)


@given(st.lists(st.integers(0, 1), max_size=600), st.integers(0, 600))
def test_what_two_rows_have_in_common(row, cut):
    other = [*row[:cut], 2]
    assert alike(row, other, 1000) == min(cut, len(row))
    assert alike(row, row, 1000) == len(row)
    assert alike(row, row, cut) == min(cut, len(row))


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        ([1, 2, *(("a", i) for i in range(3)), 3, ("b", 0), 4], 8),
        ([1, 2, *(("a", i) for i in range(3)), 3, ("c", 0), 4], 6),
        ([1, 2, *(("a", i) for i in range(3)), 3], 6),
        ([1, 2, *(("c", i) for i in range(5)), 3, ("b", 0), 4], 2),
        ([1, 2, *(("a", i) for i in range(3)), 3, AUDIO, 4], 6),
        ([1, 2, AUDIO, AUDIO, AUDIO, 3, ("b", 0), 4], 2),
        ([1, ("a", 0), ("a", 1), ("a", 2), 3, ("b", 0), 4], 1),
        ([7, 2, *(("a", i) for i in range(3)), 3, ("b", 0), 4], 0),
    ],
)
def test_two_histories_are_the_same_up_to_the_first_token_or_clip_that_differs(other, shared):
    one = sequence_of(1, [1, 2, *(("a", i) for i in range(3)), 3, ("b", 0), 4])
    another = sequence_of(2, other)
    assert common(one, another, 100) == common(another, one, 100) == shared
    assert common(one, another, 4) == min(4, shared)


# Bounds, one off ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "least",
    [
        {"slots": 1},
        {"queue": 0},
        {"chunk": 1},
        {"block": 1},
        {"block": 4, "cells": 4},
    ],
)
def test_the_smallest_scheduler_runs(least):
    scheduler = Scheduler(SchedulerConfig(**SETTINGS | least))
    add(scheduler, 1, [7])
    assert step(scheduler).parts == (Part(1, 0, 1, 0, True),)


def test_those_who_run_and_those_who_wait_count_together():
    scheduler = filled(1, slots=2, queue=1)
    step(scheduler)
    add(scheduler, 2, [2])
    add(scheduler, 3, [3])
    with pytest.raises(Busy, match="2 answers are waiting") as caught:
        add(scheduler, 4, [4])
    assert caught.value.retry_after == 1.0


def test_the_first_answer_is_due_where_the_queue_is_empty():
    scheduler = filled(1, slots=1, queue=0)
    with pytest.raises(Busy):
        add(scheduler, 2, [2])


# Who is in a step, exactly -----------------------------------------------------------------------


@pytest.mark.parametrize(("chunk", "quarter"), [(4, 1), (8, 2), (9, 3), (20, 5)])
def test_a_long_prompt_gets_a_quarter_rounded_up_and_short_ones_the_rest(chunk, quarter):
    scheduler = filled(chunk=chunk)
    add(scheduler, 1, prompt_of(1, 10 * chunk), conversation="long")
    add(scheduler, 2, prompt_of(2, chunk), conversation="short")
    first = sizes(step(scheduler))
    assert first[1] == quarter
    assert first.get(2, 0) == chunk - quarter


def test_what_a_step_holds_is_shared_by_what_each_reads_in_it():
    scheduler = filled(chunk=8)
    for serial, size in ((1, 4), (2, 6), (3, 6)):
        add(scheduler, serial, prompt_of(serial, size), conversation=f"c{serial}")
    assert run(scheduler, 2) == [{1: 4, 2: 4}, {1: 1, 2: 2, 3: 6}]


def test_what_two_short_ones_leave_a_third_reads():
    scheduler = filled(chunk=8)
    for serial, size in ((1, 4), (2, 2), (3, 6)):
        add(scheduler, serial, prompt_of(serial, size), conversation=f"c{serial}")
    assert sizes(step(scheduler)) == {1: 4, 2: 2, 3: 2}


def test_a_prompt_of_just_a_step_is_short():
    scheduler = filled(chunk=8)
    add(scheduler, 1, prompt_of(1, 9), conversation="c1")
    add(scheduler, 2, prompt_of(2, 8), conversation="c2")
    assert sizes(step(scheduler)) == {1: 2, 2: 6}


def test_of_two_that_must_run_alone_the_first_is_read_first():
    scheduler = filled(chunk=10)
    for serial in (1, 2):
        add(scheduler, serial, prompt_of(serial, 15), conversation=f"c{serial}", alone=True)
    assert run(scheduler, 4) == [{1: 10}, {1: 5}, {1: 1}, {2: 10}]


def test_of_a_step_what_was_cancelled_meanwhile_is_passed_over():
    scheduler = filled(1, 2)
    made = scheduler.next()
    scheduler.cancel(1)
    scheduler.done(made.parts, {1: 70, 2: 71})
    assert scheduler.running[2].tokens == [*prompt_of(2, 5), 71]
    assert step(scheduler).parts == (Part(2, 5, 6, 8, True),)


def test_a_normal_answer_takes_the_slot_of_the_latest_of_low_priority():
    scheduler = filled(slots=2)
    for serial in (1, 2):
        add(scheduler, serial, prompt_of(serial, 5), conversation=f"c{serial}", low=True)
    step(scheduler)
    add(scheduler, 3, prompt_of(3, 5), conversation="c3")
    step(scheduler)
    assert set(scheduler.running) == {1, 3}
    assert set(scheduler.waiting) == {2}


def test_nobody_of_low_priority_takes_a_slot():
    scheduler = filled(slots=1)
    add(scheduler, 1, prompt_of(1, 5), low=True)
    step(scheduler)
    add(scheduler, 2, prompt_of(2, 5), low=True)
    assert sizes(step(scheduler)) == {1: 1}
    assert set(scheduler.waiting) == {2}


def test_nobody_small_goes_before_one_that_waits_for_cells():
    scheduler = filled(1, cells=16)
    step(scheduler)
    add(scheduler, 2, prompt_of(2, 11), conversation="large")
    add(scheduler, 3, prompt_of(3, 2), conversation="small")
    assert run(scheduler, 2) == [{1: 1}, {1: 1}]
    scheduler.cancel(1, keep=False)
    assert sizes(step(scheduler)) == {2: 11, 3: 2}


def test_the_turn_after_waits_for_cells_with_what_it_had():
    scheduler = filled(1, 2, cells=16)
    step(scheduler, end=[1])
    add(scheduler, 3, [*prompt_of(1, 5), *range(7)], conversation="c1")
    assert sizes(step(scheduler)) == {2: 1}
    assert list(scheduler.idle) == ["c1"]
    scheduler.cancel(2, keep=False)
    assert sizes(step(scheduler)) == {3: 7}


# Whose cells, exactly ----------------------------------------------------------------------------


def test_who_has_no_room_to_grow_is_moved_with_what_it_has():
    scheduler = filled(1, 2)
    run(scheduler, 4)
    made = step(scheduler)
    assert [(move.source, move.target, move.count) for move in made.moves] == [
        (0, 16, 8),
        (8, 28, 8),
    ]
    assert made.parts == (Part(1, 8, 9, 16, True), Part(2, 8, 9, 28, True))


def test_gaps_are_closed_for_who_needs_one_piece():
    scheduler = filled(1, 2, 3, 4, prompt=3, cells=16)
    step(scheduler)
    scheduler.cancel(1, keep=False)
    scheduler.cancel(3, keep=False)
    add(scheduler, 5, prompt_of(5, 6), conversation="c5")
    made = step(scheduler)
    assert [(move.source, move.target, move.count) for move in made.moves] == [
        (4, 0, 3),
        (12, 4, 3),
    ]
    assert Part(5, 0, 6, 8, True) in made.parts


def test_the_latest_gives_way_to_others_when_it_needs_room_itself():
    scheduler = filled(cells=16)
    add(scheduler, 1, prompt_of(1, 5), conversation="c1")
    add(scheduler, 2, prompt_of(2, 7), conversation="c2")
    assert run(scheduler, 3) == [{1: 5, 2: 7}, {1: 1, 2: 1}, {1: 1}]
    assert set(scheduler.waiting) == {2}


def test_who_is_idle_gives_way_before_who_runs():
    scheduler = filled(1, 2, prompt=7, cells=24)
    add(scheduler, 3, prompt_of(3, 5), conversation="c3")
    step(scheduler, end=[3])
    assert run(scheduler, 2) == [{1: 1, 2: 1}, {1: 1, 2: 1}]
    assert not scheduler.idle


def test_a_shorter_turn_gives_back_what_its_conversation_had_beyond_it():
    scheduler = filled(1, prompt=20)
    run(scheduler, 2)
    scheduler.cancel(1)
    add(scheduler, 2, prompt_of(1, 5), conversation="c1")
    assert sizes(step(scheduler)) == {2: 1}
    assert scheduler.allocator.free == 4000 - 8


def test_what_is_not_to_be_kept_is_computed_anew():
    scheduler = filled(1)
    run(scheduler, 2)
    scheduler.cancel(1, keep=False)
    assert (len(scheduler.idle), scheduler.allocator.free) == (0, 4000)
    add(scheduler, 2, prompt_of(1, 5), conversation="c1")
    assert sizes(step(scheduler)) == {2: 5}


def test_of_two_that_hold_as_much_the_later_is_kept():
    scheduler = filled()
    for serial in (1, 2):
        add(scheduler, serial, prompt_of(serial, 5), conversation="c")
    step(scheduler)
    scheduler.cancel(1)
    scheduler.cancel(2)
    assert [kept.tokens for kept in scheduler.idle.values()] == [prompt_of(2, 5)]
    assert scheduler.allocator.free == 4000 - 8


def test_what_was_kept_last_is_given_up_last():
    scheduler = filled(1, 2)
    step(scheduler)
    scheduler.cancel(1)
    scheduler.cancel(2)
    add(scheduler, 3, prompt_of(1, 6), conversation="c1")
    step(scheduler)
    scheduler.cancel(3)
    assert list(scheduler.idle) == ["c2", "c1"]


def test_how_many_cells_needed_no_computation():
    scheduler = filled(1)
    assert scheduler.waiting[1].cached is None
    step(scheduler)
    assert scheduler.running[1].cached == 0
    scheduler.cancel(1)
    add(scheduler, 2, prompt_of(1, 9), conversation="c1", low=True)
    step(scheduler)
    assert scheduler.running[2].cached == 5


def test_who_begins_again_tells_what_it_had_at_first():
    scheduler = filled(1, slots=1)
    step(scheduler, end=[1])
    add(scheduler, 2, prompt_of(1, 9), conversation="c1", low=True)
    run(scheduler, 2)
    add(scheduler, 3, prompt_of(3, 5), conversation="c3")
    step(scheduler, end=[3])
    assert sizes(step(scheduler)) == {2: 1}
    assert scheduler.running[2].cached == 5


@pytest.mark.parametrize(("shared", "copied"), [(7, []), (8, [8]), (9, [9])])
@pytest.mark.parametrize("idle", [True, False])
def test_eight_cells_are_worth_a_copy(shared, copied, idle):
    scheduler = filled()
    add(scheduler, 1, [*range(shared), 71, 72], conversation="c1", head=shared)
    step(scheduler)
    if idle:
        scheduler.cancel(1)
    add(scheduler, 2, [*range(shared), 81, 82], conversation="c2", head=shared)
    assert [move.count for move in step(scheduler).moves] == copied


@pytest.mark.parametrize(("shared", "copied"), [(0, []), (1, [1]), (2, [2])])
def test_of_the_same_conversation_one_cell_is_worth_a_copy(shared, copied):
    scheduler = filled()
    add(scheduler, 1, [*range(shared), 71], conversation="c")
    step(scheduler)
    add(scheduler, 2, [*range(shared), 81], conversation="c")
    assert [move.count for move in step(scheduler).moves] == copied


def test_nothing_is_taken_from_others_unless_it_was_told_how_much():
    scheduler = filled()
    add(scheduler, 1, list(range(30)), conversation="c1")
    step(scheduler)
    add(scheduler, 2, list(range(30)), conversation="c2")
    assert step(scheduler).moves == ()


def test_the_most_is_taken_from_who_has_most():
    scheduler = filled()
    for serial, shared in ((1, 10), (2, 30), (3, 20)):
        prompt = [*range(shared), serial + 100]
        add(scheduler, serial, prompt, conversation=f"c{serial}", head=shared)
    step(scheduler)
    add(scheduler, 4, [*range(40), 200], conversation="c4", head=40)
    (move,) = step(scheduler).moves
    assert (move.source, move.count) == (scheduler.running[2].allocation.start, 30)


def test_the_longest_among_those_who_are_idle_is_taken():
    scheduler = filled()
    for serial, shared in ((1, 10), (2, 30), (3, 20)):
        prompt = [*range(shared), serial + 100]
        add(scheduler, serial, prompt, conversation=f"c{serial}", head=shared)
    step(scheduler)
    for serial in (1, 2, 3):
        scheduler.cancel(serial)
    add(scheduler, 4, [*range(40), 200], conversation="c4", head=40)
    (move,) = step(scheduler).moves
    assert (move.source, move.count) == (scheduler.idle["c2"].allocation.start, 30)


@pytest.mark.parametrize(("after", "copied"), [(7, [10]), (8, [])])
def test_the_latest_eight_who_are_idle_are_looked_through(after, copied):
    scheduler = filled(slots=1)
    add(scheduler, 1, [*range(10), 71], conversation="first", head=10)
    step(scheduler, end=[1])
    for serial in range(2, 2 + after):
        add(scheduler, serial, [1000 + serial], conversation=f"c{serial}")
        step(scheduler, end=[serial])
    add(scheduler, 99, [*range(10), 72], conversation="last", head=10)
    assert [move.count for move in step(scheduler).moves] == copied


def test_without_a_name_it_is_the_conversation_without_a_name():
    scheduler = filled()
    add(scheduler, 1, [1, 2, 3])
    step(scheduler, end=[1])
    assert list(scheduler.idle) == [""]
    add(scheduler, 2, [1, 2, 3, 4], conversation="")
    assert sizes(step(scheduler)) == {2: 1}


@pytest.mark.parametrize("at", [0, 1, 255, 256, 257, 511, 512, 513])
def test_rows_differ_where_they_do(at):
    row = list(range(600))
    other = [*row[:at], -1, *row[at + 1 :]]
    assert alike(row, other, 600) == at
    assert alike(row, row[:at], 600) == at
    assert alike(row, row, at) == at
    assert alike([], row, 600) == 0


# Any order of events -----------------------------------------------------------------------------


PREAMBLE = list(range(12))
"""What every conversation begins with, and may take over from others."""


class World:
    """A scheduler with cells that hold what is computed into them, and answers that say tokens."""

    def __init__(self, **config) -> None:
        self.scheduler = Scheduler(SchedulerConfig(**SETTINGS | config))
        self.config = self.scheduler.config
        self.memory: list[object] = [None] * self.config.cells
        self.live: dict[int, list[object]] = {}
        self.alone: set[int] = set()
        self.history: dict[str, list[object]] = {}
        self.serial = 0
        self.most = self.scheduler.allocator.cells

    def ask(self, conversation: str, keep: int, new: int, low: bool, alone: bool) -> None:
        """Ask for an answer that shares so much with what its conversation held last."""
        self.serial += 1
        history = self.history.get(conversation, PREAMBLE)[:keep]
        cells = [*history, *((f"{self.serial}", i) for i in range(new + 1))][: self.most]
        try:
            add(
                self.scheduler,
                self.serial,
                cells,
                conversation=conversation,
                low=low,
                alone=alone,
                head=len(PREAMBLE),
            )
        except Busy:
            assert len(self.live) >= self.config.slots + self.config.queue
            return
        self.live[self.serial] = cells
        self.history[conversation] = cells
        if alone:
            self.alone.add(self.serial)

    def cancel(self, which: int) -> None:
        if self.live:
            serial = sorted(self.live)[which % len(self.live)]
            self.scheduler.cancel(serial)
            del self.live[serial]

    def step(self, ends: bool) -> list[int]:
        made = self.scheduler.next()
        assert (made is None) == (not self.live)
        if made is None:
            return []
        for move in made.moves:
            held = self.memory[move.source : move.source + move.count]
            self.memory[move.target : move.target + move.count] = held
        served = [part.serial for part in made.parts]
        assert served
        assert len(set(served)) == len(served) <= self.config.slots
        assert not self.alone & set(served) or len(served) == 1
        talking = {p.serial for p in made.parts if p.start == len(self.live[p.serial]) - 1}
        reading = sum(p.stop - p.start for p in made.parts if p.serial not in talking)
        assert reading <= self.config.chunk
        said = {}
        for part in made.parts:
            cells = self.live[part.serial]
            assert self.memory[part.base : part.base + part.start] == cells[: part.start]
            self.memory[part.base + part.start : part.base + part.stop] = cells[
                part.start : part.stop
            ]
            assert part.last == (part.stop == len(cells))
            if part.last:
                said[part.serial] = 10_000 + len(cells)
        full = {serial for serial in said if len(self.live[serial]) >= self.most}
        ended = frozenset(said) if ends else frozenset(full)
        self.scheduler.done(made.parts, said, ended)
        for serial, token in said.items():
            self.alone.discard(serial)
            if serial in ended:
                del self.live[serial]
            else:
                self.live[serial].append(token)
        self.check()
        return served

    def check(self) -> None:
        scheduler = self.scheduler
        assert len(scheduler.running) <= self.config.slots
        assert len(self.live) <= self.config.slots + self.config.queue
        assert {*scheduler.running, *scheduler.waiting} == set(self.live)
        owned = [sequence.allocation for sequence in scheduler.running.values()]
        owned += [kept.allocation for kept in scheduler.idle.values()]
        assert set(map(id, owned)) == set(map(id, scheduler.allocator.allocations))
        for kept in scheduler.idle.values():
            assert len(kept.tokens) == kept.allocation.used > 0


EVENT = st.one_of(
    st.tuples(
        st.just("ask"),
        st.sampled_from("abcd"),
        st.integers(0, 40),
        st.integers(0, 30),
        st.booleans(),
        st.integers(0, 9).map(lambda n: n == 0),
    ),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("confirm"), st.integers(0, 9)),
    st.tuples(st.just("step"), st.booleans()),
)


@settings(max_examples=200)
@given(
    st.lists(EVENT, max_size=60),
    st.integers(1, 4),
    st.integers(0, 4),
    st.sampled_from([1, 4, 50]),
    st.sampled_from([24, 40, 64, 200]),
)
def test_any_order_of_events_keeps_the_bounds_the_cells_and_starves_nobody(
    events, slots, queue, chunk, cells
):
    world = World(slots=slots, queue=queue, chunk=chunk, cells=cells, block=4)
    for event in events:
        match event:
            case "ask", *rest:
                world.ask(*rest)
            case "cancel", which:
                world.cancel(which)
            case "confirm", which:
                world.scheduler.confirm(which)
            case "step", ends:
                world.step(ends)
    # Whoever is served says a token or two and ends; so all must be served in time.
    left = sum(map(len, world.live.values())) + 10
    for _ in range(left * 4):
        if not world.live:
            break
        world.step(ends=True)
    assert not world.live
    assert world.scheduler.next() is None
