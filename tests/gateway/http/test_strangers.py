"""Strangers are bounded in all and by address; the oldest make room."""

from __future__ import annotations

import pytest
from gateway_place import comes_true

from realtime.gateway.http.strangers import Strangers, network, vouch


class Door:
    """Strangers, and the names of those that were ended."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self.strangers = Strangers(most=most, most_of_one=most_of_one)
        self.ended: list[str] = []

    def enter(self, name: str, address: str):
        return self.strangers.enter(address, lambda: self.ended.append(name))


def test_the_oldest_of_an_address_makes_room():
    door = Door(10, 2)
    for name, address in [("a", "192.0.2.1"), ("b", "192.0.2.2"), ("c", "192.0.2.1")]:
        door.enter(name, address)
    assert door.ended == []
    door.enter("d", "192.0.2.1")
    assert door.ended == ["a"]
    door.enter("e", "::ffff:192.0.2.1")
    assert door.ended == ["a", "c"]


def test_the_oldest_of_all_makes_room():
    door = Door(2, 2)
    for number in range(4):
        door.enter(str(number), f"192.0.2.{number}")
    assert door.ended == ["0", "1"]
    door.strangers.make_room()
    assert door.ended == ["0", "1", "2"]
    assert len(door.strangers.of) == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_addresses_of_this_machine_count_in_all_only(address):
    door = Door(3, 1)
    for number in range(4):
        door.enter(str(number), address)
    assert door.ended == ["0"]


def test_who_is_vouched_for_is_not_counted():
    door = Door(10, 1)
    known = door.enter("known", "192.0.2.1")
    vouch({"state": {"realtime.vouch": known.leave}})
    door.enter("new", "192.0.2.1")
    known.leave()
    known.expire()
    door.strangers.make_room()
    assert door.ended == ["new"]
    assert not door.strangers.all
    assert not door.strangers.of


def test_to_make_room_where_nobody_is():
    Strangers(most=1, most_of_one=1).make_room()


def test_a_request_of_no_connection_is_vouched_for_in_vain():
    vouch({})
    vouch({"state": {}})


async def test_a_stranger_ends_unless_somebody_vouches_in_time():
    door = Door(10, 10)
    known, unknown = (door.enter(name, "192.0.2.1") for name in ("known", "unknown"))
    for stranger in (known, unknown):
        stranger.expire_after(0)
    known.leave()
    await comes_true(lambda: unknown not in door.strangers.all)
    assert door.ended == ["unknown"]


@pytest.mark.parametrize(
    ("address", "one"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002"),
        ("2001:db8:1:2:ffff::1", "2001:0db8:0001:0002"),
        ("fe80::1%eth0", "fe80:0000:0000:0000"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", ""),
        ("", ""),
        ("a socket's path", "a socket's path"),
    ],
)
def test_what_one_household_is(address, one):
    assert network(address) == one
