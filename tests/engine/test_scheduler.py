"""Order, fairness and bounds of the scheduler, also under random orders of events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.engine.scheduler import Decode, Prefill, Scheduler, SchedulerConfig, Step
from realtime.errors import Busy

EVENTS = ("add", "low", "cancel", "step", "end")


def serials(step: Step) -> set[int]:
    return {step.serial} if isinstance(step, Prefill) else set(step.serials)


def run(scheduler: Scheduler, steps: int) -> list[Step]:
    """Run so many steps, none of which ends an answer."""
    ran = []
    for _ in range(steps):
        step = scheduler.next()
        assert step is not None
        scheduler.done(step)
        ran.append(step)
    return ran


def filled(*serials: int, slots: int = 8, queue: int = 64) -> Scheduler:
    scheduler = Scheduler(SchedulerConfig(slots, queue))
    for serial in serials:
        scheduler.add(serial, low=False)
    return scheduler


def test_nothing_to_do():
    assert filled().next() is None


def test_two_answers_talk_at_once():
    ran = run(filled(1, 2), 6)
    assert ran == [Prefill(1), Prefill(2), Decode((1,)), Decode((2,)), Decode((1,)), Decode((2,))]


def test_everyone_who_talks_gets_a_step_between_two_prefills():
    scheduler = filled(1, 2)
    run(scheduler, 2)
    scheduler.add(3, low=False)
    scheduler.add(4, low=False)
    ran = run(scheduler, 6)
    between = ran[ran.index(Prefill(3)) + 1 : ran.index(Prefill(4))]
    assert {step.serials for step in between} == {(1,), (2,)}


def test_normal_before_low_then_in_order_of_arrival():
    scheduler = filled(slots=4)
    for serial, low in ((1, True), (2, False), (3, True), (4, False)):
        scheduler.add(serial, low=low)
    prefills = [step.serial for step in run(scheduler, 12) if isinstance(step, Prefill)]
    assert prefills == [2, 4, 1, 3]


def test_an_answer_waits_for_a_slot():
    scheduler = filled(1, 2, slots=1)
    assert run(scheduler, 3) == [Prefill(1), Decode((1,)), Decode((1,))]
    scheduler.done(Decode((1,)), frozenset({1}))
    assert scheduler.next() == Prefill(2)


def test_an_answer_may_end_with_its_first_token():
    scheduler = filled(1)
    scheduler.done(Prefill(1), frozenset({1}))
    assert scheduler.next() is None


def test_a_full_queue_is_busy_and_tells_when_to_come_again():
    scheduler = filled(1, 2, 3, slots=1, queue=2)
    with pytest.raises(Busy) as caught:
        scheduler.add(4, low=False)
    assert caught.value.retry_after > 0
    scheduler.cancel(3)
    scheduler.add(4, low=False)


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_cancelled_answer_is_in_no_later_step(steps):
    scheduler = filled(1, 2)
    run(scheduler, steps)
    scheduler.cancel(1)
    scheduler.cancel(99)
    assert all(
        1 not in getattr(s, "serials", (getattr(s, "serial", 0),)) for s in run(scheduler, 4)
    )


def test_a_scheduler_without_slots_is_refused():
    with pytest.raises(ValueError, match="slots"):
        SchedulerConfig(slots=0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "low", "cancel", "step", "end"]), st.integers(0, 9))
    ),
    st.integers(1, 3),
    st.integers(0, 4),
)
def test_any_order_of_events_keeps_the_bounds_and_starves_nobody(events, slots, queue):
    scheduler = Scheduler(SchedulerConfig(slots, queue))
    live: set[int] = set()
    serial = 0
    for event, which in events:
        match event:
            case "add" | "low":
                serial += 1
                try:
                    scheduler.add(serial, low=event == "low")
                    live.add(serial)
                except Busy:
                    assert len(live) >= slots + queue
            case "cancel" if live:
                gone = sorted(live)[which % len(live)]
                scheduler.cancel(gone)
                live.discard(gone)
            case _:
                step = scheduler.next()
                assert (step is None) == (not live)
                if step is not None:
                    names = serials(step)
                    assert names <= live
                    ended = frozenset(names) if event == "end" else frozenset()
                    scheduler.done(step, ended)
                    live -= ended
        assert len(scheduler.running) <= slots
        assert len(live) <= slots + queue

    seen: set[int] = set()
    while live - seen:
        step = scheduler.next()
        names = serials(step)
        ended = frozenset(names) if isinstance(step, Decode) else frozenset()
        scheduler.done(step, ended)
        live -= ended
        seen |= names
