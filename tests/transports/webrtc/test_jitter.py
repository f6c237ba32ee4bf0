"""Packets leave in order, at once where they can, and nothing waits for ever."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from realtime.transports.webrtc.jitter import HOLD_S, MOST_HELD, JitterBuffer, Packet, signed

TICKS = 960  # 20 ms
PACE_S = 0.0201  # a little more, so that four of them are not a matter of rounding


def packet(number: int, *, source: int = 7, first: int = 0, ticks: int = TICKS) -> Packet:
    """Make the nth packet of a sender whose counters began at `first`."""
    return Packet(
        source,
        (first + number) % (1 << 16),
        (first * 70_000 + number * ticks) % (1 << 32),
        number.to_bytes(4, "big"),
    )


def numbers(packets: list[Packet]) -> list[int]:
    return [int.from_bytes(p.payload, "big") for p in packets]


def push(buffer: JitterBuffer, number: int, at: float | None = None, **how: int) -> list[int]:
    """Let the nth packet come, at its time if not at another."""
    return numbers(buffer.push(packet(number, **how), number * PACE_S if at is None else at))


def through(order: list[int], **how: int) -> list[int]:
    buffer = JitterBuffer()
    return [n for number in order for n in push(buffer, number, **how)]


def test_packets_in_order_leave_at_once():
    buffer = JitterBuffer()
    assert [push(buffer, n) for n in range(5)] == [[0], [1], [2], [3], [4]]


def test_a_packet_that_is_overtaken_is_waited_for():
    buffer = JitterBuffer()
    order = (0, 2, 3, 1, 4)
    assert [push(buffer, n) for n in order] == [[0], [], [], [1, 2, 3], [4]]


def test_what_is_lost_is_given_up_and_costs_no_delay_afterwards():
    buffer = JitterBuffer()
    got = [push(buffer, n) for n in (0, 2, 3, 4, 5, 6, 7, 8)]
    assert got == [[0], [], [], [], [], [2, 3, 4, 5, 6], [7], [8]]
    assert 4 * PACE_S >= HOLD_S > 3 * PACE_S


def test_each_gap_is_waited_for_from_when_it_was_known():
    buffer = JitterBuffer()
    got = [push(buffer, n) for n in (0, 2, 4, 6, 7, 8)]  # 1, 3 and 5 are lost
    assert got == [[0], [], [], [2], [], [4]]


def test_a_burst_after_a_stall_leaves_whole():
    buffer = JitterBuffer()
    push(buffer, 0)
    assert [push(buffer, n, 3.0) for n in (1, 2, 4, 5, 6, 7, 8, 9, 3)][-1] == [3, 4, 5, 6, 7, 8, 9]


def test_what_comes_after_it_was_given_up_and_what_comes_twice_is_dropped():
    assert through([0, 2, 3, 4, 5, 6, 1, 6, 7, 7]) == [0, 2, 3, 4, 5, 6, 7]


def test_of_a_packet_that_comes_twice_the_first_is_heard():
    buffer = JitterBuffer()
    push(buffer, 0, 0.0)
    first, copy = packet(2), Packet(7, 2, 2 * TICKS, b"a copy")
    assert buffer.push(first, 0.0) == []
    assert buffer.push(copy, 0.02) == []
    assert buffer.push(packet(1), 0.03) == [packet(1), first]


def test_a_copy_makes_no_gap_be_waited_for_longer():
    buffer = JitterBuffer()
    push(buffer, 0, 0.0)
    assert push(buffer, 2, 0.0) == []
    assert push(buffer, 2, HOLD_S - 0.01) == []
    assert push(buffer, 3, HOLD_S) == [2, 3]


def test_the_first_packet_of_a_call_need_not_be_number_zero():
    assert through([0, 1, 2], first=65_000) == [0, 1, 2]


def test_a_new_source_begins_anew_and_what_was_held_of_the_old_one_is_heard_first():
    buffer = JitterBuffer()
    push(buffer, 0)
    assert push(buffer, 2) == []
    assert push(buffer, 9, source=8, first=500) == [2, 9]
    assert push(buffer, 10, source=8, first=500) == [10]


def test_a_sequence_that_jumps_far_begins_anew():
    assert through([0, 1, 20_000, 20_001]) == [0, 1, 20_000, 20_001]


def test_what_is_held_is_bounded_even_if_time_stands_still():
    buffer = JitterBuffer()
    push(buffer, 0, 0.0)
    for number in range(2, 5_000, 2):
        push(buffer, number, 0.0)
        assert len(buffer.held) <= MOST_HELD


@given(st.integers(0, 2**32), st.integers(0, 65_535), st.integers(1, 5))
def test_delays_of_up_to_60_ms_lose_nothing(seed, first, burst):
    dice = random.Random(seed)
    sent = [0.02 * (n - n % burst) for n in range(100)]
    arrivals = sorted((sent[n] + (dice.uniform(0, 0.06) if n else 0), n) for n in range(100))
    buffer = JitterBuffer()
    got = [n for at, number in arrivals for n in push(buffer, number, at, first=first)]
    assert got == list(range(100))


PACKETS = st.builds(
    Packet, st.integers(0, 2), st.integers(0, 65_535), st.integers(0, 2**32 - 1), st.binary()
)


@given(st.lists(st.tuples(PACKETS, st.floats(0, 0.1))))
def test_anything_may_come_and_nothing_comes_out_that_did_not_go_in(arrivals):
    buffer, now, given_out = JitterBuffer(), 0.0, []
    for arrived, later in arrivals:
        now += later
        given_out += buffer.push(arrived, now)
        assert len(buffer.held) <= MOST_HELD
    assert len(given_out) <= len(arrivals)
    assert set(given_out) <= {arrived for arrived, _ in arrivals}


def test_counters_that_wrap_are_compared_the_nearer_way_round():
    assert signed(1 - 65_535, 16) == 2
    assert signed(65_535 - 1, 16) == -2
    assert signed(5, 32) == 5
