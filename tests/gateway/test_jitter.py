"""Packets leave in order, at once where they can, and nothing waits for ever."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from realtime.gateway.jitter import HOLD, MOST_HELD, JitterBuffer, Packet, signed

TICKS = 960  # 20 ms


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


def through(order: list[int], **how: int) -> list[int]:
    buffer = JitterBuffer()
    return [n for number in order for n in numbers(buffer.push(packet(number, **how)))]


def test_packets_in_order_leave_at_once():
    buffer = JitterBuffer()
    assert [numbers(buffer.push(packet(n))) for n in range(5)] == [[0], [1], [2], [3], [4]]


def test_a_packet_that_is_overtaken_is_waited_for():
    buffer = JitterBuffer()
    assert [numbers(buffer.push(packet(n))) for n in (0, 2, 3, 1, 4)] == [
        [0],
        [],
        [],
        [1, 2, 3],
        [4],
    ]


def test_what_is_lost_is_given_up_and_costs_no_delay_afterwards():
    buffer = JitterBuffer()
    got = [numbers(buffer.push(packet(n))) for n in (0, 2, 3, 4, 5, 6, 7)]
    assert got == [[0], [], [], [], [2, 3, 4, 5], [6], [7]]
    assert (5 - 2) * TICKS == HOLD


def test_what_comes_after_it_was_given_up_and_what_comes_twice_is_dropped():
    assert through([0, 2, 3, 4, 5, 1, 5, 6, 6]) == [0, 2, 3, 4, 5, 6]


def test_the_first_packet_of_a_call_need_not_be_number_zero():
    assert through([0, 1, 2], first=65_000) == [0, 1, 2]


def test_a_new_source_begins_anew_and_what_was_held_of_the_old_one_is_heard_first():
    buffer = JitterBuffer()
    buffer.push(packet(0))
    assert numbers(buffer.push(packet(2))) == []
    assert numbers(buffer.push(packet(9, source=8, first=500))) == [2, 9]
    assert numbers(buffer.push(packet(10, source=8, first=500))) == [10]


def test_a_sequence_that_jumps_far_begins_anew():
    assert through([0, 1, 20_000, 20_001]) == [0, 1, 20_000, 20_001]


def test_what_is_held_is_bounded_even_if_time_stands_still():
    buffer = JitterBuffer()
    buffer.push(packet(0))
    for number in range(2, 5_000, 2):
        buffer.push(packet(number, ticks=0))
        assert len(buffer.held) <= MOST_HELD


@given(st.integers(0, 2**32), st.integers(0, 65_535))
def test_delays_of_up_to_60_ms_lose_nothing(seed, first):
    dice = random.Random(seed)
    arrivals = [(0.02 * n + (dice.uniform(0, 0.06) if n else 0), n) for n in range(100)]
    order = [n for _, n in sorted(arrivals)]
    last = order.index(99)
    assert through(order, first=first) == list(range(100)), order[last:]


@given(
    st.lists(
        st.builds(
            Packet,
            st.integers(0, 2),
            st.integers(0, 65_535),
            st.integers(0, 2**32 - 1),
            st.binary(),
        )
    )
)
def test_anything_may_come_and_nothing_comes_out_that_did_not_go_in(packets):
    buffer = JitterBuffer()
    given_out = [ready for packet in packets for ready in buffer.push(packet)]
    assert len(given_out) <= len(packets)
    assert set(given_out) <= set(packets)
    assert len(buffer.held) <= MOST_HELD


def test_counters_that_wrap_are_compared_the_nearer_way_round():
    assert signed(1 - 65_535, 16) == 2
    assert signed(65_535 - 1, 16) == -2
    assert signed(5, 32) == 5
